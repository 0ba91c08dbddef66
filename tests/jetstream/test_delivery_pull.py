"""Pull requests: batches, what ends them, every status line, fairness, who is still there."""

from broker.jetstream.api_types import ApiRequest
from broker.jetstream.delivery.pull_request import signature, signed
from jetstream.consumer_world import MS, SECOND, World

PENDING = b"NATS/1.0 %s\r\nNats-Pending-Messages: %d\r\nNats-Pending-Bytes: %d\r\n\r\n"


def test_a_batch_is_delivered_with_ack_subjects_and_ends_silently():
    world = World()
    world.create()
    world.publish(5)
    got = world.pull(batch=3, expires=SECOND)
    assert [m.reply for m in got] == [
        b"$JS.ACK.S.C.1.1.1.1700000000000000000.4",
        b"$JS.ACK.S.C.1.2.2.1700000000000000001.3",
        b"$JS.ACK.S.C.1.3.3.1700000000000000002.2",
    ]
    assert [m.subject for m in got] == [b"s.a"] * 3
    world.advance(5 * SECOND)
    assert world.take() == []


def test_a_request_behind_which_nobody_is_takes_no_message():
    world = World()
    world.create()
    world.publish(1)
    assert world.pull(listening=False, batch=1, expires=SECOND) == []
    assert world.info()["num_pending"] == 1
    assert [message.sequence for message in world.pull(batch=1, expires=SECOND)] == [1]


def test_who_will_not_wait_waits_for_acks_where_too_much_is_unacknowledged():
    world = World()
    world.create(max_ack_pending=2)
    world.publish(4)
    got = world.pull(batch=5, no_wait=True)
    assert [message.sequence for message in got] == [1, 2]
    for message in got:
        world.ack(message)
    last = world.take()
    assert [message.sequence for message in last] == [3, 4]
    for message in last:
        world.ack(message)
    assert [message.status for message in world.take()] == ["404 No Messages"]


def test_there_he_is_told_when_a_request_is_due():
    world = World()
    world.create(max_ack_pending=2)
    world.publish(3)
    got = world.pull(batch=5, no_wait=True, expires=SECOND, idle_heartbeat=100 * MS)
    assert [message.status for message in got] == ["", ""]
    world.advance(100 * MS)
    assert [message.status for message in world.take()] == ["404 No Messages"]


def test_empty_numeric_and_strange_bodies():
    world = World()
    world.create()
    world.publish(9)
    assert len(world.pull()) == 1
    assert len(world.pull(body=b" 3 ")) == 3
    assert len(world.pull(body=b"nonsense")) == 1
    assert len(world.pull(body=b"{}")) == 1  # batch 0: one message, as nats-server


def test_request_timeout_tells_what_is_missing():
    world = World()
    world.create()
    world.publish(2)
    assert len(world.pull(batch=5, expires=SECOND, max_bytes=1000)) == 2
    world.advance(999 * MS)
    assert world.take() == []
    world.advance(1 * MS)
    (timeout,) = world.take()
    assert timeout.header == PENDING % (b"408 Request Timeout", 3, 1000 - 2 * (3 + 39 + 1))


def test_no_wait_alone_answers_404_at_once_and_after_what_there_was():
    world = World()
    world.create()
    (none,) = world.pull(batch=2, no_wait=True)
    assert none.header == b"NATS/1.0 404 No Messages\r\n\r\n"
    world.publish(1)
    got = world.pull(batch=2, no_wait=True)
    assert [m.status for m in got] == ["", "404 No Messages"]


def test_no_wait_with_expires_waits_for_the_first_message_then_does_not():
    world = World()
    world.create()
    assert world.pull(batch=3, no_wait=True, expires=SECOND) == []
    world.publish(1)
    assert [m.status for m in world.take()] == ["", "404 No Messages"]
    world.pull(batch=3, no_wait=True, expires=SECOND)
    world.advance(SECOND)
    assert [m.header for m in world.take()] == [PENDING % (b"408 Request Timeout", 3, 0)]


def test_no_wait_behind_requests_that_take_everything():
    world = World()
    world.create(max_ack_pending=1)
    world.publish(3)
    assert len(world.pull(batch=10, expires=SECOND)) == 1  # stalled by max_ack_pending
    world.ask(inbox="other", batch=1, no_wait=True)
    world.turn()
    assert [m.header for m in world.take("other")] == [b"NATS/1.0 408 Requests Pending\r\n\r\n"]


def test_max_bytes_counts_subject_reply_headers_and_payload():
    world = World()
    world.create()
    world.publish(3, payload=b"y" * 57)
    size = len(b"s.a") + len(b"$JS.ACK.S.C.1.1.1.1700000000000000000.2") + 57
    got = world.pull(batch=10, max_bytes=2 * size, expires=SECOND)
    assert [m.status for m in got] == ["", ""]  # used up exactly: ends silently
    (too_big,) = world.pull(batch=10, max_bytes=size - 1, expires=SECOND)
    assert too_big.header == PENDING % (b"409 Message Size Exceeds MaxBytes", 10, size - 1)
    got = world.pull(batch=1, max_bytes=size + 7, expires=SECOND)
    assert got[1].header == PENDING % (b"409 Batch Completed", 0, 7)


def test_bad_requests():
    world = World()
    world.create(max_batch=10, max_expires=SECOND, max_bytes=100)
    statuses = []
    for fields in (
        {"batch": 1, "expires": SECOND, "idle_heartbeat": SECOND},
        {"batch": 11},
        {"batch": 1, "expires": 90 * SECOND},
        {"batch": 1, "max_bytes": 101},
        {"batch": 1, "priority": 10},
        {"batch": 1, "min_pending": 1},
        {"batch": 1, "id": "x"},
    ):
        (answer,) = world.pull(**fields)
        statuses.append(answer.status)
    assert statuses == [
        "400 Bad Request - heartbeat value too large",
        "409 Exceeded MaxRequestBatch of 10",
        "409 Exceeded MaxRequestExpires of 1s",
        "409 Exceeded MaxRequestMaxBytes of 100",
        "400 Bad Request - Priority must be between 0 and 9",
        "400 Bad Request - Not a Overflow Priority consumer",
        "400 Bad Request - Not a Pinned Client Priority consumer",
    ]
    (answer,) = world.pull(body=b'{"batch":"many"}')
    assert answer.status.startswith("400 Bad Request - json: cannot unmarshal string")


def test_too_many_waiting_requests_unless_they_have_heartbeats():
    world = World()
    world.create(max_waiting=2)
    for inbox in ("one", "two"):
        world.pull(inbox=inbox, batch=1, expires=SECOND)
    assert [m.status for m in world.pull(inbox="three", batch=1, expires=SECOND)] == ["409 Exceeded MaxWaiting"]
    assert world.pull(inbox="four", batch=1, expires=10 * SECOND, idle_heartbeat=SECOND) == []
    assert world.info()["num_waiting"] == 2


def test_room_is_made_by_those_who_left():
    world = World()
    world.create(max_waiting=1)
    world.pull(inbox="one", batch=1, expires=60 * SECOND)
    world.hang_up("one")
    world.advance(2 * SECOND)
    world.publish(1)
    assert [m.sequence for m in world.pull(inbox="two", batch=1, expires=SECOND)] == [1]
    assert world.take("one") == []


def test_messages_go_round_the_waiting_requests_one_at_a_time():
    world = World()
    world.create()
    for inbox in ("one", "two", "three"):
        world.pull(inbox=inbox, batch=2, expires=60 * SECOND)
    world.local("publish", *[("s.a", b"", b"")] * 6)
    world.turn()
    assert {inbox: [m.sequence for m in world.take(inbox)] for inbox in ("one", "two", "three")} == {
        "one": [1, 4],
        "two": [2, 5],
        "three": [3, 6],
    }


def test_heartbeats_come_while_nothing_else_does():
    world = World()
    world.create()
    world.publish(3)
    got = world.pull(batch=5, expires=10 * SECOND, idle_heartbeat=SECOND)
    assert len(got) == 3
    world.advance(900 * MS)
    world.publish(1)  # the timer begins again
    world.take()
    world.advance(990 * MS)
    assert world.take() == []
    world.advance(10 * MS)
    (beat,) = world.take()
    assert beat.header == b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 4\r\nNats-Last-Stream: 4\r\n\r\n"
    world.advance(2 * SECOND)
    assert [m.status for m in world.take()] == ["100 Idle Heartbeat"] * 2


def test_a_request_without_expiry_lives_until_its_inbox_is_gone():
    world = World()
    world.create()
    world.pull(batch=2)
    world.advance(3600 * SECOND)
    world.publish(1)
    assert [m.sequence for m in world.take()] == [1]
    world.hang_up("in")
    world.publish(1)
    assert world.take() == []
    assert world.info()["num_waiting"] == 0
    assert [m.sequence for m in world.pull(inbox="next", batch=1)] == [2]  # nothing was lost to the one who left


def test_who_left_since_the_last_delivery_no_longer_waits():
    world = World()
    world.create()
    world.pull(batch=2)
    world.publish(1)
    assert world.info()["num_waiting"] == 1
    world.hang_up("in")
    assert world.info()["num_waiting"] == 0


def test_a_request_from_another_node_may_come_before_word_of_its_interest():
    world = World()
    world.create()
    world.publish(1)
    world.ask(batch=2, expires=60 * SECOND, origin="PEER0001", listening=False)
    world.turn()
    assert [(m.origin, m.sequence) for m in world.take()] == [("PEER0001", 1)]
    world.listen("in")
    world.publish(1)
    world.ack(world.take()[0])
    world.pull(inbox="in", batch=1, expires=60 * SECOND, origin="PEER0001")
    world.hang_up("in")  # seen once, then gone
    world.publish(1)
    assert world.take() == []
    assert world.info()["num_pending"] == 1


def test_a_push_consumer_cannot_be_pulled_from():
    world = World()
    world.create(deliver_subject="d")
    assert [m.header for m in world.pull()] == [b"NATS/1.0 409 Consumer is push based\r\n\r\n"]


def test_a_request_that_needs_a_newer_server():
    world = World()
    world.create()
    world.publish(1)
    for level, status in ((b"6", "412 Required Api Level"), (b"x", "412 Required Api Level"), (b"5", "")):
        header = b"NATS/1.0\r\nNats-Required-Api-Level: " + level + b"\r\n\r\n"
        world.listen("in")
        world.delivery.pull_request("C", ApiRequest(b"x", b"in", len(header), header, "", world.wall_ns))
        world.turn()
        assert [m.status for m in world.take()] == [status]


def test_nobody_answers_for_a_consumer_that_is_not_there():
    world = World()
    world.create()
    assert world.delivery.pull_request("nope", ApiRequest(b"x", b"in", 0, b"", "", 0)) is False


def test_deleting_the_consumer_answers_who_waits():
    world = World()
    world.create()
    world.pull(batch=1, expires=60 * SECOND)
    world.ask(inbox="late", batch=1)
    assert world.request("CONSUMER.DELETE", "S.C")["success"] is True
    assert [m.header for m in world.take()] == [b"NATS/1.0 409 Consumer Deleted\r\n\r\n"]
    assert [m.status for m in world.take("late")] == ["409 Consumer Deleted"]


def test_max_ack_pending_stalls_new_messages_but_not_redeliveries():
    world = World()
    world.create(max_ack_pending=2, ack_wait=SECOND)
    world.publish(4)
    first = world.pull(batch=10, expires=60 * SECOND)
    assert [m.sequence for m in first] == [1, 2]
    world.advance(1100 * MS)
    assert [(m.sequence, m.deliveries) for m in world.take()] == [(1, 2), (2, 2)]
    world.ack(first[0])
    assert [(m.sequence, m.deliveries) for m in world.take()] == [(3, 1)]


def test_a_long_backlog_is_sent_in_several_turns():
    world = World()
    world.create(max_ack_pending=-1)
    world.local("publish", *[("s.a", b"", b"")] * 5000)
    world.ask(batch=10_000, expires=SECOND)
    assert world.delivery.pump(world.now_ns, world.wall_ns) is True
    assert len(world.take()) == 4096
    world.turn()
    assert len(world.take()) == 904


def test_a_request_is_signed_with_its_clients_name_whatever_it_says_itself() -> None:
    forged = b"NATS/1.0\r\nA: b\r\nTernmq-Client: root\r\n\r\n"
    length, data = signed(len(forged), forged + b'{"batch":3}', "worker\r\n7" + "x" * 9999)
    assert data[:length] == b"NATS/1.0\r\nA: b\r\nTernmq-Client: worker  7%b\r\n\r\n" % (b"x" * 119)
    assert data[length:] == b'{"batch":3}'
    length, data = signed(0, b"3", "w")
    assert (data[:length], data[length:]) == (b"NATS/1.0\r\nTernmq-Client: w\r\n\r\n", b"3")
    assert signature(length, data) == b"w"
    assert signature(0, b"3") == b""
