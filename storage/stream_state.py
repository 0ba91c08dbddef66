"""What a stream's blocks cannot tell: its bounds, its counters, which messages are deleted.

    magic 4s "TmqS" | first u64 | last u64 | messages u64 | bytes u64 | first_time i64 | last_time i64
    | missing_length u32 | missing | crc u32 of everything before

Logical facts only, so that replicas with the same messages write the same bytes however their blocks are cut.
Not here: the messages (blocks; for memory stores memory.py appends them). Read next: stream_recovery.py.
"""

import struct
import zlib
from typing import Final

from storage.errors import CorruptState
from storage.message_log import MessageLog
from storage.sequence_set import SequenceSet, decode_sequences

STATE_MAGIC: Final = b"TmqS"
_FIXED: Final = struct.Struct("<4sQQQQqqI")
_CRC: Final = struct.Struct("<I")


class StreamState:
    """The decoded state."""

    def __init__(self) -> None:
        self.first_sequence: int = 1
        self.last_sequence: int = 0
        self.messages: int = 0
        self.bytes: int = 0
        self.first_timestamp_ns: int = 0
        self.last_timestamp_ns: int = 0
        self.missing: SequenceSet = SequenceSet()

    def put_into(self, log: MessageLog) -> None:
        """Take over all facts but the messages themselves."""
        log.first_sequence = self.first_sequence
        log.last_sequence = self.last_sequence
        log.messages = self.messages
        log.bytes = self.bytes
        log.first_timestamp_ns = self.first_timestamp_ns
        log.last_timestamp_ns = self.last_timestamp_ns
        log.missing = self.missing
        log.num_deleted = self.last_sequence - self.first_sequence + 1 - self.messages if self.messages else 0


def encode_state(log: MessageLog) -> bytes:
    """The state of a store as of now."""
    missing = log.missing.encode()
    data = (
        _FIXED.pack(
            STATE_MAGIC,
            log.first_sequence,
            log.last_sequence,
            log.messages,
            log.bytes,
            log.first_timestamp_ns,
            log.last_timestamp_ns,
            len(missing),
        )
        + missing
    )
    return data + _CRC.pack(zlib.crc32(data))


def state_length(data: bytes) -> int:
    """Length of the state at the beginning of `data`. Raises CorruptState."""
    if len(data) < _FIXED.size or data[:4] != STATE_MAGIC:
        raise CorruptState("these bytes are not the state of a stream")
    missing_length: int = _FIXED.unpack_from(data)[7]
    return _FIXED.size + missing_length + _CRC.size


def decode_state(data: bytes | None) -> StreamState:
    """The inverse of `encode_state`; None is the state of a new stream. Raises CorruptState."""
    state = StreamState()
    if data is None:
        return state
    if state_length(data) != len(data) or zlib.crc32(data[:-4]) != _CRC.unpack_from(data, len(data) - 4)[0]:
        raise CorruptState("the state of a stream fails its checksum")
    _, first, last, messages, size, first_time, last_time, _ = _FIXED.unpack_from(data)
    state.first_sequence = first
    state.last_sequence = last
    state.messages = messages
    state.bytes = size
    state.first_timestamp_ns = first_time
    state.last_timestamp_ns = last_time
    state.missing = decode_sequences(data[_FIXED.size : -4])
    return state
