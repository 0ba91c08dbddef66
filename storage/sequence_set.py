"""Missing sequences of a stream between its first and its last: single deletions as bitmaps, skipped runs as ranges.

Not here: what lies before the first sequence. Costs: contains, add O(1); next_absent O(1) in practice; count_from
O(number of 262,144-sequence spans with deletions). Memory: 1 bit a sequence in 4,096-sequence chunks that have any.
Invariants: no sequence is both in a chunk and in a run; runs are added in ascending order, behind all members.
Read next: message_rows.py.
"""

import struct
from array import array
from bisect import bisect_left, bisect_right
from typing import Final

from storage.errors import CorruptState

CHUNK_BITS: Final = 12
CHUNK_SIZE: Final = 1 << CHUNK_BITS
CHUNK_BYTES: Final = CHUNK_SIZE // 8
SPAN_CHUNKS_BITS: Final = 6
_COUNTS: Final = struct.Struct("<II")
_CHUNK: Final = struct.Struct("<QI")


class Chunk:
    """4,096 sequences, one bit each."""

    def __init__(self) -> None:
        self.bits = bytearray(CHUNK_BYTES)
        self.count: int = 0


class SequenceSet:
    """A set of positive integers that is dense in places and absent in most."""

    def __init__(self) -> None:
        self.count: int = 0
        self._chunks: dict[int, Chunk] = {}
        self._spans: dict[int, int] = {}
        self._ids: list[int] = []
        self._run_starts: array[int] = array("Q")
        self._run_ends: array[int] = array("Q")
        self._run_totals: array[int] = array("Q")  # members of all runs ever added up to and including this one

    def add(self, sequence: int) -> None:
        """Add one that is not in the set."""
        number = sequence >> CHUNK_BITS
        chunk = self._chunks.get(number)
        if chunk is None:
            chunk = Chunk()
            self._chunks[number] = chunk
            if self._ids and self._ids[-1] > number:
                self._ids.insert(bisect_left(self._ids, number), number)
            else:
                self._ids.append(number)
        at = sequence & (CHUNK_SIZE - 1)
        chunk.bits[at >> 3] |= 1 << (at & 7)
        chunk.count += 1
        span = number >> SPAN_CHUNKS_BITS
        self._spans[span] = self._spans.get(span, 0) + 1
        self.count += 1

    def add_run(self, first: int, last: int) -> None:
        """Add a range that lies behind all members of earlier ranges and holds no member."""
        length = last - first + 1
        total = self._run_totals[-1] if self._run_totals else 0
        self._run_starts.append(first)
        self._run_ends.append(last)
        self._run_totals.append(total + length)
        self.count += length

    def contains(self, sequence: int) -> bool:
        """Is it a member?"""
        if self.count == 0:
            return False
        chunk = self._chunks.get(sequence >> CHUNK_BITS)
        if chunk is not None:
            at = sequence & (CHUNK_SIZE - 1)
            if chunk.bits[at >> 3] >> (at & 7) & 1:
                return True
        if self._run_starts:
            run = bisect_right(self._run_starts, sequence) - 1
            return run >= 0 and self._run_ends[run] >= sequence
        return False

    def next_absent(self, sequence: int) -> int:
        """The smallest number ≥ `sequence` that is no member."""
        while self.count and self.contains(sequence):
            if self._run_starts:
                run = bisect_right(self._run_starts, sequence) - 1
                if run >= 0 and self._run_ends[run] >= sequence:
                    sequence = self._run_ends[run] + 1
                    continue
            number = sequence >> CHUNK_BITS
            at = sequence & (CHUNK_SIZE - 1)
            clear = ~int.from_bytes(self._chunks[number].bits, "little") & ((1 << CHUNK_SIZE) - 1)
            clear = clear >> at << at
            if clear:
                sequence = (number << CHUNK_BITS) + (clear & -clear).bit_length() - 1
            else:
                sequence = (number + 1) << CHUNK_BITS
        return sequence

    def previous_absent(self, sequence: int) -> int:
        """The largest number ≤ `sequence` that is no member (0 or less when there is none above 0)."""
        while self.count and sequence > 0 and self.contains(sequence):
            if self._run_starts:
                run = bisect_right(self._run_starts, sequence) - 1
                if run >= 0 and self._run_ends[run] >= sequence:
                    sequence = self._run_starts[run] - 1
                    continue
            number = sequence >> CHUNK_BITS
            at = sequence & (CHUNK_SIZE - 1)
            clear = ~int.from_bytes(self._chunks[number].bits, "little") & ((2 << at) - 1)
            sequence = (number << CHUNK_BITS) + clear.bit_length() - 1
        return sequence

    def count_from(self, sequence: int) -> int:
        """Members ≥ `sequence`."""
        if self.count == 0:
            return 0
        total = 0
        if self._run_starts:
            run = max(0, bisect_right(self._run_starts, sequence) - 1)
            total = self._run_totals[-1] - self._run_totals[run]
            total += max(0, self._run_ends[run] - max(self._run_starts[run], sequence) + 1)
        number = sequence >> CHUNK_BITS
        span = number >> SPAN_CHUNKS_BITS
        for other, members in self._spans.items():
            if other > span:
                total += members
        for later in range(number + 1, (span + 1) << SPAN_CHUNKS_BITS):
            chunk = self._chunks.get(later)
            if chunk is not None:
                total += chunk.count
        own = self._chunks.get(number)
        if own is not None:
            total += (int.from_bytes(own.bits, "little") >> (sequence & (CHUNK_SIZE - 1))).bit_count()
        return total

    def remove_below(self, sequence: int) -> None:
        """Forget members < `sequence`."""
        if self.count == 0:
            return
        number = sequence >> CHUNK_BITS
        if self._ids and self._ids[0] <= number:
            keep = bisect_left(self._ids, number)
            for old in self._ids[:keep]:
                self._forget(old, self._chunks.pop(old).count)
            del self._ids[:keep]
            at = sequence & (CHUNK_SIZE - 1)
            chunk = self._chunks.get(number)
            if chunk is not None and at:
                bits = int.from_bytes(chunk.bits, "little") >> at << at
                dropped = chunk.count - bits.bit_count()
                if dropped == chunk.count:
                    del self._chunks[number]
                    del self._ids[0]
                elif dropped:
                    chunk.bits = bytearray(bits.to_bytes(CHUNK_BYTES, "little"))
                    chunk.count -= dropped
                self._forget(number, dropped)
        if self._run_starts and self._run_starts[0] < sequence:
            keep = bisect_left(self._run_ends, sequence)
            for run in range(keep):
                self.count -= self._run_ends[run] - self._run_starts[run] + 1
            del self._run_starts[:keep]
            del self._run_ends[:keep]
            del self._run_totals[:keep]
            if self._run_starts and self._run_starts[0] < sequence:
                self.count -= sequence - self._run_starts[0]
                self._run_starts[0] = sequence

    def _forget(self, number: int, members: int) -> None:
        self.count -= members
        span = number >> SPAN_CHUNKS_BITS
        left = self._spans[span] - members
        if left:
            self._spans[span] = left
        else:
            del self._spans[span]

    def clear(self) -> None:
        """Forget everything."""
        self.count = 0
        self._chunks.clear()
        self._spans.clear()
        self._ids.clear()
        del self._run_starts[:]
        del self._run_ends[:]
        del self._run_totals[:]

    def members(self) -> list[int]:
        """All of them, ascending. Only for those who asked for the whole list."""
        result: list[int] = []
        for run in range(len(self._run_starts)):
            result.extend(range(self._run_starts[run], self._run_ends[run] + 1))
        for number in self._ids:
            start = number << CHUNK_BITS
            bits = self._chunks[number].bits
            result.extend([start + at for at in range(CHUNK_SIZE) if bits[at >> 3] >> (at & 7) & 1])
        if self._run_starts:
            result.sort()
        return result

    def encode(self) -> bytes:
        """Bytes for `decode_sequences`."""
        parts = [_COUNTS.pack(len(self._run_starts), len(self._ids))]
        parts.append(self._run_starts.tobytes())
        parts.append(self._run_ends.tobytes())
        for number in self._ids:
            chunk = self._chunks[number]
            parts.append(_CHUNK.pack(number, chunk.count))
            parts.append(bytes(chunk.bits))
        return b"".join(parts)


def decode_sequences(data: bytes) -> SequenceSet:
    """The inverse of `SequenceSet.encode`. Raises CorruptState."""
    result = SequenceSet()
    try:
        runs, chunks = _COUNTS.unpack_from(data)
        at = _COUNTS.size
        starts: array[int] = array("Q")
        ends: array[int] = array("Q")
        starts.frombytes(data[at : at + 8 * runs])
        ends.frombytes(data[at + 8 * runs : at + 16 * runs])
        at += 16 * runs
        for run in range(runs):
            result.add_run(starts[run], ends[run])
        for _ in range(chunks):
            number, count = _CHUNK.unpack_from(data, at)
            at += _CHUNK.size
            chunk = Chunk()
            chunk.bits = bytearray(data[at : at + CHUNK_BYTES])
            chunk.count = count
            at += CHUNK_BYTES
            if int.from_bytes(chunk.bits, "little").bit_count() != count:
                raise CorruptState("a chunk of deleted sequences has another number of members than it says")
            result._chunks[number] = chunk
            result._ids.append(number)
            span = number >> SPAN_CHUNKS_BITS
            result._spans[span] = result._spans.get(span, 0) + count
            result.count += count
    except (struct.error, ValueError, IndexError) as error:
        raise CorruptState(f"deleted sequences cannot be read: {error}") from error
    if at != len(data):
        raise CorruptState("deleted sequences have another length than they say")
    return result
