"""The replicated state alone: floors, codecs, snapshots, and what it costs."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.jetstream.config.consumer_config import ConsumerConfig
from broker.jetstream.consumers.ack import AckSection, AckSubject, decode_acks, encode_acks, nak_delay_ns, payload_kind
from broker.jetstream.consumers.consumer import Consumer, restore_consumer
from broker.jetstream.consumers.delivered import Delivered, decode_delivered
from broker.jetstream.delivery.ack_timers import AckTimers
from broker.jetstream.durations import format_duration, parse_duration
from jetstream.consumer_world import World

sequences = st.lists(st.integers(1, 2**63), max_size=20)


def explicit() -> ConsumerConfig:
    config = ConsumerConfig()
    config.ack_policy = "explicit"
    config.durable_name = "C"
    return config


def acked(*numbers: int) -> AckSection:
    section = AckSection("C", 5)
    section.acks = list(numbers)
    return section


def delivered(consumer: Consumer, first: int, count: int, consumer_sequence: int) -> None:
    op = Delivered("C", 5, 1000, consumer_sequence)
    for sequence in range(first, first + count):
        op.add_new(sequence)
    consumer.apply_delivered(decode_delivered(op.encode()), 1, None)


def test_contiguous_deliveries_are_one_run():
    op = Delivered("C", 5, 1, 1)
    for sequence in (1, 2, 3, 7, 8, 20):
        op.add_new(sequence)
    assert (op.run_first, op.run_length) == ([1, 7, 20], [3, 2, 1])
    body = Delivered("C", 5, 1, 1)
    for sequence in range(10_000):
        body.add_new(sequence)
    assert len(body.encode()) < 60


runs_of_messages = st.lists(st.tuples(st.integers(1, 2**60), st.integers(1, 1000)))
other_acks = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 2**60), st.integers(-(2**60), 2**60)))


@given(st.integers(0, 2**60), st.integers(1, 2**60), sequences, runs_of_messages)
def test_delivered_operations_survive_their_bytes(time, first, redelivered, runs):
    op = Delivered("någon", 5, time, first)
    op.redelivered = redelivered
    op.deliveries = [3] * len(redelivered)
    op.run_first = [start for start, _ in runs]
    op.run_length = [length for _, length in runs]
    back = decode_delivered(op.encode())
    assert (back.consumer, back.epoch_ns) == ("någon", 5)
    assert (back.timestamp_ns, back.first_consumer_sequence) == (time, first)
    assert (back.redelivered, back.deliveries) == (op.redelivered, op.deliveries)
    assert (back.run_first, back.run_length) == (op.run_first, op.run_length)


@given(st.integers(0, 2**60), st.lists(st.tuples(sequences, other_acks)))
def test_ack_operations_survive_their_bytes(time, consumers):
    sections = []
    for acks, others in consumers:
        section = AckSection(f"C{len(sections)}", 5)
        section.acks = acks
        for kind, sequence, argument in others:
            section.add(kind, sequence, argument)
        sections.append(section)
    back_time, back = decode_acks(encode_acks(time, sections))
    assert back_time == time
    for one, other in zip(sections, back, strict=True):
        assert (one.consumer, one.epoch_ns, one.acks) == (other.consumer, other.epoch_ns, other.acks)
        assert one.kinds == other.kinds
        assert (one.sequences, one.arguments) == (other.sequences, other.arguments)


def test_the_floor_follows_the_oldest_message_out():
    consumer = Consumer("S", "C", explicit(), 0)
    delivered(consumer, 3, 2, 1)  # a filtered consumer: 3, 4, then 9, 10
    delivered(consumer, 9, 2, 3)
    consumer.apply_acks(acked(4), 0, 1, None)
    assert (consumer.ack_floor_stream, consumer.ack_floor_consumer) == (0, 0)
    consumer.apply_acks(acked(3), 0, 1, None)
    assert (consumer.ack_floor_stream, consumer.ack_floor_consumer) == (8, 2)
    consumer.apply_acks(acked(10), 0, 1, None)
    assert (consumer.ack_floor_stream, consumer.ack_floor_consumer) == (8, 2)
    consumer.apply_acks(acked(9), 0, 1, None)
    assert (consumer.ack_floor_stream, consumer.ack_floor_consumer) == (10, 4)


def test_messages_that_fell_off_the_stream_are_dropped_with_the_next_operation():
    consumer = Consumer("S", "C", explicit(), 0)
    delivered(consumer, 1, 10, 1)
    consumer.apply_acks(acked(9), 0, 6, None)
    assert sorted(consumer.pending) == [6, 7, 8, 10]
    assert consumer.ack_floor_stream == 5


@settings(max_examples=60)
@given(st.permutations(list(range(1, 25))), st.integers(0, 24))
def test_floor_in_any_order_of_acks(order, count):
    consumer = Consumer("S", "C", explicit(), 0)
    delivered(consumer, 1, 24, 1)
    for sequence in order[:count]:
        consumer.apply_acks(acked(sequence), 0, 1, None)
    left = sorted(set(order[count:]))
    assert sorted(consumer.pending) == left
    assert consumer.ack_floor_stream == (left[0] - 1 if left else 24)
    again = restore_consumer("S", consumer.snapshot())
    assert again.snapshot() == consumer.snapshot()
    for one in (consumer, again):
        one.apply_acks(acked(*left), 0, 1, None)
    assert again.snapshot() == consumer.snapshot()
    assert again.ack_floor_stream == 24


def test_snapshot_and_restore_of_everything():
    world = World()
    world.create(max_deliver=1, ack_wait=1_000_000, filter_subjects=["s.a", "s.b"], metadata={"k": "v"})
    world.create("L", deliver_policy="last_per_subject", filter_subject="s.>")
    world.publish(3)
    world.pull(batch=2)
    world.advance(10_000_000)
    for consumer in world.machine.consumers.values():
        again = restore_consumer("S", consumer.snapshot())
        assert again.snapshot() == consumer.snapshot()
        assert again.config.same_as(consumer.config)
        assert again.matches(b"s.a")
    assert world.consumer().exceeded == {1: 1, 2: 1}


def test_ack_subjects():
    reader = AckSubject()
    assert reader.read(b"$JS.ACK.S.C.2.123456789012345.7.1700000000000000000.9")
    assert (reader.stream, reader.consumer) == ("S", "C")
    assert (reader.deliveries, reader.stream_sequence, reader.consumer_sequence) == (2, 123456789012345, 7)
    assert reader.read(b"$JS.ACK.dom.hash.S2.C2.1.2.3.4.5.token.more")
    assert (reader.stream, reader.consumer, reader.consumer_sequence) == ("S2", "C2", 3)
    for bad in (b"", b"$JS.ACK.S2.C2.1.2", b"$JS.ACK.dom.hash.S2.C2.1.9999999999999999999999.3.4.5"):
        assert not reader.read(bad)


@given(st.binary(max_size=60))
def test_no_bytes_upset_the_ack_readers(noise):
    reader = AckSubject()
    reader.read(noise)
    reader.read(b"$JS.ACK." + noise)
    reader.read(b"$JS.ACK.S.C." + noise)
    payload_kind(noise)
    assert nak_delay_ns(b"-NAK" + noise) >= 0


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1h30m", 5400 * 10**9),
        ("1.5s", 15 * 10**8),
        ("250ms", 250 * 10**6),
        ("-2us", -2000),
        ("0", 0),
        ("1µs", 1000),
        ("+1s", 10**9),
    ],
)
def test_go_durations(text, ns):
    assert parse_duration(text) == ns


@pytest.mark.parametrize("text", ["", "s", "1", "1.s.", "1x", "-", "1e3s", ".s", "99999999999h"])
def test_what_is_no_duration(text):
    assert parse_duration(text) is None


@given(st.integers(-(2**62), 2**62))
def test_durations_read_what_they_print(ns):
    assert parse_duration(format_duration(ns)) == ns


def test_timers_never_fire_early_and_at_most_a_bucket_late():
    timers = AckTimers()
    deadlines = {sequence: sequence * 777_777 for sequence in range(1, 2000)}
    for sequence in deadlines:
        timers.add(sequence, deadlines[sequence])
    now = 0
    while timers.next_deadline_ns():
        now = timers.next_deadline_ns()
        for sequence in timers.take_due(now):
            assert deadlines[sequence] <= now <= deadlines.pop(sequence) + (1 << 20)
    assert deadlines == {}


def test_idle_consumers_are_small():
    world = World()
    before = sum(map(_size, world.delivery.leads.values()))
    for number in range(20):
        world.create(f"C{number}")
    assert world.delivery.leads == {}
    assert before == 0
    assert max(_size(consumer) for consumer in world.machine.consumers.values()) < 8_000


def _size(thing: object, seen: set[int] | None = None) -> int:
    """Bytes of an object and what hangs on it (classes and modules apart)."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, type):
        return 0
    seen.add(id(thing))
    total = sys.getsizeof(thing)
    if isinstance(thing, dict):
        return total + sum(_size(key, seen) + _size(value, seen) for key, value in thing.items())
    if isinstance(thing, (list, tuple)):
        return total + sum(_size(entry, seen) for entry in thing)
    return total + (_size(vars(thing), seen) if hasattr(thing, "__dict__") else 0)
