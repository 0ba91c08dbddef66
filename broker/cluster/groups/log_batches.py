"""Group commit: the node's one log, whose batches carry what all groups want durable, and what waits for each of them.

One batch is on its way to the disk while the next one grows. A batch that holds only lazy entries, for which nobody
waits, is delayed up to `LAZY_SYNC_NS` in the hope of company. With a sync interval most batches are only written; what
is synced in any mode (votes, memberships, snapshots, the meta group) makes the batch that carries it one that is.
Without one, a batch is only written that carries nothing but entries of groups which may lose their end in a power cut
(`RaftGroup.may_lose_its_end`); it is synced within ASYNC_SYNC_NS.

Not here: the log's files (`storage.wal`), when groups are stepped (`engine`), the threads (`broker/net/driver`).

Invariants: what waits for a sync leaves after the batch that carries it, and after all earlier ones; a batch that met a
full disk is tried again as it was, alone; any other failure ends the log (a failed fsync is never retried).
"""

from typing import Final

from mypy_extensions import mypyc_attr

from broker.cluster.groups.group import RaftGroup
from broker.cluster.groups.jobs import WalJob
from broker.cluster.meta.identity import META_GROUP
from raft.types import ENTRY_CONFIG, Entry, HardState, Message, Snapshot
from storage.errors import StorageError
from storage.wal import Wal

LAZY_SYNC_NS: Final = 10_000_000
ASYNC_SYNC_NS: Final = 1_000_000_000
FULL_RETRY_NS: Final = 500_000_000
SEAL_NS: Final = 1_000_000_000


@mypyc_attr(allow_interpreted_subclasses=True)
class BatchListener:
    """The engine, as its log sees it."""

    def released(self, marks: list[tuple[RaftGroup, int, int]], messages: list[Message]) -> None:
        """All up to these entries (index, term) is durable, and what waited for it may leave."""

    def disk_full_changed(self, full: bool) -> None:
        """Nothing can be written just now, or it can again."""

    def log_failed(self, error: str) -> None:
        """Nothing can be promised any more."""


class LogBatches:
    """See the module's text."""

    def __init__(self, wal: Wal, sync_interval_ns: int, listener: BatchListener) -> None:
        """`sync_interval_ns` 0: every batch is synced; otherwise at most that much may wait for a sync (lazy)."""
        self.wal: Final = wal
        self.disk_full: bool = False
        self.stopped: bool = False
        self.sync_all: bool = False  # the node is stopping: nothing may be left in the page cache
        self.batches_done: int = 0
        self.after_sync: list[Message] = []  # wait for the batch that grows
        self._listener: Final = listener
        self._marks: list[tuple[RaftGroup, int, int]] = []
        self._urgent: bool = False  # somebody waits for the batch that grows
        self._lazy_since_ns: int = 0
        self._sync_due: bool = False  # it carries what is synced in any mode
        self._promises: bool = False  # it carries what is not to be lost
        self._sync_interval_ns: Final = sync_interval_ns
        self._synced_ns: int = 0
        self._written_ns: int = 0
        self._retry_at_ns: int = 0
        self._running: bool = False
        self._unwritten: WalJob | None = None  # met a full disk: it is next, and what gathers meanwhile is not in it

    # What a Ready wants written, in this order.

    def write_hard_state(self, group: RaftGroup, state: HardState) -> None:
        """No vote is ever forgotten."""
        self._sync_due = True
        self.wal.set_hard_state(group.id, state.term, state.vote)

    def write_snapshot(self, group: RaftGroup, snapshot: Snapshot) -> None:
        """The log begins behind it."""
        self._sync_due = True
        self.wal.set_snapshot(group.id, snapshot.index, snapshot.term)
        self._marks.append((group, snapshot.index, snapshot.term))

    def write_entries(self, group: RaftGroup, entries: list[Entry]) -> None:
        """Append, or replace what lies at their indexes."""
        wal = self.wal
        for entry in entries:
            wal.append(group.id, entry.index, entry.term, entry.kind, entry.data)
            if entry.kind == ENTRY_CONFIG:
                self._sync_due = True
        if group.id == META_GROUP:
            self._sync_due = True
        if not self._promises and not group.may_lose_its_end():
            self._promises = True
        last = entries[-1]
        self._marks.append((group, last.index, last.term))

    def hurry(self) -> None:
        """Somebody waits for what was written last."""
        self._urgent = True

    def hold(self, messages: list[Message]) -> bool:
        """Keep messages until everything written so far is durable; False when it is already."""
        if self._marks or self._running or self._unwritten is not None or self.wal.pending_bytes:
            self.after_sync.extend(messages)
            return True
        return False

    def forget_promises(self, group_id: int) -> None:
        """What a group promised may wait for a sync, but is not true any more."""
        self.after_sync = [message for message in self.after_sync if message.group != group_id]

    def forget_group(self, group_id: int) -> int:
        """The log is to forget a group that was dropped; `batches_done` once that is durable."""
        if not self.wal.has_group(group_id):
            return self.batches_done
        self.wal.remove_group(group_id)
        self._sync_due = True
        return self.batches_done + (2 if self._running or self._unwritten is not None else 1)

    def begin_group_again(self, group_id: int, term: int) -> None:
        """A group that was removed from the log begins in this term, without a vote."""
        self.wal.set_hard_state(group_id, term, "")
        self._sync_due = True
        self._urgent = True

    # Batches.

    def turn_done(self, now_ns: int) -> None:
        """Nothing more is written in this turn."""
        if self.wal.pending_bytes and self._lazy_since_ns == 0:
            self._lazy_since_ns = now_ns

    def tick(self, now_ns: int) -> None:
        """50 ms passed: once the log is idle, mark that what lies before is no torn end."""
        if not self._running and self.wal.pending_bytes == 0 and now_ns > self._written_ns + SEAL_NS:
            self.wal.seal()

    def take_job(self, now_ns: int) -> WalJob | None:
        """The batch to write now, if it is time."""
        if self._running or self.stopped:
            return None
        if self.disk_full:
            if now_ns < self._retry_at_ns:
                return None
            self._retry_at_ns = now_ns + FULL_RETRY_NS
            self._urgent = True
        interval_ns = self._sync_interval_ns
        sync_due = (
            self._sync_due
            or self.sync_all
            or (interval_ns == 0 and self._promises)
            or now_ns >= self._synced_ns + (interval_ns or ASYNC_SYNC_NS)
        )
        force = sync_due and self.wal.unsynced
        if not self._urgent and not force:
            if self._lazy_since_ns == 0 or now_ns < self._lazy_since_ns + LAZY_SYNC_NS:
                return None
        if self.wal.pending_bytes == 0 and not self.disk_full and not force:
            # Answers may be held although nothing is left to write: their batch has just been done.
            self._release_all()
            self._urgent = False
            self._lazy_since_ns = 0
            return None
        batch = self.wal.take_batch(force)
        if batch is None:
            return None
        batch.sync = sync_due or (self._unwritten is not None and batch.sync)  # tried again for what it was made for
        if sync_due:
            self._synced_ns = now_ns
            self._sync_due = self.wal.pending_bytes > 0  # a batch that met a full disk is tried again alone
        self._written_ns = now_ns
        self._running = True
        unwritten = self._unwritten
        if unwritten is None:
            self._promises = False
        else:
            self._unwritten = None
            return WalJob(batch, unwritten.marks, unwritten.messages)
        self._urgent = False
        self._lazy_since_ns = 0
        return WalJob(batch, self._take_marks(), self._take_after_sync())

    def _take_marks(self) -> list[tuple[RaftGroup, int, int]]:
        marks, self._marks = self._marks, []
        return marks

    def _take_after_sync(self) -> list[Message]:
        messages, self.after_sync = self.after_sync, []
        return messages

    def _release_all(self) -> None:
        self._listener.released(self._take_marks(), self._take_after_sync())

    def job_done(self, job: WalJob, error: Exception | None) -> None:
        """The batch is durable, or the disk failed us."""
        self._running = False
        if isinstance(error, StorageError):
            self.wal.batch_failed(job.batch, error)
            if self.wal.failed is None:
                self._unwritten = job  # nothing was acknowledged: the same batch is tried again when there is room
                self._set_disk_full(True)
            else:
                self._listener.log_failed(str(error))
            return
        if error is not None:
            raise error
        self._set_disk_full(False)
        self.wal.batch_done(job.batch)
        self.batches_done += 1
        self._listener.released(job.marks, job.messages)
        if self.after_sync and not self._urgent and self.wal.pending_bytes == 0:
            self._release_all()

    def _set_disk_full(self, full: bool) -> None:
        if full != self.disk_full:
            self.disk_full = full
            self._listener.disk_full_changed(full)

    # Questions.

    def all_synced(self) -> bool:
        """Nothing is left that only the page cache has."""
        idle = not self._running and self._unwritten is None
        return idle and self.wal.pending_bytes == 0 and not self.wal.unsynced

    def next_deadline_ns(self) -> int:
        """When a lazy batch is due; 0: there is none, or one is on its way."""
        return 0 if self._running or self._lazy_since_ns == 0 else self._lazy_since_ns + LAZY_SYNC_NS
