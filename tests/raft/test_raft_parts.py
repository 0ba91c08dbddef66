"""The parts under the rules: the log's two halves, majorities, the window, membership arithmetic, bounds of reads."""

from __future__ import annotations

import random

import pytest
from raft_replica import FakeDisk, Replica

from raft.config import RaftConfig
from raft.errors import Compacted, MembershipRefused, NotLeader, ProposalDropped
from raft.log import RaftLog
from raft.membership import ADD_LEARNER, PROMOTE, REMOVE, MembershipChange, MembershipHistory, changed
from raft.messages import PRE_VOTE, PRE_VOTE_RESPONSE, VOTE, VOTE_RESPONSE
from raft.node import FOLLOWER, LEADER
from raft.progress import PROBE, InflightWindow, Progress
from raft.quorum import LOST, PENDING, WON, majority, reached_by_majority, vote_result
from raft.types import ENTRY_OVERHEAD_BYTES, Entry, Membership, Message, Snapshot


def log_of(*terms: int) -> tuple[RaftLog, FakeDisk]:
    """A log whose entries 1, 2, … have these terms and are on disk only, as after a restart."""
    disk = FakeDisk(Membership(()))
    disk.kept = [Entry(i + 1, term, 0, b"data") for i, term in enumerate(terms)]
    return RaftLog(disk, len(terms), terms[-1] if terms else 0), disk


def test_majorities() -> None:
    assert [majority(n) for n in (1, 2, 3, 4, 5)] == [1, 2, 2, 3, 3]
    rng = random.Random(1)
    for size in range(1, 8):
        for _ in range(100):
            values = [rng.randrange(10) for _ in range(size)]
            reached = reached_by_majority(list(values))
            assert sum(value >= reached for value in values) >= majority(size)
            assert sum(value > reached for value in values) < majority(size)
    assert reached_by_majority([]) == 0


def test_votes() -> None:
    assert vote_result(2, 0, 3) == WON
    assert vote_result(1, 1, 3) == PENDING
    assert vote_result(1, 2, 3) == LOST
    assert vote_result(2, 2, 4) == LOST
    assert vote_result(0, 0, 0) == LOST


def test_the_log_reads_across_disk_and_memory() -> None:
    log, _ = log_of(1, 1, 2)
    log.append(Entry(4, 3, 0, b"four"))
    log.append(Entry(5, 3, 0, b"five"))
    assert [entry.index for entry in log.slice(1, 6, 1000)] == [1, 2, 3, 4, 5]
    assert [entry.index for entry in log.slice(2, 6, 12)] == [2, 3, 4]
    assert [entry.index for entry in log.slice(4, 6, 1)] == [4]
    assert [log.term(i) for i in range(6)] == [0, 1, 1, 2, 3, 3]
    assert log.memory_bytes == 8 + 2 * ENTRY_OVERHEAD_BYTES


def test_truncation_below_memory_hides_what_the_disk_still_has() -> None:
    log, _ = log_of(1, 1, 1)
    log.replace_from([Entry(2, 2, 0, b"new")])
    assert [(entry.index, entry.term) for entry in log.slice(1, 3, 1000)] == [(1, 1), (2, 2)]
    assert log.last_index == 2 and log.persisted == 1
    assert not log.matches(3, 1)
    assert [entry.index for entry in log.take_unwritten()] == [2]


def test_confirmations_of_replaced_entries_are_ignored() -> None:
    log, disk = log_of(1)
    log.append(Entry(2, 1, 0, b"old"))
    log.take_unwritten()
    log.replace_from([Entry(2, 2, 0, b"new")])
    log.take_unwritten()
    assert not log.persist(2, 1)
    assert log.persist(2, 2)
    disk.kept.append(Entry(2, 2, 0, b"new"))
    log.trim(2)
    assert log.memory_bytes == 0 and log.offset == 3
    assert log.term(2) == 2


def test_nothing_is_trimmed_that_is_not_persisted() -> None:
    log, _ = log_of(1)
    log.append(Entry(2, 1, 0, b"x"))
    log.trim(2)
    assert len(log.entries) == 1


def test_a_restored_log_ends_at_its_snapshot() -> None:
    log, _ = log_of(1, 1, 1)
    log.restore(10, 4)
    assert (log.first_index(), log.last_index, log.term(10)) == (11, 10, 4)
    for lost in (3, 9):
        with pytest.raises(Compacted):
            log.term(lost)
    with pytest.raises(Compacted):
        log.slice(10, 11, 100)
    assert log.persist(10, 4)


def test_conflict_hints_skip_whole_terms() -> None:
    log, _ = log_of(1, 1, 4, 4, 4, 6)
    assert log.conflict_hint(6, 5) == 5
    assert log.conflict_hint(5, 3) == 2
    assert log.conflict_hint(2, 0) == 0


def test_the_window() -> None:
    window = InflightWindow(3)
    for index in (5, 6, 9):
        window.add(index)
    assert window.is_full()
    window.free_to(4)
    assert window.is_full()
    window.free_to(6)
    assert window.count() == 1
    window.free_first()
    window.free_first()
    assert window.count() == 0
    for index in range(1000):
        window.add(index)
        window.free_to(index - 1)
    assert len(window.marks) <= 8


def test_old_refusals_are_ignored() -> None:
    peer = Progress("n2", 10, 4, True)
    assert not peer.refuse(7, 3)
    assert peer.refuse(9, 3) and peer.next_index == 4
    assert peer.acknowledge(5)
    peer.become_replicate()
    assert not peer.refuse(5, 1)
    assert peer.refuse(8, 5) and peer.state == PROBE and peer.next_index == 6


def test_membership_arithmetic() -> None:
    three = Membership(("c", "a", "b"))
    assert three.voters == ("a", "b", "c")
    with_learner = changed(three, MembershipChange(ADD_LEARNER, "d"))
    assert with_learner == Membership(("a", "b", "c"), ("d",))
    assert changed(with_learner, MembershipChange(PROMOTE, "d")) == Membership(("a", "b", "c", "d"))
    assert changed(with_learner, MembershipChange(REMOVE, "d")) == three
    with pytest.raises(MembershipRefused):
        changed(Membership(("a",), ("b",)), MembershipChange(REMOVE, "a"))


def test_membership_history() -> None:
    history = MembershipHistory(3, Membership(("a",)))
    history.append(5, Membership(("a", "b")))
    history.append(9, Membership(("a", "b", "c")))
    assert [len(history.at(i).voters) for i in (3, 4, 5, 8, 9, 20)] == [1, 1, 2, 2, 3, 3]
    assert history.truncate(6) and not history.truncate(6)
    assert history.latest_index() == 5
    history.forget(7)
    assert history.indexes == [5]
    assert not history.truncate(1)


def lone_leader() -> Replica:
    replica = Replica(RaftConfig("n1", 1, reads_pending_max=2), Membership(("n1",)), random.Random(1))
    replica.node.campaign()
    return replica


def test_waiting_reads_are_bounded() -> None:
    node = lone_leader().node
    node.read_index(1)
    node.read_index(2)
    with pytest.raises(ProposalDropped):
        node.read_index(3)


def test_resigning() -> None:
    node = lone_leader().node
    assert node.role == LEADER
    node.resign()
    assert node.role == FOLLOWER
    with pytest.raises(NotLeader):
        node.propose(b"x")


def test_a_restart_begins_at_the_snapshot() -> None:
    replica = Replica(RaftConfig("n1", 1), Membership(()), random.Random(1))
    replica.disk.base = Snapshot(7, 3, Membership(("n1", "n2", "n3")), b"")
    replica.disk.kept = [Entry(8, 3, 0, b"x")]
    replica.restart()
    node = replica.node
    assert (node.commit, node.applied, node.last_index) == (7, 7, 8)
    assert node.membership.voters == ("n1", "n2", "n3")
    assert not node.has_ready()


def test_status_names_everything() -> None:
    status = lone_leader().node.status()
    assert (status.role, status.leader, status.term, status.last_index, status.persisted) == ("leader", "n1", 1, 1, 0)
    assert status.peers == []


@pytest.mark.parametrize("last", [7, 8, 9])
def test_a_peer_that_forgot_keeps_silent_until_its_log_reaches_far_enough(last: int) -> None:
    """Its log begins with a snapshot from before it left the group, in which it still was a voter."""
    replica = Replica(RaftConfig("n1", 1), Membership(()), random.Random(1))
    replica.disk.base = Snapshot(7, 3, Membership(("n1", "n2", "n3")), b"")
    replica.disk.kept = [Entry(index, 3, 0, b"x") for index in range(8, last + 1)]
    replica.restart()
    node = replica.node
    node.silence_until(9)

    def grants(kind: int, term: int) -> bool:
        request = Message(kind, 1, "n2", "n1", term)
        request.index, request.log_term = 20, 3
        node.step(request)
        ready = node.ready()
        said = [*ready.messages, *ready.messages_after_sync]
        answers = [message.reject for message in said if message.kind in (PRE_VOTE_RESPONSE, VOTE_RESPONSE)]
        return answers == [False]

    has_a_voice = last == 9
    assert node.may_campaign() == has_a_voice
    assert grants(PRE_VOTE, 4) == has_a_voice
    assert grants(VOTE, 5) == has_a_voice
    node.campaign()
    assert (node.role == FOLLOWER) == (not has_a_voice)
