"""Answers that are expected from peers, and those that never come."""

import random

from broker.cluster.links.answers import Answers
from broker.cluster.links.transport import LinkTable
from broker.core.router import Router


def answers() -> Answers:
    return Answers(Router(random.Random(1)), LinkTable("n1", "c", 1, "", "", [], random.Random(1)))


def test_what_a_lost_peer_still_owed_is_told_to_who_waits() -> None:
    room = answers()
    for number in range(4):
        room.expect("peer", b"inbox.%d" % number, b"S.a")
        if number == 1:
            room.forget_old()
    room.received("peer", b"inbox.0", b"", b"", 0, b"{}")
    room.received("peer", b"inbox.3", b"", b"", 0, b"{}")
    room.received("peer", b"inbox.9", b"", b"", 0, b"{}")
    assert room.expected_count("peer") == 2
    assert room.take_expected("peer") == {b"inbox.1": b"S.a", b"inbox.2": b"S.a"}
    assert room.expected_count("peer") == 0


def test_answers_that_never_come_do_not_fill_the_bound_for_ever() -> None:
    room = answers()
    for number in range(100):
        room.expect("peer", b"inbox.%d" % number, b"S.a")
    room.forget_old()
    assert room.expected_count("peer") == 100
    room.forget_old()
    assert room.expected_count("peer") == 0
    assert room.take_expected("peer") == {}
