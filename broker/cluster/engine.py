"""All Raft groups of a node and their one write-ahead log: who is stepped when, what is written, what waits for it.

A turn: every dirty group proposes what it gathered, hands out its Ready, applies what is committed. What is to be
written goes into the log's pending batch; messages that promise durability wait until that batch is on disk. One
batch is on its way to the disk while the next one grows (group commit). A batch that holds only lazy entries, for
which nobody waits, is delayed up to `LAZY_SYNC_NS` in the hope of company.

Invariants: nothing that a Ready wanted after its sync leaves before the batch that carries it is done; a failed
batch stops the node's groups for good (a failed fsync is never retried).
Read next: `group`, `stream_group`; who runs the jobs: `broker/net/driver`.
"""

from typing import Final

from broker.cluster.group import RaftGroup
from broker.cluster.identity import META_GROUP
from broker.cluster.jobs import WalJob
from broker.cluster.link import OUTPUT_BYTES_MAX
from broker.cluster.transport import LinkTable
from broker.jetstream.deadlines import Deadlines
from raft.node import LEADER
from raft.ready import Ready
from raft.types import ENTRY_CONFIG, Message
from storage.errors import StorageError, is_damage
from storage.wal import Wal

LAZY_SYNC_NS: Final = 10_000_000
FULL_RETRY_NS: Final = 500_000_000
SEAL_NS: Final = 1_000_000_000
ROUNDS_MAX: Final = 8
SNAPSHOT_BYTES_MAX: Final = 192 * 1024 * 1024  # of memory streams, whose snapshots hold their messages


class Engine:
    """The groups of this node, stepped together."""

    def __init__(self, wal: Wal, links: LinkTable, sync_interval_ns: int) -> None:
        """`sync_interval_ns` 0: every batch is synced; otherwise at most that much may wait for a sync (lazy)."""
        self.wal: Final = wal
        self.links: Final = links
        self.groups: dict[int, RaftGroup] = {}
        self.failed: str = ""
        self.disk_full: bool = False
        self.retry_at_ns: int = 0
        self.events: list[tuple[str, str, dict[str, object]]] = []
        self.held: list[tuple[RaftGroup, Message]] = []
        self.unknown_groups: dict[int, int] = {}
        self.syncs: int = 0
        self.batches_done: int = 0
        self.leader_changes: list[int] = []
        self.urgent: bool = False
        self.lazy_since_ns: int = 0
        self.sync_all: bool = False  # the node is stopping: nothing may be left in the page cache
        self._sync_due: bool = False  # the pending batch carries what is synced in any mode
        self._sync_interval_ns: Final = sync_interval_ns
        self._synced_ns: int = 0
        self._written_ns: int = 0
        self._batch_running: bool = False
        self._unwritten: WalJob | None = None  # met a full disk: it is next, and what gathers meanwhile is not in it
        self._after_sync: list[Message] = []
        self._marks: list[tuple[RaftGroup, int, int]] = []
        self.damaged: list[tuple[RaftGroup, str]] = []  # failed as what they stored cannot be read; for `repair`
        self._dirty: list[RaftGroup] = []
        self._ticking: dict[int, RaftGroup] = {}  # groups that sleep (raft/quiet.py) are not in here
        self._deadlines: Final[Deadlines[int]] = Deadlines()

    # Input.

    def step(self, message: Message) -> None:
        """A Raft message from a peer."""
        group = self.groups.get(message.group)
        if group is None:
            self.unknown_groups[message.group] = self.unknown_groups.get(message.group, 0) + 1
            return
        if group.failed or group.frozen or group.unassigned:
            return
        if not group.accepts(message):
            self.held.append((group, message))
            return
        group.raft.step(message)
        group.touch()

    def tick(self, now_ns: int) -> None:
        """50 ms passed for every group that is awake."""
        if not self._batch_running and self.wal.pending_bytes == 0 and now_ns > self._written_ns + SEAL_NS:
            self.wal.seal()  # the log is idle: mark that what lies before is no torn end
        for group in list(self._ticking.values()):
            if not group.failed and not group.frozen and not group.unassigned:
                group.tick()
                if not group.needs_ticks():
                    group.ticking = False
                    del self._ticking[group.id]

    def awake(self) -> list[RaftGroup]:
        """Groups in which something happened lately."""
        return list(self._ticking.values())

    def keep_ticking(self, group: RaftGroup) -> None:
        """Run the group's timers, unless it sleeps."""
        if not group.ticking and group.needs_ticks():
            group.ticking = True
            self._ticking[group.id] = group

    def all_synced(self) -> bool:
        """Nothing is left that only the page cache has."""
        idle = not self._batch_running and self._unwritten is None
        return idle and self.wal.pending_bytes == 0 and not self.wal.unsynced

    # The turn.

    def process(self, now_ns: int) -> None:
        """Step every dirty group until nothing is left to do without the disk or the network."""
        if self.failed:
            return
        for group_id in self._deadlines.take_due(now_ns):
            due = self.groups.get(group_id)
            if due is not None:
                due.touch()
        for _ in range(ROUNDS_MAX):
            if not self._dirty:
                break
            dirty = self._dirty[:]
            self._dirty.clear()
            for group in dirty:
                group.dirty = False
            for group in dirty:
                if group.failed:
                    self._farewell(group)
                elif not group.frozen and not group.unassigned and group.id in self.groups:
                    self._process_group(group, now_ns)
        if self.wal.pending_bytes and self.lazy_since_ns == 0:
            self.lazy_since_ns = now_ns

    def _process_group(self, group: RaftGroup, now_ns: int) -> None:
        try:
            self._step_group(group, now_ns)
        except StorageError as error:  # messages or log entries of this group that cannot be read
            self.fail_group(group, error)

    def _step_group(self, group: RaftGroup, now_ns: int) -> None:
        raft = group.raft
        if group.was_leader and raft.role != LEADER:
            group.note_role()  # a deposed leader that knows it delivers nothing more
        group.before_propose(now_ns)
        group.flush_ops()
        while raft.has_ready():
            self._take(group, raft.ready())
        group.note_role()
        if raft.role == LEADER and group.leads_term != raft.term:
            group.leads_term = raft.term
            self._tell_who_is_gone(group)
        self.keep_ticking(group)
        self._deadlines.arm(group.id, group.next_deadline_ns(now_ns))

    def _tell_who_is_gone(self, group: RaftGroup) -> None:
        """A new leader learns that nobody answers for some of its peers."""
        for progress in group.raft.peers:
            if progress.peer not in self.links.links:
                group.raft.peer_unreachable(progress.peer)

    def _farewell(self, group: RaftGroup) -> None:
        """A group that failed here says so to its peers (who may sleep), and nothing more."""
        messages, group.raft.messages = group.raft.messages, []
        for message in messages:
            self.send(message)

    def _take(self, group: RaftGroup, ready: Ready) -> None:
        wal = self.wal
        if not ready.lazy:
            self.urgent = True
        if ready.hard_state is not None:
            self._sync_due = True  # no vote is ever forgotten
            wal.set_hard_state(group.id, ready.hard_state.term, ready.hard_state.vote)
        snapshot = ready.snapshot
        if snapshot is not None:
            self._sync_due = True
            wal.set_snapshot(group.id, snapshot.index, snapshot.term)
            group.restore(snapshot)
            group.raft.applied_to(snapshot.index)
            self._marks.append((group, snapshot.index, snapshot.term))
        entries = ready.entries
        if entries:
            for entry in entries:
                wal.append(group.id, entry.index, entry.term, entry.kind, entry.data)
                if entry.kind == ENTRY_CONFIG:
                    self._sync_due = True
            if group.id == META_GROUP:
                self._sync_due = True
            last = entries[-1]
            self._marks.append((group, last.index, last.term))
        for message in ready.messages:
            self.send(message)
        if ready.messages_after_sync:
            if self._marks or self._batch_running or self._unwritten is not None or self.wal.pending_bytes:
                self._after_sync.extend(ready.messages_after_sync)
            else:
                for message in ready.messages_after_sync:
                    self.send(message)
        if ready.committed:
            group.apply_committed(ready.committed)

    def send(self, message: Message) -> None:
        """Hand a message to the link of its receiver; without a link, or behind a peer that takes nothing any more, it
        is lost, as on any network."""
        link = self.links.links.get(message.receiver)
        if link is not None and link.output_bytes < OUTPUT_BYTES_MAX:
            if message.snapshot is not None and len(message.snapshot.data) > SNAPSHOT_BYTES_MAX:
                fields: dict[str, object] = {"group": message.group, "bytes": len(message.snapshot.data)}
                self.events.append(("error", "snapshot_too_large", fields))
                return
            link.raft_messages.append(message)
            link.dirty = True

    # The log batch.

    def take_wal_job(self, now_ns: int) -> WalJob | None:
        """The batch to write now, if it is time."""
        if self._batch_running or self.failed:
            return None
        if self.disk_full:
            if now_ns < self.retry_at_ns:
                return None
            self.retry_at_ns = now_ns + FULL_RETRY_NS
            self.urgent = True
        sync_due = (
            self._sync_interval_ns == 0
            or self._sync_due
            or self.sync_all
            or now_ns >= self._synced_ns + self._sync_interval_ns
        )
        force = sync_due and self.wal.unsynced
        if not self.urgent and not force:
            if self.lazy_since_ns == 0 or now_ns < self.lazy_since_ns + LAZY_SYNC_NS:
                return None
        if self.wal.pending_bytes == 0 and not self.disk_full and not force:
            # Answers may be held although nothing is left to write: their batch has just been done.
            self._release(self._take_marks(), self._take_after_sync())
            self.urgent = False
            self.lazy_since_ns = 0
            return None
        batch = self.wal.take_batch(force)
        if batch is None:
            return None
        batch.sync = sync_due or (self._unwritten is not None and batch.sync)  # tried again for what it was made for
        if sync_due:
            self._synced_ns = now_ns
            self._sync_due = self.wal.pending_bytes > 0  # a batch that met a full disk is tried again alone
        self._written_ns = now_ns
        self._batch_running = True
        unwritten = self._unwritten
        if unwritten is not None:
            self._unwritten = None
            return WalJob(batch, unwritten.marks, unwritten.messages)
        self.urgent = False
        self.lazy_since_ns = 0
        return WalJob(batch, self._take_marks(), self._take_after_sync())

    def _take_marks(self) -> list[tuple[RaftGroup, int, int]]:
        marks, self._marks = self._marks, []
        return marks

    def _take_after_sync(self) -> list[Message]:
        messages, self._after_sync = self._after_sync, []
        return messages

    def wal_job_done(self, job: WalJob, error: Exception | None) -> None:
        """The batch is durable, or the disk failed us."""
        self._batch_running = False
        self.syncs += 1
        if isinstance(error, StorageError):
            self.wal.batch_failed(job.batch, error)
            if self.wal.failed is None:
                self._disk_is_full(job)
            else:
                self.fail(str(error))
            return
        if error is not None:
            raise error
        if self.disk_full:
            self._set_disk_full(False)
        self.wal.batch_done(job.batch)
        self.batches_done += 1
        self._release(job.marks, job.messages)
        if self._after_sync and not self.urgent and self.wal.pending_bytes == 0:
            self._release(self._take_marks(), self._take_after_sync())

    def _disk_is_full(self, job: WalJob) -> None:
        """Nothing was acknowledged: the same batch is tried again when there is room. Meanwhile others should lead."""
        self._unwritten = job
        if not self.disk_full:
            self._set_disk_full(True)
            self.events.append(("error", "disk_full", {}))
            for group in self.groups.values():
                if len(group.membership().voters) > 1:  # otherwise there is nobody else
                    group.raft.resign()
                    group.touch()

    def _set_disk_full(self, full: bool) -> None:
        """Where this node leads all the same, publishes are refused meanwhile."""
        self.disk_full = full
        for group in self.groups.values():
            group.disk_full = full

    def _release(self, marks: list[tuple[RaftGroup, int, int]], messages: list[Message]) -> None:
        for group, index, term in marks:
            if self.groups.get(group.id) is group:
                group.raft.persisted(index, term)
                group.touch()
        for message in messages:
            promised = self.groups.get(message.group)
            if promised is not None and not promised.failed:
                self.send(message)

    def fail(self, error: str) -> None:
        """The log cannot be written: nothing more may be promised by this node."""
        if self.failed:
            return
        self.failed = error
        self.events.append(("error", "write_error", {"error": error}))
        for group in self.groups.values():
            if not group.failed:
                group.fail(error)
                self._farewell(group)

    def fail_group(self, group: RaftGroup, error: StorageError) -> None:
        """One group's files are damaged: its other replicas serve it, this node goes on with all other groups."""
        if not group.failed:
            group.fail(str(error))
            self.events.append(("error", "group_failed", {"group": group.title(), "error": str(error)}))
            # What it promised may wait for a sync, but is not true any more.
            self._after_sync = [message for message in self._after_sync if message.group != group.id]
            if is_damage(error):
                self.damaged.append((group, str(error)))

    def next_deadline_ns(self) -> int:
        """When there is something to do without input: at once, when a lazy batch is due, or never (0)."""
        if self.failed:
            return 0
        if self._dirty:
            return 1
        deadline_ns = self._deadlines.next_deadline_ns()
        if self._batch_running or self.lazy_since_ns == 0:
            return deadline_ns
        lazy_ns = self.lazy_since_ns + LAZY_SYNC_NS
        return lazy_ns if deadline_ns == 0 or lazy_ns < deadline_ns else deadline_ns

    def add(self, group: RaftGroup) -> None:
        """A group begins (or begins again after a restart) on this node."""
        assert group.id not in self.groups
        self.groups[group.id] = group
        group.dirty_groups = self._dirty
        group.leader_changes = self.leader_changes
        group.disk_full = self.disk_full
        group.touch()

    def remove(self, group_id: int) -> None:
        """The group was deleted by a committed command."""
        self.drop(group_id)
        self.wal.remove_group(group_id)

    def let_go(self, group_id: int) -> int:
        """The log is to forget a group that was dropped; `batches_done` once that is durable."""
        if not self.wal.has_group(group_id):
            return self.batches_done
        self.wal.remove_group(group_id)
        self._sync_due = True
        return self.batches_done + (2 if self._batch_running or self._unwritten is not None else 1)

    def drop(self, group_id: int) -> None:
        """The group stops; what the log has of it stays."""
        group = self.groups.pop(group_id, None)
        self._ticking.pop(group_id, None)
        if group is not None:
            group.unassigned = True
            group.abandon_all()
            group.lost_leadership()

    def forget(self, group_id: int, term: int) -> None:
        """The group's replica begins again here, without its log and its votes, in this term."""
        self.remove(group_id)
        self.wal.set_hard_state(group_id, term, "")
        self._sync_due = True
        self.urgent = True
