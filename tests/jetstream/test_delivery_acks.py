"""Acks of every kind, waits that end, giving up, and what double acks promise."""

import pytest

from jetstream.consumer_world import MS, SECOND, World, dropped


def deliver(world: World, count: int, **config: object):
    world.create(**config)
    world.publish(count)
    return world.pull(batch=1000, expires=3600 * SECOND)


@pytest.mark.parametrize("payload", [b"", b"+ACK", b"+OK"])
def test_plain_acks_settle_and_move_the_floor(payload):
    world = World()
    got = deliver(world, 3)
    world.ack(got[1], payload)
    assert world.info()["ack_floor"]["stream_seq"] == 0
    world.ack(got[0], payload)
    info = world.info()
    assert (info["ack_floor"]["stream_seq"], info["ack_floor"]["consumer_seq"]) == (2, 2)
    assert info["num_ack_pending"] == 1
    assert world.sent == []
    world.ack(got[2], payload)
    assert world.info()["ack_floor"]["stream_seq"] == 3


def test_a_double_ack_is_answered_empty_and_only_after_commit():
    world = World(commit_at_once=False)
    world.create()
    world.publish(1)
    world.commit()
    (message,) = world.pull(batch=1)
    world.ack(message, reply="sure")
    assert world.take("sure") == []
    assert world.proposed[-1][2] is True  # somebody waits: urgent
    world.commit()
    (answer,) = world.take("sure")
    assert (answer.header, answer.payload, answer.reply) == (b"", b"", b"")


def test_plain_acks_and_deliveries_are_not_urgent_and_share_one_operation():
    world = World(commit_at_once=False)
    world.create("A")
    world.create("B")
    world.publish(3)
    first, second = world.pull("A", "a", batch=3), world.pull("B", "b", batch=3)
    assert [(kind, urgent) for kind, _, urgent, _ in world.proposed] == [(12, False), (12, False)]
    world.commit()
    for message in first + second:
        world.ack(message, turn=False)
    world.turn()
    assert [(kind, urgent) for kind, _, urgent, _ in world.proposed] == [(13, False)]


def test_an_ack_for_what_is_acked_already_is_confirmed_again():
    world = World()
    (message,) = deliver(world, 1)
    world.ack(message)
    world.ack(message, reply="again")
    assert len(world.take("again")) == 1


def test_an_ack_for_what_was_never_delivered_is_neither_believed_nor_answered():
    world = World()
    world.create()
    world.publish(2)
    world.delivery.ack(b"$JS.ACK.S.C.1.2.2.0.0", b"sure", 0, b"", "")
    world.turn()
    assert world.take("sure") == []
    assert [m.sequence for m in world.pull(batch=2)] == [1, 2]


@pytest.mark.parametrize(
    "subject",
    [
        b"$JS.ACK.S.C.1.x.1.0.0",
        b"$JS.ACK.S.C.1.1",
        b"$JS.ACK.S.C.1..1.0.0",
        b"$JS.ACK",
        b"foo",
    ],
)
def test_malformed_ack_subjects_are_ignored(subject):
    world = World()
    deliver(world, 1)
    world.delivery.ack(subject, b"sure", 0, b"", "")
    world.turn()
    assert world.take("sure") == []
    assert world.info()["num_ack_pending"] == 1


def test_an_ack_for_a_consumer_that_is_not_there_is_answered_as_by_nobody():
    world = World()
    world.delivery.ack(b"$JS.ACK.S.Z.1.1.1.0.0", b"nobody", 0, b"", "")
    assert len(world.take("nobody")) == 1


def test_the_long_form_of_ack_subjects_is_understood():
    world = World()
    deliver(world, 1)
    world.delivery.ack(b"$JS.ACK._.AAAAAAAA.S.C.1.1.1.1700000000000000000.0.token", b"", 0, b"", "")
    world.turn()
    assert world.info()["num_ack_pending"] == 0


def test_headers_of_an_ack_are_not_its_payload():
    world = World()
    (message,) = deliver(world, 1)
    header = b"NATS/1.0\r\nA: b\r\n\r\n"
    world.delivery.ack(message.reply, b"", len(header), header + b"-NAK", "")
    world.turn()
    assert [m.deliveries for m in world.take()] == [2]


def test_nak_delivers_again_at_once_with_a_new_consumer_sequence():
    world = World()
    got = deliver(world, 3)
    world.ack(got[1], b"-NAK", reply="heard")
    assert len(world.take("heard")) == 1
    (again,) = world.take()
    assert (again.sequence, again.deliveries, again.consumer_sequence) == (2, 2, 4)
    assert world.events("MSG_NAKED")[0]["stream_seq"] == 2
    info = world.info()
    assert (info["num_redelivered"], info["num_ack_pending"], info["delivered"]["consumer_seq"]) == (1, 3, 4)


@pytest.mark.parametrize("payload", [b'-NAK {"delay": 2000000000}', b"-NAK 2s", b"-NAK 2000ms"])
def test_nak_with_a_delay(payload):
    world = World()
    (message,) = deliver(world, 1)
    world.ack(message, payload)
    world.advance(1990 * MS)
    assert world.take() == []
    world.advance(12 * MS)
    assert [m.deliveries for m in world.take()] == [2]


@pytest.mark.parametrize("payload", [b"-NAK soon", b'-NAK {"delay": "x"}', b"-NAK {", b"-NAK -5s", b"-NAK {}"])
def test_a_nak_with_a_senseless_delay_is_a_plain_nak(payload):
    world = World()
    (message,) = deliver(world, 1)
    world.ack(message, payload)
    assert [m.deliveries for m in world.take()] == [2]


def test_progress_begins_the_wait_anew():
    world = World()
    (message,) = deliver(world, 1, ack_wait=SECOND)
    for _ in range(5):
        world.advance(900 * MS)
        world.ack(message, b"+WPI")
    assert world.take() == []
    world.advance(1002 * MS)
    assert [m.deliveries for m in world.take()] == [2]


def test_term_is_an_ack_with_a_reason_to_tell():
    world = World()
    got = deliver(world, 2, ack_wait=SECOND)
    world.ack(got[0], b"+TERM poison", reply="done")
    assert len(world.take("done")) == 1
    (event,) = world.events("MSG_TERMINATED")
    assert (event["reason"], event["stream_seq"], event["consumer_seq"], event["deliveries"]) == ("poison", 1, 1, 1)
    world.advance(1100 * MS)
    assert [m.sequence for m in world.take()] == [2]


@pytest.mark.parametrize(("payload", "count"), [(b"+NXT", 1), (b"+NXT 2", 2), (b'+NXT {"batch":2,"no_wait":true}', 2)])
def test_next_acks_and_asks(payload, count):
    world = World()
    world.create()
    world.publish(5)
    (message,) = world.pull(batch=1)
    world.listen("more")
    world.ack(message, payload, reply="more")
    assert [m.sequence for m in world.take("more")][:count] == list(range(2, 2 + count))
    assert world.info()["ack_floor"]["stream_seq"] == 1


def test_an_unknown_payload_does_nothing_but_is_answered():
    world = World()
    (message,) = deliver(world, 1)
    world.ack(message, b"+WHAT", reply="heard")
    assert len(world.take("heard")) == 1
    assert world.info()["num_ack_pending"] == 1


def test_ack_all_settles_everything_before():
    world = World()
    got = deliver(world, 5, ack_policy="all")
    world.ack(got[2], reply="sure")
    assert len(world.take("sure")) == 1
    info = world.info()
    assert (info["num_ack_pending"], info["ack_floor"]["stream_seq"], info["ack_floor"]["consumer_seq"]) == (2, 3, 3)
    world.ack(got[0], reply="old")  # below the floor: confirmed, nothing else
    assert len(world.take("old")) == 1
    assert world.consumer().ack_floor_stream == 3


def test_without_acks_nothing_is_pending():
    world = World()
    got = deliver(world, 3, ack_policy="none")
    assert [m.reply.split(b".")[6] for m in got] == [b"1", b"2", b"3"]
    info = world.info()
    assert (info["num_ack_pending"], info["ack_floor"]["stream_seq"]) == (0, 3)
    world.ack(got[0], reply="nobody")
    answer = b"NATS/1.0 503\r\nNats-Subject: %s\r\n\r\n" % got[0].reply
    assert [message.header for message in world.take("nobody")] == [answer]


def test_what_is_not_acked_comes_again_in_stream_order_before_anything_new():
    world = World()
    got = deliver(world, 4, ack_wait=SECOND, max_ack_pending=4)
    world.ack(got[1])
    world.publish(1)
    world.take()
    world.advance(1002 * MS)
    assert [(m.sequence, m.deliveries) for m in world.take()] == [(1, 2), (3, 2), (4, 2), (5, 2)]


def test_backoff_lengthens_the_wait_and_repeats_its_last_value():
    world = World()
    (message,) = deliver(world, 1, backoff=[SECOND, 3 * SECOND, 5 * SECOND], max_deliver=5)
    assert message.deliveries == 1
    waits = []
    for _ in range(4):
        start = world.now_ns
        while not world.sent:
            world.advance(10 * MS)
        waits.append(round((world.now_ns - start) / SECOND))
        world.take()
    assert waits == [1, 3, 5, 5]
    world.advance(20 * SECOND)
    assert world.take() == []
    assert [event["deliveries"] for event in world.events("MAX_DELIVERIES")] == [5]


def test_giving_up_is_told_once_and_keeps_the_message():
    world = World()
    (message,) = deliver(world, 1, ack_wait=SECOND, max_deliver=2)
    world.advance(1002 * MS)
    assert [m.deliveries for m in world.take()] == [2]
    world.advance(30 * SECOND)
    assert world.take() == []
    (event,) = world.events("MAX_DELIVERIES")
    assert (event["stream_seq"], event["deliveries"]) == (1, 2)
    info = world.info()
    assert (info["num_ack_pending"], info["num_redelivered"], info["ack_floor"]["stream_seq"]) == (0, 1, 1)
    world.ack(message, reply="late")
    assert len(world.take("late")) == 1
    assert world.info()["num_redelivered"] == 0


def test_two_timers_of_one_message_that_end_in_the_same_late_turn():
    world = World()
    (message,) = deliver(world, 1, ack_wait=SECOND, max_deliver=1)
    world.advance(500 * MS)
    world.ack(message, b"+WPI")
    world.now_ns += 10 * SECOND
    world.turn()
    assert len(world.events("MAX_DELIVERIES")) == 1


def test_a_nak_at_the_last_delivery_gives_up():
    world = World()
    (message,) = deliver(world, 1, max_deliver=1)
    world.ack(message, b"-NAK")
    assert world.take() == []
    assert len(world.events("MAX_DELIVERIES")) == 1
    assert world.info()["num_redelivered"] == 0  # one delivery only: not called redelivered


def test_a_message_removed_while_out_is_terminated():
    world = World()
    got = deliver(world, 3)
    world.local("delete", 2)
    world.delivery.removed(2)
    world.turn()
    (event,) = world.events("MSG_TERMINATED")
    assert (event["stream_seq"], event["reason"]) == (2, "Unacknowledged message was deleted")
    world.local("truncate", 2)
    world.turn()
    assert world.info()["num_ack_pending"] == 1
    assert [m.sequence for m in got] == [1, 2, 3]


def test_work_queue_messages_leave_with_their_ack_even_a_late_one():
    world = World(retention="workqueue")
    got = deliver(world, 3, ack_wait=SECOND, max_deliver=1)
    world.ack(got[0])
    assert [dropped(machine) for machine in world.machines] == [[1]] * 3
    world.advance(2 * SECOND)
    assert dropped(world.machine) == [1]  # given up, but kept
    world.ack(got[1])
    assert dropped(world.machine) == [1, 2]


def test_interest_streams_keep_what_somebody_needs():
    world = World(retention="interest")
    world.create("A")
    world.create("B", filter_subject="s.b")
    world.publish(1, subject="s.a")
    world.publish(1, subject="s.b")
    mine = world.pull("A", batch=2)
    world.ack(mine[0])
    world.ack(mine[1])
    assert dropped(world.machine) == [1]
    (theirs,) = world.pull("B", batch=1)
    world.ack(theirs)
    assert dropped(world.machine) == [1, 2]


def test_samples_of_ack_times():
    world = World()
    (message,) = deliver(world, 1, sample_freq="100%")
    world.advance(5 * MS)
    world.ack(message)
    (metric,) = world.events("ACK")
    assert metric["type"] == "io.nats.jetstream.metric.v1.consumer_ack"
    assert (metric["ack_time"], metric["deliveries"], metric["stream_seq"]) == (5 * MS, 1, 1)


def test_a_hundred_thousand_out_cost_no_more_per_ack_than_a_hundred():
    world = World()
    world.create(max_ack_pending=-1)
    world.local("publish", *[("s.a", b"", b"")] * 20_000)
    got = world.pull(batch=20_000, expires=SECOND)
    for message in reversed(got):
        world.ack(message, turn=False)
    world.turn()
    info = world.info()
    assert (info["num_ack_pending"], info["ack_floor"]["stream_seq"]) == (0, 20_000)
    assert world.consumer().pending == {}
