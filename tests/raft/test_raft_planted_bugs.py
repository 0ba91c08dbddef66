"""The simulation is worth something only if it finds bugs: each classic one, planted, is found within a few seeds.

Planting replaces a function of an interpreted module; compiled modules can not be changed like that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from raft_replica import FakeDisk
from raft_simulation import Simulation

import raft.candidate
import raft.follower
import raft.leader
from raft.log import RaftLog
from raft.node import RaftNode
from raft.quorum import reached_by_majority
from raft.ready import Ready
from raft.state import RaftState
from raft.types import Message

pytestmark = pytest.mark.skipif(
    raft.leader.__file__.endswith(".so"), reason="bugs are planted into interpreted modules only"
)

Plant = Callable[[pytest.MonkeyPatch], None]


def vote_is_not_durable(patch: pytest.MonkeyPatch) -> None:
    write = FakeDisk.write

    def forgetful(disk: FakeDisk, ready: Ready) -> None:
        if ready.hard_state is not None:
            ready.hard_state.vote = ""
        write(disk, ready)

    patch.setattr(FakeDisk, "write", forgetful)


def answers_leave_before_the_sync(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RaftState, "send_after_sync", RaftState.send)


def leader_counts_itself_before_its_sync(patch: pytest.MonkeyPatch) -> None:
    take = RaftLog.take_unwritten

    def hasty(log: RaftLog) -> Any:
        entries = take(log)
        log.persisted = log.last_index
        return entries

    patch.setattr(RaftLog, "take_unwritten", hasty)


def old_terms_are_committed_by_counting(patch: pytest.MonkeyPatch) -> None:
    """The Raft paper's figure 8. It takes a rare schedule, so the no-op that hides it goes too."""

    def careless(state: RaftState) -> bool:
        matches = [
            state.log.persisted if voter == state.peer_id else state.progress[voter].match
            for voter in state.membership.voters
        ]
        index = reached_by_majority(matches)
        if index <= state.commit:
            return False
        state.uncommitted_bytes = 0
        state.commit = index
        state.flush_due = True
        return True

    patch.setattr(raft.leader, "maybe_commit", careless)


def any_log_gets_a_vote(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RaftLog, "is_up_to_date", lambda log, index, term: True)


def conflicts_are_not_truncated(patch: pytest.MonkeyPatch) -> None:
    def lazy(log: RaftLog, index: int, term: int) -> bool:
        return index <= log.last_index

    patch.setattr(RaftLog, "matches", lazy)


def reads_are_answered_without_a_quorum(patch: pytest.MonkeyPatch) -> None:
    def trusting(state: RaftState) -> None:
        for progress in state.peers:
            progress.read_round = state.read_round
        raft.read_index.confirm_reads(state)

    patch.setattr(raft.leader, "confirm_reads", trusting)


def a_vote_is_given_twice(patch: pytest.MonkeyPatch) -> None:
    handle = raft.candidate.handle_vote

    def generous(state: RaftState, message: Message) -> None:
        state.vote = ""
        state.leader = ""
        handle(state, message)

    patch.setitem(RaftNode.__init__.__globals__, "_HANDLERS", _with_vote_handler(generous))


def _with_vote_handler(handler: Callable[[RaftState, Message], None]) -> Any:
    import raft.node as node

    rows = [list(row) for row in node._HANDLERS]
    for row in rows:
        row[node.VOTE] = handler
    return rows


BUGS: list[Plant] = [
    vote_is_not_durable,
    answers_leave_before_the_sync,
    leader_counts_itself_before_its_sync,
    old_terms_are_committed_by_counting,
    any_log_gets_a_vote,
    conflicts_are_not_truncated,
    reads_are_answered_without_a_quorum,
    a_vote_is_given_twice,
]


@pytest.mark.parametrize("plant", BUGS, ids=[plant.__name__ for plant in BUGS])
def test_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    for seed in range(200):
        storm = 0.007 * (1 + seed % 5)
        simulation = Simulation(
            seed, 3, 0, storm, pre_vote=seed % 2 == 1, check_quorum=False, append_bytes_max=1, inflight_max=1
        )
        try:
            simulation.run(6000)
        except AssertionError:
            return
    pytest.fail("the simulation did not notice")
