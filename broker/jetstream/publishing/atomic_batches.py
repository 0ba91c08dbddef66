"""Atomic batches (ADR-50) on their way: what a stream's leader has of those that are not committed yet.

A client sends messages with `Nats-Batch-Id` and `Nats-Batch-Sequence` (1, 2, 3 …), the last one with
`Nats-Batch-Commit`: `1`, or `eob` when that message itself is not part of the batch. Only then is anything proposed:
one operation, applied as a whole or not at all (`publish_atomic`). Until then the batch is only here, and gone with
the leader's term: the client is told at its next message that the batch is incomplete, and begins again.

Bounds: `IN_FLIGHT_MAX` batches a stream, so many a node (`batch_quota`), `MESSAGES_MAX` messages and `BYTES_MAX`
bytes a batch, `IDLE_NS` between two messages. nats-server has no bound of bytes; here a batch is one entry of the log.

Not here: what the machine checks, who may publish at all (`admission`), sending answers (`broker/cluster`).
"""

from typing import Final

from broker.jetstream.api_errors import (
    API_LEVEL_REQUIRED,
    BATCH_COMMIT_INVALID,
    BATCH_ID_INVALID,
    BATCH_INCOMPLETE,
    BATCH_SEQUENCE_MISSING,
    BATCH_TOO_LARGE,
    TOO_MANY_BATCHES,
    ApiError,
)
from broker.jetstream.api_types import API_LEVEL
from broker.jetstream.durations import SECOND_NS
from broker.jetstream.ops import HEADERS_MAX, PublishBatch
from broker.jetstream.publishing.batch_quota import BatchQuota
from broker.jetstream.publishing.publish_headers import add_header, header_value, remove_header

BATCH_ID: Final = b"Nats-Batch-Id"
BATCH_SEQUENCE: Final = b"Nats-Batch-Sequence"
BATCH_COMMIT: Final = b"Nats-Batch-Commit"
REQUIRED_LEVEL: Final = b"Nats-Required-Api-Level"
IN_FLIGHT_MAX: Final = 50
MESSAGES_MAX: Final = 1000
BYTES_MAX: Final = 64 * 1024 * 1024
IDLE_NS: Final = 10 * SECOND_NS
_ID_LENGTH_MAX: Final = 64
_LEVEL_DIGITS_MAX: Final = 18

ABANDONED_TIMEOUT: Final = "timeout"
ABANDONED_LARGE: Final = "large"
ABANDONED_INCOMPLETE: Final = "incomplete"
ABANDONED_UNSUPPORTED: Final = "unsupported"


class StagedBatch:
    """One batch."""

    def __init__(self) -> None:
        self.messages: PublishBatch = PublishBatch()
        self.sequence: int = 0  # of the last message
        self.deadline_ns: int = 0


class AtomicBatches:
    """Those of one stream. `committed`: what the message just taken completes, to be proposed; `abandoned`: batches
    that came to nothing, with the reason, for advisories. Both are for the caller to take and clear."""

    def __init__(self, quota: BatchQuota) -> None:
        self.committed: PublishBatch | None = None
        self.abandoned: list[tuple[bytes, str]] = []
        self.bytes: int = 0
        self._quota: Final = quota
        self._staged: dict[bytes, StagedBatch] = {}

    def take(self, batch_id: bytes, subject: bytes, header_length: int, data: bytes, now_ns: int) -> ApiError | None:
        """One message of a batch; None: it is staged, or completes the batch."""
        headers = data[:header_length]
        if len(batch_id) > _ID_LENGTH_MAX:
            return BATCH_ID_INVALID
        sequence = _sequence(headers)
        if sequence < 0:
            return BATCH_SEQUENCE_MISSING
        commit = header_value(headers, BATCH_COMMIT)
        is_end = commit == b"eob"
        size = sequence - 1 if is_end else sequence
        batch = self._staged.get(batch_id)
        if batch is None:
            if sequence != 1:
                return BATCH_TOO_LARGE.of(size=MESSAGES_MAX) if size > MESSAGES_MAX else BATCH_INCOMPLETE
            if len(self._staged) >= IN_FLIGHT_MAX or not self._quota.has_room_for_atomic():
                return TOO_MANY_BATCHES
            batch = self._staged[batch_id] = StagedBatch()
            self._quota.atomic += 1
        if commit not in (b"", b"1", b"eob"):
            self._drop(batch_id)
            return BATCH_COMMIT_INVALID
        level = header_value(headers, REQUIRED_LEVEL)
        if level:
            if not level.isdigit() or len(level) > _LEVEL_DIGITS_MAX or int(level) > API_LEVEL:
                return self._abandon(batch_id, ABANDONED_UNSUPPORTED, API_LEVEL_REQUIRED)
            headers = remove_header(headers, REQUIRED_LEVEL)
            data = headers + data[header_length:]
        batch.sequence += 1
        batch.deadline_ns = now_ns + IDLE_NS
        if batch.sequence != sequence or (sequence == 1 and is_end):
            return self._abandon(batch_id, ABANDONED_INCOMPLETE, BATCH_INCOMPLETE)
        if size > MESSAGES_MAX or batch.messages.bytes + len(data) > BYTES_MAX:
            return self._abandon(batch_id, ABANDONED_LARGE, BATCH_TOO_LARGE.of(size=MESSAGES_MAX))
        if not is_end:
            before = batch.messages.bytes
            batch.messages.add(subject, len(headers), data)
            self.bytes += batch.messages.bytes - before
        if commit:
            self._drop(batch_id)
            if is_end:
                _mark_last(batch.messages)
            self.committed = batch.messages
        return None

    def _abandon(self, batch_id: bytes, reason: str, error: ApiError) -> ApiError:
        self.abandoned.append((batch_id, reason))
        self._drop(batch_id)
        return error

    def _drop(self, batch_id: bytes) -> None:
        batch = self._staged.pop(batch_id)
        self._quota.atomic -= 1
        self.bytes -= batch.messages.bytes

    # Time.

    def next_deadline_ns(self) -> int:
        """When the first batch will have been idle for too long; 0 = never."""
        deadline_ns = 0
        for batch in self._staged.values():
            if deadline_ns == 0 or batch.deadline_ns < deadline_ns:
                deadline_ns = batch.deadline_ns
        return deadline_ns

    def expire(self, now_ns: int) -> None:
        """Forget batches that were idle for too long."""
        for batch_id in [one for one in self._staged if self._staged[one].deadline_ns <= now_ns]:
            self.abandoned.append((batch_id, ABANDONED_TIMEOUT))
            self._drop(batch_id)

    def clear(self) -> None:
        """Another node leads."""
        for batch_id in list(self._staged):
            self._drop(batch_id)
        self.abandoned = []


def _sequence(headers: bytes) -> int:
    """`Nats-Batch-Sequence`; -1 where there is none."""
    text = header_value(headers, BATCH_SEQUENCE)
    return int(text) if text.isdigit() and len(text) < 20 else -1


def _mark_last(messages: PublishBatch) -> None:
    """A batch that was ended by a message beside it: its last message carries the commit, as in every other batch."""
    subject, header_length, data = messages.last()
    headers = add_header(data[:header_length], BATCH_COMMIT, b"1")
    if len(headers) <= HEADERS_MAX:  # where there is no room for it, the batch is as whole
        messages.replace_last(subject, len(headers), headers + data[header_length:])
