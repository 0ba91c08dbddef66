"""`RaftNode`: one replica of one group, and the only door to it.

Inputs: `tick`, `step(message)`, `propose…`, `campaign`, `persisted`, `applied_to`, reports about peers.
Output: `ready()`, see `ready.py` for what the caller then owes.

Not here: the rules themselves; the table below says which function answers which message in which role.

Invariants: nothing happens outside a call; no call blocks, except that a peer far behind makes the `LogReader` read.
Read next: `state.py`, then the role you are after.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from raft import candidate, doubt, follower, leader, quiet, read_index, snapshot
from raft.config import RaftConfig
from raft.membership import MembershipChange
from raft.messages import (
    APPEND,
    APPEND_RESPONSE,
    COMMIT,
    HEARTBEAT,
    HEARTBEAT_RESPONSE,
    KIND_MAX,
    PRE_VOTE,
    PRE_VOTE_RESPONSE,
    QUIET,
    READ_INDEX,
    READ_INDEX_RESPONSE,
    SNAPSHOT,
    TIMEOUT_NOW,
    VOTE,
    VOTE_FORCED,
    VOTE_RESPONSE,
)
from raft.progress import STATE_NAMES
from raft.ready import PeerStatus, Ready, Status
from raft.state import CANDIDATE, FOLLOWER, LEADER, PRE_CANDIDATE, ROLE_NAMES, RaftState
from raft.types import (
    ENTRY_LAZY,
    ENTRY_NORMAL,
    NO_PEER,
    Entry,
    HardState,
    LogReader,
    Membership,
    Message,
    PeerId,
    RandomSource,
)

__all__ = ["CANDIDATE", "FOLLOWER", "LEADER", "PRE_CANDIDATE", "ROLE_NAMES", "RaftNode"]

Handler = Callable[[RaftState, Message], None]


def _ignore(state: RaftState, message: Message) -> None:
    """An answer to a question of a role we no longer have."""


def _table() -> list[list[Handler]]:
    """Handlers by role and kind of message, for messages of our own term."""
    rows: list[list[Handler]] = []
    for _role in range(4):
        row: list[Handler] = [_ignore] * (KIND_MAX + 1)
        row[APPEND] = follower.handle_append
        row[HEARTBEAT] = follower.handle_heartbeat
        row[COMMIT] = follower.handle_commit
        row[QUIET] = quiet.handle_quiet
        row[SNAPSHOT] = snapshot.handle_snapshot
        row[VOTE] = candidate.handle_vote
        row[PRE_VOTE] = candidate.handle_pre_vote
        row[TIMEOUT_NOW] = candidate.handle_timeout_now
        row[READ_INDEX] = read_index.handle_read_index
        rows.append(row)
    rows[FOLLOWER][READ_INDEX_RESPONSE] = read_index.handle_read_index_response
    rows[PRE_CANDIDATE][PRE_VOTE_RESPONSE] = candidate.handle_pre_vote_response
    rows[CANDIDATE][VOTE_RESPONSE] = candidate.handle_vote_response
    rows[LEADER][APPEND_RESPONSE] = leader.handle_append_response
    rows[LEADER][HEARTBEAT_RESPONSE] = leader.handle_heartbeat_response
    return rows


_HANDLERS: Final = _table()


class RaftNode(RaftState):
    """Readable by the caller at any time: role, leader, term, vote, commit, applied, membership.

    `membership` is the one in force at `applied_index` (a snapshot's, or the first one); later ones are found in the
    log behind `log_reader`, from which entries (applied_index, last_index] must be readable. `last_index`,
    `last_term` and `hard_state` are what is durable. A peer that starts with an empty membership is a stranger: it
    follows, but neither votes nor campaigns until a leader's log makes it a member.
    """

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
        super().__init__(config, log_reader, hard_state, membership, last_index, last_term, applied_index, rng)

    # --- inputs ---------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """One tick of time has passed. Not needed by a group that is `quiet`."""
        if self.quiet:
            return
        if self.role == LEADER:
            leader.tick_leader(self)
            return
        candidate.tick_follower(self)
        if self.role == FOLLOWER and self.reads:
            read_index.tick_reads(self)

    def campaign(self) -> None:
        """A hint, e.g. that the leader's connection broke: try an election now, by pre-vote, so that a wrong hint
        disturbs nobody. Nothing happens on a leader, a candidate, a learner or a stranger."""
        candidate.campaign(self)

    def step(self, message: Message) -> None:
        """A message from a peer. Messages may be lost, repeated, late and out of order."""
        assert message.group == self.group and message.receiver == self.peer_id
        if self.quiet and quiet.wakes(self, message):
            quiet.wake(self)
        if message.term == self.term or self._enter_term_of(message):
            _HANDLERS[self.role][message.kind](self, message)

    def _enter_term_of(self, message: Message) -> bool:
        """The term rule (Raft paper 5.1): a higher term is entered, a lower one is answered so that its sender learns.
        True when the message is still to be handled."""
        kind = message.kind
        if kind == PRE_VOTE:
            return True
        if message.term > self.term:
            if kind == PRE_VOTE_RESPONSE and not message.reject:
                return True
            if kind == VOTE and self.hears_leader() and message.hint != VOTE_FORCED:
                return False
            leads = kind in (APPEND, HEARTBEAT, COMMIT, QUIET, SNAPSHOT)
            self.become_follower(message.term, message.sender if leads else NO_PEER)
            return True
        if kind in (APPEND, HEARTBEAT, QUIET, SNAPSHOT):
            answer = self.new_message(APPEND_RESPONSE, message.sender)
            answer.reject = True
            self.send(answer)
        elif kind == VOTE:
            answer = self.new_message(VOTE_RESPONSE, message.sender)
            answer.reject = True
            self.send(answer)
        return False

    def propose(self, data: bytes, kind: int = ENTRY_NORMAL) -> int:
        """Append an entry on the leader; its index. It is committed when it comes out of `Ready.committed` with the
        term it went in with, lost when another entry does. Raises NotLeader(leader), ProposalDropped."""
        return leader.propose(self, data, kind)

    def propose_membership(self, change: MembershipChange) -> int:
        """Append a change of membership, in force from now on; its index. One at a time, learners first.
        Raises NotLeader, ProposalDropped, MembershipRefused (a ProposalDropped)."""
        return leader.propose_membership(self, change)

    def transfer_leadership(self, to: PeerId) -> None:
        """Hand leadership to a voter ("" = the one that is most level). Proposals are dropped until it is done or an
        election timeout has passed. Raises NotLeader, TransferRefused."""
        leader.transfer_leadership(self, to)

    def resign(self) -> None:
        """Stop leading without a successor, e.g. because this node's disk hangs."""
        if self.role == LEADER:
            quiet.rouse(self)
            self.become_follower(self.term, NO_PEER)

    def read_index(self, context: int) -> None:
        """Ask for a linearizable read; the answer is a ReadState with this context in a later Ready, index 0 when
        the read was refused. Works on leader and followers. Raises NotLeader(""), ProposalDropped."""
        quiet.wake(self)
        read_index.read_index(self, context)

    def persisted(self, index: int, term: int) -> None:
        """Entries up to (index, term), and everything handed out before them, are durable here. After a Ready with
        a snapshot and no entries: the snapshot's index and term."""
        if self.log.persist(index, term) and self.role == LEADER:
            if self.log.persisted >= self.term_start:
                self.term_durable = True
            leader.maybe_commit(self)

    def applied_to(self, index: int) -> None:
        """The machine has applied everything up to `index`."""
        assert index <= self.applying
        if index > self.applied:
            self.applied = index

    def trim(self, index: int) -> None:
        """Forget entries <= index from memory, as far as they are applied and persisted; the LogReader has them."""
        if index > self.applied:
            index = self.applied
        self.log.trim(index)
        self.history.forget(index)

    def snapshot_sent(self, peer: PeerId, ok: bool) -> None:
        """On the leader: a snapshot reached the peer and is durable there, or it did not."""
        progress = self.progress.get(peer)
        if progress is not None:
            snapshot.report_snapshot(self, progress, ok)

    def peer_unreachable(self, peer: PeerId) -> None:
        """On the leader: the connection to the peer broke; what was on its way may be lost."""
        progress = self.progress.get(peer)
        if progress is not None:
            leader.peer_unreachable(self, progress)

    def doubt_log(self) -> None:
        """At the start: the machine lost power, and this log was not synced before it acknowledged (`doubt.py`)."""
        self.doubtful = True

    def silence_until(self, index: int) -> None:
        """At the start: this peer forgot its log and its votes, was no member when the entry at `index` was committed,
        and is in the term in which that was, at the least. It neither votes nor campaigns before its log reaches that
        far: as only leaders of that term and later ones fill it, they all have that entry. Then no vote that it forgot
        can elect anybody any more, as who asked for it lacks that entry, and whatever it once acknowledged is here."""
        self.voice_index = index

    def peer_forgot(self, peer: PeerId) -> None:
        """On the leader: the peer came back with a doubtful log, or without one. Before anything else that comes from
        it now."""
        progress = self.progress.get(peer)
        if progress is not None:
            quiet.wake(self)
            doubt.forget_match(self, progress)

    def peer_silent(self, peer: PeerId) -> None:
        """Nothing came from the peer's node for `election_ticks_min` ticks: who slept in its care wakes up."""
        quiet.peer_silent(self, peer)

    def peer_back(self, peer: PeerId) -> None:
        """There is a new connection to the peer's node: who slept wakes up and looks."""
        quiet.peer_back(self, peer)

    # --- output ---------------------------------------------------------------------------------------------------

    def has_ready(self) -> bool:
        return (
            self.flush_due
            or self.log.handed < self.log.last_index
            or self.applying < self.commit
            or len(self.messages) > 0
            or len(self.messages_after_sync) > 0
            or self.term != self.handed_term
            or self.vote != self.handed_vote
            or len(self.read_states) > 0
            or self.pending_snapshot is not None
            or self.role != self.handed_role
            or self.leader != self.handed_leader
        )

    def ready(self) -> Ready:
        """Everything gathered since the last call, which is now the caller's."""
        if self.flush_due and self.role == LEADER:
            leader.flush(self)
        hard_state: HardState | None = None
        if self.term != self.handed_term or self.vote != self.handed_vote:
            hard_state = HardState(self.term, self.vote)
            self.handed_term = self.term
            self.handed_vote = self.vote
        entries = self.log.take_unwritten()
        pending = self.pending_snapshot
        lazy = hard_state is None and pending is None
        if lazy:
            for entry in entries:
                if entry.kind != ENTRY_LAZY:
                    lazy = False
                    break
        soft_state_changed = self.role != self.handed_role or self.leader != self.handed_leader
        self.handed_role = self.role
        self.handed_leader = self.leader
        found = Ready(
            hard_state,
            entries,
            pending,
            self.messages,
            self.messages_after_sync,
            self._take_committed(),
            self.read_states,
            soft_state_changed,
            lazy,
        )
        self.messages = []
        self.messages_after_sync = []
        self.read_states = []
        self.pending_snapshot = None
        return found

    def _take_committed(self) -> list[Entry]:
        if self.applying == self.commit:
            return []
        entries = self.log.slice(self.applying + 1, self.commit + 1, self.config.committed_bytes_max)
        self.applying = entries[len(entries) - 1].index
        return entries

    # --- questions ------------------------------------------------------------------------------------------------

    @property
    def memory_bytes(self) -> int:
        """What the entries in memory cost."""
        return self.log.memory_bytes

    @property
    def last_index(self) -> int:
        """The end of the log, durable or not."""
        return self.log.last_index

    def is_learner(self) -> bool:
        return self.peer_id in self.membership.learners

    def is_voter(self) -> bool:
        return self.peer_id in self.membership.voters

    def is_member(self) -> bool:
        return self.membership.contains(self.peer_id)

    def membership_at(self, index: int) -> Membership:
        """The membership in force at `index`, for the snapshot at `index`; not below the last `trim`."""
        return self.history.at(index)

    def status(self) -> Status:
        peers: list[PeerStatus] = []
        for peer in self.peers:
            lag = self.log.last_index - peer.match
            peers.append(
                PeerStatus(
                    peer.peer, peer.match, peer.next_index, STATE_NAMES[peer.state], peer.active, not peer.is_voter, lag
                )
            )
        return Status(
            self.peer_id,
            self.group,
            ROLE_NAMES[self.role],
            self.leader,
            self.term,
            self.vote,
            self.commit,
            self.applied,
            self.log.last_index,
            self.log.persisted,
            self.membership,
            self.transferee,
            peers,
        )
