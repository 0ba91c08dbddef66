"""Publishes on their way through a stream's group: the batch of this turn, and who is to be told.

Not here: whether a message is stored (the machine decides in `apply`), nor how answers travel (`answers`).
"""

from typing import Final

from mypy_extensions import mypyc_attr

from broker.cluster.groups.group import Waiter
from broker.cluster.links.answers import Answers
from broker.jetstream.api_errors import ApiError
from broker.jetstream.api_types import pub_ack_batch, pub_ack_duplicate, pub_ack_error, pub_ack_prefix
from broker.jetstream.ops import PublishBatch
from broker.jetstream.publishing.fast_batches import FastMessage

BATCH_BYTES_MAX: Final = 4 * 1024 * 1024
BATCH_MESSAGES_MAX: Final = 16 * 1024
_EMPTY: Final = b""


@mypyc_attr(allow_interpreted_subclasses=True)
class FateListener:
    """Who keeps account of messages that are not answered one by one (`fast_publishing`)."""

    def stored(self, message: FastMessage, sequence: int) -> None:
        """It is stored."""

    def duplicate(self, message: FastMessage, sequence: int) -> None:
        """It was stored before."""

    def refused(self, message: FastMessage, error: ApiError) -> None:
        """It is not stored."""

    def abandoned(self, message: FastMessage) -> None:
        """Nobody will know: its batch cannot go on."""


class PublishWaiter(Waiter):
    """The replies of one batch, in its order; b"" where the publisher did not ask for one, or is told otherwise:
    `fast` has those, by their places."""

    def __init__(self, stream: str, answers: Answers, unavailable: ApiError) -> None:
        self.replies: list[bytes] = []
        self.origins: list[str] = []
        self.fast: dict[int, FastMessage] = {}
        self.listener: FateListener | None = None  # of `fast`
        self._answers: Final = answers
        self._stream: Final = stream
        self._prefix: Final = pub_ack_prefix(stream, answers.domain)
        self._unavailable: Final = unavailable

    def acknowledge(self, first: int, count: int, first_sequence: int) -> None:
        """Messages [first, first + count) of the batch are stored under consecutive sequences."""
        replies = self.replies
        origins = self.origins
        answers = self._answers
        prefix = self._prefix
        for position in range(first, first + count):
            reply = replies[position]
            if reply:
                ack = prefix + b"%d}" % (first_sequence + position - first)
                answers.send(origins[position], reply, _EMPTY, _EMPTY, 0, ack)
        if self.fast and self.listener is not None:
            for position in range(first, first + count):
                message = self.fast.get(position)
                if message is not None:
                    self.listener.stored(message, first_sequence + position - first)

    def counted(self, position: int, sequence: int, value: str) -> None:
        """The message is stored; `value` is what its subject counts now."""
        reply = self.replies[position]
        if reply:
            ack = self._prefix + b'%d,"val":"%b"}' % (sequence, value.encode())
            self._answers.send(self.origins[position], reply, _EMPTY, _EMPTY, 0, ack)
        elif position in self.fast and self.listener is not None:
            self.listener.stored(self.fast[position], sequence)

    def duplicate(self, position: int, sequence: int) -> None:
        """The message was stored before, under `sequence`."""
        reply = self.replies[position]
        if reply:
            ack = pub_ack_duplicate(self._prefix, sequence)
            self._answers.send(self.origins[position], reply, _EMPTY, _EMPTY, 0, ack)
        elif position in self.fast and self.listener is not None:
            self.listener.duplicate(self.fast[position], sequence)

    def refuse(self, position: int, error: ApiError) -> None:
        """The message is not stored."""
        reply = self.replies[position]
        if reply:
            ack = pub_ack_error(self._stream, error)
            self._answers.send(self.origins[position], reply, _EMPTY, _EMPTY, 0, ack)
        elif position in self.fast and self.listener is not None:
            self.listener.refused(self.fast[position], error)

    def abandoned(self) -> None:
        fast, self.fast = self.fast, {}
        if self.listener is not None:
            for message in fast.values():
                self.listener.abandoned(message)
        for position in range(len(self.replies)):
            self.refuse(position, self._unavailable)


class BatchWaiter(PublishWaiter):
    """An atomic batch: only who committed it is answered, when all of it is stored or refused."""

    def __init__(self, stream: str, answers: Answers, unavailable: ApiError, batch_id: bytes, count: int) -> None:
        """The one reply, and where it goes, is added as to any other waiter."""
        super().__init__(stream, answers, unavailable)
        self._batch_id: Final = batch_id
        self._count: Final = count

    def acknowledge(self, first: int, count: int, first_sequence: int) -> None:
        """Runs come in order: the last one ends the batch."""
        if first + count == self._count and self.replies[0]:
            ack = pub_ack_batch(self._prefix, first_sequence + count - 1, self._batch_id, self._count)
            self._answers.send(self.origins[0], self.replies[0], _EMPTY, _EMPTY, 0, ack)

    def counted(self, position: int, sequence: int, value: str) -> None:
        self.acknowledge(position, 1, sequence)

    def refuse(self, position: int, error: ApiError) -> None:
        super().refuse(0, error)


class PublishQueue:
    """The batch of this turn."""

    def __init__(self, stream: str, answers: Answers, unavailable: ApiError) -> None:
        self._stream: Final = stream
        self._answers: Final = answers
        self._unavailable: Final = unavailable
        self.batch: PublishBatch = PublishBatch()
        self.waiter: PublishWaiter = PublishWaiter(stream, answers, unavailable)

    def add(self, subject: bytes, reply: bytes, header_length: int, data: bytes, origin: str) -> bool:
        """Append a message; True when the batch should be sealed now."""
        self.batch.add(subject, header_length, data)
        self.waiter.replies.append(reply)
        self.waiter.origins.append(origin)
        return self.batch.bytes > BATCH_BYTES_MAX or self.batch.count >= BATCH_MESSAGES_MAX

    def add_fast(
        self, subject: bytes, header_length: int, data: bytes, message: FastMessage, listener: FateListener
    ) -> bool:
        """As `add`, for a message whose fate the listener is told."""
        self.waiter.fast[self.batch.count] = message
        self.waiter.listener = listener
        return self.add(subject, b"", header_length, data, message.origin)

    def take(self, timestamp_ns: int) -> tuple[bytes, PublishWaiter]:
        """Seal the batch: the body of its operation, and who waits for it."""
        body = self.batch.encode(timestamp_ns)
        waiter = self.waiter
        self.batch = PublishBatch()
        self.waiter = PublishWaiter(self._stream, self._answers, self._unavailable)
        return body, waiter
