"""The checkers of compare-and-set, of work queues and of stream life, judged by known-good and known-bad histories."""

from __future__ import annotations

from chaos.checkers.cas import WRONG_LAST, CasOperation, check_cas
from chaos.checkers.outage import Span
from chaos.checkers.queue import Delivery, check_queue
from chaos.checkers.streams import StreamOperation, check_streams
from chaos.history import FAILED, OK, UNKNOWN, Operation


def found(complaints: dict[str, list[str]]) -> dict[str, int]:
    return {kind: len(cases) for kind, cases in complaints.items() if cases}


# Compare and set.


def wrote(value: str, over: int, start_s: float, end_s: float, revision: int, outcome: str = OK) -> CasOperation:
    text = f"{value} over {over}"
    operation = Operation("c", "set", text, start_s, end_s, outcome, revision)
    return CasOperation("k", "set", operation, value=text, expected=over)


def read(revision: int, value: str, start_s: float, end_s: float) -> CasOperation:
    return CasOperation("k", "read", Operation("c", "read", "k", start_s, end_s, OK, revision), value=value)


CHAIN = [(1, "a over 0"), (3, "b over 1")]
GOOD = [wrote("a", 0, 0, 1, 1), read(1, "a over 0", 1.1, 1.2), wrote("b", 1, 1.3, 2, 3), read(3, "b over 1", 2.1, 2.2)]


def test_a_good_chain_has_no_complaint() -> None:
    assert found(check_cas(GOOD, CHAIN)) == {}
    late = wrote("c", 1, 1.3, 2, 0, FAILED)
    late.operation.note = WRONG_LAST
    assert found(check_cas([*GOOD, late], CHAIN)) == {}


def test_an_unanswered_set_may_be_in_the_chain_or_not() -> None:
    unsure = wrote("c", 3, 3, 5, 0, UNKNOWN)
    assert found(check_cas([*GOOD, unsure], CHAIN)) == {}
    assert found(check_cas([*GOOD, unsure], [*CHAIN, (4, "c over 3")])) == {}


def test_two_sets_over_the_same_revision_are_found() -> None:
    both = [*GOOD, wrote("c", 1, 1.3, 2.5, 4)]
    assert found(check_cas(both, [*CHAIN, (4, "c over 1")]))["broken chain"] == 1


def test_a_lost_set_is_found() -> None:
    assert found(check_cas(GOOD, CHAIN[:1]))["acknowledged and lost"] == 1


def test_a_stale_read_is_found() -> None:
    assert found(check_cas([*GOOD, read(1, "a over 0", 2.5, 2.6)], CHAIN)) == {"stale or wrong read": 1}


def test_a_read_that_overlaps_the_set_may_see_either() -> None:
    assert found(check_cas([*GOOD, read(1, "a over 0", 1.9, 2.6)], CHAIN)) == {}


def test_a_wrong_value_is_found() -> None:
    assert found(check_cas([*GOOD, read(3, "x over 1", 2.5, 2.6)], CHAIN)) == {"stale or wrong read": 1}


def test_a_refused_set_that_took_effect_is_found() -> None:
    refused = wrote("c", 3, 3, 4, 0, FAILED)
    assert found(check_cas([*GOOD, refused], [*CHAIN, (4, "c over 3")])) == {"refused and stored": 1}


def test_a_refusal_without_reason_is_found() -> None:
    refused = wrote("c", 3, 3, 4, 0, FAILED)
    refused.operation.note = f"nats: BadRequestError: {WRONG_LAST}: 9"
    assert found(check_cas([*GOOD, refused, read(3, "b over 1", 5, 6)], CHAIN)) == {"refused without reason": 1}


# Work queues.


def published(job: str, outcome: str = OK) -> Operation:
    return Operation("w", "publish", job, 0, 1, outcome, 1)


def test_a_queue_that_worked_has_no_complaint() -> None:
    deliveries = [Delivery("a", 1, 1, "nak", 1.1), Delivery("a", 2, 2, "confirm", 2.1), Delivery("b", 1, 1, "ack", 1.1)]
    assert found(check_queue([published("a"), published("b"), published("c", UNKNOWN)], deliveries)) == {}


def test_a_job_that_never_came_is_found() -> None:
    assert found(check_queue([published("a")], [])) == {"acknowledged and never delivered": 1}


def test_a_job_that_came_again_after_a_confirmed_ack_is_found() -> None:
    confirmed = Delivery("a", 1, 1, "confirm", 1.1)
    assert found(check_queue([published("a")], [confirmed, Delivery("a", 5, 2, "ack", 5.1)])) == {
        "redelivered after confirmed ack": 1
    }
    crossing = Delivery("a", 1.5, 2, "ack", 1.6)
    assert found(check_queue([published("a")], [confirmed, crossing])) == {}
    unanswered = Delivery("a", 1, 1, "confirm")
    assert found(check_queue([published("a")], [unanswered, Delivery("a", 5, 2, "confirm", 5.1)])) == {}


def test_a_delivery_that_a_partition_held_back_is_no_redelivery() -> None:
    late = [Delivery("a", 5.0, 1, "confirm", 5.1), Delivery("a", 7.5, 1, "confirm", 7.6)]
    assert found(check_queue([published("a")], late)) == {"redelivered after confirmed ack": 1}
    assert found(check_queue([published("a")], late, [Span(3.0, 5.0)])) == {}
    assert found(check_queue([published("a")], late, [Span(1.0, 2.0)])) == {"redelivered after confirmed ack": 1}
    assert found(check_queue([published("a")], late, [Span(6.0, 7.0)])) == {"redelivered after confirmed ack": 1}


def test_a_forgotten_job_that_never_came_again_is_found() -> None:
    assert found(check_queue([published("a")], [Delivery("a", 1, 1, "forget", 1.1)])) == {"not redelivered": 1}


def test_a_job_that_nobody_sent_is_found() -> None:
    assert found(check_queue([], [Delivery("a", 1, 1, "ack", 1.1)])) == {"never sent": 1}


# The life of streams.


def did(kind: str, outcome: str = OK, *, not_found: bool = False, in_use: bool = False) -> StreamOperation:
    return StreamOperation("M1", kind, Operation("m", kind, "M1", 0, 1, outcome), not_found, in_use)


def held(*names: str) -> dict[str, list[str]]:
    return {node: list(names) for node in ("n1", "n2", "n3")}


def test_a_life_that_makes_sense_has_no_complaint() -> None:
    life = [did("create"), did("update"), did("delete"), did("info", FAILED, not_found=True), did("create")]
    assert found(check_streams(life, held("M1"))) == {}
    assert found(check_streams([*life, did("delete")], held())) == {}
    assert found(check_streams([*life, did("create", in_use=True)], held("M1"))) == {}


def test_a_stream_that_vanished_is_found() -> None:
    assert found(check_streams([did("create"), did("info", FAILED, not_found=True)], held())) == {"vanished": 1}
    assert found(check_streams([did("create")], held())) == {"nodes hold other streams": 3}


def test_a_stream_that_came_back_is_found() -> None:
    assert found(check_streams([did("create"), did("delete"), did("info")], held("M1"))) == {"came back": 1}
    assert found(check_streams([did("create"), did("delete")], held("M1"))) == {"nodes hold other streams": 3}
    again = [did("create"), did("delete"), did("create", in_use=True)]
    assert found(check_streams(again, held("M1"))) == {"came back": 1}


def test_silence_leaves_a_stream_unsure() -> None:
    life = [did("create"), did("delete", UNKNOWN)]
    assert found(check_streams(life, held("M1"))) == found(check_streams(life, held())) == {}
    assert found(check_streams([*life, did("info", FAILED, not_found=True)], held())) == {}


def test_nodes_that_hold_different_streams_are_found() -> None:
    mixed = held("M1") | {"n2": []}
    assert found(check_streams([did("delete", UNKNOWN)], mixed)) == {"nodes hold other streams": 1}
