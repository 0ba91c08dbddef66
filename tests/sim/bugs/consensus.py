"""Planted into Raft and its engine: what is promised, counted, voted and kept."""

from collections.abc import Iterator
from typing import Any

import raft.candidate
import raft.leader
import raft.node
from raft.log import RaftLog
from raft.quorum import reached_by_majority
from raft.state import RaftState
from raft.types import Message
from sim.bugs.planting import elections, planted, rivals, slow_disks
from sim.replacing import replaced
from storage.wal import Wal


@planted(elections, "sending")
def vote_is_not_persisted() -> Iterator[None]:
    """The term goes to the disk, the vote in it does not."""
    write = Wal.set_hard_state
    with replaced(Wal, "set_hard_state", lambda wal, group, term, vote: write(wal, group, term, "")):
        yield


@planted(elections, "sending")
def answers_leave_before_the_sync() -> Iterator[None]:
    """A follower says that it has entries, and gives votes, before they are on its disk."""
    with replaced(RaftState, "send_after_sync", RaftState.send):
        yield


@planted(slow_disks, "commits")
def leader_counts_itself_before_its_sync() -> Iterator[None]:
    """The leader's own copy counts as soon as it is handed to the disk."""
    take = RaftLog.take_unwritten

    def hasty(log: RaftLog) -> Any:
        entries = take(log)
        log.persisted = log.last_index
        return entries

    with replaced(RaftLog, "take_unwritten", hasty):
        yield


@planted(elections, "commits")
def one_copy_is_enough_to_commit() -> Iterator[None]:
    """Ack before quorum: what one of the replicas has is committed."""
    with replaced(raft.leader, "reached_by_majority", lambda matches: max(matches)):
        yield


@planted(slow_disks, "commits")
def old_terms_are_committed_by_counting() -> Iterator[None]:
    """The Raft paper's figure 8: copies of an entry of an earlier term are counted as if it were the leader's own."""

    def careless(state: RaftState) -> bool:
        log = state.log
        matches = [log.persisted if v == state.peer_id else state.progress[v].match for v in state.membership.voters]
        index = reached_by_majority(matches)
        if index <= state.commit:
            return False
        state.uncommitted_bytes = 0
        state.commit = index
        state.flush_due = True
        return True

    with replaced(raft.leader, "maybe_commit", careless):
        yield


@planted(rivals, "leaders")
def any_log_gets_a_vote() -> Iterator[None]:
    """Votes are given to candidates that lack what the voter has."""
    with replaced(RaftLog, "is_up_to_date", lambda log, index, term: True):
        yield


@planted(rivals, "log matching")
def conflicts_are_not_replaced() -> Iterator[None]:
    """A follower takes an entry of another term at the right index for the leader's."""
    with replaced(RaftLog, "matches", lambda log, index, term: index <= log.last_index):
        yield


@planted(rivals, "hard states")
def a_vote_is_given_twice() -> Iterator[None]:
    """Whoever asks for a vote gets it, whomever it was given to before in this term; and nobody asks first whether it
    could win, which hides it."""
    handle = raft.candidate.handle_vote

    def generous(state: RaftState, message: Message) -> None:
        state.vote = ""
        state.leader = ""
        handle(state, message)

    rows = [list(row) for row in raft.node._HANDLERS]
    for row in rows:
        row[raft.node.VOTE] = generous
    stand = raft.candidate._campaign_for_votes

    def at_once(state: RaftState) -> None:
        if state.role == raft.node.FOLLOWER and state.may_campaign():
            stand(state, False)

    with replaced(raft.node, "_HANDLERS", rows), replaced(raft.candidate, "campaign", at_once):
        yield
