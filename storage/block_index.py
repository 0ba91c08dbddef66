"""The rows of one frame of messages: where each message lies, what it is called, when it came.

A frame holds consecutive sequences, gathered from one or more appended batches ("runs"). Columns stay arrays from the
replicated entry to the disk and back; nothing is packed per message. In memory every run keeps its batch's bytes as
they came (the same object as in the log); on disk the used parts of the runs lie one behind the other in the body.

    meta: first_sequence u64 | count u32 | runs u32 | body_crc u32 | zero u32
          | run_row u32[runs] | run_time i64[runs] | run_base i64[runs]
          | position u32[count] | previous u32[count] | data_length u32[count]
          | subject_length u16[count] | header_length u16[count]

Message i of run r: subject = body[position[i] + run_base[r]:][:subject_length[i]], data follows it; its time is
run_time[r] + i - run_row[r]. `previous`: sequence minus that of the subject's message before it; 0 none, FAR unknown.
Not here: where frames lie (block.py). Invariants: rows are only added, and only until the frame is sealed.
"""

import struct
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from mypy_extensions import i64

from storage.frame import FrameHeader, encode_header, frame_length, padding

FAR: Final = 0xFFFFFFFF
NO_PREVIOUS: Final = 0
_FIXED: Final = struct.Struct("<QIIII")
RUN_BYTES: Final = 20
ROW_BYTES: Final = 16


class StoredMessage:
    """A message as it is stored. `data`: headers (header_length bytes), then payload."""

    def __init__(self, sequence: int, timestamp_ns: int, subject: bytes, header_length: int, data: bytes) -> None:
        self.sequence = sequence
        self.timestamp_ns = timestamp_ns
        self.subject = subject
        self.header_length = header_length
        self.data = data


class FrameRows:
    """One frame's messages."""

    def __init__(self, first_sequence: int) -> None:
        self.first_sequence: int = first_sequence
        self.count: int = 0
        self.body_length: int = 0  # bytes of the body on disk
        self.run_rows: array[int] = array("I")
        self.run_times: array[int] = array("q")
        self.run_bases: array[int] = array("q")
        self.bodies: list[bytes] = []
        self.positions: array[int] = array("I")
        self.previous: array[int] = array("I")
        self.data_lengths: array[int] = array("I")
        self.subject_lengths: array[int] = array("H")
        self.header_lengths: array[int] = array("H")

    def add_run(
        self,
        timestamp_ns: int,
        raw: bytes,
        positions: Sequence[int],
        subject_lengths: Sequence[int],
        header_lengths: Sequence[int],
        data_lengths: Sequence[int],
        previous: Sequence[int],
    ) -> None:
        """Append messages that lie in `raw`, in the order of their positions."""
        self.run_rows.append(self.count)
        self.run_times.append(timestamp_ns)
        self.run_bases.append(0)
        self.bodies.append(raw)
        self.positions.extend(positions)
        self.previous.extend(previous)
        self.data_lengths.extend(data_lengths)
        self.subject_lengths.extend(subject_lengths)
        self.header_lengths.extend(header_lengths)
        self.count += len(positions)
        self.body_length += positions[-1] + subject_lengths[-1] + data_lengths[-1] - positions[0]

    def add_one(
        self, timestamp_ns: int, raw: bytes, subject_length: int, header_length: int, previous: int
    ) -> None:
        """Append one message: raw is its subject and its data."""
        self.run_rows.append(self.count)
        self.run_times.append(timestamp_ns)
        self.run_bases.append(0)
        self.bodies.append(raw)
        self.positions.append(0)
        self.previous.append(previous)
        self.data_lengths.append(len(raw) - subject_length)
        self.subject_lengths.append(subject_length)
        self.header_lengths.append(header_length)
        self.count += 1
        self.body_length += len(raw)

    def run_of(self, row: int) -> int:
        """The run a row belongs to."""
        if len(self.run_rows) == 1:
            return 0
        return bisect_right(self.run_rows, row) - 1

    def subject(self, row: i64) -> bytes:
        """The message's subject."""
        run = self.run_of(row)
        start: i64 = self.positions[row] + self.run_bases[run]
        length: i64 = self.subject_lengths[row]
        return self.bodies[run][start : start + length]

    def time(self, row: int) -> int:
        """The message's time."""
        run = self.run_of(row)
        return self.run_times[run] + row - self.run_rows[run]

    def message(self, row: i64) -> StoredMessage:
        """The whole message."""
        run = self.run_of(row)
        body = self.bodies[run]
        start: i64 = self.positions[row] + self.run_bases[run]
        middle: i64 = start + self.subject_lengths[row]
        end: i64 = middle + self.data_lengths[row]
        return StoredMessage(
            self.first_sequence + row,
            self.run_times[run] + row - self.run_rows[run],
            body[start:middle],
            self.header_lengths[row],
            body[middle:end],
        )

    def meta_length(self) -> int:
        """Bytes of the frame's meta."""
        return _FIXED.size + RUN_BYTES * len(self.run_rows) + ROW_BYTES * self.count

    def length(self) -> int:
        """Bytes of the whole frame on disk."""
        return frame_length(self.meta_length(), self.body_length)

    def encode(self, block: int, offset: int) -> list[bytes]:
        """The frame as it is written: parts for a gathered write."""
        parts: list[bytes] = [b"", b""]
        bases: array[int] = array("q")
        crc = 0
        at = 0
        for run in range(len(self.run_rows)):
            low = self.run_rows[run]
            last = (self.run_rows[run + 1] if run + 1 < len(self.run_rows) else self.count) - 1
            base = self.run_bases[run]
            start = self.positions[low] + base
            end = self.positions[last] + base + self.subject_lengths[last] + self.data_lengths[last]
            body = self.bodies[run]
            part = body if start == 0 and end == len(body) else body[start:end]
            parts.append(part)
            bases.append(at - self.positions[low])
            crc = zlib.crc32(part, crc)
            at += end - start
        assert at == self.body_length
        meta = b"".join(
            [
                _FIXED.pack(self.first_sequence, self.count, len(self.run_rows), crc, 0),
                self.run_rows.tobytes(),
                self.run_times.tobytes(),
                bases.tobytes(),
                self.positions.tobytes(),
                self.previous.tobytes(),
                self.data_lengths.tobytes(),
                self.subject_lengths.tobytes(),
                self.header_lengths.tobytes(),
            ]
        )
        parts[0] = encode_header(0, block, offset, 0, meta, at)
        parts[1] = meta
        parts.append(padding(len(meta), at))
        return [b"".join(parts)] if len(parts) > 8 else parts


def decode_rows(header: FrameHeader, body: bytes) -> FrameRows | None:
    """The rows of a frame that was read; None when the body fails its checksum or the columns make no sense."""
    meta = header.meta
    if len(meta) < _FIXED.size or len(body) != header.body_length:
        return None
    first_sequence, count, runs, crc, _ = _FIXED.unpack_from(meta)
    if len(meta) != _FIXED.size + RUN_BYTES * runs + ROW_BYTES * count or count == 0 or runs == 0:
        return None
    if zlib.crc32(body) != crc:
        return None
    rows = FrameRows(first_sequence)
    at = _FIXED.size
    rows.run_rows.frombytes(meta[at : at + 4 * runs])
    at += 4 * runs
    rows.run_times.frombytes(meta[at : at + 8 * runs])
    at += 8 * runs
    rows.run_bases.frombytes(meta[at : at + 8 * runs])
    at += 8 * runs
    rows.positions.frombytes(meta[at : at + 4 * count])
    at += 4 * count
    rows.previous.frombytes(meta[at : at + 4 * count])
    at += 4 * count
    rows.data_lengths.frombytes(meta[at : at + 4 * count])
    at += 4 * count
    rows.subject_lengths.frombytes(meta[at : at + 2 * count])
    at += 2 * count
    rows.header_lengths.frombytes(meta[at : at + 2 * count])
    rows.bodies = [body] * runs
    rows.count = count
    rows.body_length = len(body)
    return rows
