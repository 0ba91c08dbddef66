"""One replica's log: the recent entries in memory, older ones through `LogReader`.

Not here: durability. The log only remembers how far the caller was told to write (`handed`) and how far it said
it has (`persisted`).

Invariants: memory holds a contiguous run [offset, last_index]; everything that is not persisted or not applied is in
memory; persisted <= handed <= last_index; the reader is never asked at or above `offset`, where it may still hold
entries that were truncated here.

A confirmation is matched by (index, term). After truncations the same name can be written twice, and the first
confirmation is then taken for the second. That is harmless: Raft counts only entries of the leader's own term on the
leader itself, and those are written once; followers answer after their writes in order, whatever `persisted` says.
"""

from __future__ import annotations

from raft.errors import Compacted
from raft.types import ENTRY_OVERHEAD_BYTES, Entry, LogReader


class RaftLog:
    def __init__(self, reader: LogReader, last_index: int, last_term: int) -> None:
        self.reader = reader
        self.entries: list[Entry] = []
        self.offset = last_index + 1
        self.last_index = last_index
        self.last_term = last_term
        self.persisted = last_index
        self.handed = last_index
        self.memory_bytes = 0
        # An installed snapshot: what the reader says about the log below is void.
        self.base_index = 0
        self.base_term = 0
        # The entry just before `offset`, asked for with every first message after a trim; -1 when not known.
        self.below_index = last_index
        self.below_term = last_term

    def first_index(self) -> int:
        """The oldest entry that can still be read, in memory or through the reader."""
        first = self.reader.first_index()
        if first <= self.base_index:
            first = self.base_index + 1
        return first if first < self.offset else self.offset

    def term(self, index: int) -> int:
        """Raises Compacted when the log no longer reaches back to `index`."""
        if index == self.last_index:
            return self.last_term
        if index >= self.offset:
            return self.entries[index - self.offset].term
        if index == self.below_index:
            return self.below_term
        if index == self.base_index:
            return self.base_term
        if index < self.base_index or index < self.reader.first_index() - 1:
            raise Compacted(f"{index} is compacted")
        return self.reader.term(index)

    def matches(self, index: int, term: int) -> bool:
        """The entry named (index, term) is in this log (or was, and is compacted into what is committed)."""
        return index <= self.last_index and self.term(index) == term

    def is_up_to_date(self, index: int, term: int) -> bool:
        """A log that ends at (index, term) is at least as complete as this one (Raft paper 5.4.1)."""
        return term > self.last_term or (term == self.last_term and index >= self.last_index)

    def conflict_hint(self, index: int, term: int) -> int:
        """The highest index <= `index` whose entry has a term <= `term`: nothing above it can match that other log."""
        while index > 0:
            try:
                if self.term(index) <= term:
                    return index
            except Compacted:
                return index
            index -= 1
        return 0

    def append(self, entry: Entry) -> None:
        """The leader's: always one beyond the end."""
        assert entry.index == self.last_index + 1
        self.entries.append(entry)
        self.last_index = entry.index
        self.last_term = entry.term
        self.memory_bytes += len(entry.data) + ENTRY_OVERHEAD_BYTES

    def replace_from(self, entries: list[Entry]) -> None:
        """The follower's: whatever is at or above the first of `entries` gives way to them."""
        first = entries[0].index
        assert first <= self.last_index + 1
        if first <= self.last_index:
            self._truncate(first)
        self.entries.extend(entries)
        last = entries[len(entries) - 1]
        self.last_index = last.index
        self.last_term = last.term
        for entry in entries:
            self.memory_bytes += len(entry.data) + ENTRY_OVERHEAD_BYTES

    def _truncate(self, first: int) -> None:
        """Forget entries from `first` on; `last_index` is set by the caller, who appends at once."""
        if first >= self.offset:
            for entry in self.entries[first - self.offset :]:
                self.memory_bytes -= len(entry.data) + ENTRY_OVERHEAD_BYTES
            del self.entries[first - self.offset :]
        else:
            self.entries = []
            self.memory_bytes = 0
            self.offset = first
            self.below_index = -1
        if self.persisted >= first:
            self.persisted = first - 1
        if self.handed >= first:
            self.handed = first - 1

    def slice(self, low: int, high: int, bytes_max: int) -> list[Entry]:
        """Entries [low, high), at least one, cut when their data exceeds `bytes_max`. Raises Compacted."""
        assert low < high <= self.last_index + 1
        if low >= self.offset:
            return self._memory_slice(low, high, bytes_max)
        if low <= self.base_index or low < self.reader.first_index():
            raise Compacted(f"{low} is compacted")
        stop = high if high < self.offset else self.offset
        found = self.reader.entries(low, stop, bytes_max)
        assert found and found[0].index == low, "the log reader lost entries it was told to keep"
        if low + len(found) < stop or stop == high:
            return found
        size = 0
        for entry in found:
            size += len(entry.data)
        if size >= bytes_max:
            return found
        return found + self._memory_slice(stop, high, bytes_max - size)

    def _memory_slice(self, low: int, high: int, bytes_max: int) -> list[Entry]:
        start = low - self.offset
        stop = high - self.offset
        size = 0
        for position in range(start, stop):
            size += len(self.entries[position].data)
            if size > bytes_max and position > start:
                return self.entries[start:position]
        return self.entries[start:stop]

    def take_unwritten(self) -> list[Entry]:
        """Entries nobody was asked to persist yet; from now on they count as handed."""
        if self.handed == self.last_index:
            return []
        assert self.handed + 1 >= self.offset
        found = self.entries[self.handed + 1 - self.offset :]
        self.handed = self.last_index
        return found

    def persist(self, index: int, term: int) -> bool:
        """Entries up to (index, term) are durable. False: nothing new, or about entries that were replaced since."""
        if index <= self.persisted or index > self.handed or self.term(index) != term:
            return False
        self.persisted = index
        return True

    def restore(self, index: int, term: int) -> None:
        """A snapshot takes the place of the whole log."""
        self.entries = []
        self.memory_bytes = 0
        self.offset = index + 1
        self.last_index = index
        self.last_term = term
        self.base_index = index
        self.base_term = term
        self.below_index = index
        self.below_term = term
        self.handed = index
        # Not durable before the caller says so, but nothing below it can be asked for either.
        self.persisted = index - 1

    def trim(self, index: int) -> None:
        """Forget entries <= index from memory, as far as the reader has them."""
        if index > self.persisted:
            index = self.persisted
        count = index + 1 - self.offset
        if count <= 0:
            return
        for position in range(count):
            self.memory_bytes -= len(self.entries[position].data) + ENTRY_OVERHEAD_BYTES
        self.below_index = index
        self.below_term = self.entries[count - 1].term
        del self.entries[:count]
        self.offset = index + 1
