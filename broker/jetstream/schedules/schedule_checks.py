"""What the headers of a schedule may say, and of a message that ends one: nats-server's checks, in its order.

None = nothing is wrong. Whether a time zone exists is only known to the leader that a message comes through, which
refuses it early (`admission`). Not here: patterns (`schedule_pattern`). Invariant: only `end_schedule`
changes state.
"""

from typing import Final

from broker.core.subjects import collides, is_literal, is_valid
from broker.jetstream.api_errors import (
    MESSAGE_TTL_DISABLED,
    SCHEDULE_PATTERN_INVALID,
    SCHEDULE_ROLLUP_INVALID,
    SCHEDULE_SCHEDULER_INVALID,
    SCHEDULE_SOURCE_INVALID,
    SCHEDULE_TARGET_INVALID,
    SCHEDULE_TIME_ZONE_INVALID,
    SCHEDULE_TTL_INVALID,
    SCHEDULES_DISABLED,
    ApiError,
)
from broker.jetstream.config.stream_config import StreamConfig
from broker.jetstream.effects import EffectSink
from broker.jetstream.message_ttl import INVALID_TTL, parse_ttl
from broker.jetstream.publishing.publish_headers import header_value
from broker.jetstream.retention import delete_message
from broker.jetstream.schedules.schedule_pattern import find_zone, read_pattern
from broker.jetstream.schedules.schedules import PURGE, SCHEDULE, SCHEDULE_NEXT, SCHEDULER
from broker.jetstream.stream_state import StreamState

_ZONE: Final = b"Nats-Schedule-Time-Zone"
_ZONE_LINE: Final = b"\r\nNats-Schedule-Time-Zone:"


def zone_error(headers: bytes) -> ApiError | None:
    """Whether this machine knows the time zone that a message names."""
    if _ZONE_LINE not in headers:
        return None
    name = header_value(headers, _ZONE).decode("utf-8", "replace")
    return None if name and find_zone(name) is not None else SCHEDULE_TIME_ZONE_INVALID


def check_schedule(state: StreamState, subject: bytes, headers: bytes, now_ns: int) -> ApiError | None:
    """All headers that begin with `Nats-Schedule`."""
    config = state.config
    if _ZONE_LINE in headers and not config.allow_msg_schedules:
        return SCHEDULES_DISABLED
    text = header_value(headers, SCHEDULE).decode("utf-8", "replace")
    if text:
        pattern = read_pattern(text)
        if not config.allow_msg_schedules:
            return SCHEDULES_DISABLED
        has_zone = _ZONE_LINE in headers
        if pattern is None or (has_zone and not pattern.takes_zone) or pattern.next_ns(now_ns, now_ns, None) == 0:
            return SCHEDULE_PATTERN_INVALID
        error = _check_target(config, subject, headers)
        if error is not None:
            return error
    return _check_scheduler(state, subject, headers)


def _check_target(config: StreamConfig, subject: bytes, headers: bytes) -> ApiError | None:
    ttl = header_value(headers, b"Nats-Schedule-TTL")
    if ttl and parse_ttl(ttl) == INVALID_TTL:
        return SCHEDULE_TTL_INVALID
    if header_value(headers, b"Nats-Schedule-Rollup") not in (b"", b"sub"):
        return SCHEDULE_ROLLUP_INVALID
    if ttl and not config.allow_msg_ttl:
        return MESSAGE_TTL_DISABLED
    target, source = header_value(headers, b"Nats-Schedule-Target"), header_value(headers, b"Nats-Schedule-Source")
    if not _is_place(target) or target == subject:
        return SCHEDULE_TARGET_INVALID
    if source and (source in (target, subject) or not _is_place(source)):
        return SCHEDULE_SOURCE_INVALID
    if not _is_captured(config, target):
        return SCHEDULE_TARGET_INVALID
    if source and not _is_captured(config, source):
        return SCHEDULE_SOURCE_INVALID
    if header_value(headers, b"Nats-Rollup").lower() not in (b"", b"sub"):
        return SCHEDULE_ROLLUP_INVALID
    return None


def _is_place(subject: bytes) -> bool:
    return is_valid(subject) and is_literal(subject)


def _is_captured(config: StreamConfig, subject: bytes) -> bool:
    return any([collides(own.encode(), subject) for own in config.subjects])  # noqa: C419 (a generator is slow)


def _check_scheduler(state: StreamState, subject: bytes, headers: bytes) -> ApiError | None:
    """`Nats-Scheduler` and `Nats-Schedule-Next`: a client may only end a schedule with them."""
    following, scheduler = header_value(headers, SCHEDULE_NEXT), header_value(headers, SCHEDULER)
    if not following:
        return SCHEDULE_SCHEDULER_INVALID if scheduler else None
    if following != PURGE or scheduler == subject or not _is_place(scheduler):
        return SCHEDULE_SCHEDULER_INVALID
    if not state.config.allow_msg_schedules:
        return SCHEDULES_DISABLED
    last = state.store.last_sequence_for(scheduler)
    message = state.store.get(last) if last else None
    if message is not None and not header_value(message.data[: message.header_length], SCHEDULE):
        return SCHEDULE_SCHEDULER_INVALID
    return None


def end_schedule(state: StreamState, headers: bytes, sink: EffectSink) -> None:
    """A message with `Nats-Schedule-Next: purge` was stored: the schedule that it names goes."""
    if header_value(headers, SCHEDULE_NEXT) != PURGE:
        return
    subject = header_value(headers, SCHEDULER)
    entry = state.schedules.entries.get(subject)
    state.schedules.remove(subject)
    if entry is not None:
        delete_message(state, entry.sequence, sink)
