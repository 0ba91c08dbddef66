"""Elections: asking for votes, giving them, counting them.

Not here: what the winner does (`leader.become_leader`), nor the term rule (`node.py`).

Rules: ask first without a new term whether one could win (pre-vote, thesis 9.6); a request for a real vote leaves only
after one's own vote is durable, and so does the answer; nobody who hears a leader votes, unless that leader itself
handed over; one vote a term, for a log at least as complete as one's own; learners, strangers and peers without any
membership never campaign, and the last never vote, nor does one that forgot (`RaftNode.silence_until`).
"""

from __future__ import annotations

from raft.doubt import count, is_sure
from raft.leader import become_leader
from raft.messages import PRE_VOTE, PRE_VOTE_RESPONSE, VOTE, VOTE_DOUBTFUL, VOTE_FORCED, VOTE_RESPONSE
from raft.quorum import LOST, WON
from raft.state import CANDIDATE, FOLLOWER, LEADER, PRE_CANDIDATE, RaftState
from raft.types import NO_PEER, Message, PeerId


def campaign(state: RaftState) -> None:
    """By pre-vote, as configured. Nothing happens on a leader, a candidate, or one that may not campaign."""
    if state.role != FOLLOWER or not state.may_campaign():
        return
    if not state.config.pre_vote or len(state.membership.voters) == 1:
        _campaign_for_votes(state, False)
        return
    _stand(state, PRE_CANDIDATE)
    for voter in state.membership.voters:
        if voter != state.peer_id:
            _ask_pre_vote(state, voter)


def _stand(state: RaftState, role: int) -> None:
    """We no longer believe in any leader, so we may also vote for others now."""
    state.refuse_reads()
    state.role = role
    state.leader = NO_PEER
    state.quiet = False
    state.reset_election_timer()
    state.votes = {}
    state.doubtful_votes = {}
    _note_vote(state, state.peer_id, True, state.doubtful)


def _campaign_for_votes(state: RaftState, forced: bool) -> None:
    _stand(state, CANDIDATE)
    state.enter_term(state.term + 1)
    state.vote = state.peer_id
    if count(state) == WON:
        _win(state)
        return
    for voter in state.membership.voters:
        if voter != state.peer_id:
            request = state.new_message(VOTE, voter)
            request.index = state.log.last_index
            request.log_term = state.log.last_term
            request.hint = VOTE_FORCED if forced else 0
            state.send_after_sync(request)


def _ask_pre_vote(state: RaftState, voter: PeerId) -> None:
    request = state.new_message(PRE_VOTE, voter)
    request.term = state.term + 1
    request.index = state.log.last_index
    request.log_term = state.log.last_term
    state.send(request)


def _note_vote(state: RaftState, voter: PeerId, granted: bool, doubtful: bool) -> None:
    state.votes[voter] = granted
    if doubtful:
        state.doubtful_votes[voter] = True


def _win(state: RaftState) -> None:
    in_doubt = not is_sure(state)
    become_leader(state)
    state.elected_in_doubt = in_doubt


def handle_vote(state: RaftState, message: Message) -> None:
    """The term rule has already brought us into the candidate's term, or dropped the message."""
    free = state.vote == message.sender or (state.vote == NO_PEER and state.leader == NO_PEER)
    granted = free and state.has_voice() and state.log.is_up_to_date(message.index, message.log_term)
    answer = state.new_message(VOTE_RESPONSE, message.sender)
    answer.reject = not granted
    answer.hint = VOTE_DOUBTFUL if granted and state.doubtful else 0
    if granted:
        if state.role != FOLLOWER:
            # A pre-candidate: it asked whether it could win, and now helps somebody else to.
            state.become_follower(state.term, NO_PEER)
        state.vote = message.sender
        state.election_elapsed = 0
    state.send_after_sync(answer)


def handle_pre_vote(state: RaftState, message: Message) -> None:
    """Could you win? Nothing changes here and nothing is promised, so the answer waits for nothing."""
    granted = (
        message.term > state.term
        and not state.hears_leader()
        and state.has_voice()
        and state.log.is_up_to_date(message.index, message.log_term)
        and not _comes_first(state, message)
    )
    answer = state.new_message(PRE_VOTE_RESPONSE, message.sender)
    answer.reject = not granted
    if granted:
        answer.term = message.term
        answer.hint = VOTE_DOUBTFUL if state.doubtful else 0
    state.send(answer)
    if not granted and state.role == PRE_CANDIDATE and _comes_first(state, message):
        # It may have refused us while it still heard the old leader; now it does not, as it campaigns itself.
        _ask_pre_vote(state, message.sender)


def _comes_first(state: RaftState, message: Message) -> bool:
    """Two that campaign at the same moment with equal logs would split the votes; the smaller peer id goes first."""
    return (
        (state.role == PRE_CANDIDATE or state.role == CANDIDATE)
        and message.index == state.log.last_index
        and message.log_term == state.log.last_term
        and state.peer_id < message.sender
    )


def handle_pre_vote_response(state: RaftState, message: Message) -> None:
    if state.role != PRE_CANDIDATE or (not message.reject and message.term != state.term + 1):
        return
    _note_vote(state, message.sender, not message.reject, message.hint == VOTE_DOUBTFUL)
    result = count(state)
    if result == WON:
        _campaign_for_votes(state, False)
    elif result == LOST:
        state.become_follower(state.term, NO_PEER)


def handle_vote_response(state: RaftState, message: Message) -> None:
    if state.role != CANDIDATE:
        return
    _note_vote(state, message.sender, not message.reject, message.hint == VOTE_DOUBTFUL)
    result = count(state)
    if result == WON:
        _win(state)
    elif result == LOST:
        state.become_follower(state.term, NO_PEER)


def handle_timeout_now(state: RaftState, message: Message) -> None:
    """The leader hands over to us; everybody may vote although they heard it a moment ago."""
    if state.role != LEADER and state.may_campaign():
        _campaign_for_votes(state, True)


def tick_follower(state: RaftState) -> None:
    """Followers and candidates alike: long silence starts a new attempt. A lone voter waits for nobody."""
    state.election_elapsed += 1
    voters = state.membership.voters
    if state.election_elapsed < state.election_timeout and (len(voters) != 1 or voters[0] != state.peer_id):
        return
    if not state.may_campaign():
        return
    if state.role != FOLLOWER:
        state.become_follower(state.term, NO_PEER)
    campaign(state)
