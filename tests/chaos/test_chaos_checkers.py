"""The chaos checkers judged by known-good and known-bad histories: a checker that finds nothing bad finds nothing."""

from __future__ import annotations

from clients.history import Stored

from chaos.checkers.messages import check_messages
from chaos.checkers.outage import gaps, outage_figures
from chaos.checkers.replicas import check_replicas
from chaos.history import FAILED, OK, UNKNOWN, Operation
from chaos.workloads.publish import payload_of


def publish(value: str, start_s: float, end_s: float, sequence: int, outcome: str = OK) -> Operation:
    return Operation("p", "publish", value, start_s, end_s, outcome, sequence)


def stored(*values: str) -> list[Stored]:
    return [Stored(sequence, "", payload_of(value)) for sequence, value in enumerate(values, 1)]


GOOD = [publish("a", 0, 1, 1), publish("b", 1.1, 2, 2), publish("c", 2.1, 3, 3)]


def complaints(sent: list[Operation], held: list[Stored]) -> dict[str, list[str]]:
    return {kind: cases for kind, cases in check_messages(sent, held, payload_of).items() if cases}


def test_a_good_history_has_no_complaint() -> None:
    assert complaints(GOOD, stored("a", "b", "c")) == {}


def test_what_nobody_answered_may_be_stored_or_not() -> None:
    unsure = publish("d", 3, 8, 0, UNKNOWN)
    assert complaints([*GOOD, unsure], stored("a", "b", "c")) == {}
    assert complaints([*GOOD, unsure], stored("a", "b", "c", "d")) == {}


def test_what_was_refused_must_not_be_stored() -> None:
    refused = publish("d", 3, 4, 0, FAILED)
    assert complaints([*GOOD, refused], stored("a", "b", "c")) == {}
    assert list(complaints([*GOOD, refused], stored("a", "b", "c", "d"))) == ["refused and stored"]


def test_acknowledged_and_lost_is_found() -> None:
    assert list(complaints(GOOD, stored("a", "b"))) == ["acknowledged and lost"]
    assert len(complaints(GOOD, [])["acknowledged and lost"]) == 3


def test_stored_twice_is_found() -> None:
    assert list(complaints(GOOD, stored("a", "b", "c", "a"))) == ["stored twice"]


def test_a_changed_message_is_found() -> None:
    held = stored("a", "b", "c")
    held[1] = Stored(2, "", payload_of("b")[:-1] + b"!")
    assert "never sent" in complaints(GOOD, held)


def test_one_sequence_for_two_messages_is_found() -> None:
    sent = [publish("a", 0, 1, 1), publish("b", 0, 1, 1)]
    assert "one sequence for two" in complaints(sent, stored("a", "b"))


def test_overlapping_messages_may_be_stored_in_any_order() -> None:
    sent = [publish("a", 0, 2, 2), publish("b", 1, 3, 1)]
    assert complaints(sent, stored("b", "a")) == {}


def test_a_message_stored_before_one_that_was_acknowledged_earlier_is_found() -> None:
    sent = [publish("a", 0, 1, 2), publish("b", 1.5, 3, 1)]
    assert complaints(sent, stored("b", "a")) == {"out of order": ["b at 1, sent after a was told 2"]}


def replica(*values: str) -> dict[int, Stored]:
    return {each.sequence: each for each in stored(*values)}


def test_equal_replicas_have_no_complaint() -> None:
    assert check_replicas({name: replica("a", "b") for name in ("n1", "n2", "n3")}) == []


def test_replicas_that_differ_are_found() -> None:
    lacking = {"n1": replica("a", "b"), "n2": replica("a"), "n3": replica("a", "b")}
    assert check_replicas(lacking) == ["2: n2 lacks it", "2: n2 lacks it"]
    other = {"n1": replica("a", "b"), "n2": replica("a", "c"), "n3": replica("a", "b")}
    assert check_replicas(other) == [
        "2: n1 and n2 hold different messages",
        "2: n2 and n3 hold different messages",
    ]


def test_a_replica_that_could_not_be_read_is_a_complaint() -> None:
    assert check_replicas({"n1": replica("a"), "n2": replica("a")}) == ["only n1, n2 of 3 could be read"]


def test_the_longest_outage_counts_to_the_end_of_the_load() -> None:
    sent = [publish("a", 0, 1, 1), publish("b", 1, 1.5, 2), publish("c", 4, 4.5, 3)]
    assert gaps(sent, ("publish",))[0].seconds == 3.0
    silent = [*sent, publish("d", 20, -1, 0, UNKNOWN)]
    assert gaps(silent, ("publish",))[0].seconds == 15.5


def test_an_outage_is_nobodys_success_and_the_worst_clients_is_told_too() -> None:
    one = [Operation("p0", "publish", f"a{at}", at, at, OK, at) for at in range(10)]
    other = [Operation("p1", "publish", f"b{at}", at + 0.5, at + 0.5, OK, at) for at in (0, 8, 9)]
    figures = outage_figures([*one, *other], ("publish",), ("read",))
    assert figures == {"longest write outage s": 1.0, "worst client's write outage s": 8.0}
