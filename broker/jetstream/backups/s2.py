"""S2, the compression of stream backups: a framed stream of blocks, each checked by a CRC-32C.

What is read is all that Go's S2 writers write, and Snappy's streams: a block is a Snappy block in which a copy with
offset 0 repeats the offset before it. What is written are Snappy blocks in S2 frames, which every S2 reader takes. Not
here: what is compressed (`archive`).

Invariants: nothing is given out before its checksum was seen to hold; no block says that it is larger than
`BLOCK_BYTES_MAX`. Source: google/snappy framing_format.txt, klauspost/compress s2 README.
"""

from typing import Final

import cramjam
from crc32c import crc32c
from mypy_extensions import i64

MAGIC: Final = b"\xff\x06\x00\x00S2sTwO"
BLOCK_BYTES: Final = 64 * 1024
BLOCK_BYTES_MAX: Final = 4 * 1024 * 1024
_IDENTIFIERS: Final = (b"S2sTwO", b"sNaPpY")
_COMPRESSED: Final = 0x00
_PLAIN: Final = 0x01
_IDENTIFIER: Final = 0xFF
_SKIPPABLE: Final = 0x80
_CHUNK_MAX: Final = BLOCK_BYTES_MAX + BLOCK_BYTES_MAX // 6 + 64


class BackupError(Exception):
    """The bytes are no backup, or a damaged one; the text says where that was seen."""


def _masked(data: bytes) -> int:
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def write_block(data: bytes) -> bytes:
    """One frame; `data` has at most `BLOCK_BYTES`. `MAGIC` goes before the first one."""
    check = _masked(data).to_bytes(4, "little")
    packed = bytes(cramjam.snappy.compress_raw(data))
    if len(packed) < len(data):
        return bytes([_COMPRESSED]) + (len(packed) + 4).to_bytes(3, "little") + check + packed
    return bytes([_PLAIN]) + (len(data) + 4).to_bytes(3, "little") + check + data


class S2Reader:
    """Decodes a stream as it comes."""

    def __init__(self) -> None:
        self._buffer: bytes = b""
        self._begun: bool = False

    def feed(self, data: bytes, limit: int) -> bytes:
        """What the next bytes decode to, up to `limit` bytes and the rest of a block: a few bytes may decode to
        gigabytes. Ask again with b"" while it `has_more`. Raises BackupError."""
        buffer = self._buffer + data if self._buffer else data
        found: list[bytes] = []
        decoded = 0
        at = 0
        while len(buffer) - at >= 4 and decoded < limit:
            kind = buffer[at]
            length = int.from_bytes(buffer[at + 1 : at + 4], "little")
            if length > _CHUNK_MAX and kind < _SKIPPABLE:
                raise BackupError("s2: block too large")
            if len(buffer) - at - 4 < length:
                break
            piece = self._chunk(kind, buffer[at + 4 : at + 4 + length])
            if piece:
                found.append(piece)
                decoded += len(piece)
            at += 4 + length
        self._buffer = buffer[at:]
        if not self._begun and len(self._buffer) >= 4:
            self._check_begin(self._buffer[0])
        return b"".join(found)

    def has_more(self) -> bool:
        """Whether a whole block is still to be decoded."""
        buffer = self._buffer
        return len(buffer) >= 4 and len(buffer) - 4 >= int.from_bytes(buffer[1:4], "little")

    def finish(self) -> None:
        """No more will come. Raises BackupError when the stream is cut off."""
        if self._buffer or not self._begun:
            raise BackupError("unexpected EOF")

    def _check_begin(self, kind: int) -> None:
        if kind != _IDENTIFIER:
            raise BackupError("s2: corrupt input")

    def _chunk(self, kind: int, content: bytes) -> bytes:
        if not self._begun:
            self._check_begin(kind)
        if kind == _IDENTIFIER:
            if content not in _IDENTIFIERS:
                raise BackupError("s2: corrupt input")
            self._begun = True
            return b""
        if kind >= _SKIPPABLE:
            return b""
        if kind > _PLAIN:
            raise BackupError("s2: unsupported input")
        if len(content) < 4:
            raise BackupError("s2: corrupt input")
        data = content[4:] if kind == _PLAIN else decode_block(content[4:])
        if _masked(data) != int.from_bytes(content[:4], "little"):
            raise BackupError("s2: crc mismatch")
        return data


def decode_block(source: bytes) -> bytes:
    """One S2 block. Raises BackupError."""
    length, start = _uvarint(source)
    if length > BLOCK_BYTES_MAX:
        raise BackupError("s2: block too large")
    try:
        return _decode(source, start, length)
    except IndexError:
        raise BackupError("s2: corrupt input") from None


def _uvarint(source: bytes) -> tuple[int, int]:
    value = 0
    for at in range(min(5, len(source))):
        value |= (source[at] & 0x7F) << (7 * at)
        if source[at] < 0x80:
            return value, at + 1
    raise BackupError("s2: corrupt input")


def _decode(source: bytes, start: int, length: int) -> bytes:
    """Raises IndexError, BackupError."""
    out = bytearray()
    at: i64 = start
    end: i64 = len(source)
    offset: i64 = 0
    while at < end:
        tag: i64 = source[at]
        kind: i64 = tag & 3
        count: i64 = tag >> 2
        if kind == 0:
            at += 1
            if count >= 60:
                extra: i64 = count - 59
                count = int.from_bytes(source[at : at + extra], "little")
                at += extra
            count += 1
            if at + count > end:
                raise BackupError("s2: corrupt input")
            out += source[at : at + count]
            at += count
            continue
        if kind == 1:
            near: i64 = (tag & 0xE0) << 3 | source[at + 1]
            count &= 7
            at += 2
            if near:
                offset = near
            elif count >= 5:  # a repeat: more of its length follows
                extra = count - 4
                more: i64 = int.from_bytes(source[at : at + extra], "little")
                count = more + (4 if extra == 1 else 1 << (8 * (extra - 1)))
                at += extra
            count += 4
        elif kind == 2:
            offset = source[at + 1] | source[at + 2] << 8
            count += 1
            at += 3
        else:
            offset = int.from_bytes(source[at + 1 : at + 5], "little")
            count += 1
            at += 5
        size: i64 = len(out)
        if offset == 0 or offset > size or size + count > length or at > end:
            raise BackupError("s2: corrupt input")
        low: i64 = size - offset
        if offset >= count:
            out += out[low : low + count]
        else:
            piece = bytes(out[low:])
            times: i64 = count // offset + 1
            out += (piece * times)[:count]
    if len(out) != length:
        raise BackupError("s2: corrupt input")
    return bytes(out)
