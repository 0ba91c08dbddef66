"""The operations of a stream group's log, and their bytes.

An entry is a sequence of operations, each `u32 body length | u8 kind | u8 slot | body`; little-endian throughout.
`slot` says which stream of the group is meant: its own, or the dead-letter stream beside it. Bodies of the stream's
own operations begin with the leader's time (`i64` Unix ns), OP_PUBLISH's with its count; bodies of consumer operations
belong to `consumer`, `ack` and `consumer_apply`, OP_SOURCED to `sourced`.

Not here: what an operation does (`stream`). Invariant: a publish body is written once and the same bytes go to peers,
log and block.
"""

import struct
import sys
from array import array
from collections.abc import Sequence
from itertools import accumulate
from operator import add
from typing import Final

from broker.jetstream.publishing.publish_headers import strip_status

OP_PUBLISH: Final = 1
OP_STREAM_CONFIG: Final = 2
OP_PURGE: Final = 3
OP_MESSAGE_DELETE: Final = 4
OP_EXPIRE: Final = 5
OP_DEAD_LETTERS: Final = 6
OP_DEAD_STREAM: Final = 7
OP_DEAD_STREAM_END: Final = 8
OP_ATOMIC_PUBLISH: Final = 9  # a body as OP_PUBLISH's
OP_CONSUMER_CREATE: Final = 10
OP_CONSUMER_DELETE: Final = 11
OP_DELIVERED: Final = 12
OP_ACKS: Final = 13
OP_CONSUMER_PAUSE: Final = 14
OP_CONSUMER_RESET: Final = 15
OP_SOURCED: Final = 40
OP_RESTORE: Final = 41  # a message or more of a backup (`restore_apply`)
OP_SCHEDULED: Final = 42

HEADERS_MAX: Final = 0xFFFF  # bytes of one message's headers, here and in blocks

SLOT_OWN: Final = 0
SLOT_DEAD_LETTERS: Final = 1

_HEAD: Final = struct.Struct("<IBB")
HEAD_LENGTH: Final = 6  # literals, as `size` is looked up every time
PUBLISH_HEAD_LENGTH: Final = 12
_PUBLISH_HEAD: Final = struct.Struct("<Iq")
_PUBLISH_ONE: Final = struct.Struct("<IqHHI")  # head and columns where there is one message
_PUBLISH_COLUMNS: Final = 8  # bytes a message in the three columns
_PURGE: Final = struct.Struct("<qQQH")
_DELETE: Final = struct.Struct("<qQ")
_CONFIG: Final = struct.Struct("<qQ")
_TIME: Final = struct.Struct("<q")
_SWAP: Final = sys.byteorder != "little"


class MalformedOp(Exception):
    """The bytes are not what the encoder writes: written by another version, or a bug."""


# Framing.


def frame_op(kind: int, body: bytes, slot: int = 0) -> bytes:
    """One operation of an entry."""
    return _HEAD.pack(len(body), kind, slot) + body


def split_ops(entry: bytes) -> list[tuple[int, int, bytes]]:
    """Slot, kind and body of each operation, in order. Raises MalformedOp."""
    found: list[tuple[int, int, bytes]] = []
    position = 0
    end = len(entry)
    while position < end:
        if end - position < HEAD_LENGTH:
            raise MalformedOp("cut in an operation's head")
        length: int
        length, kind, slot = _HEAD.unpack_from(entry, position)
        position += HEAD_LENGTH
        if length > end - position or slot > SLOT_DEAD_LETTERS:
            raise MalformedOp(f"operation {kind} of slot {slot} claims {length} bytes of {end - position}")
        found.append((slot, kind, entry[position : position + length]))
        position += length
    return found


# OP_PUBLISH: u32 count | i64 time | u16 subject_length[count] | u16 header_length[count] | u32 data_length[count] |
# (subject, data)*


class PublishBatch:
    """Gathers the messages of one turn. `bytes` is what the bodies weigh, for bounds."""

    def __init__(self) -> None:
        self.count: int = 0
        self.bytes: int = 0
        self._subject_lengths: list[int] = []
        self._header_lengths: list[int] = []
        self._data_lengths: list[int] = []
        self._parts: list[bytes] = [b""]

    def add(self, subject: bytes, header_length: int, data: bytes) -> int:
        """Append a message (`data` = headers and payload); returns its position. Subject and headers must be below 64
        KiB.

        A status line on it is removed, as nothing stored has one.
        """
        if header_length and data[8:10] != b"\r\n":
            header_length, data = strip_status(header_length, data)
        position = self.count
        subject_length = len(subject)
        data_length = len(data)
        self._subject_lengths.append(subject_length)
        self._header_lengths.append(header_length)
        self._data_lengths.append(data_length)
        self._parts.append(subject)
        self._parts.append(data)
        self.bytes += subject_length + data_length
        self.count = position + 1
        return position

    def last(self) -> tuple[bytes, int, bytes]:
        """Subject, header length and data of the message added last."""
        return self._parts[-2], self._header_lengths[-1], self._parts[-1]

    def replace_last(self, subject: bytes, header_length: int, data: bytes) -> None:
        """Another message instead of the one added last."""
        self.bytes += len(subject) + len(data) - len(self._parts[-2]) - len(self._parts[-1])
        self._subject_lengths[-1] = len(subject)
        self._header_lengths[-1] = header_length
        self._data_lengths[-1] = len(data)
        self._parts[-2] = subject
        self._parts[-1] = data

    def encode(self, timestamp_ns: int) -> bytes:
        """The operation's body."""
        if self.count == 1:
            lengths = (self._subject_lengths[0], self._header_lengths[0], self._data_lengths[0])
            self._parts[0] = _PUBLISH_ONE.pack(1, timestamp_ns, *lengths)
            return b"".join(self._parts)
        head = _PUBLISH_HEAD.pack(self.count, timestamp_ns)
        columns = (
            _packed("H", self._subject_lengths) + _packed("H", self._header_lengths) + _packed("I", self._data_lengths)
        )
        self._parts[0] = head + columns
        return b"".join(self._parts)


class PublishOp:
    """A decoded OP_PUBLISH. Message i: subject = raw[p : p + sl], data = raw[p + sl : p + sl + dl] with p =
    positions[i]."""

    def __init__(self, body: bytes) -> None:
        """Raises MalformedOp."""
        if len(body) < PUBLISH_HEAD_LENGTH:
            raise MalformedOp("publish without a head")
        count, timestamp_ns = _PUBLISH_HEAD.unpack_from(body)
        start = PUBLISH_HEAD_LENGTH
        bodies = start + _PUBLISH_COLUMNS * count
        if bodies > len(body):
            raise MalformedOp(f"publish of {count} messages in {len(body)} bytes")
        self.count: int = count
        self.timestamp_ns: int = timestamp_ns
        self.subject_lengths: Sequence[int]
        self.header_lengths: Sequence[int]
        self.data_lengths: Sequence[int]
        self.positions: Sequence[int]
        self.has_headers: bool
        if count == 1:  # arrays are dear for a message that is alone
            _, _, subject_length, header_length, end = _PUBLISH_ONE.unpack_from(body)
            self.subject_lengths, self.header_lengths, self.data_lengths = (subject_length,), (header_length,), (end,)
            self.has_headers = header_length > 0
            self.positions = (0,)
            end += subject_length
        else:
            self.subject_lengths = _column("H", body[start : start + 2 * count])
            headers = body[start + 2 * count : start + 4 * count]
            self.has_headers = headers.count(0) != len(headers)
            self.header_lengths = _column("H", headers)
            self.data_lengths = _column("I", body[start + 4 * count : bodies])
            positions = array("I", accumulate(map(add, self.subject_lengths, self.data_lengths), initial=0))
            end = positions.pop()
            self.positions = positions
        self.raw: bytes = body[bodies:]
        if end != len(self.raw):
            raise MalformedOp("publish bodies do not fill the operation")

    def subject(self, index: int) -> bytes:
        """The subject of one message."""
        position = self.positions[index]
        return self.raw[position : position + self.subject_lengths[index]]

    def headers(self, index: int) -> bytes:
        """The header block of one message; b"" without one."""
        position = self.positions[index] + self.subject_lengths[index]
        return self.raw[position : position + self.header_lengths[index]]


    def payload(self, index: int) -> bytes:
        """What follows the headers of one message."""
        position = self.positions[index] + self.subject_lengths[index]
        return self.raw[position + self.header_lengths[index] : position + self.data_lengths[index]]


def _packed(typecode: str, values: list[int]) -> bytes:
    column = array(typecode, values)
    if _SWAP:
        column.byteswap()
    return column.tobytes()


def _column(typecode: str, data: bytes) -> "array[int]":
    column: array[int] = array(typecode, data)
    if _SWAP:
        column.byteswap()
    return column


# The rest.


def encode_config(timestamp_ns: int, revision: int, config_json: bytes) -> bytes:
    """OP_STREAM_CONFIG: `i64 time | u64 revision | JSON`, the whole new configuration, checked before it was proposed.
    Revisions are the meta group's; they ascend."""
    return _CONFIG.pack(timestamp_ns, revision) + config_json


def decode_config(body: bytes) -> tuple[int, bytes]:
    """Revision and JSON of an OP_STREAM_CONFIG."""
    revision = _CONFIG.unpack_from(body)[1]
    assert isinstance(revision, int)
    return revision, body[_CONFIG.size :]


class PurgeOp:
    """What to purge: all, or what matches `subject` (b"" = everything; it need not be UTF-8), before `sequence` (0 = no
    bound) or but the last `keep`."""

    def __init__(self, subject: bytes, sequence: int, keep: int) -> None:
        self.subject: bytes = subject
        self.sequence: int = sequence
        self.keep: int = keep


def encode_purge(timestamp_ns: int, purge: PurgeOp) -> bytes:
    """OP_PURGE: `i64 time | u64 sequence | u64 keep | u16 subject length | subject`."""
    return _PURGE.pack(timestamp_ns, purge.sequence, purge.keep, len(purge.subject)) + purge.subject


def decode_purge(body: bytes) -> PurgeOp:
    """Inverse of `encode_purge`."""
    _, sequence, keep, length = _PURGE.unpack_from(body)
    return PurgeOp(body[_PURGE.size : _PURGE.size + length], sequence, keep)


def encode_delete(timestamp_ns: int, sequence: int) -> bytes:
    """OP_MESSAGE_DELETE: `i64 time | u64 sequence`."""
    return _DELETE.pack(timestamp_ns, sequence)


def decode_delete(body: bytes) -> int:
    """The sequence of an OP_MESSAGE_DELETE."""
    sequence = _DELETE.unpack_from(body)[1]
    assert isinstance(sequence, int)
    return sequence


def encode_expire(timestamp_ns: int) -> bytes:
    """OP_EXPIRE: only the time, which ages messages and message ids."""
    return _TIME.pack(timestamp_ns)


def op_time(body: bytes) -> int:
    """The time of any operation of the stream's own but OP_PUBLISH."""
    timestamp_ns = _TIME.unpack_from(body)[0]
    assert isinstance(timestamp_ns, int)
    return timestamp_ns
