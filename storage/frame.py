"""The frame: the unit that is written at once and found whole or not at all, in log files and in block files.

    magic 4s | crc u32 | file u64 | offset u64 | synced u64 | meta_length u32 | body_length u32
    | meta | body | zeros up to a multiple of 8

`crc` covers everything from `file` to the end of meta, seeded with the caller's seed; meta holds the checksums of the
body, so a damaged body still says what was in it. `file` and `offset` bind a frame to its place: what an earlier use of
a recycled file left behind, or a write that went astray, never passes. `synced`: everything in the file before this
offset was durable when the frame was written; a valid frame with `synced` beyond a bad one proves that the bad one was
durable once, so it is damage and not the torn end of a crash.

Not here: what meta and body mean (wal_batch.py, block_index.py). Read next: FORMAT.md, wal_recovery.py.
"""

import struct
import sys
import zlib
from typing import Final

MAGIC: Final = b"TmqF"
HEADER_LENGTH: Final = 40
ALIGNMENT: Final = 8
FRAME_LENGTH_MAX: Final = 1 << 31
PADDING: Final = [b"", b"\0", b"\0\0", b"\0\0\0", b"\0\0\0\0", b"\0\0\0\0\0", b"\0\0\0\0\0\0", b"\0\0\0\0\0\0\0"]
_CHECKED: Final = struct.Struct("<QQQII")
_PREFIX: Final = struct.Struct("<4sI")
_HEADER: Final = struct.Struct("<4sIQQQII")

if sys.byteorder != "little":
    raise ImportError("arrays are written as they lie in memory: storage runs on little-endian machines only")


def identity_seed(identity: str) -> int:
    """Seed of the log's checksums: frames of another server's log never pass."""
    return zlib.crc32(identity.encode())


def frame_length(meta_length: int, body_length: int) -> int:
    """Bytes a frame takes in its file, padding included."""
    return (HEADER_LENGTH + meta_length + body_length + ALIGNMENT - 1) & -ALIGNMENT


def padding(meta_length: int, body_length: int) -> bytes:
    """The zeros behind the body."""
    return PADDING[-(meta_length + body_length) & (ALIGNMENT - 1)]


def encode_header(seed: int, file: int, offset: int, synced: int, meta: bytes, body_length: int) -> bytes:
    """The 40 bytes before meta."""
    checked = _CHECKED.pack(file, offset, synced, len(meta), body_length)
    crc = zlib.crc32(checked + meta, seed)
    return _PREFIX.pack(MAGIC, crc) + checked


class FrameHeader:
    """A header that was read and found valid, with its meta; the body is not checked yet."""

    def __init__(self, offset: int, synced: int, crc: int, meta: bytes, body_length: int) -> None:
        self.offset = offset
        self.synced = synced
        self.crc = crc
        self.meta = meta
        self.body_length = body_length
        self.body_offset = offset + HEADER_LENGTH + len(meta)
        self.end = offset + frame_length(len(meta), body_length)


def read_header(data: bytes, start: int, seed: int, file: int, offset: int) -> FrameHeader | None:
    """The frame header at `data[start]`, which lies at `offset` of file number `file`; None when it is not valid."""
    if start + HEADER_LENGTH > len(data) or data[start : start + 4] != MAGIC:
        return None
    _, crc, found_file, found_offset, synced, meta_length, body_length = _HEADER.unpack_from(data, start)
    if found_file != file or found_offset != offset or synced > offset:
        return None
    body_start = start + HEADER_LENGTH + meta_length
    if body_start + body_length > len(data):
        return None
    meta = data[start + HEADER_LENGTH : body_start]
    if zlib.crc32(meta, zlib.crc32(data[start + 8 : start + HEADER_LENGTH], seed)) != crc:
        return None
    return FrameHeader(offset, synced, crc, meta, body_length)


def find_header(data: bytes, start: int, seed: int, file: int) -> FrameHeader | None:
    """The first valid frame at or behind `start`; `data` is the file from its beginning."""
    at = data.find(MAGIC, start)
    while at >= 0:
        if at % ALIGNMENT == 0:
            header = read_header(data, at, seed, file, at)
            if header is not None:
                return header
        at = data.find(MAGIC, at + 1)
    return None
