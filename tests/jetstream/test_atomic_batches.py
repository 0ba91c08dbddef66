"""Atomic batches before they are committed: bounds, gaps, time, a leader that goes."""

from broker.jetstream.api_errors import BATCH_INCOMPLETE, BATCH_TOO_LARGE, TOO_MANY_BATCHES, ApiError
from broker.jetstream.ops import PublishOp
from broker.jetstream.publishing.atomic_batches import BYTES_MAX, IDLE_NS, AtomicBatches
from broker.jetstream.publishing.batch_quota import ATOMIC_MAX, BatchQuota


def headers(sequence: int, commit: str = "") -> bytes:
    last = f"Nats-Batch-Commit: {commit}\r\n" if commit else ""
    return f"NATS/1.0\r\nNats-Batch-Sequence: {sequence}\r\n{last}\r\n".encode()


def say(
    batches: AtomicBatches, sequence: int, commit: str = "", payload: bytes = b"x", now_ns: int = 1
) -> ApiError | None:
    head = headers(sequence, commit)
    return batches.take(b"b", b"s.a", len(head), head + payload, now_ns)


def test_nothing_is_proposed_before_the_commit_and_everything_with_it():
    batches = AtomicBatches(BatchQuota())
    assert say(batches, 1) is None
    assert batches.committed is None
    assert say(batches, 2, "1") is None
    assert batches.committed is not None
    op = PublishOp(batches.committed.encode(7))
    assert [(op.subject(index), op.payload(index)) for index in range(op.count)] == [(b"s.a", b"x")] * 2
    assert (batches.bytes, batches.next_deadline_ns()) == (0, 0)


def test_the_end_of_a_batch_may_be_a_message_beside_it_and_the_last_one_carries_the_commit():
    batches = AtomicBatches(BatchQuota())
    say(batches, 1)
    say(batches, 2, "eob")
    assert batches.committed is not None
    op = PublishOp(batches.committed.encode(7))
    assert op.count == 1
    assert op.headers(0) == b"NATS/1.0\r\nNats-Batch-Sequence: 1\r\nNats-Batch-Commit: 1\r\n\r\n"
    assert op.payload(0) == b"x"


def test_a_batch_that_stands_still_is_forgotten_and_its_next_message_is_told_so():
    quota = BatchQuota()
    batches = AtomicBatches(quota)
    say(batches, 1, now_ns=1)
    say(batches, 2, now_ns=2)
    assert batches.next_deadline_ns() == 2 + IDLE_NS
    batches.expire(1 + IDLE_NS)
    assert batches.abandoned == []
    batches.expire(2 + IDLE_NS)
    assert batches.abandoned == [(b"b", "timeout")]
    assert (batches.bytes, quota.atomic) == (0, 0)
    assert say(batches, 3) == BATCH_INCOMPLETE


def test_batches_are_gone_with_the_leader():
    quota = BatchQuota()
    batches = AtomicBatches(quota)
    say(batches, 1)
    batches.clear()
    assert (batches.bytes, quota.atomic) == (0, 0)
    assert say(batches, 2, "1") == BATCH_INCOMPLETE
    assert batches.committed is None


def test_a_node_holds_so_many_batches_over_all_its_streams():
    quota = BatchQuota()
    quota.atomic = ATOMIC_MAX - 1
    one, other = AtomicBatches(quota), AtomicBatches(quota)
    assert say(one, 1) is None
    assert say(other, 1) == TOO_MANY_BATCHES
    assert say(one, 2, "1") is None
    assert say(other, 1) is None


def test_a_batch_weighs_no_more_than_one_entry_may():
    batches = AtomicBatches(BatchQuota())
    for sequence in range(1, 5):
        assert say(batches, sequence, payload=bytes(BYTES_MAX // 4 - 200)) is None
    assert say(batches, 5, payload=bytes(1000)) == BATCH_TOO_LARGE.of(size=1000)
    assert batches.abandoned == [(b"b", "large")]
    assert batches.bytes == 0


def test_a_status_line_that_is_stripped_leaves_no_bytes_behind():
    batches = AtomicBatches(BatchQuota())
    head = b"NATS/1.0 503\r\nNats-Batch-Sequence: 1\r\n\r\n"
    assert batches.take(b"b", b"s.a", len(head), head + b"x", 1) is None
    batches.clear()
    assert batches.bytes == 0
