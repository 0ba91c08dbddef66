"""What a peer does when a leader of its term speaks: append, learn the commit index, answer.

Not here: when to stop listening and campaign (`candidate.py`), and snapshots (`snapshot.py`).

Invariants: an entry at or below the commit index is never replaced; "I have everything up to index" leaves only after
the sync of the Ready that carries the entries; a refusal promises nothing and leaves at once.
"""

from __future__ import annotations

from raft.doubt import hear_commit
from raft.messages import APPEND_RESPONSE, HEARTBEAT_RESPONSE
from raft.state import FOLLOWER, LEADER, RaftState
from raft.types import Entry, Message, PeerId


def hear_leader(state: RaftState, message: Message) -> None:
    """Only a leader sends these kinds, and a term has one; whatever we were in this term, we follow now."""
    assert state.role != LEADER, "two leaders in one term"
    if state.role != FOLLOWER or state.leader != message.sender:
        state.become_follower(state.term, message.sender)
    state.election_elapsed = 0


def handle_append(state: RaftState, message: Message) -> None:
    """AppendEntries (Raft paper 5.3)."""
    hear_leader(state, message)
    log = state.log
    index = message.index
    if index < state.commit:
        # An old message. What is committed is common to both logs, so that is where the leader may go on.
        if state.doubtful:
            hear_commit(state, message)
        accept(state, message.sender, state.commit)
        return
    if not log.matches(index, message.log_term):
        _refuse(state, message)
        return
    entries = message.entries
    last_new = index + len(entries)
    if entries:
        if index == log.last_index:
            _append(state, entries)
        else:
            _append_new_part(state, entries)
    state.commit_to(message.commit if message.commit < last_new else last_new)
    if state.doubtful:
        hear_commit(state, message)
    accept(state, message.sender, last_new)


def _append_new_part(state: RaftState, entries: list[Entry]) -> None:
    """Skip what is already here; from the first difference on the leader's entries replace ours."""
    log = state.log
    for position in range(len(entries)):
        entry = entries[position]
        if not log.matches(entry.index, entry.term):
            assert entry.index > state.commit, "the leader contradicts a committed entry"
            if state.history.truncate(entry.index):
                state.membership = state.history.latest()
            _append(state, entries[position:] if position > 0 else entries)
            return


def _append(state: RaftState, entries: list[Entry]) -> None:
    state.log.replace_from(entries)
    state.note_memberships(entries)


def accept(state: RaftState, leader: PeerId, index: int) -> None:
    """Everything up to `index` matches; several answers in one Ready become one, as the last one says it all."""
    waiting = state.messages_after_sync
    if waiting:
        last = waiting[len(waiting) - 1]
        if (
            last.kind == APPEND_RESPONSE
            and last.receiver == leader
            and last.term == state.term
            and not last.reject
        ):
            if index > last.index:
                last.index = index
            return
    answer = state.new_message(APPEND_RESPONSE, leader)
    answer.index = index
    state.send_after_sync(answer)


def _refuse(state: RaftState, message: Message) -> None:
    """Say where our log could still meet the leader's, so that it skips whole terms instead of single entries."""
    log = state.log
    start = message.index if message.index < log.last_index else log.last_index
    hint = log.conflict_hint(start, message.log_term)
    answer = state.new_message(APPEND_RESPONSE, message.sender)
    answer.index = message.index
    answer.reject = True
    answer.hint = hint
    answer.log_term = log.term(hint)
    state.send(answer)


def handle_heartbeat(state: RaftState, message: Message) -> None:
    _learn_commit(state, message)
    answer = state.new_message(HEARTBEAT_RESPONSE, message.sender)
    answer.context = message.context
    state.send(answer)


def handle_commit(state: RaftState, message: Message) -> None:
    """COMMIT, and QUIET."""
    _learn_commit(state, message)
    if state.doubtful:
        hear_commit(state, message)


def _learn_commit(state: RaftState, message: Message) -> None:
    """The leader clips the commit index to what it knows to be here; beyond our log it can only be a mistake."""
    hear_leader(state, message)
    if message.commit <= state.log.last_index:
        state.commit_to(message.commit)
