"""Steering a consumer that works: pauses, resets, limits of its rate. Priority groups: whose turn it is."""

import pytest

from jetstream.consumer_world import MS, SECOND, World

LATER = "2023-11-14T22:13:25Z"  # five seconds after the world begins


def error_of(answer: dict) -> tuple[int, str]:
    return answer["error"]["err_code"], answer["error"]["description"]


# Pause.


def test_a_paused_consumer_delivers_nothing_and_goes_on_by_itself_when_the_time_has_come():
    world = World()
    world.create()
    world.publish(2)
    paused = world.request("CONSUMER.PAUSE", "S.C", {"pause_until": LATER})
    assert (paused["paused"], paused["pause_until"], paused["pause_remaining"]) == (True, LATER, 5 * SECOND)
    assert world.info()["paused"] is True
    world.ask(batch=2, expires=60 * SECOND)
    world.advance(5 * SECOND - 1)
    assert world.take() == []
    assert [event["paused"] for event in world.events("PAUSE")] == [True]
    world.advance(1)
    assert [message.sequence for message in world.take()] == [1, 2]
    assert [event["paused"] for event in world.events("PAUSE")] == [True, False]
    info = world.info()
    assert "paused" not in info
    assert info["config"]["pause_until"] == LATER
    assert info["config"]["metadata"]["_nats.req.level"] == "1"


def test_requests_and_heartbeats_of_a_paused_consumer_end_and_beat_as_ever():
    world = World()
    world.create()
    world.create("P", deliver_subject="push", idle_heartbeat=SECOND)
    world.listen("push")
    world.publish(3)
    world.take("push")
    for name in "CP":
        world.request("CONSUMER.PAUSE", f"S.{name}", {"pause_until": "2030-01-01T00:00:00Z"})
    (nothing,) = world.pull(batch=1, no_wait=True)
    assert nothing.status == "404 No Messages"
    world.ask(batch=1, expires=SECOND)
    world.publish(1)
    world.advance(SECOND)
    assert [message.status for message in world.take()] == ["408 Request Timeout"]
    assert [message.status for message in world.take("push")] == ["100 Idle Heartbeat"]


def test_a_pause_is_lifted_by_a_request_without_a_time_and_kept_by_updates_and_new_leaders():
    world = World()
    world.create(pause_until=LATER)
    assert [event["paused"] for event in world.events("PAUSE")] == [True]
    world.publish(1)
    assert world.create(description="other")["config"]["pause_until"] == LATER
    world.change_leader()
    assert world.pull(batch=1, expires=SECOND) == []
    lifted = world.request("CONSUMER.PAUSE", "S.C")
    assert (lifted["paused"], lifted["pause_until"]) == (False, "0001-01-01T00:00:00Z")
    world.turn()
    assert [message.sequence for message in world.take()] == [1]


def test_bad_pauses():
    world = World()
    world.create()
    assert error_of(world.request("CONSUMER.PAUSE", "S.X", {}))[0] == 10014
    assert error_of(world.request("CONSUMER.PAUSE", "S.C", {"pause_until": "soon"}))[0] == 10025
    assert error_of(world.request("CONSUMER.PAUSE", "S.C", {"until": LATER}))[1] == (
        'invalid JSON: json: unknown field "until"'
    )


# Reset.


def test_a_reset_consumer_delivers_again_from_there_to_who_already_waits():
    world = World()
    world.create()
    world.publish(5)
    for message in world.pull(batch=3, expires=SECOND):
        world.ack(message)
    world.pull(batch=2, expires=SECOND)
    world.ask(batch=9, expires=SECOND)
    world.turn()
    reset = world.request("CONSUMER.RESET", "S.C", {"seq": 2})
    assert (reset["reset_seq"], reset["delivered"]["stream_seq"], reset["num_pending"]) == (2, 1, 4)
    assert reset["num_ack_pending"] == 0
    world.turn()
    again = world.take()
    assert [(message.sequence, message.consumer_sequence, message.deliveries) for message in again] == [
        (2, 1, 1), (3, 2, 1), (4, 3, 1), (5, 4, 1),
    ]  # fmt: skip


def test_without_a_sequence_a_reset_goes_back_to_the_ack_floor():
    world = World()
    world.create(deliver_policy="new")
    world.publish(4)
    first, *_ = world.pull(batch=3, expires=SECOND)
    world.ack(first)
    assert world.request("CONSUMER.RESET", "S.C")["reset_seq"] == 2
    assert [message.sequence for message in world.pull(batch=9, no_wait=True) if not message.status] == [2, 3, 4]


def test_what_was_proposed_before_a_reset_does_not_count_after_it():
    world = World(commit_at_once=False)
    world.create()
    world.publish(3)
    message, *_ = world.pull(batch=3, expires=SECOND)
    world.commit()
    world.ack(message)  # proposed, not committed
    world.pull(batch=3, expires=SECOND)
    before = world.proposed
    world.proposed = []
    world.request("CONSUMER.RESET", "S.C", {"seq": 1})
    world.proposed = before
    world.commit()
    for machine in world.machines:
        consumer = machine.consumers["C"]
        assert (consumer.delivered_stream, consumer.ack_floor_stream, dict(consumer.pending)) == (0, 0, {})


@pytest.mark.parametrize(
    ("policy", "sequence", "text"),
    [
        ({"deliver_policy": "new"}, 1, "not allowed"),
        ({"deliver_policy": "last"}, 3, "not allowed"),
        ({"deliver_policy": "by_start_sequence", "opt_start_seq": 2}, 1, "below start seq"),
        ({"deliver_policy": "by_start_time", "opt_start_time": "2023-11-14T22:13:20.1Z"}, 1, "below start time"),
    ],
)
def test_a_reset_goes_only_where_the_deliver_policy_could_have_begun(policy, sequence, text):
    world = World()
    world.publish(3)
    world.create(**policy)
    assert error_of(world.request("CONSUMER.RESET", "S.C", {"seq": sequence})) == (10204, f"invalid reset: {text}")


def test_nobody_answers_a_reset_of_a_consumer_that_is_not_there():
    assert World().request("CONSUMER.RESET", "S.X") == {}


def test_a_reset_survives_in_a_snapshot():
    world = World()
    world.create()
    world.publish(3)
    world.pull(batch=2, expires=SECOND)
    world.request("CONSUMER.RESET", "S.C", {"seq": 3})
    machine = world.machines[1]
    epoch = machine.consumers["C"].epoch_ns
    machine.restore(machine.snapshot())
    assert machine.consumers["C"].epoch_ns == epoch
    assert epoch > machine.consumers["C"].created_ns


# Rate.


def test_a_rate_limit_lets_a_burst_through_and_then_what_the_rate_allows():
    world = World(max_msg_size=-1)
    world.create(deliver_subject="push", rate_limit_bps=8 * 100_000)
    world.listen("push")
    world.publish(15, payload=bytes(100_000 - len("s.a")))
    assert len(world.take("push")) == 10, "a mebibyte at once"
    world.advance(SECOND)
    assert len(world.take("push")) == 1
    world.advance(3 * SECOND)
    assert len(world.take("push")) == 3


# Priority groups.


def grouped(policy: str, **config: object) -> World:
    world = World()
    world.create(priority_policy=policy, priority_groups=["A"], **config)
    return world


def test_overflow_serves_a_request_only_when_enough_is_ahead_or_out():
    world = grouped("overflow")
    world.ask(inbox="many", group="A", batch=1, expires=SECOND, min_pending=3)
    world.ask(inbox="busy", group="A", batch=1, expires=SECOND, min_ack_pending=1)
    world.publish(2)
    assert world.take("many") == []
    world.publish(1)
    assert [message.sequence for message in world.take("many")] == [1]
    assert [message.sequence for message in world.take("busy")] == [2], "one is out now"


def test_the_first_client_is_pinned_and_gets_everything_until_it_is_silent_for_too_long():
    world = grouped("pinned_client", priority_timeout=SECOND)
    world.ask(inbox="one", group="A", batch=2, expires=60 * SECOND)
    world.ask(inbox="two", group="A", batch=2, expires=60 * SECOND)
    world.publish(3)
    first, _ = world.take("one")
    pin = first.header.split(b"Nats-Pin-Id: ")[1].strip().decode()
    assert world.take("two") == []
    state = world.info()["priority_groups"][0]
    assert (state["group"], state["pinned_client_id"]) == ("A", pin)
    world.advance(900 * MS)
    assert [message.sequence for message in world.pull(inbox="one", group="A", batch=1, expires=SECOND, id=pin)] == [3]
    world.publish(1)
    world.advance(999 * MS)
    assert world.take("two") == []
    world.advance(1 * MS)
    assert [message.sequence for message in world.take("two")] == [4]
    assert [event["reason"] for event in world.events("UNPINNED")] == ["timeout"]
    assert len(world.events("PINNED")) == 2
    (late,) = world.pull(inbox="one", group="A", batch=1, expires=SECOND, id=pin)
    assert late.status == "423 Nats-Pin-Id mismatch"


def test_an_operator_unpins():
    world = grouped("pinned_client")
    assert world.info()["config"]["priority_timeout"] == 120 * SECOND
    world.ask(inbox="one", group="A", batch=1, expires=60 * SECOND)
    world.publish(1)
    (message,) = world.take("one")
    pin = message.header.split(b"Nats-Pin-Id: ")[1].strip().decode()
    world.ask(inbox="one", group="A", batch=1, expires=60 * SECOND, id=pin)
    world.ask(inbox="two", group="A", batch=1, expires=60 * SECOND)
    world.turn()
    assert "error" not in world.request("CONSUMER.UNPIN", "S.C", {"group": "A"})
    world.publish(1)
    assert world.take("one")[0].status == "423 Nats-Wrong-Pin-Id"
    assert [message.sequence for message in world.take("two")] == [2]
    assert [event["reason"] for event in world.events("UNPINNED")] == ["admin"]


def test_lower_priorities_first_and_equal_ones_in_turn():
    world = grouped("prioritized")
    for inbox, fields in (("last", {}), ("b", {"priority": 3}), ("a1", {"priority": 1}), ("a2", {"priority": 1})):
        body = {"group": "A", "batch": 2, "expires": SECOND, **fields}
        if inbox == "last":
            world.ask(inbox=inbox, body=b"2")
        else:
            world.ask(inbox=inbox, **body)
    world.publish(8)
    order = sorted((message.sequence, inbox) for inbox in ("a1", "a2", "b", "last") for message in world.take(inbox))
    assert [inbox for _, inbox in order] == ["a1", "a2", "a1", "a2", "b", "b", "last", "last"]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"batch": 1}, "400 Bad Request - Priority Group missing"),
        ({"batch": 1, "group": "B"}, "400 Bad Request - Invalid Priority Group"),
        ({"batch": 1, "group": "A", "min_pending": 1}, "400 Bad Request - Not a Overflow Priority consumer"),
        ({"batch": 1, "group": "A", "id": "x"}, "400 Bad Request - Not a Pinned Client Priority consumer"),
        ({"batch": 1, "group": "A", "priority": 10}, "400 Bad Request - Priority must be between 0 and 9"),
    ],
)
def test_requests_that_name_no_group_or_ask_for_another_policy(fields, status):
    (refusal,) = grouped("prioritized").pull(**fields)
    assert refusal.status == status


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"priority_policy": "overflow", "priority_groups": [""]}, 10161),
        ({"priority_policy": "overflow", "priority_groups": ["a b"]}, 10162),
        ({"priority_policy": "overflow", "priority_groups": ["a" * 17]}, 10162),
        ({"priority_policy": "overflow"}, 10159),
        ({"priority_groups": ["a"]}, 10196),
        ({"priority_timeout": SECOND}, 10197),
        ({"priority_policy": "nonsense"}, 10025),
    ],
)
def test_configurations_of_groups_that_are_refused(config, code):
    assert error_of(World().create(**config))[0] == code


@pytest.mark.parametrize(
    ("name", "body", "code"),
    [
        ("C", b"", 10025),
        ("C", {"group": ""}, 10025),
        ("C", {"group": 3}, 10025),
        ("C", {"group": "a b"}, 10162),
        ("C", {"group": "B"}, 10160),
        ("X", {"group": "A"}, 10014),
    ],
)
def test_unpinning_what_is_not_there(name, body, code):
    assert error_of(grouped("pinned_client").request("CONSUMER.UNPIN", f"S.{name}", body))[0] == code
