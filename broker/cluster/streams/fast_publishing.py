"""Fast batches at the leader of a stream: their messages on the way into its publish queue, their answers out.

Not here: the protocol (`jetstream.fast_batches`).
"""

from typing import TYPE_CHECKING, Final

from broker.cluster.streams.publishing import FateListener
from broker.jetstream.api_errors import FAST_BATCH_DISABLED, FAST_BATCH_PATTERN_INVALID, ApiError
from broker.jetstream.api_types import pub_ack_batch, pub_ack_duplicate_batch, pub_ack_error, pub_ack_prefix
from broker.jetstream.publishing.admission import may_be_refused
from broker.jetstream.publishing.batch_quota import BatchQuota
from broker.jetstream.publishing.fast_batches import FastBatches, FastMessage, FastOutput, HeldMessage, read_reply

if TYPE_CHECKING:
    from broker.cluster.streams.stream_group import StreamGroup


class FastAnswers(FastOutput):
    """What the batches of one stream say."""

    def __init__(self, group: "StreamGroup") -> None:
        self._group: Final = group

    def answer(self, message: FastMessage, payload: bytes) -> None:
        group = self._group
        if not group.machine.config.no_ack:
            group.answers.send(message.origin, message.reply, b"", b"", 0, payload)

    def _prefix(self) -> bytes:
        return pub_ack_prefix(self._group.machine.config.name, self._group.answers.domain)

    def pub_ack(self, message: FastMessage, sequence: int, count: int) -> None:
        self.answer(message, pub_ack_batch(self._prefix(), sequence, message.batch_id, count))

    def pub_ack_duplicate(self, message: FastMessage, sequence: int) -> None:
        self.answer(message, pub_ack_duplicate_batch(self._prefix(), sequence, message.batch_id, message.sequence))

    def refuse(self, message: FastMessage, error: ApiError) -> None:
        self.answer(message, pub_ack_error(self._group.machine.config.name, error))

    def release(self, held: HeldMessage) -> None:
        message = held.message
        self._group.publish(held.subject, message.reply, held.header_length, held.data, message.origin)


class FastPublishing(FateListener):
    """Those of one stream; the leader's."""

    def __init__(self, group: "StreamGroup", quota: BatchQuota) -> None:
        self._group: Final = group
        self._answers: Final = FastAnswers(group)
        self.batches: Final = FastBatches(self._answers, quota)

    def publish(
        self, subject: bytes, original: bytes, reply: bytes, header_length: int, data: bytes, origin: str
    ) -> bool:
        """A message that was admitted, to be stored under `subject`; True when the batch of this turn should be
        sealed."""
        group = self._group
        message = read_reply(reply, origin)
        if not group.machine.config.allow_batched or message is None:
            error = FAST_BATCH_PATTERN_INVALID if group.machine.config.allow_batched else FAST_BATCH_DISABLED
            self._answers.refuse(FastMessage(reply, origin), error)
            return False
        risky = may_be_refused(group.machine, group.pending_bytes(), header_length, data)
        if not self.batches.take(message, risky, original, header_length, data, group.clock.now_ns):
            return False
        return group.queue.add_fast(subject, header_length, data, message, self)

    def stored(self, message: FastMessage, sequence: int) -> None:
        self.batches.stored(message, sequence)

    def duplicate(self, message: FastMessage, sequence: int) -> None:
        self.batches.duplicate(message, sequence)

    def refused(self, message: FastMessage, error: ApiError) -> None:
        self.batches.refused(message, error)

    def abandoned(self, message: FastMessage) -> None:
        self.batches.abandoned(message)
