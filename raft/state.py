"""Everything one replica of one group knows, and the small steps that every role shares.

Not here: what is done with it: `follower.py`, `candidate.py`, `leader.py`, `read_index.py`, `snapshot.py` hold the
rules as functions over `RaftState`; `node.py` holds the door everybody comes through.

Invariants: term never falls; vote changes only from "" within a term; applied <= applying <= commit <= last index;
`membership` is always the latest one in the log, committed or not; nobody is `quiet` who changes role or leader.
"""

from __future__ import annotations

from typing import Final

from raft.codec import decode_membership
from raft.config import RaftConfig
from raft.log import RaftLog
from raft.membership import MembershipHistory
from raft.progress import Progress
from raft.ready import ReadState
from raft.types import (
    ENTRY_CONFIG,
    NO_PEER,
    Entry,
    HardState,
    LogReader,
    Membership,
    Message,
    PeerId,
    RandomSource,
    Snapshot,
)

FOLLOWER: Final = 0
PRE_CANDIDATE: Final = 1
CANDIDATE: Final = 2
LEADER: Final = 3

ROLE_NAMES: Final[list[str]] = ["follower", "pre-candidate", "candidate", "leader"]

SCAN_BYTES: Final = 4 * 1024 * 1024


class PendingRead:
    """A read that waits for confirmation. On the leader: `round` of heartbeats that confirms it, `origin` asked.
    On a follower that passed it on: `round` is the number of ticks left before it is given up."""

    def __init__(self, context: int, origin: PeerId, index: int, round: int) -> None:
        self.context = context
        self.origin = origin
        self.index = index
        self.round = round


class RaftState:
    def __init__(
        self,
        config: RaftConfig,
        log_reader: LogReader,
        hard_state: HardState,
        membership: Membership,
        last_index: int,
        last_term: int,
        applied_index: int,
        rng: RandomSource,
    ) -> None:
        assert applied_index <= last_index
        self.config = config
        self.peer_id = config.peer_id
        self.group = config.group
        self.rng = rng
        self.log = RaftLog(log_reader, last_index, last_term)
        self.role: int = FOLLOWER
        self.leader: PeerId = NO_PEER
        self.term = hard_state.term
        self.vote = hard_state.vote
        self.commit = applied_index
        self.applying = applied_index
        self.applied = applied_index
        self.history = MembershipHistory(applied_index, membership)
        self.membership = membership
        self._find_memberships(applied_index, last_index)

        # Timers, in ticks.
        self.election_elapsed = 0
        self.heartbeat_elapsed = 0
        self.election_timeout = 0
        self.reset_election_timer()
        # Timers stand still (`quiet.py`); the end of the log at the leader's last quorum check.
        self.quiet = False
        self.checked_index = -1

        # What was acknowledged may be missing here (`doubt.py`).
        self.doubtful = False
        self.elected_in_doubt = False

        # With a shorter log nobody hears a vote of ours (`silence_until` in `node.py`).
        self.voice_index = 0

        # A candidate's.
        self.votes: dict[PeerId, bool] = {}
        self.doubtful_votes: dict[PeerId, bool] = {}

        # A leader's. `peers` are the values of `progress` in sorted order, without the leader itself.
        self.progress: dict[PeerId, Progress] = {}
        self.peers: list[Progress] = []
        self.term_start = 0
        self.term_durable = False
        self.uncommitted_bytes = 0
        self.transferee: PeerId = NO_PEER
        self.reads: list[PendingRead] = []
        self.read_round = 0
        self.read_due = False
        self.flush_due = False

        # Gathered for the next Ready.
        self.messages: list[Message] = []
        self.messages_after_sync: list[Message] = []
        self.read_states: list[ReadState] = []
        self.pending_snapshot: Snapshot | None = None
        self.handed_term = self.term
        self.handed_vote = self.vote
        self.handed_role: int = FOLLOWER
        self.handed_leader: PeerId = NO_PEER

    def _find_memberships(self, applied: int, last: int) -> None:
        """What was appended but not applied before a restart is in force too."""
        low = applied + 1
        while low <= last:
            found = self.log.slice(low, last + 1, SCAN_BYTES)
            self.note_memberships(found)
            low += len(found)

    def note_memberships(self, entries: list[Entry]) -> bool:
        """Put memberships among new log entries into force. True when there was one."""
        found = False
        for entry in entries:
            if entry.kind == ENTRY_CONFIG:
                self.history.append(entry.index, decode_membership(entry.data))
                found = True
        if found:
            self.membership = self.history.latest()
        return found

    # --- who am I -------------------------------------------------------------------------------------------------

    def may_campaign(self) -> bool:
        """Voters only; and not while a snapshot waits to be installed, as the log is not ours yet."""
        return self.peer_id in self.membership.voters and self.pending_snapshot is None and self.has_voice()

    def has_voice(self) -> bool:
        """Whether this peer may vote: it is no stranger, and not one that forgot what it promised."""
        return self.log.last_index >= self.voice_index and not self.membership.is_empty()

    def hears_leader(self) -> bool:
        """A leader spoke within the shortest election timeout: nobody else gets a vote (thesis 4.2.3 and 6.4.1)."""
        return self.leader != NO_PEER and self.election_elapsed < self.config.election_ticks_min

    def reset_election_timer(self) -> None:
        self.election_elapsed = 0
        self.election_timeout = self.rng.randrange(self.config.election_ticks_min, self.config.election_ticks_max)

    # --- speaking -------------------------------------------------------------------------------------------------

    def send(self, message: Message) -> None:
        """At once; but a leader nobody else voted for speaks only when its own vote for its term is durable."""
        if self.role == LEADER and not self.term_durable:
            self.messages_after_sync.append(message)
        else:
            self.messages.append(message)

    def send_after_sync(self, message: Message) -> None:
        """For answers that promise something which is still to be written."""
        self.messages_after_sync.append(message)

    def new_message(self, kind: int, receiver: PeerId) -> Message:
        return Message(kind, self.group, self.peer_id, receiver, self.term)

    # --- changing -------------------------------------------------------------------------------------------------

    def enter_term(self, term: int) -> None:
        """A new term has no vote yet."""
        assert term >= self.term
        if term != self.term:
            self.term = term
            self.vote = NO_PEER

    def become_follower(self, term: int, leader: PeerId) -> None:
        """Of `leader` ("" = not known yet). Whatever this peer was doing as a candidate or leader ends here."""
        self.enter_term(term)
        if leader != self.leader or self.role == LEADER:
            self.refuse_reads()
        self.role = FOLLOWER
        self.leader = leader
        self.quiet = False
        self.reset_election_timer()
        self.votes = {}
        self.progress = {}
        self.peers = []
        self.transferee = NO_PEER
        self.uncommitted_bytes = 0
        self.flush_due = False

    def refuse_reads(self) -> None:
        """Reads that wait on a leader who is gone are answered with index 0; reads of other peers run out there."""
        for read in self.reads:
            if read.origin == self.peer_id:
                self.read_states.append(ReadState(read.context, 0))
        self.reads = []
        self.read_due = False

    def commit_to(self, index: int) -> None:
        """A follower's: the leader said so, and the caller checked that the log agrees up to `index`."""
        if index > self.commit:
            assert index <= self.log.last_index
            self.commit = index
