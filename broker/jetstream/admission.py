"""What a stream's leader refuses at once, before anything is proposed. Only what no entry on its way could change.

Not here: every decision that depends on state (`publish` makes those, on all replicas). Invariant: whatever passes
here may still be refused by the machine; whatever is refused here would be refused there too, or would not fit into
an operation.
"""

from typing import Final

from broker.jetstream.api_errors import (
    FAST_BATCH_DISABLED,
    HEADERS_TOO_LARGE,
    MESSAGE_TOO_LARGE,
    STORE_FAILED,
    STREAM_SEALED,
    ApiError,
)
from broker.jetstream.ops import HEADERS_MAX
from broker.jetstream.schedule_checks import zone_error
from broker.jetstream.stream_state import StreamState

SUBJECT_MAX: Final = 0x4000  # bytes; a dead letter's subject and headers quote it, and must fit as well
FAST_BATCH_REPLY: Final = b".$FI"


def admit(state: StreamState, subject: bytes, header_length: int, data: bytes, reply: bytes = b"") -> ApiError | None:
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
    if reply.endswith(FAST_BATCH_REPLY):
        return FAST_BATCH_DISABLED
    return None
