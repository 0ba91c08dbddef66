"""What a message's headers expect of the stream, and whether the stream allows what they ask for.

Pure questions over configuration and state; None = nothing is wrong. Not here: the duplicate window, limits, storing
(`publish`). Invariant: nothing here changes the state.
"""

from typing import Final

from broker.core.subjects import SubjectMatcher, is_literal
from broker.jetstream.api_errors import (
    ATOMIC_BATCH_DISABLED,
    COUNTERS_DISABLED,
    EXPECTED_STREAM_MISMATCH,
    EXPECTED_SUBJECT_WITHOUT_SEQUENCE,
    MESSAGE_TTL_DISABLED,
    ROLLUP_FAILED,
    SOURCE_HEADER_NOT_ALLOWED,
    WRONG_LAST_MESSAGE_ID,
    WRONG_LAST_SEQUENCE,
    ApiError,
)
from broker.jetstream.config.stream_config import DISCARD_NEW, RETENTION_INTEREST, StreamConfig
from broker.jetstream.message_ttl import INVALID_TTL, NO_TTL, parse_ttl
from broker.jetstream.ops import PublishOp
from broker.jetstream.publishing.publish_headers import ABSENT, NOT_A_NUMBER, PublishHeaders
from broker.jetstream.stream_state import StreamState

_SIZE_OVERHEAD: Final = 34  # the most that `message_size` adds to a message
ROLLUP_NOT_PERMITTED: Final = ROLLUP_FAILED.of(err="rollup not permitted")


def check_enabled(config: StreamConfig, headers: PublishHeaders, in_batch: bool = False) -> ApiError | None:
    """Wrong stream, or something this stream does not do. `in_batch`: the message came in an atomic batch."""
    if headers.increment and not config.allow_msg_counter:
        return COUNTERS_DISABLED
    if headers.expected_stream and headers.expected_stream != config.name.encode():
        return EXPECTED_STREAM_MISMATCH
    if headers.ttl and not config.allow_msg_ttl and parse_ttl(headers.ttl) not in (NO_TTL, INVALID_TTL):
        return MESSAGE_TTL_DISABLED
    if headers.batch_id and not in_batch:
        return ATOMIC_BATCH_DISABLED
    if headers.stream_source:
        return SOURCE_HEADER_NOT_ALLOWED
    return None


def check_expectations(
    state: StreamState, subject: bytes, headers: PublishHeaders, last_sequence: int
) -> ApiError | None:
    """`Nats-Expected-*`; everything accepted for a subject that is expected of must be in the store."""
    expected = headers.expected_last_subject_sequence
    if expected != ABSENT:
        last = _last_sequence_for(state, headers.expected_subject or subject)
        if last != expected:
            return WRONG_LAST_SEQUENCE.of(seq=last)
    elif headers.expected_subject:
        return EXPECTED_SUBJECT_WITHOUT_SEQUENCE
    expected = headers.expected_last_sequence
    if expected != ABSENT and (expected == NOT_A_NUMBER or expected != last_sequence):
        return WRONG_LAST_SEQUENCE.of(seq=last_sequence)
    if headers.expected_last_message_id and headers.expected_last_message_id != state.last_message_id:
        return WRONG_LAST_MESSAGE_ID.of(id=state.last_message_id.decode(errors="replace"))
    return None


def _last_sequence_for(state: StreamState, subject: bytes) -> int:
    store = state.store
    if is_literal(subject):
        return store.last_sequence_for(subject)
    return store.previous_sequence(store.last_sequence, SubjectMatcher([subject]))


def check_rollup(config: StreamConfig, headers: PublishHeaders) -> ApiError | None:
    """`Nats-Rollup`."""
    if not headers.rollup:
        return None
    if not config.allow_rollup_headers or config.deny_purge:
        return ROLLUP_NOT_PERMITTED
    if headers.rollup not in (b"sub", b"all"):
        return ROLLUP_FAILED.of(err=f'rollup value invalid: "{headers.rollup.decode(errors="replace")}"')
    return None


# A whole batch.


def needs_look(state: StreamState, op: PublishOp) -> bool:
    """Whether any message of a batch must be looked at by itself."""
    config = state.config
    if op.has_headers or config.sealed or config.allow_msg_schedules or config.retention == RETENTION_INTEREST:
        return True
    if config.max_msg_size >= 0 and max(op.data_lengths) > config.max_msg_size:
        return True
    return config.discard == DISCARD_NEW and may_overflow(state, op)


def may_overflow(state: StreamState, op: PublishOp) -> bool:
    """Whether `discard: new` could refuse a message of this batch."""
    config = state.config
    store = state.store
    if config.max_msgs_per_subject > 0:
        return True
    if config.max_msgs > 0 and store.messages + op.count > config.max_msgs:
        return True
    return config.max_bytes > 0 and store.bytes + len(op.raw) + _SIZE_OVERHEAD * op.count >= config.max_bytes
