"""Reading the log back after any end of the process: what is cut, and what is never cut silently.

Frames are applied in order. At the first bad one in the newest file there are two cases. Nothing behind it proves that
it was ever durable: it is the torn end of a crash and is cut, with whatever lies behind. Or a valid frame behind it
says `synced` beyond it, or a later file exists: it is damage, and `CorruptLog` names the groups and entries it hit.
The rest of the log is still read then, to find out which groups are affected.

Not here: writing (wal_batch.py). Invariant: after `run` the newest file ends where its last valid frame ends, durably,
so nothing old can ever be read behind what is written later. Read next: FORMAT.md.
"""

import zlib
from typing import Final

from storage.disk import Disk
from storage.errors import DamagedRange
from storage.frame import HEADER_LENGTH, FrameHeader, find_header, read_header
from storage.group_log import GroupLog, LogFiles
from storage.hard_state import decode_group_state
from storage.wal_batch import (
    RECORD,
    RECORD_DAMAGED,
    RECORD_ENTRY,
    RECORD_HARD_STATE,
    RECORD_LENGTH,
    RECORD_PREVIOUS,
    RECORD_REMOVE,
    RECORD_START,
    RECORD_TABLE,
    START_KEEP,
    log_path,
)
from storage.wal_damage import LogDamage, mended

SUFFIX: Final = ".wal"
MENDED_MAX: Final = 100  # frames that are tried to be understood; each takes up to 0.1 s
SPARE_SUFFIX: Final = ".spare"


class Recovery:
    """One pass over the files of a log."""

    def __init__(self, disk: Disk, directory: str, seed: int, files: LogFiles, recent_bytes_max: int) -> None:
        self.groups: dict[int, GroupLog] = {}
        self.spares: list[str] = []
        self.oldest: int = 0
        self.newest: int = 0
        self.end: int = 0
        self._disk = disk
        self._directory = directory
        self._seed = seed
        self._files = files
        self._recent_bytes_max = recent_bytes_max
        self.damage: Final = LogDamage()
        self._tried: int = 0
        self._sequences: list[int] = []
        self._garbage: list[int] = []

    def run(self) -> None:
        """Read everything. Raises CorruptLog and leaves the files alone then."""
        self.read()
        error = self.damage.error()
        if error is not None:
            raise error
        if self._sequences:
            self._cut_end()
        for sequence in self._garbage:
            self._disk.remove(log_path(self._directory, sequence))
        if self._garbage:
            self._disk.sync_directory(self._directory)

    def read(self) -> None:
        """Read everything; nothing is changed. What is damaged is in `damage` then."""
        sequences = self._list()
        strays = self._before_hole(sequences)
        discard = self._drop_unborn(sequences)
        for at, sequence in enumerate(sequences):
            limit = -1
            if at + 1 < len(sequences):
                limit = self._previous_end(sequences[at + 1])
            self._read_file(sequence, at == 0, at + 1 == len(sequences), limit)
        self._check_complete(sequences, strays)
        if sequences:
            self.oldest = sequences[0]
            self.newest = sequences[-1]
        self._sequences = sequences
        self._garbage = strays + discard

    def newest_number(self) -> int:
        """The highest number of a file that is there, whatever is in it."""
        return max([0, *self._sequences, *self._garbage])

    def _list(self) -> list[int]:
        sequences = []
        for name in self._disk.list(self._directory):
            if name.endswith(SPARE_SUFFIX):
                self.spares.append(f"{self._directory}/{name}")
            elif name.endswith(SUFFIX):
                sequences.append(int(name[: -len(SUFFIX)], 16))
        return sequences

    def _before_hole(self, sequences: list[int]) -> list[int]:
        """Files before a gap in the numbers: retired ones whose removal was lost. Taken out of `sequences`."""
        for at in range(len(sequences) - 1, 0, -1):
            if sequences[at - 1] + 1 != sequences[at]:
                strays = sequences[:at]
                del sequences[:at]
                return strays
        return []

    def _drop_unborn(self, sequences: list[int]) -> list[int]:
        """The newest file without any valid frame: the crash came while it was made."""
        if not sequences:
            return []
        newest = sequences[-1]
        data = self._content(newest)
        if find_header(data, 0, self._seed, newest) is not None:
            return []
        sequences.pop()
        if not sequences and newest > 1:
            self._note(newest, 0, "the only file has no readable head, though there were files before it")
            self.damage.blind(newest, 0)
        return [newest]

    def _content(self, sequence: int) -> bytes:
        file = self._disk.open(log_path(self._directory, sequence))
        try:
            return file.pread(file.size(), 0)
        finally:
            file.close()

    def _previous_end(self, sequence: int) -> int:
        """Where the file before `sequence` ends, as the head of `sequence` says; -1 when it cannot be read."""
        file = self._disk.open(log_path(self._directory, sequence))
        try:
            start = file.pread(HEADER_LENGTH, 0)
            if len(start) < HEADER_LENGTH:
                return -1
            meta_length = int.from_bytes(start[32:36], "little")
            body_length = int.from_bytes(start[36:40], "little")
            if HEADER_LENGTH + meta_length + body_length > file.size() or meta_length < RECORD_LENGTH:
                return -1
            data = start + file.pread(meta_length + body_length, HEADER_LENGTH)
        finally:
            file.close()
        header = read_header(data, 0, self._seed, sequence, 0)
        if header is None:
            return -1
        _, end, _, _, _, kind_of_record, _, _, _ = RECORD.unpack_from(header.meta, 0)
        return end if kind_of_record == RECORD_PREVIOUS else -1

    def _read_file(self, sequence: int, first: bool, last: bool, limit: int) -> None:
        """Apply the file's frames; decide at the first bad one whether it is the end."""
        data = self._content(sequence)
        if limit >= 0:
            data = data[:limit]
        offset = 0
        while True:
            header = read_header(data, offset, self._seed, sequence, offset)
            sound = header is not None and self._body_sound(data, header)
            if header is not None and sound:
                self._apply(data, header, sequence, first)
                offset = header.end
                continue
            if not last and (offset == limit or (limit < 0 and self._following(data, offset, sequence) is None)):
                return  # with limit < 0 the next file's head cannot be read, which is reported there
            if last and not self._was_durable(data, offset, sequence):
                self.end = offset
                return
            self._note(sequence, offset, "a frame fails its checksum" if header is None else "data fails its checksum")
            if header is not None:
                self._note_bodies(data, header)
                self._apply(data, header, sequence, first)
                offset = header.end
                continue
            self._tried += 1
            header = mended(data, offset, self._seed, sequence) if self._tried <= MENDED_MAX else None
            if header is not None and self._body_sound(data, header):
                self._note_mended(header)
                self._apply(data, header, sequence, first)
                offset = header.end
                continue
            self.damage.blind(sequence, offset)
            following = self._following(data, offset, sequence)
            if following is None:
                self.end = offset
                return
            offset = following.offset

    def _following(self, data: bytes, offset: int, sequence: int) -> FrameHeader | None:
        return find_header(data, offset + 1, self._seed, sequence)

    def _was_durable(self, data: bytes, offset: int, sequence: int) -> bool:
        """Does a valid frame behind `offset` say that everything up to beyond `offset` had been synced?"""
        at = offset + 1
        while True:
            header = find_header(data, at, self._seed, sequence)
            if header is None:
                return False
            if header.synced > offset:
                return True
            at = header.offset + 1

    def _body_sound(self, data: bytes, header: FrameHeader) -> bool:
        return not self._bad_records(data, header)

    def _bad_records(self, data: bytes, header: FrameHeader) -> list[int]:
        bad: list[int] = []
        offset = header.body_offset
        content = memoryview(data)
        if len(header.meta) % RECORD_LENGTH:
            return [0]
        for at in range(0, len(header.meta), RECORD_LENGTH):
            _, _, _, length, crc, _, _, _, _ = RECORD.unpack_from(header.meta, at)
            if zlib.crc32(content[offset : offset + length]) != crc:
                bad.append(at)
            offset += length
        return bad

    def _note_bodies(self, data: bytes, header: FrameHeader) -> None:
        for at in self._bad_records(data, header):
            group, index, _, _, _, kind_of_record, _, _, _ = RECORD.unpack_from(header.meta, at)
            last = index if kind_of_record == RECORD_ENTRY else 0
            self.damage.add(group, last, last)

    def _note_mended(self, header: FrameHeader) -> None:
        for at in range(0, len(header.meta), RECORD_LENGTH):
            group, index, _, _, _, kind_of_record, _, _, _ = RECORD.unpack_from(header.meta, at)
            last = index if kind_of_record == RECORD_ENTRY else 0
            if kind_of_record != RECORD_PREVIOUS:
                self.damage.mended.append(DamagedRange(group, last, last))

    def _note(self, sequence: int, offset: int, reason: str) -> None:
        self.damage.note(log_path(self._directory, sequence), offset, reason)

    def _apply(self, data: bytes, header: FrameHeader, sequence: int, first: bool) -> None:
        meta = header.meta
        offset = header.body_offset
        unpack = RECORD.unpack_from
        tabled: set[int] = set()
        is_head = header.offset == 0
        for at in range(0, len(meta), RECORD_LENGTH):
            group, index, term, length, crc, kind_of_record, kind, _, _ = unpack(meta, at)
            if kind_of_record != RECORD_ENTRY and zlib.crc32(data[offset : offset + length]) != crc:
                tabled.add(group)  # noted as damage of this group; what it says is worth nothing
            elif kind_of_record == RECORD_ENTRY:
                log = self._group(group)
                if index > log.last_index + 1 or index <= log.snapshot_index:
                    self._gap(log, index, sequence, header.offset)
                elif index == log.last_index + 1:
                    self.damage.confirmed[group] = (sequence, header.offset)
                log.recovered(index, term, kind, sequence, offset, length, crc)
            elif kind_of_record == RECORD_HARD_STATE:
                log = self._group(group)
                log.hard_term = term
                log.vote = data[offset : offset + length].decode("utf-8", "replace")
            elif kind_of_record == RECORD_START:
                log = self._group(group)
                log.start_at(index, term, kind == START_KEEP and log.snapshot_index <= index <= log.last_index)
            elif kind_of_record == RECORD_REMOVE:
                removed = self.groups.pop(group, None)
                if removed is not None:
                    removed.drop()
            elif kind_of_record == RECORD_DAMAGED:
                self._group(group).damage = data[offset : offset + length].decode("utf-8", "replace")
            elif kind_of_record == RECORD_TABLE:
                tabled.add(group)
                self._apply_table(group, index, term, data[offset : offset + length], first, sequence)
            offset += length
        if is_head and not first:
            for group in sorted(self.groups):
                if group not in tabled and not self.groups[group].blank():
                    self._note(sequence, 0, "the table of groups does not follow from the files before")
                    self.damage.add(group, 0, 0)

    def _group(self, group: int) -> GroupLog:
        log = self.groups.get(group)
        if log is None:
            log = GroupLog(group, self._files, self._recent_bytes_max)
            self.groups[group] = log
        return log

    def _gap(self, log: GroupLog, index: int, sequence: int, offset: int) -> None:
        self._note(sequence, offset, "entries before these are missing")
        self.damage.add(log.group, log.last_index + 1, index - 1)
        log.start_at(index - 1, 0, False)

    def _apply_table(self, group: int, index: int, term: int, body: bytes, first: bool, sequence: int) -> None:
        state = decode_group_state(group, index, term, body)
        log = self.groups.get(group)
        if log is not None and not first:
            if (
                log.hard_term == state.hard_term
                and log.vote == state.vote
                and log.snapshot_index == index
                and log.snapshot_term == term
                and log.last_index == state.last_index
                and log.last_term == state.last_term
            ):
                self.damage.confirmed[group] = (sequence, 0)
                return
        if not first:
            self._note(sequence, 0, "the table of groups does not follow from the files before")
            low = min(log.last_index, state.last_index) + 1 if log is not None else index + 1
            self.damage.add(group, low, max(low, state.last_index))
        log = self._group(group)
        log.start_at(index, term, False)
        log.hard_term = state.hard_term
        log.vote = state.vote
        for missing in range(index + 1, state.last_index):
            log.recovered(missing, 0, 0, 0, 0, 0, 0)
        if state.last_index > index:
            log.recovered(state.last_index, state.last_term, 0, 0, 0, 0, 0)

    def _check_complete(self, sequences: list[int], strays: list[int]) -> None:
        for group in sorted(self.groups):
            missing = self.groups[group].missing()
            if missing is not None:
                reason = "a file before this one is missing" if strays else "entries before this file are missing"
                self._note(sequences[0], 0, reason)
                self.damage.add(group, missing[0], missing[1])

    def _cut_end(self) -> None:
        """The newest file ends with its last frame, and all of it is durable: it is what this node vouches for."""
        file = self._disk.open(log_path(self._directory, self.newest))
        try:
            if file.size() != self.end:
                file.truncate(self.end)
            file.sync()
        finally:
            file.close()
        self._disk.sync_directory(self._directory)
