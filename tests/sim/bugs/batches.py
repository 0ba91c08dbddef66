"""Planted into batches: what belongs together is taken apart, and what was refused is not noticed."""

from collections.abc import Iterator

from broker.cluster.streams import fast_publishing
from broker.cluster.streams.fast_publishing import FastPublishing
from broker.jetstream.api_errors import ApiError
from broker.jetstream.ops import PublishBatch
from broker.jetstream.publishing.atomic_batches import AtomicBatches
from broker.jetstream.publishing.fast_batches import FastBatches, FastMessage
from sim.bugs.planting import batches, handed_over, planted
from sim.replacing import replaced


@planted(batches, "atomic batches")
def a_long_batch_is_proposed_in_pieces() -> Iterator[None]:
    """What has been gathered is proposed after three messages."""
    take = AtomicBatches.take

    def hasty(
        gathered: AtomicBatches, batch_id: bytes, subject: bytes, header_length: int, data: bytes, now_ns: int
    ) -> ApiError | None:
        batch = gathered._staged.get(batch_id)
        if batch is not None and batch.messages.count == 0 and b"eob" in data[:header_length]:
            return None  # nothing is left for an end beside the batch
        error = take(gathered, batch_id, subject, header_length, data, now_ns)
        batch = gathered._staged.get(batch_id)
        if gathered.committed is None and batch is not None and batch.messages.count == 3:
            gathered.committed, batch.messages = batch.messages, PublishBatch()
        return error

    with replaced(AtomicBatches, "take", hasty):
        yield


@planted(batches, "atomic batches")
def a_hole_in_a_batch_is_not_noticed() -> Iterator[None]:
    """Messages of a batch are counted, not looked at."""
    take = AtomicBatches.take

    def lenient(
        gathered: AtomicBatches, batch_id: bytes, subject: bytes, header_length: int, data: bytes, now_ns: int
    ) -> ApiError | None:
        batch = gathered._staged.get(batch_id)
        head = data[:header_length]
        if batch is not None:
            at = head.index(b"Nats-Batch-Sequence: ") + len(b"Nats-Batch-Sequence: ")
            head = b"%b%d%b" % (head[:at], batch.sequence + 1, head[head.index(b"\r", at) :])
        return take(gathered, batch_id, subject, len(head), head + data[header_length:], now_ns)

    with replaced(AtomicBatches, "take", lenient):
        yield


@planted(batches, "fast batches")
def a_fast_batch_goes_on_behind_a_refusal() -> Iterator[None]:
    """Nothing waits for the fate of a message that may be refused."""
    with replaced(fast_publishing, "may_be_refused", lambda *_: False):
        yield


@planted(batches, "fast batches")
def a_fast_batch_is_acknowledged_when_proposed() -> Iterator[None]:
    """How far a batch got is told before anybody else has it."""
    take = FastBatches.take

    def hasty(batches: FastBatches, message: FastMessage, risky: bool, *rest: object) -> bool:
        proposed = take(batches, message, risky, *rest)  # type: ignore[arg-type]
        batch = batches._batches.get(message.batch_id)
        if proposed and batch is not None:
            batches._tell_flow(batch, message, message.sequence)
        return proposed

    with replaced(FastBatches, "take", hasty):
        yield


@planted(handed_over, "fast batches", "liveness")
def a_batch_goes_on_behind_a_message_that_was_dropped() -> Iterator[None]:
    """What could not be proposed, as leadership was being handed over, is forgotten, and the batch is not."""
    with replaced(FastPublishing, "abandoned", lambda publishing, message: None):
        yield
