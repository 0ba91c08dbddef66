"""The write-ahead log that all groups of a node share: one frame and one sync make a whole turn durable.

Reactor-thread side: appends go to memory; `take_batch` hands everything pending to the IO thread as one `WalBatch`.
Not here: the files (wal_batch.py), recovery (wal_recovery.py), a group's view (group_log.py).
Invariants: at most one batch is out at a time, later records gather meanwhile; a file is retired only in a batch that
makes durable why it is no longer needed, and only from the front, so the files are consecutive; any failure but a full
disk ends the log (`failed`). Read next: FORMAT.md, wal_recovery.py.
"""

from typing import Final

from storage.disk import Disk
from storage.errors import DiskFull, StorageError, StorageFailed
from storage.frame import identity_seed
from storage.group_log import GroupLog, LogFiles
from storage.hard_state import GroupState, encode_group_state
from storage.identity import StoreIdentity, claim
from storage.wal_batch import (
    RECORD_DAMAGED,
    RECORD_ENTRY,
    RECORD_HARD_STATE,
    RECORD_LENGTH,
    RECORD_PREVIOUS,
    RECORD_REMOVE,
    RECORD_START,
    RECORD_TABLE,
    START_EMPTY,
    START_KEEP,
    Records,
    WalBatch,
    WalWriter,
)
from storage.wal_recovery import Recovery

__all__ = ["Wal", "WalBatch"]

FILE_BYTES: Final = 64 * 1024 * 1024
RECENT_BYTES_MAX: Final = 64 * 1024


class Wal:
    """The log. Made by `Wal.open`."""

    def __init__(self, writer: WalWriter, files: LogFiles, groups: dict[int, GroupLog], recent_bytes_max: int) -> None:
        self.failed: StorageError | None = None
        self.pending_bytes: int = 0
        self.unsynced: bool = False  # there are finished batches that were written without a sync
        self.file_bytes: int = writer.file_bytes
        self._writer = writer
        self._files = files
        self._groups = groups
        self._recent_bytes_max = recent_bytes_max
        self._pending: Records = Records()
        self._batch: WalBatch | None = None
        self._out: bool = False
        self._oldest: int = 0  # files [oldest, current] exist
        self._current: int = 0
        self._offset: int = 0
        self._next_head: Records | None = None
        self._sealed: bool = True

    @staticmethod
    def open(
        disk: Disk,
        directory: str,
        identity: str,
        file_bytes: int = FILE_BYTES,
        recent_bytes_max: int = RECENT_BYTES_MAX,
        store_id: str = "",
    ) -> "Wal":
        """Recover the log; a torn end is cut. `store_id` is for a new store. Raises WrongIdentity, CorruptLog,
        DiskFailure."""
        disk.make_directory(directory)
        claim(disk, directory, StoreIdentity(identity, store_id))
        files = LogFiles(disk, directory)
        seed = identity_seed(identity)
        recovery = Recovery(disk, directory, seed, files, recent_bytes_max)
        recovery.run()
        writer = WalWriter(disk, directory, seed, file_bytes, recovery.spares)
        wal = Wal(writer, files, recovery.groups, recent_bytes_max)
        wal._oldest = recovery.oldest
        wal._current = recovery.newest
        wal._offset = recovery.end
        wal._next_head = wal._head_records()
        return wal

    # What Raft asks for.

    def append(self, group: int, index: int, term: int, kind: int, data: bytes) -> None:
        """One entry into the pending batch. An index at or below the group's last one cuts the log there first."""
        log = self._groups.get(group)
        if log is None:
            log = self.group(group)
        log.put(index, term, kind, data)
        self._add(RECORD_ENTRY, group, index, term, kind, data)

    def set_hard_state(self, group: int, term: int, vote: str) -> None:
        """The group's term and vote."""
        log = self.group(group)
        log.hard_term = term
        log.vote = vote
        self._add(RECORD_HARD_STATE, group, 0, term, 0, vote.encode())

    def set_snapshot(self, group: int, index: int, term: int) -> None:
        """The group's log starts after (index, term). Entries behind it stay when they continue it."""
        log = self.group(group)
        if log.snapshot_index == index and log.snapshot_term == term:
            return
        keep = log.continues(index, term)
        log.start_at(index, term, keep)
        self._add(RECORD_START, group, index, term, START_KEEP if keep else START_EMPTY, b"")

    def release(self, group: int, index: int) -> None:
        """Entries up to `index` are no longer needed. Forward only; nothing happens for what is already released."""
        log = self._groups.get(group)
        if log is None or index <= log.snapshot_index:
            return
        index = min(index, log.last_index)
        self.set_snapshot(group, index, log.term(index))

    def move_up(self, group: int) -> None:
        """Write the group's entries once more, so that older files are free of them; nothing happens when they cannot
        be read, or are on their way already."""
        log = self._groups.get(group)
        if log is None or log.oldest_file() == 0:
            return
        try:
            records = log.read(log.first_index, log.last_index + 1, 1 << 62)
        except StorageError:
            return
        for record in records:
            self.append(group, record.index, record.term, record.kind, record.data)

    def remove_group(self, group: int) -> None:
        """Forget everything about the group."""
        log = self._groups.pop(group, None)
        if log is not None:
            log.drop()
            self._add(RECORD_REMOVE, group, 0, 0, 0, b"")

    def group(self, group_id: int) -> GroupLog:
        """The group's view; an empty one is made for an unknown group."""
        log = self._groups.get(group_id)
        if log is None:
            log = GroupLog(group_id, self._files, self._recent_bytes_max)
            self._groups[group_id] = log
        return log

    def groups(self) -> list[int]:
        """Groups that have anything in the log, ascending."""
        return sorted(self._groups)

    def has_group(self, group_id: int) -> bool:
        """Does the log know the group?"""
        return group_id in self._groups

    # Batches.

    def take_batch(self, force: bool = False) -> WalBatch | None:
        """Everything pending, to be run and handed back. None when there is nothing, or while a batch is out.

        With `force` and earlier batches that were not synced (`unsynced`), there is a batch even when nothing is
        pending: only its sync.
        """
        if self.failed is not None:
            raise StorageFailed(self._writer.directory, self.failed)
        if self._out:
            return None
        if self._batch is not None:  # it met a full disk: the same bytes go to the same place
            self._out = True
            return self._batch
        if self._pending.types:
            batch = self._place_batch()
        elif force and self.unsynced:
            batch = WalBatch(self._writer, Records(), self._current, self._offset)
        else:
            return None
        self._batch = batch
        self._out = True
        return batch

    def _place_batch(self) -> WalBatch:
        head = self._next_head
        if head is not None:
            self._next_head = None
            self._current += 1
            self._offset = head.length()
            if self._oldest == 0:
                self._oldest = self._current
        records = self._pending
        self._pending = Records()
        self.pending_bytes = 0
        batch = WalBatch(self._writer, records, self._current, self._offset)
        batch.head = head
        while self._oldest < self._current and self._files.live.get(self._oldest, 0) == 0:
            batch.retired.append(self._oldest)
            self._files.forget(self._oldest)
            self._oldest += 1
        self._offset += batch.bytes
        if self._offset >= self.file_bytes:
            self._next_head = self._head_records()
        return batch

    def batch_done(self, batch: WalBatch) -> None:
        """The batch ran without error: its entries can be read from the file from now on."""
        assert batch is self._batch and batch.done
        self._batch = None
        self._out = False
        self.unsynced = not (batch.sync or batch.retired)
        records = batch.records
        offset = batch.body_offset()
        group_id = -1
        log: GroupLog | None = None
        for at in range(len(records.types)):
            body = records.bodies[at]
            if records.types[at] == RECORD_ENTRY:
                if records.groups[at] != group_id:
                    group_id = records.groups[at]
                    log = self._groups.get(group_id)
                if log is not None:
                    log.place(records.indexes[at], body, batch.file, offset, records.crcs[at])
            offset += len(body)

    def batch_failed(self, batch: WalBatch, error: StorageError) -> None:
        """The batch raised. After DiskFull `take_batch` offers it again; anything else ends the log (`failed`)."""
        assert batch is self._batch
        self._out = False
        if not isinstance(error, DiskFull) or self._writer.failed is not None:
            self.failed = error

    def seal(self) -> None:
        """Add an empty mark behind the last entries when the log has gone idle.

        It proves that what lies before it was once durable, so that later damage there is not taken for the torn
        end of a crash. Nobody needs to wait for it, and it may be written without a sync.
        """
        if not self._sealed:
            self._sealed = True
            self._pending.add(RECORD_PREVIOUS, 0, 0, 0, 0, b"")
            self.pending_bytes += RECORD_LENGTH

    def close(self) -> None:
        """Give the descriptors back. Call when no batch is out."""
        self._files.close()
        if self._writer.file is not None:
            self._writer.file.close()
            self._writer.file = None

    # What the owner may watch.

    def disk_bytes(self) -> int:
        """Room the log's files take, about."""
        spares = len(self._writer.spares)
        return (self._current - self._oldest + 1 + spares) * self.file_bytes if self._oldest else 0

    def file_count(self) -> int:
        """Files with records, without spares."""
        return self._current - self._oldest + 1 if self._oldest else 0

    def pinning_groups(self) -> list[int]:
        """Groups with entries in the oldest file: a checkpoint and `release` of these lets it go."""
        oldest = self._oldest
        return sorted([log.group for log in self._groups.values() if log.oldest_file() == oldest and oldest > 0])

    def _add(self, kind_of_record: int, group: int, index: int, term: int, kind: int, body: bytes) -> None:
        self._pending.add(kind_of_record, group, index, term, kind, body)
        self.pending_bytes += RECORD_LENGTH + len(body)
        self._sealed = False

    def _head_records(self) -> Records:
        """The head of the next file: where this one ends, and the state of every group as of now."""
        head = Records()
        head.add(RECORD_PREVIOUS, self._current, self._offset, 0, 0, b"")
        for group_id in sorted(self._groups):
            log = self._groups[group_id]
            if log.blank():
                continue
            state = GroupState(
                group_id,
                log.hard_term,
                log.vote,
                log.snapshot_index,
                log.snapshot_term,
                log.last_index,
                log.last_term,
            )
            body = encode_group_state(state)
            head.add(RECORD_TABLE, group_id, log.snapshot_index, log.snapshot_term, 0, body)
            if log.damage:
                head.add(RECORD_DAMAGED, group_id, 0, 0, 0, log.damage.encode())
        return head
