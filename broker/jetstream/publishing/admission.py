"""What a stream's leader refuses at once, before anything is proposed. Only what no entry on its way could change.

Not here: every decision that depends on state (`publish` makes those, on all replicas). Invariant: whatever passes
here may still be refused by the machine; whatever is refused here would be refused there too, or would not fit into
an operation.
"""

from typing import Final

from broker.jetstream.api_errors import (
    HEADERS_TOO_LARGE,
    MESSAGE_TOO_LARGE,
    STORE_FAILED,
    STREAM_SEALED,
    ApiError,
)
from broker.jetstream.config.stream_config import DISCARD_NEW
from broker.jetstream.ops import HEADERS_MAX
from broker.jetstream.publishing.publish_headers import has_our_headers, only_message_id
from broker.jetstream.schedules.schedule_checks import zone_error
from broker.jetstream.stream_state import StreamState

MESSAGE_BYTES_MIN: Final = 9  # what a message weighs in an operation: three lengths and a subject
SUBJECT_MAX: Final = 0x4000  # bytes; a dead letter's subject and headers quote it, and must fit as well


def admit(state: StreamState, subject: bytes, header_length: int, data: bytes) -> ApiError | None:
    """Why the message cannot be proposed, None when it can."""
    config = state.config
    if config.sealed:
        return STREAM_SEALED
    if header_length > HEADERS_MAX:
        return HEADERS_TOO_LARGE
    if 0 <= config.max_msg_size < len(data):
        return MESSAGE_TOO_LARGE
    if len(subject) > SUBJECT_MAX:
        return STORE_FAILED.of(err="subject too long")
    if header_length and config.allow_msg_schedules:
        error = zone_error(data[:header_length])
        if error is not None:
            return error
    return None


def may_be_refused(state: StreamState, pending_bytes: int, header_length: int, data: bytes) -> bool:
    """Whether the machine could refuse a message that was admitted, messages of `pending_bytes` being under way."""
    config = state.config
    if header_length:
        headers = data[:header_length]
        if has_our_headers(headers) and not only_message_id(headers):
            return True
    if config.allow_msg_counter:
        return True
    if config.discard != DISCARD_NEW:
        return False
    store = state.store
    most = pending_bytes // MESSAGE_BYTES_MIN  # messages under way
    if config.max_msgs_per_subject > 0 or 0 < config.max_msgs <= store.messages + most:
        return True
    return 0 < config.max_bytes <= store.bytes + pending_bytes + len(data) + SUBJECT_MAX
