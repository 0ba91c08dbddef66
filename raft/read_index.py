"""Linearizable reads without a log entry (ReadIndex, thesis 6.4): no leases, no clocks.

Not here: waiting until the index is applied; that is the caller's.

How: a read remembers the commit index at its arrival (at least the first entry of the leader's own term, because only
that one proves what earlier terms committed), then waits for a round of heartbeats that began after it; a majority's
answers prove that no later leader existed when the round began. Reads of one turn share a round; rounds are numbered,
and an answer to a later round confirms all earlier ones. A follower passes its reads to the leader.

Invariants: `reads` is in the order of rounds; it is bounded by `reads_pending_max`; a read is answered once or refused.
"""

from __future__ import annotations

from raft.errors import NotLeader, ProposalDropped
from raft.messages import READ_INDEX, READ_INDEX_RESPONSE
from raft.quorum import reached_by_majority
from raft.ready import ReadState
from raft.state import LEADER, PendingRead, RaftState
from raft.types import NO_PEER, Message, PeerId


def read_index(state: RaftState, context: int) -> None:
    """Raises NotLeader("") when there is nobody to ask, ProposalDropped when too many reads wait."""
    if len(state.reads) >= state.config.reads_pending_max:
        raise ProposalDropped("too many reads are waiting")
    if state.role == LEADER:
        _remember(state, state.peer_id, context)
        return
    if state.leader == NO_PEER:
        raise NotLeader(NO_PEER)
    state.reads.append(PendingRead(context, state.peer_id, 0, state.config.election_ticks_max))
    question = state.new_message(READ_INDEX, state.leader)
    question.context = context
    state.send(question)


def _remember(state: RaftState, origin: PeerId, context: int) -> None:
    index = state.commit if state.commit > state.term_start else state.term_start
    state.reads.append(PendingRead(context, origin, index, state.read_round + 1))
    state.read_due = True
    state.flush_due = True


def begin_round(state: RaftState) -> None:
    """The reads gathered so far are confirmed by the heartbeats that leave now."""
    state.read_due = False
    state.read_round += 1


def confirm_reads(state: RaftState) -> None:
    """Answer every read whose round a majority has answered."""
    if not state.reads:
        return
    rounds: list[int] = []
    for voter in state.membership.voters:
        rounds.append(state.read_round if voter == state.peer_id else state.progress[voter].read_round)
    confirmed = reached_by_majority(rounds)
    done = 0
    for read in state.reads:
        if read.round > confirmed:
            break
        done += 1
        _answer(state, read.origin, read.context, read.index)
    if done:
        del state.reads[:done]


def _answer(state: RaftState, origin: PeerId, context: int, index: int) -> None:
    if origin == state.peer_id:
        state.read_states.append(ReadState(context, index))
        return
    answer = state.new_message(READ_INDEX_RESPONSE, origin)
    answer.context = context
    answer.index = index
    state.send(answer)


def handle_read_index(state: RaftState, message: Message) -> None:
    """A follower's read; refused by index 0 when this peer does not lead or has too much to do."""
    if state.role != LEADER or len(state.reads) >= state.config.reads_pending_max:
        _answer(state, message.sender, message.context, 0)
        return
    _remember(state, message.sender, message.context)


def handle_read_index_response(state: RaftState, message: Message) -> None:
    """An answer that comes twice, or after the read was given up, finds nothing here."""
    for position in range(len(state.reads)):
        read = state.reads[position]
        if read.context == message.context and read.origin == state.peer_id:
            del state.reads[position]
            state.read_states.append(ReadState(message.context, message.index))
            return


def tick_reads(state: RaftState) -> None:
    """On a follower: questions and answers get lost, so a read that was passed on is refused after a while."""
    expired = 0
    for read in state.reads:
        read.round -= 1
        if read.round <= 0:
            expired += 1
    for position in range(expired):
        state.read_states.append(ReadState(state.reads[position].context, 0))
    del state.reads[:expired]
