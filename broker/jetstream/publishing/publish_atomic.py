"""OP_ATOMIC_PUBLISH applied: a batch of messages that is stored as a whole, or not at all (ADR-50).

First every message is checked against the stream as it was before the batch, and against the messages before it in the
batch: an expectation of a subject that the batch has written cannot be right, a roll-up must come first, a message id
must be new. The first error refuses the batch; it is told to who committed it. Then all are stored.

Not here: collecting a batch (`atomic_batches`), storing (`publish`). Invariants: deterministic; a batch that was
refused changed nothing but the time.
"""

from typing import Final

from broker.jetstream.aging import age
from broker.jetstream.api_errors import (
    BATCH_DUPLICATE,
    BATCH_HEADER_UNSUPPORTED,
    MESSAGE_TOO_LARGE,
    MESSAGE_TTL_INVALID,
    ROLLUP_FAILED,
    STREAM_SEALED,
    WRONG_LAST_SEQUENCE_IN_BATCH,
    ApiError,
)
from broker.jetstream.config.stream_config import DISCARD_NEW
from broker.jetstream.effects import EffectSink
from broker.jetstream.message_ttl import INVALID_TTL, parse_ttl
from broker.jetstream.ops import PublishOp
from broker.jetstream.publishing.publish import (
    MAX_BYTES_REACHED,
    MAX_MSGS_REACHED,
    MAX_SUBJECT_MSGS_REACHED,
    store_checked,
)
from broker.jetstream.publishing.publish_checks import check_enabled, check_expectations, check_rollup
from broker.jetstream.publishing.publish_counter import check_increment, counter_of
from broker.jetstream.publishing.publish_headers import ABSENT, PublishHeaders, has_our_headers
from broker.jetstream.retention import message_size
from broker.jetstream.schedules.schedule_checks import check_schedule
from broker.jetstream.stream_state import StreamState


def apply_atomic(state: StreamState, op: PublishOp, ordinal: int, sink: EffectSink) -> None:
    """The whole operation."""
    if op.count == 0:
        return
    time_ns = age(state, state.advance(op.timestamp_ns), sink)
    state.dedupe.expire(time_ns)
    check = _Check(state, op)
    error = check.run()
    if error is None:
        store_checked(state, op, time_ns, ordinal, sink, check.headers)
    else:
        state.last_time_ns = time_ns
        sink.refused(ordinal, op.count - 1, error)


class _Check:
    """One batch, message by message; nothing is changed."""

    def __init__(self, state: StreamState, op: PublishOp) -> None:
        self.state: Final = state
        self.op: Final = op
        self.written: dict[bytes, int] = {}  # subject → messages of this batch
        self.ids: dict[bytes, bool] = {}
        self.headers: list[PublishHeaders] = []  # of each message that passed, read once
        self.bytes: int = 0

    def run(self) -> ApiError | None:
        """The first error."""
        if self.state.config.sealed:
            return STREAM_SEALED
        for index in range(self.op.count):
            error = self._check(index)
            if error is not None:
                return error
        return None

    def _check(self, index: int) -> ApiError | None:
        op = self.op
        config = self.state.config
        subject = op.subject(index)
        if 0 <= config.max_msg_size < op.data_lengths[index]:
            return MESSAGE_TOO_LARGE
        headers = PublishHeaders(op.headers(index))
        self.headers.append(headers)
        if config.allow_msg_counter:
            counter = counter_of(self.state.store, subject)
            broken = counter if isinstance(counter, ApiError) else check_increment(headers, op.payload(index))
            if broken is not None:
                return broken
        error = self._check_headers(subject, headers) if has_our_headers(op.headers(index)) else None
        if error is None and headers.has_schedule:
            error = check_schedule(self.state, subject, op.headers(index), self.state.last_time_ns)
        if error is not None:
            return error
        self.written[subject] = self.written.get(subject, 0) + 1
        lengths = op.subject_lengths[index], op.header_lengths[index], op.data_lengths[index]
        self.bytes += message_size(config, lengths[0], lengths[1], lengths[2])
        return self._check_limits(index, subject, headers)

    def _check_headers(self, subject: bytes, headers: PublishHeaders) -> ApiError | None:
        state = self.state
        if headers.expected_last_message_id:
            return BATCH_HEADER_UNSUPPORTED.of(header="Nats-Expected-Last-Msg-Id")
        error = check_enabled(state.config, headers, in_batch=True)
        if error is not None:
            return error
        if headers.message_id:
            if headers.message_id in self.ids or headers.message_id in state.dedupe.sequences:
                return BATCH_DUPLICATE
            self.ids[headers.message_id] = True
        if headers.expected_last_sequence != ABSENT and self.written:
            return WRONG_LAST_SEQUENCE_IN_BATCH
        if headers.expected_last_subject_sequence != ABSENT and (headers.expected_subject or subject) in self.written:
            return WRONG_LAST_SEQUENCE_IN_BATCH
        error = check_expectations(state, subject, headers, state.store.last_sequence)
        if error is None:
            error = check_rollup(state.config, headers)
        if error is not None:
            return error
        if headers.rollup == b"sub" and subject in self.written:
            return ROLLUP_FAILED.of(err="batch rollup sub invalid")
        if headers.rollup == b"all" and self.written:
            return ROLLUP_FAILED.of(err="batch rollup all invalid")
        return MESSAGE_TTL_INVALID if parse_ttl(headers.ttl) == INVALID_TTL else None

    def _check_limits(self, index: int, subject: bytes, headers: PublishHeaders) -> ApiError | None:
        """`discard: new`, this message included."""
        config = self.state.config
        if config.discard != DISCARD_NEW:
            return None
        store = self.state.store
        if 0 < config.max_msgs < store.messages + index + 1:
            return MAX_MSGS_REACHED
        if 0 < config.max_bytes < store.bytes + self.bytes:
            return MAX_BYTES_REACHED
        if config.discard_new_per_subject and config.max_msgs_per_subject > 0 and not headers.rollup:
            if store.count_for(subject) + self.written[subject] > config.max_msgs_per_subject:
                return MAX_SUBJECT_MSGS_REACHED
        return None
