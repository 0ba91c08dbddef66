"""Numbers and texts at the end of their range: whatever a client may say, applying it ends no replica.

What does not fit into 64 bits (or 16, for headers) fails in the compiled program only in part: the bounds are asserted.
"""

import pytest

from broker.jetstream.config.consumer_rules import sample_percent
from broker.jetstream.config.server_limits import ServerLimits
from broker.jetstream.config.stream_config import StreamConfig
from broker.jetstream.config.stream_rules import complete_new
from broker.jetstream.consumers.dead_letter import DeadLetter, letter_headers
from broker.jetstream.durations import parse_duration
from broker.jetstream.ops import HEADERS_MAX, OP_PUBLISH, OP_PURGE, PublishBatch, PublishOp, PurgeOp, encode_purge
from broker.jetstream.publishing.admission import SUBJECT_MAX, admit
from broker.jetstream.publishing.atomic_batches import AtomicBatches, BatchQuota
from broker.jetstream.store import SEQUENCE_MAX
from jetstream.consumer_world import MS, SECOND, WALL, World

SIGNED_MAX = (1 << 63) - 1
UNSIGNED_MAX = (1 << 64) - 1


def header(*fields: bytes) -> bytes:
    return b"NATS/1.0\r\n" + b"\r\n".join(fields) + b"\r\n\r\n"


@pytest.mark.parametrize("ttl", [b"9223372036854775807", b"9223372037", b"2562047h"])
def test_a_time_to_live_of_centuries_is_kept_by_a_snapshot(ttl: bytes) -> None:
    world = World(allow_msg_ttl=True)
    world.publish(header=header(b"Nats-TTL: " + ttl))
    machine = world.machine
    machine.restore(machine.snapshot())
    assert 0 < machine.next_expiry_ns() <= SIGNED_MAX
    assert machine.store.messages == 1


def test_headers_without_room_for_a_longer_time_to_live_stay_as_they_are() -> None:
    hour = 3600
    world = World(allow_msg_ttl=True, allow_rollup_hdrs=True, subject_delete_marker_ttl=hour * SECOND)
    short = header(b"Nats-TTL: 1", b"X: ")
    full = header(b"Nats-TTL: 1", b"X: " + b"x" * (HEADERS_MAX - len(short)))
    assert len(full) == HEADERS_MAX
    world.publish(header=full)
    message = world.machine.store.get(1)
    assert message is not None and message.data == full + b"x"
    assert world.machine.next_expiry_ns() == WALL + hour * SECOND


@pytest.mark.parametrize("config", [{"ack_wait": SIGNED_MAX}, {"backoff": [SIGNED_MAX], "max_deliver": 3}])
def test_an_ack_may_be_waited_for_longer_than_a_life(config: dict[str, object]) -> None:
    world = World()
    world.create(**config)
    world.publish(3)
    got = world.pull(batch=3)
    world.ack(got[0], b"+WPI")
    world.ack(got[1], b'-NAK {"delay": 9223372036854775807}')
    world.change_leader()
    world.advance(100 * MS)
    lead = world.delivery.lead("C")
    assert lead is not None
    assert [0 <= int(entry.deadline_ns) <= SIGNED_MAX for entry in lead.acks.out.entries.values()] == [True] * 3
    world.machine.restore(world.machine.snapshot())
    for pending in world.consumer().pending.values():
        assert -SIGNED_MAX <= pending.timestamp_ns <= SIGNED_MAX


@pytest.mark.parametrize("sequence", [SIGNED_MAX, UNSIGNED_MAX])
def test_no_stream_begins_where_sequences_end(sequence: int) -> None:
    config = StreamConfig.from_json({"name": "S", "subjects": ["s.>"], "first_seq": sequence})
    assert isinstance(config, StreamConfig)
    refusal = complete_new(config, ServerLimits(clustered=True))
    assert refusal is not None and "first sequence" in refusal.description


@pytest.mark.parametrize("sequence", [SIGNED_MAX, UNSIGNED_MAX])
def test_no_purge_goes_where_sequences_end(sequence: int) -> None:
    world = World()
    world.publish(2)
    purge = encode_purge(world.wall_ns, PurgeOp(b"", sequence, 0))
    world.proposed.append((OP_PURGE, purge, True, None))  # of a log written before this was refused
    world.commit()
    world.publish(2)
    assert world.machine.store.last_sequence == SEQUENCE_MAX + 1


ROLL_UP = [b"Nats-Rollup: sub"]
EXPECT = [b"Nats-Expected-Last-Subject-Sequence: 0", b"Nats-Expected-Last-Subject-Sequence-Subject: \xff.*"]


@pytest.mark.parametrize("fields", [ROLL_UP, EXPECT])
def test_a_subject_need_not_be_text(fields: list[bytes]) -> None:
    world = World(allow_rollup_hdrs=True)
    batch = PublishBatch()
    own = header(*fields)
    batch.add(b"s.\xff", 0, b"x")
    batch.add(b"s.\xff", len(own), own + b"y")
    world.proposed.append((OP_PUBLISH, batch.encode(world.wall_ns), True, None))
    world.commit()
    assert world.machine.store.last_sequence == 2
    assert world.machine.store.messages == (1 if b"Rollup" in own else 2)


DIGITS = b"9" * 5000  # more than Python converts


@pytest.mark.parametrize("name", [b"Nats-TTL", b"Nats-Expected-Last-Sequence", b"Nats-Expected-Last-Subject-Sequence"])
@pytest.mark.parametrize("value", [DIGITS, DIGITS + b"s", b"1." + DIGITS + b"s"])
def test_numbers_in_headers_may_be_of_any_length(name: bytes, value: bytes) -> None:
    world = World(allow_msg_ttl=True)
    world.publish(header=header(name + b": " + value))
    assert world.machine.store.messages == (1 if value[:2] == b"1." and name == b"Nats-TTL" else 0)


def test_numbers_in_texts_may_be_of_any_length() -> None:
    assert parse_duration("0" * 5000 + "1.5s") == 3 * SECOND // 2
    assert parse_duration("0." + "3" * 5000 + "s") == 333_333_333
    assert parse_duration("9" * 5000 + "h") is None
    assert sample_percent(DIGITS.decode() + "%") == -1


def test_a_batch_takes_headers_as_they_are() -> None:
    batches = AtomicBatches(BatchQuota())
    level = header(b"Nats-Batch-Sequence: 1", b"Nats-Required-Api-Level: " + DIGITS)
    assert batches.take(b"id", b"s.a", len(level), level, 1) is not None
    short = header(b"Nats-Batch-Sequence: 1", b"X: ")
    full = header(b"Nats-Batch-Sequence: 1", b"X: " + b"x" * (HEADERS_MAX - len(short)))
    end = header(b"Nats-Batch-Sequence: 2", b"Nats-Batch-Commit: eob")
    assert batches.take(b"id", b"s.a", len(full), full, 1) is None
    assert batches.take(b"id", b"s.a", len(end), end, 1) is None
    assert batches.committed is not None and PublishOp(batches.committed.encode(1)).count == 1


def test_a_dead_letter_has_room_for_the_longest_subject() -> None:
    world = World()
    subject = b"s." + b"\xff" * (SUBJECT_MAX - 2)
    assert admit(world.machine, subject, 0, b"") is None
    assert admit(world.machine, subject + b"x", 0, b"") is not None
    letter = DeadLetter(1 << 31, True, "€" * 5000, WALL, WALL, "€" * 5000)
    headers = letter_headers(b"", "S" * 255, "C" * 255, SEQUENCE_MAX, subject, letter)
    assert len(headers) <= HEADERS_MAX


def test_a_hundred_thousand_subjects_are_compared_in_no_time() -> None:
    subjects = [f"a.{number}" for number in range(100_000)]
    refusal = complete_new(config_with(subjects), ServerLimits(clustered=True))
    assert refusal is None
    refusal = complete_new(config_with([*subjects, "a.99999"]), ServerLimits(clustered=True))
    assert refusal is not None and refusal.description == 'subject "a.99999" overlaps with "a.99999"'
    refusal = complete_new(config_with([f"*.{number}" for number in range(100_000)]), ServerLimits(clustered=True))
    assert refusal is not None and refusal.description == "too many subjects with wildcards"


def config_with(subjects: list[str]) -> StreamConfig:
    config = StreamConfig.from_json({"name": "S", "subjects": subjects})
    assert isinstance(config, StreamConfig)
    return config
