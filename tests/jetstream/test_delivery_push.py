"""Push consumers: who is there, queue groups, heartbeats, flow control, headers only, original pace, and being
forgotten."""

import json

from broker.jetstream.api.consumers import handle_consumer
from broker.jetstream.api.requests import Propose
from broker.jetstream.api_types import ApiRequest
from jetstream.consumer_world import MS, SECOND, World


def test_delivery_begins_with_interest_and_stops_without():
    world = World()
    world.create(deliver_subject="d")
    world.publish(2)
    assert world.take("d") == []
    assert "push_bound" not in world.info()
    world.listen("d")
    world.turn()
    got = world.take("d")
    assert [(m.subject, m.sequence) for m in got] == [(b"s.a", 1), (b"s.a", 2)]
    assert world.info()["push_bound"] is True
    world.hang_up("d")
    world.publish(1)
    assert world.take("d") == []
    world.listen("d")
    world.turn()
    assert [m.sequence for m in world.take("d")] == [3]


def test_interest_nobody_told_us_of_is_noticed_within_a_second():
    world = World()
    world.create(deliver_subject="d")
    world.publish(1)
    world.interest.append((b"d", b""))
    world.advance(SECOND)
    assert len(world.take("d")) == 1


def test_a_queue_group_needs_interest_of_that_group():
    world = World()
    world.create(deliver_subject="d", deliver_group="workers")
    world.publish(1)
    world.listen("d", "others")
    world.turn()
    assert world.take("d") == []
    world.listen("d", "workers")
    world.turn()
    assert len(world.take("d")) == 1


def test_heartbeats_tell_the_last_sequences():
    world = World()
    world.listen("d")
    world.create(deliver_subject="d", idle_heartbeat=SECOND)
    world.publish(2)
    world.take("d")
    world.advance(2500 * MS)
    beats = world.take("d")
    assert [m.header for m in beats] == [
        b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 2\r\nNats-Last-Stream: 2\r\n\r\n"
    ] * 2
    assert beats[0].subject == b"d"
    assert beats[0].reply == b""
    world.hang_up("d")
    world.advance(5 * SECOND)
    assert world.take("d") == []


def test_flow_control_asks_stalls_and_goes_on():
    world = World()
    world.listen("d")
    world.create(deliver_subject="d", ack_policy="none", flow_control=True, idle_heartbeat=SECOND)
    world.local("publish", *[("s.a", b"", b"x" * 100_000)] * 40)
    world.turn()
    got = world.take("d")
    asked = [m for m in got if m.status]
    assert [m.status for m in asked] == ["100 FlowControl Request"]
    assert asked[0].reply.startswith(b"$JS.FC.S.C.")
    assert len(asked[0].reply) == len(b"$JS.FC.S.C.") + 4
    sent = len(got) - 1
    assert sent == 21  # a window of 2 MiB, and the message that went over it
    world.advance(SECOND)
    (stalled,) = world.take("d")
    assert stalled.header.endswith(b"\r\nNats-Consumer-Stalled: " + asked[0].reply + b"\r\n\r\n")
    world.delivery.flow_control(b"$JS.FC.S.C.zzzz")
    world.turn()
    assert world.take("d") == []  # not the question that is open
    world.delivery.flow_control(asked[0].reply)
    world.turn()
    assert len([m for m in world.take("d") if not m.status]) == 40 - sent


def test_a_rebound_consumer_delivers_to_its_new_subject():
    world = World()
    world.create(deliver_subject="d")
    world.listen("d")
    world.publish(1)
    world.take("d")
    assert world.create(deliver_subject="e")["error"]["err_code"] == 10013  # somebody listens to the old one
    world.hang_up("d")
    world.create(deliver_subject="e")
    world.listen("e")
    world.turn()
    assert [(m.sequence, m.deliveries) for m in world.take("e")] == [(1, 2)]  # what was out comes again
    world.publish(1)
    assert [m.sequence for m in world.take("e")] == [2]


def test_headers_only():
    world = World()
    world.create(headers_only=True)
    world.publish(1, payload=b"hello")
    world.publish(1, payload=b"hello!", header=b"NATS/1.0\r\nA: b\r\n\r\n")
    got = world.pull(batch=2)
    assert [m.payload for m in got] == [b"", b""]
    assert got[0].header == b"NATS/1.0\r\nNats-Msg-Size: 5\r\n\r\n"
    assert got[1].header == b"NATS/1.0\r\nA: b\r\nNats-Msg-Size: 6\r\n\r\n"


def test_replay_at_the_original_pace_until_it_has_caught_up():
    world = World()
    for pause in (0, 100 * MS, 300 * MS):
        world.advance(pause)
        world.publish(1)
    world.create(replay_policy="original")
    world.ask(batch=10, expires=60 * SECOND)
    world.turn()
    assert [m.sequence for m in world.take()] == [1]
    world.advance(100 * MS)
    assert [m.sequence for m in world.take()] == [2]
    world.advance(299 * MS)
    assert world.take() == []
    world.advance(1 * MS)
    assert [m.sequence for m in world.take()] == [3]
    world.advance(SECOND)
    world.publish(1)
    assert [m.sequence for m in world.take()] == [4]  # new ones come at once


def test_an_ephemeral_pull_consumer_is_forgotten_when_unused():
    world = World()
    world.create("E", durable_name="", inactive_threshold=2 * SECOND, ack_policy="none")
    world.pull("E", batch=1, expires=5 * SECOND)
    world.advance(6 * SECOND)
    assert "E" in world.machine.consumers  # the request's end counts as use
    world.advance(3 * SECOND)
    assert [machine.consumers for machine in world.machines] == [{}] * 3
    assert [event["action"] for event in world.events("DELETED")] == ["delete"]


def test_an_ephemeral_whose_messages_are_still_worked_on_stays():
    world = World()
    world.create("E", durable_name="", inactive_threshold=SECOND, ack_wait=20 * SECOND)
    world.publish(1)
    world.pull("E", batch=1)
    world.advance(19 * SECOND)
    assert "E" in world.machine.consumers
    world.advance(10 * SECOND)
    assert world.machine.consumers == {}


def test_an_ephemeral_push_consumer_is_forgotten_after_its_listener():
    world = World()
    world.listen("d")
    world.create("E", durable_name="", deliver_subject="d", ack_policy="none")
    world.advance(60 * SECOND)
    assert "E" in world.machine.consumers
    world.hang_up("d")
    world.turn()
    world.advance(4 * SECOND)
    assert "E" in world.machine.consumers
    world.advance(2 * SECOND)
    assert world.machine.consumers == {}


def test_durables_are_not_forgotten_unless_they_ask_for_it():
    world = World()
    world.create("A")
    world.create("B", inactive_threshold=SECOND)
    world.advance(3600 * SECOND)
    assert list(world.machine.consumers) == ["A"]


def test_deliver_subjects_of_consumers_that_are_gone_are_forgotten():
    world = World()
    world.create("A", deliver_subject="d")
    world.create("B", deliver_subject="d")
    world.create("B", deliver_subject="e")
    pushes = world.delivery.pushes
    assert set(pushes.take_changed()) == {b"d", b"e"}
    assert pushes.is_used(b"d") and pushes.is_used(b"e")
    for name in "AB":
        world.request("CONSUMER.DELETE", f"S.{name}")
    world.turn()
    assert set(pushes.take_changed()) == {b"d", b"e"}
    assert not pushes.is_used(b"d") and not pushes.is_used(b"e")


def test_of_several_who_create_a_consumer_at_once_one_gets_it():
    world = World()
    world.listen("d")
    world.listen("e")
    config = {"durable_name": "C", "ack_policy": "explicit", "deliver_subject": "d"}
    body = json.dumps({"stream_name": "S", "config": config}).encode()
    request = ApiRequest(b"$JS.API.CONSUMER.CREATE.S.C", b"i", 0, body, "", world.wall_ns)
    first = handle_consumer("CONSUMER.CREATE", request, world)
    assert isinstance(first, Propose)  # which is not applied yet
    assert world.create(deliver_subject="e")["error"]["err_code"] == 10013
    assert "error" not in world.create(deliver_subject="d")
    world.hang_up("d")
    assert "error" not in world.create(deliver_subject="e")
    assert world.delivery.pushes.proposed == {}
