"""The history checker judged by known-good and known-bad histories."""

from __future__ import annotations

from clients.history import Publish, Stored, judge, longest_gap_s


def sent(count: int = 3) -> list[Publish]:
    return [Publish(f"m{i}", f"body {i}".encode(), sequence=i, acked_at_s=float(i)) for i in range(1, count + 1)]


def stored(count: int = 3) -> list[Stored]:
    return [Stored(i, f"m{i}", f"body {i}".encode()) for i in range(1, count + 1)]


def test_a_good_history_has_no_complaint() -> None:
    assert judge(sent(), stored()) == []
    assert judge([], []) == []


def test_an_unacknowledged_message_may_be_there_or_not() -> None:
    unsure = Publish("m4", b"body 4")
    assert judge([*sent(), unsure], stored()) == []
    assert judge([*sent(), unsure], stored(4)) == []


def test_a_lost_message_is_found() -> None:
    assert judge(sent(), stored(2)) == ["lost: m3 was acknowledged at 3"]


def test_a_message_stored_twice_is_found() -> None:
    assert judge(sent(), [*stored(), Stored(4, "m1", b"body 1")]) == ["stored twice: m1 at 1 and 4"]


def test_a_message_at_another_sequence_is_found() -> None:
    swapped = [Stored(1, "m2", b"body 2"), Stored(2, "m1", b"body 1"), stored()[2]]
    assert judge(sent(), swapped) == [
        "moved: m1 acknowledged at 1, stored at 2",
        "moved: m2 acknowledged at 2, stored at 1",
    ]


def test_a_changed_body_a_hole_and_a_stranger_are_found() -> None:
    odd = [Stored(1, "m1", b"body 1"), Stored(2, "m2", b"BODY 2"), Stored(4, "m3", b"body 3"), Stored(5, "who", b"?")]
    assert judge(sent(), odd) == [
        "changed: m2 at 2",
        "hole: sequence 3 expected, 4 found",
        "never sent: who at 5",
        "moved: m3 acknowledged at 3, stored at 4",
    ]


def test_the_longest_gap_is_between_neighbouring_acknowledgements() -> None:
    times = [1.0, 1.1, 4.1, 4.2]
    history = [Publish(f"m{i}", b"", sequence=i + 1, acked_at_s=at) for i, at in enumerate(times)]
    assert abs(longest_gap_s(list(reversed(history))) - 3.0) < 1e-9
    assert longest_gap_s([]) == 0.0
