"""All Raft groups of a node, stepped together: who is stepped when, and what becomes of what they say.

A turn: every dirty group proposes what it gathered, hands out its Ready, applies what is committed. What is to be
written goes into the log's batch (`log_batches`), and so do messages that promise durability; the others go to the
links at once.

Invariants: a group is stepped only here; one that failed says farewell to its peers and nothing more.
Read next: `log_batches`, `group`, `stream_group`.
"""

from typing import Final

from broker.cluster.contained import bug_text
from broker.cluster.groups.group import RaftGroup
from broker.cluster.groups.log_batches import BatchListener, LogBatches
from broker.cluster.links.link import OUTPUT_BYTES_MAX
from broker.cluster.links.transport import LinkTable
from broker.jetstream.deadlines import Deadlines
from raft.node import LEADER
from raft.ready import Ready
from raft.types import Message
from storage.errors import StorageError, is_damage
from storage.wal import Wal

ROUNDS_MAX: Final = 8
SNAPSHOT_BYTES_MAX: Final = 192 * 1024 * 1024  # of memory streams, whose snapshots hold their messages


class Engine(BatchListener):
    """The groups of this node, stepped together."""

    def __init__(self, wal: Wal, links: LinkTable, sync_interval_ns: int) -> None:
        """`sync_interval_ns` 0: every batch is synced; otherwise at most that much may wait for a sync (lazy)."""
        self.wal: Final = wal
        self.batches: Final = LogBatches(wal, sync_interval_ns, self)
        self.links: Final = links
        self.groups: dict[int, RaftGroup] = {}
        self.failed: str = ""
        self.events: list[tuple[str, str, dict[str, object]]] = []
        self.held: list[tuple[RaftGroup, Message]] = []
        self.unknown_groups: dict[int, int] = {}
        self.leader_changes: list[int] = []
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
        self.batches.tick(now_ns)
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
        self.batches.turn_done(now_ns)

    def _process_group(self, group: RaftGroup, now_ns: int) -> None:
        try:
            self._step_group(group, now_ns)
        except StorageError as error:  # messages or log entries of this group that cannot be read
            self.fail_group(group, error)
        except Exception as bug:
            self.contain(group, bug)

    def _step_group(self, group: RaftGroup, now_ns: int) -> None:
        raft = group.raft
        if group.is_leader and raft.role != LEADER:
            group.note_role()  # a deposed leader that knows it delivers nothing more
        group.before_propose(now_ns)
        group.flush_ops()
        while raft.has_ready():
            self._take(group, raft.ready())
        group.note_role()
        for bug in group.confirmed_reads.answer():
            self.events.append(("error", "request_failed", {"subject": group.title(), "error": bug}))
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
        batches = self.batches
        if not ready.lazy:
            batches.hurry()
        if ready.hard_state is not None:
            batches.write_hard_state(group, ready.hard_state)
        snapshot = ready.snapshot
        if snapshot is not None:
            batches.write_snapshot(group, snapshot)
            group.restore(snapshot)
            group.raft.applied_to(snapshot.index)
        if ready.entries:
            batches.write_entries(group, ready.entries)
        for message in ready.messages:
            self.send(message)
        if ready.messages_after_sync and not batches.hold(ready.messages_after_sync):
            for message in ready.messages_after_sync:
                self.send(message)
        if ready.committed:
            group.apply_committed(ready.committed)
        if ready.read_states:
            group.confirmed_reads.heard(ready.read_states)

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

    # What the log tells.

    def released(self, marks: list[tuple[RaftGroup, int, int]], messages: list[Message]) -> None:
        for group, index, term in marks:
            if self.groups.get(group.id) is group:
                group.raft.persisted(index, term)
                group.touch()
        for message in messages:
            promised = self.groups.get(message.group)
            if promised is not None and not promised.failed:
                self.send(message)

    def disk_full_changed(self, full: bool) -> None:
        """Where this node leads, publishes are refused meanwhile; who should lead instead, `room` decides."""
        for group in self.groups.values():
            group.disk_full = full
        if full:
            self.events.append(("error", "disk_full", {}))

    def log_failed(self, error: str) -> None:
        self.fail(error)

    def fail(self, error: str) -> None:
        """The log cannot be written: nothing more may be promised by this node."""
        if self.failed:
            return
        self.failed = error
        self.batches.stopped = True
        self.events.append(("error", "write_error", {"error": error}))
        for group in self.groups.values():
            if not group.failed:
                group.fail(error)
                self._farewell(group)

    def fail_group(self, group: RaftGroup, error: StorageError) -> None:
        """One group's files are damaged: its other replicas serve it, this node goes on with all other groups."""
        if not group.failed:
            self._end_group(group, str(error))
            if is_damage(error):
                self.damaged.append((group, str(error)))

    def contain(self, group: RaftGroup, bug: Exception) -> None:
        """What is ours to mend ends this group here, not the node (`contained`)."""
        if not group.failed:
            self._end_group(group, bug_text(bug))

    def _end_group(self, group: RaftGroup, error: str) -> None:
        group.fail(error)
        self.events.append(("error", "group_failed", {"group": group.title(), "error": error}))
        self.batches.forget_promises(group.id)

    def next_deadline_ns(self) -> int:
        """When there is something to do without input: at once, when a lazy batch is due, or never (0)."""
        if self.failed:
            return 0
        if self._dirty:
            return 1
        deadline_ns = self._deadlines.next_deadline_ns()
        lazy_ns = self.batches.next_deadline_ns()
        return lazy_ns if deadline_ns == 0 or 0 < lazy_ns < deadline_ns else deadline_ns

    def add(self, group: RaftGroup) -> None:
        """A group begins (or begins again after a restart) on this node."""
        assert group.id not in self.groups
        self.groups[group.id] = group
        group.dirty_groups = self._dirty
        group.leader_changes = self.leader_changes
        group.disk_full = self.batches.disk_full
        group.touch()

    def remove(self, group_id: int) -> None:
        """The group was deleted by a committed command."""
        self.drop(group_id)
        self.wal.remove_group(group_id)

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
        self.batches.begin_group_again(group_id, term)
