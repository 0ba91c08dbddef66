"""Who is looked at when: each once, never late, and not at all after it is gone."""

from __future__ import annotations

from broker.jetstream.deadlines import Deadlines


def test_those_whose_time_has_come_are_found_in_the_order_of_their_deadlines() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.arm("late", 300)
    deadlines.arm("early", 100)
    deadlines.arm("never", 0)
    assert deadlines.next_deadline_ns() == 100
    assert deadlines.take_due(99) == []
    assert deadlines.take_due(300) == ["early", "late"]
    assert deadlines.next_deadline_ns() == 0


def test_a_deadline_that_comes_nearer_counts_and_is_found_once() -> None:
    deadlines: Deadlines[int] = Deadlines()
    deadlines.arm(7, 300)
    deadlines.arm(7, 100)
    assert deadlines.take_due(100) == [7]
    assert deadlines.take_due(300) == []


def test_a_deadline_that_moved_back_is_found_early_and_armed_again() -> None:
    deadlines: Deadlines[int] = Deadlines()
    deadlines.arm(7, 100)
    deadlines.arm(7, 300)
    assert deadlines.take_due(100) == [7]
    deadlines.arm(7, 300)
    assert deadlines.take_due(300) == [7]
