"""Frames on the connection between two nodes: ``u32 length | u32 crc32c(body) | body``, ``body = u8 kind | content``.

Before the first frame both sides say who they are in one line each, ``TERNMQ/1 {json}\\r\\n`` (see `transport`).
A frame that does not check out, or is longer than `FRAME_BYTES_MAX`, ends the connection: TCP already guards the
bytes, so damage here means a broken peer, and everything that mattered is sent again after the reconnect. The checksum
is the one that processors compute: a leader makes it once for each follower, of everything that is published.
"""

import struct
from typing import Final

from crc32c import crc32c

FRAME_BYTES_MAX: Final = 256 * 1024 * 1024

FRAME_RAFT: Final = 1  # raft.codec messages of all groups
FRAME_REQUEST: Final = 2  # API requests for the leader of a group: u64 group | columns(subject, "", reply)
FRAME_PUBLISH: Final = 3  # messages for a stream's leader: u64 group | columns(subject, "", reply)
FRAME_ANSWER: Final = 4  # to be published by the node it is sent to: columns(inbox, subject, reply)
FRAME_ACK: Final = 5  # consumer acks for a stream's leader: u64 group | columns(ack subject, "", reply)
FRAME_BLOCK_REQUEST: Final = 6  # catch-up: cbor
FRAME_BLOCK: Final = 7  # catch-up: u32 length of cbor head | head | bytes
FRAME_VIEW: Final = 8  # first boot: cbor map, peer id to name, of those that the sender sees
FRAME_META: Final = 10  # no content: the sender, who said otherwise in its greeting, has a meta group by now
FRAME_DAMAGED: Final = 11  # repair: cbor map, group to the number of the loss
FRAME_REMOVED: Final = 12  # repair: cbor; the group goes on without the sender of FRAME_DAMAGED
FRAME_ROOM: Final = 13  # one byte: whether the sender has room on its disk
FRAME_USAGE: Final = 14  # cbor: what the receiver uses is asked for, or what the sender uses
FRAME_ALIVE: Final = 9  # no content: whoever sends it is there, though its groups sleep

JOIN_BYTES_MAX: Final = 16 * 1024  # up to here copying the content costs less than a part of its own

_HEAD: Final = struct.Struct("<II")
HEAD_LENGTH: Final = 8  # a literal: `_HEAD.size` is looked up every time
_KINDS: Final = [bytes((kind,)) for kind in range(256)]


class FrameError(ValueError):
    """The bytes are not frames of ours."""


def encode_frame(kind: int, parts: list[bytes]) -> list[bytes]:
    """One frame as parts for a gathered write; content that is large is not copied."""
    length = 1
    for part in parts:
        length += len(part)
    assert length <= FRAME_BYTES_MAX, f"frame of {length} bytes"
    if length <= JOIN_BYTES_MAX:
        body = _KINDS[kind] + b"".join(parts)
        return [_HEAD.pack(length, crc32c(body)), body]
    crc = crc32c(_KINDS[kind])
    for part in parts:
        crc = crc32c(part, crc)
    return [_HEAD.pack(length, crc), _KINDS[kind], *parts]


class FrameReader:
    """Cuts a byte stream into frames. Holds at most one incomplete frame."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._held: int = 0
        self._need: int = HEAD_LENGTH

    def feed(self, data: bytes) -> list[bytes]:
        """The bodies of all frames that `data` completes. Raises FrameError."""
        buffer = data
        if self._held or len(data) < self._need:
            self._parts.append(data)
            self._held += len(data)
            if self._held < self._need:
                return []
            buffer = b"".join(self._parts)
        bodies: list[bytes] = []
        position = 0
        size = len(buffer)
        while True:
            if size - position < HEAD_LENGTH:
                self._need = HEAD_LENGTH
                break
            length: int
            length, crc = _HEAD.unpack_from(buffer, position)
            if length == 0 or length > FRAME_BYTES_MAX:
                raise FrameError(f"frame length {length}")
            end = position + HEAD_LENGTH + length
            if end > size:
                self._need = HEAD_LENGTH + length
                break
            body = buffer[position + HEAD_LENGTH : end]
            if crc32c(body) != crc:
                raise FrameError("frame checksum")
            bodies.append(body)
            position = end
        if position < size:
            self._parts = [buffer[position:]]
            self._held = size - position
        elif self._held:
            self._parts = []
            self._held = 0
        return bodies
