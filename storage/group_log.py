"""One group's view of the shared log: which entries it has, their terms, and their data (recent: memory, older: file).

Not here: writing (wal.py, wal_batch.py) and recovery (wal_recovery.py), which keep this view. Reactor thread only.
Invariants: entries are consecutive, (snapshot_index, last_index]; an entry whose place in a file is not known yet has
its data in memory; the number of placed entries per file in `LogFiles.live` is exact, it decides when files go.
"""

import zlib
from array import array
from typing import Final

from storage.disk import Disk
from storage.errors import CorruptLog, DamagedRange
from storage.open_files import OpenFiles
from storage.wal_batch import RECORD_LENGTH, log_path

OFFSET_BITS: Final = 32
OFFSET_MASK: Final = (1 << OFFSET_BITS) - 1
COMPACT_MIN: Final = 256
OPEN_FILES_MAX: Final = 8


class LogRecord:
    """One entry of a group's log."""

    def __init__(self, index: int, term: int, kind: int, data: bytes) -> None:
        self.index = index
        self.term = term
        self.kind = kind
        self.data = data


class LogFiles:
    """The log's files as the reactor thread reads them, and how many live entries lie in each."""

    def __init__(self, disk: Disk, directory: str) -> None:
        self.directory = directory
        self.live: dict[int, int] = {}
        self._open: OpenFiles = OpenFiles(disk, OPEN_FILES_MAX)

    def read(self, sequence: int, offset: int, length: int) -> bytes:
        """Bytes of a log file."""
        return self._open.read(log_path(self.directory, sequence), offset, length)

    def forget(self, sequence: int) -> None:
        """The file is about to be retired."""
        self.live.pop(sequence, None)
        self._open.forget(log_path(self.directory, sequence))

    def close(self) -> None:
        """Give all descriptors back."""
        self._open.close()


class GroupLog:
    """Entries (snapshot_index, last_index] of one group. Read only for everyone but the Wal."""

    def __init__(self, group: int, files: LogFiles, recent_bytes_max: int) -> None:
        self.group: int = group
        self.snapshot_index: int = 0
        self.snapshot_term: int = 0
        self.last_index: int = 0
        self.last_term: int = 0
        self.hard_term: int = 0
        self.vote: str = ""
        self.damage: str = ""  # why what the log held of the group is not to be trusted; until the group is removed
        self._files = files
        self._recent_bytes_max = recent_bytes_max
        self._recent_bytes: int = 0
        self._evicted: int = 0  # every placed entry with an index up to here has no data in memory
        self._skip: int = 0  # slots at the front of the arrays that are no longer used
        self._terms: array[int] = array("Q")
        self._kinds: array[int] = array("B")
        self._places: array[int] = array("Q")  # file << 32 | offset of the data; 0: not written yet
        self._lengths: array[int] = array("I")
        self._crcs: array[int] = array("I")
        self._data: list[bytes | None] = []

    @property
    def first_index(self) -> int:
        """Index of the first entry that can be read; last_index + 1 when there is none."""
        return self.snapshot_index + 1

    @property
    def hard_state(self) -> tuple[int, str]:
        """(term, vote)"""
        return (self.hard_term, self.vote)

    def blank(self) -> bool:
        """Was nothing ever said about the group?"""
        return self.last_index == 0 and self.hard_term == 0 and not self.vote and not self.damage

    def term(self, index: int) -> int:
        """The term of an entry, or of the position right before the first. Raises IndexError for any other."""
        if index == self.snapshot_index:
            return self.snapshot_term
        if index < self.snapshot_index or index > self.last_index:
            raise IndexError(f"group {self.group} has no entry {index}")
        return self._terms[self._slot(index)]

    def read(self, low: int, high: int, bytes_max: int) -> list[LogRecord]:
        """Entries [low, high), at least one, then as many as fit in `bytes_max`. Raises IndexError, CorruptLog."""
        if low <= self.snapshot_index or high > self.last_index + 1:
            raise IndexError(f"group {self.group} has no entries [{low}, {high})")
        records: list[LogRecord] = []
        total = 0
        for index in range(low, high):
            slot = self._slot(index)
            total += self._lengths[slot]
            if records and total > bytes_max:
                break
            data = self._data[slot]
            if data is None:
                data = self._read_file(index, slot)
            records.append(LogRecord(index, self._terms[slot], self._kinds[slot], data))
        return records

    def weight(self) -> int:
        """Bytes that its entries take in the log's files, about."""
        return RECORD_LENGTH * (len(self._lengths) - self._skip) + sum(self._lengths[self._skip :])

    def has_kind(self, kind: int) -> bool:
        """Is there an entry of this kind?"""
        return kind in self._kinds[self._skip :]

    def forget_data(self) -> None:
        """Drop from memory all data that lies in a file."""
        self._evict(0)

    def _slot(self, index: int) -> int:
        return index - self.snapshot_index - 1 + self._skip

    def _read_file(self, index: int, slot: int) -> bytes:
        place = self._places[slot]
        sequence = place >> OFFSET_BITS
        offset = place & OFFSET_MASK
        data = self._files.read(sequence, offset, self._lengths[slot])
        if len(data) != self._lengths[slot] or zlib.crc32(data) != self._crcs[slot]:
            path = log_path(self._files.directory, sequence)
            damage = [DamagedRange(self.group, index, index)]
            raise CorruptLog(path, offset, "an entry fails its checksum", damage, True)
        return data

    # Kept by the Wal.

    def put(self, index: int, term: int, kind: int, data: bytes) -> None:
        """Append an entry, after cutting whatever lies at or behind its index."""
        if index <= self.last_index:
            self.cut(index)
        assert index == self.last_index + 1, f"group {self.group}: entry {index} leaves a gap after {self.last_index}"
        self._terms.append(term)
        self._kinds.append(kind)
        self._places.append(0)
        self._lengths.append(len(data))
        self._crcs.append(0)
        self._data.append(data)
        self._recent_bytes += len(data)
        self.last_index = index
        self.last_term = term

    def place(self, index: int, data: bytes, sequence: int, offset: int, crc: int) -> None:
        """The entry with this very data now lies in a file. Entries that were cut meanwhile are passed over."""
        if index <= self.snapshot_index or index > self.last_index:
            return
        slot = self._slot(index)
        if self._data[slot] is not data or self._places[slot] != 0:
            return
        self._places[slot] = sequence << OFFSET_BITS | offset
        self._crcs[slot] = crc
        live = self._files.live
        live[sequence] = live.get(sequence, 0) + 1
        if self._recent_bytes > self._recent_bytes_max:
            self._evict(self._recent_bytes_max)

    def recovered(self, index: int, term: int, kind: int, sequence: int, offset: int, length: int, crc: int) -> None:
        """Append an entry found in a file (sequence 0: known to have existed, its data is gone)."""
        if index <= self.last_index:
            self.cut(index)
        self._terms.append(term)
        self._kinds.append(kind)
        self._places.append(sequence << OFFSET_BITS | offset)
        self._lengths.append(length)
        self._crcs.append(crc)
        self._data.append(None)
        if sequence:
            live = self._files.live
            live[sequence] = live.get(sequence, 0) + 1
        self.last_index = index
        self.last_term = term

    def cut(self, index: int) -> None:
        """Drop entries at and behind `index`."""
        assert index > self.snapshot_index, f"group {self.group}: cut at {index}, log starts at {self.snapshot_index}"
        slot = self._slot(index)
        self._unplace(slot, len(self._places))
        del self._terms[slot:]
        del self._kinds[slot:]
        del self._places[slot:]
        del self._lengths[slot:]
        del self._crcs[slot:]
        del self._data[slot:]
        self.last_index = index - 1
        self.last_term = self._terms[slot - 1] if slot > self._skip else self.snapshot_term
        if self._evicted > self.last_index:
            self._evicted = self.last_index

    def continues(self, index: int, term: int) -> bool:
        """Is (index, term) a position of this log, so that what lies behind it may stay?"""
        return self.snapshot_index <= index <= self.last_index and self.term(index) == term

    def start_at(self, index: int, term: int, keep: bool) -> None:
        """The log starts after (index, term). Entries behind it stay with `keep`, else all are dropped."""
        if keep:
            slot = self._slot(index + 1)
            self._unplace(self._skip, slot)
            self._skip = slot
            if self._skip >= COMPACT_MIN and self._skip * 2 >= len(self._places):
                self._compact()
        else:
            self._unplace(self._skip, len(self._places))
            self._skip = len(self._places)
            self._compact()
            self.last_index = index
            self.last_term = term
        self.snapshot_index = index
        self.snapshot_term = term

    def drop(self) -> None:
        """The group is removed: nothing of it is live."""
        self._unplace(self._skip, len(self._places))
        self._skip = len(self._places)
        self._compact()
        self.last_index = self.snapshot_index

    def missing(self) -> tuple[int, int] | None:
        """First and last of the entries without a place in a file (after recovery: lost ones)."""
        lost = [at for at in range(self._skip, len(self._places)) if self._places[at] == 0]
        if not lost:
            return None
        first = self.snapshot_index + 1 - self._skip
        return (first + lost[0], first + lost[-1])

    def oldest_file(self) -> int:
        """The oldest file an entry lies in; 0 when there is none."""
        if self._skip < len(self._places):
            return self._places[self._skip] >> OFFSET_BITS
        return 0

    def _unplace(self, low: int, high: int) -> None:
        live = self._files.live
        for slot in range(low, high):
            sequence = self._places[slot] >> OFFSET_BITS
            if sequence:
                live[sequence] -= 1
            data = self._data[slot]
            if data is not None:
                self._recent_bytes -= len(data)
                self._data[slot] = None

    def _compact(self) -> None:
        skip = self._skip
        del self._terms[:skip]
        del self._kinds[:skip]
        del self._places[:skip]
        del self._lengths[:skip]
        del self._crcs[:skip]
        del self._data[:skip]
        self._skip = 0

    def _evict(self, bytes_max: int) -> None:
        index = max(self._evicted, self.snapshot_index) + 1
        while self._recent_bytes > bytes_max and index <= self.last_index:
            slot = self._slot(index)
            if self._places[slot] == 0:
                break
            data = self._data[slot]
            if data is not None:
                self._recent_bytes -= len(data)
                self._data[slot] = None
            self._evicted = index
            index += 1
