"""One Raft group on this node: the consensus module, its part of the write-ahead log, and who waits for what.

`RaftGroup` knows nothing of streams: `stream_group` and `meta_group` say what an entry means. Operations proposed
in one turn become one entry. Whoever wants to know the outcome of an operation leaves a waiter beside it; waiters
are kept by log index and told when the entry is applied, or that its fate is unknown when leadership is lost.

Invariants: `apply` sees every committed entry once, in order, on every replica. A waiter is answered exactly once.
Read next: `engine` (turns of all groups), `stream_group`.
"""

from typing import Final

from mypy_extensions import mypyc_attr

from broker.cluster.groups.confirmed_reads import ConfirmedReads
from broker.cluster.groups.group_store import GroupSnapshot
from broker.cluster.streams.dead_letter_stores import DeadLetterStores
from raft.errors import NotLeader, ProposalDropped
from raft.messages import SNAPSHOT
from raft.node import LEADER, RaftNode
from raft.types import ENTRY_LAZY, ENTRY_NOOP, ENTRY_NORMAL, Entry, Membership, Message, Snapshot
from storage.errors import StorageError
from storage.flush import FlushJob
from storage.group_log import GroupLog
from storage.memory import MemoryStreamStore
from storage.stream_store import FileStreamStore

TRIM_BYTES: Final = 4 * 1024 * 1024
ENTRY_BYTES_MAX: Final = 8 * 1024 * 1024
NO_LEADER: Final = ""


@mypyc_attr(allow_interpreted_subclasses=True)
class Waiter:
    """Somebody who waits for the outcome of one proposed operation."""

    def abandoned(self) -> None:
        """The entry's fate is unknown: this node stopped leading before it was applied."""


class Proposal:
    """Who waits for the entry that was proposed at an index, and the term that makes it ours."""

    def __init__(self, term: int, waiters: list[Waiter | None]) -> None:
        self.term: Final = term
        self.waiters: Final = waiters


class RaftGroup:
    """The part that all groups share."""

    def __init__(self, group_id: int, raft: RaftNode, log: GroupLog) -> None:
        self.id: Final = group_id
        self.raft: Final = raft
        self.log: Final = log
        self.dirty: bool = False
        self.dirty_groups: list[RaftGroup] = []
        self.leader_changes: list[int] = []
        self.failed: str = ""
        self.disk_full: bool = False  # the engine's: nothing can be written just now
        self.ops: list[bytes] = []
        self.op_waiters: list[Waiter | None] = []
        self.ops_bytes: int = 0
        self.ops_urgent: bool = False
        self.proposals: dict[int, Proposal] = {}
        self.confirmed_reads: ConfirmedReads = ConfirmedReads(raft)
        self.applied_bytes: int = 0
        self.is_leader: bool = False  # from `became_leader` to `lost_leadership`
        self.known_leader: str = NO_LEADER
        self.dated_leader: str = NO_LEADER  # who led at `leader_since_ns`, which the node's clock has (wall time)
        self.leader_since_ns: int = 0
        self.checkpoint_running: bool = False
        self.checkpoint: GroupSnapshot | None = None
        self.frozen: bool = False
        self.unassigned: bool = False
        self.checkpoint_wanted: bool = False
        self.campaign_in_ticks: int = -1
        self.ticking: bool = False  # the engine's: its timers run
        self.leads_term: int = -1  # the engine's: this node leads in it, and was told which peers are gone
        self.noop_term: int = 0
        self.installed_message: Message | None = None

    # What a kind of group supplies.

    def apply(self, entry: Entry, waiters: list[Waiter | None] | None) -> None:
        """One committed entry. `waiters` is None where this node did not propose it."""
        raise NotImplementedError

    def became_leader(self) -> None:
        """This node leads and everything of earlier terms is applied."""

    def lost_leadership(self) -> None:
        """This node no longer leads (or never finished to)."""

    def leader_changed(self) -> None:
        """`leader()` has a new answer."""

    def restore(self, snapshot: Snapshot) -> None:
        """Replace the machine's state by a snapshot whose data is already durable here."""
        raise NotImplementedError

    def state(self) -> bytes:
        """The machine's state as of the applied index."""
        raise NotImplementedError

    def raft_snapshot(self) -> Snapshot | None:
        """What a peer gets whose log ends before ours begins (`catch_up`); None while there is nothing to give."""
        raise NotImplementedError

    def about(self) -> bytes:
        """What a start must know of the group besides its state."""
        return b""

    def snapshot(self) -> GroupSnapshot:
        """All that this node must know of the group to go on from the applied index."""
        raft = self.raft
        applied = raft.applied
        return GroupSnapshot(
            self.id,
            applied,
            raft.log.term(applied),
            raft.membership_at(applied),
            self.about(),
            self.state(),
            raft.voice_index if applied < raft.voice_index else 0,
        )

    def title(self) -> str:
        """What people call it."""
        return "_meta_"

    def message_store(self) -> FileStreamStore | MemoryStreamStore | None:
        """Where a stream's messages are; the meta group has none."""
        return None

    def may_checkpoint(self) -> bool:
        """Not twice at once, and not while a snapshot is being taken over: until its Ready is taken, Raft's applied
        index is ahead of the machine."""
        return not (self.checkpoint_running or self.failed or self.frozen or self.raft.pending_snapshot is not None)

    def dead_letter_stores(self) -> DeadLetterStores | None:
        """Where a stream's dead letters are."""
        return None

    def begin_flush(self) -> FlushJob | None:
        """What besides the snapshot must be durable for a checkpoint of the state as of now."""
        return None

    def checkpoint_done(self, flush: FlushJob | None, snapshot: GroupSnapshot) -> None:
        """The flush, then the snapshot, are durable."""
        self.checkpoint = snapshot

    def flush_failed(self, flush: FlushJob | None, error: StorageError) -> None:
        """The checkpoint came to nothing."""

    def next_deadline_ns(self, now_ns: int) -> int:
        """When `before_propose` wants to be called though nothing has happened; 0 = never."""
        return 0

    def fail(self, error: str) -> None:
        """This group cannot go on on this node; the others can, and are told so (`Engine.fail_group` says it here)."""
        self.failed = error
        self.is_leader = False
        self.raft.resign()
        self.abandon_all()
        self.lost_leadership()
        self.touch()

    def needs_ticks(self) -> bool:
        """Whether timers run: not in a group that sleeps."""
        return not self.raft.quiet or self.campaign_in_ticks >= 0

    def releasable(self, index: int) -> int:
        """How far the log may be cut after a checkpoint at `index`: not what a peer that catches up still needs."""
        for progress in self.raft.peers:
            if progress.pending_snapshot and progress.active:
                index = min(index, progress.pending_snapshot)
        return index

    # Proposals.

    def leads(self) -> bool:
        """Whether Raft's leader is here; it may still have to apply what earlier terms left (`is_leader`)."""
        return self.raft.role == LEADER

    def leader(self) -> str:
        """Peer id of the leader, "" when unknown."""
        return self.raft.leader

    def add_op(self, op: bytes, waiter: Waiter | None, urgent: bool) -> None:
        """Queue one operation for this turn's entry."""
        self.ops.append(op)
        self.ops_bytes += len(op)
        self.op_waiters.append(waiter)
        if urgent:
            self.ops_urgent = True
        self.touch()

    def set_assigned(self, assigned: bool) -> None:
        """Whether this node is to hold the group. If not, the group stands still, and its files stay: they may be
        wanted again when a lost store comes back."""
        if assigned != self.unassigned:
            return
        self.unassigned = not assigned
        if self.unassigned:
            self.raft.resign()
            self.note_role()
        else:
            self.touch()

    def touch(self) -> None:
        """There is something to do for this group in this turn."""
        if not self.dirty:
            self.dirty = True
            self.dirty_groups.append(self)

    def accepts(self, message: Message) -> bool:
        """Whether Raft may see the message now. A snapshot that will replace our state must first be durable here
        (`catch_up`): Raft forgets the log before it at once."""
        return message.kind != SNAPSHOT or message is self.installed_message or not self.replaces(message)

    def replaces(self, message: Message) -> bool:
        """Whether Raft will take this SNAPSHOT in place of our log, judged as `raft.snapshot` does."""
        raft = self.raft
        snapshot = message.snapshot
        assert snapshot is not None
        return (
            message.term >= raft.term
            and snapshot.index > raft.commit
            and not raft.log.matches(snapshot.index, snapshot.term)
        )

    def before_propose(self, now_ns: int) -> None:
        """Last chance in a turn to add operations."""

    def flush_ops(self) -> None:
        """This turn's operations become one entry, or a few where they are large."""
        ops = self.ops
        if not ops:
            return
        waiters = self.op_waiters
        kind = ENTRY_NORMAL if self.ops_urgent else ENTRY_LAZY
        large = self.ops_bytes > ENTRY_BYTES_MAX and len(ops) > 1
        self.ops = []
        self.op_waiters = []
        self.ops_bytes = 0
        self.ops_urgent = False
        if not large:
            self._propose(ops[0] if len(ops) == 1 else b"".join(ops), kind, waiters)
            return
        start = 0
        size = 0
        for at in range(len(ops)):
            if size + len(ops[at]) > ENTRY_BYTES_MAX and at > start:
                if not self._propose(b"".join(ops[start:at]), kind, waiters[start:at]):
                    abandon(waiters[at:])  # nothing may overtake what was dropped
                    return
                start = at
                size = 0
            size += len(ops[at])
        self._propose(b"".join(ops[start:]), kind, waiters[start:])

    def _propose(self, data: bytes, kind: int, waiters: list[Waiter | None]) -> bool:
        """False: it was dropped, and its waiters know."""
        try:
            index = self.raft.propose(data, kind)
        except (NotLeader, ProposalDropped):
            abandon(waiters)
            return False
        self.proposals[index] = Proposal(self.raft.term, waiters)
        return True

    def abandon_all(self) -> None:
        """Leadership is gone: nobody here will learn how these ended."""
        self.confirmed_reads.drop()
        if self.proposals:
            pending = self.proposals
            self.proposals = {}
            for proposal in pending.values():
                abandon(proposal.waiters)
        waiters = self.op_waiters
        self.ops = []
        self.op_waiters = []
        self.ops_bytes = 0
        self.ops_urgent = False
        abandon(waiters)

    # Outcomes of a Ready.

    def apply_committed(self, entries: list[Entry]) -> None:
        """Committed entries reach the machine."""
        for entry in entries:
            waiters = self._take_waiters(entry) if self.proposals else None
            if entry.data and entry.kind <= ENTRY_LAZY:
                self.apply(entry, waiters)
                self.applied_bytes += len(entry.data)
            else:
                if entry.kind == ENTRY_NOOP:
                    self.noop_term = entry.term
                if waiters is not None:
                    abandon(waiters)
        raft = self.raft
        raft.applied_to(entries[-1].index)
        if raft.memory_bytes > TRIM_BYTES:
            raft.trim(raft.applied)  # a peer that is behind reads from the write-ahead log

    def _take_waiters(self, entry: Entry) -> list[Waiter | None] | None:
        """Who waits for this very entry. Another leader's entry at the index of ours means that ours is lost."""
        proposal = self.proposals.pop(entry.index, None)
        if proposal is None:
            return None
        if proposal.term == entry.term:
            return proposal.waiters
        abandon(proposal.waiters)
        return None

    def note_role(self) -> None:
        """Compare who leads with what was known; tell the kind of group."""
        leads = self.raft.role == LEADER and self.noop_term == self.raft.term
        if self.is_leader and self.raft.role != LEADER:
            self.is_leader = False
            self.abandon_all()
            self.lost_leadership()
        elif leads and not self.is_leader:
            self.is_leader = True
            self.became_leader()
            self.leader_changes.append(self.id)
        if self.raft.leader != self.known_leader:
            self.known_leader = self.raft.leader
            self.leader_changed()
            self.leader_changes.append(self.id)

    def tick(self) -> None:
        """50 ms passed."""
        if self.campaign_in_ticks > 0:
            self.campaign_in_ticks -= 1
        elif self.campaign_in_ticks == 0:
            self.campaign_in_ticks = -1
            if self.raft.leader == NO_LEADER:
                self.raft.campaign()
        self.raft.tick()
        if self.raft.has_ready():
            self.touch()

    def may_lose_its_end(self) -> bool:
        """Whether what was acknowledged last may be lost in a power cut, because its owner said so."""
        return False

    def membership(self) -> Membership:
        """Voters and learners now in force."""
        return self.raft.membership


def abandon(waiters: list[Waiter | None]) -> None:
    """Tell all of them that the outcome is unknown."""
    for waiter in waiters:
        if waiter is not None:
            waiter.abandoned()
