"""How messages leave by time: `max_age`, per-message TTL, and the delete markers that tell of it.

A message that was the last of its subject leaves a marker behind where the stream has `subject_delete_marker_ttl`: an
empty message with `Nats-Marker-Reason`, which has that TTL itself. Markers, and what a key-value client purged, leave
none. Deletes and purges never make markers. Not here: when the leader proposes to look (`stream_group`), other ways
to leave (`retention`). Invariants: deterministic; `Nats-TTL: never` is immune to `max_age`; times stay strictly
ascending. Source: ADR-43, ADR-48.
"""

from typing import Final

from broker.jetstream.config.stream_config import RETENTION_INTEREST
from broker.jetstream.durations import SECOND_NS, format_duration
from broker.jetstream.effects import EffectSink
from broker.jetstream.publishing.publish_headers import header_value
from broker.jetstream.retention import enforce_limits, has_interest, tell_removed
from broker.jetstream.store import StoredMessage
from broker.jetstream.stream_state import StreamState

_MARKER: Final = b"NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: %s\r\nNats-Rollup: sub\r\n\r\n"


def age(state: StreamState, now_ns: int, sink: EffectSink) -> int:
    """Drop what is too old at `now_ns`, the state's newest time; the time that a message stored next may have."""
    time_ns = now_ns
    due_ns = next_max_age_ns(state)
    if 0 < due_ns <= now_ns:
        time_ns = _apply_max_age(state, now_ns, sink)
    if 0 < state.ttl.next_ns <= now_ns:
        for sequence in state.ttl.take_due(now_ns):
            message = state.store.get(sequence)
            if message is not None:
                time_ns = _remove(state, message, time_ns, sink)
    if time_ns != now_ns:
        state.last_time_ns = time_ns - 1
        enforce_limits(state)
    return time_ns


def next_max_age_ns(state: StreamState) -> int:
    """When `max_age` removes a message next; 0 = never."""
    max_age_ns = state.config.max_age_ns
    store = state.store
    if max_age_ns <= 0 or store.messages == 0:
        return 0
    if state.aged_sequence < store.first_sequence:
        return store.first_timestamp_ns + max_age_ns
    sequence = store.next_sequence(state.aged_sequence + 1, None)  # messages before it never age
    message = store.get(sequence) if sequence else None
    return 0 if message is None else message.timestamp_ns + max_age_ns


def _apply_max_age(state: StreamState, now_ns: int, sink: EffectSink) -> int:
    store = state.store
    end = store.sequence_at_time(now_ns - state.config.max_age_ns + 1)
    if state.config.subject_delete_marker_ttl_ns == 0 and not state.ttl.never:
        store.truncate_front(end)
        return now_ns
    time_ns = now_ns
    sequence = store.next_sequence(max(store.first_sequence, state.aged_sequence + 1), None)
    while 0 < sequence < end:
        if sequence not in state.ttl.never:
            message = store.get(sequence)
            assert message is not None
            time_ns = _remove(state, message, time_ns, sink)
        sequence = store.next_sequence(sequence + 1, None)
    state.aged_sequence = end - 1
    return time_ns


def _remove(state: StreamState, message: StoredMessage, time_ns: int, sink: EffectSink) -> int:
    """One message goes, and leaves a marker where it should; the time for what is stored next."""
    subject = message.subject
    marks = (
        state.config.subject_delete_marker_ttl_ns >= SECOND_NS
        and not state.config.sealed
        and state.store.count_for(subject) == 1
        and not _is_marker(message.data[: message.header_length])
    )
    state.store.delete(message.sequence)
    tell_removed(state, message.sequence, sink)
    if not marks:
        return time_ns
    _store_marker(state, subject, time_ns, sink)
    return time_ns + 1


def _is_marker(headers: bytes) -> bool:
    if not headers:
        return False
    return bool(header_value(headers, b"Nats-Marker-Reason")) or header_value(headers, b"KV-Operation") == b"PURGE"


def _store_marker(state: StreamState, subject: bytes, time_ns: int, sink: EffectSink) -> None:
    store = state.store
    sequence = store.last_sequence + 1
    state.last_message_id = b""
    if state.config.retention == RETENTION_INTEREST and not has_interest(state, subject):
        store.skip_to(sequence)
        return
    seconds = state.config.subject_delete_marker_ttl_ns // SECOND_NS
    headers = _MARKER % format_duration(seconds * SECOND_NS).encode()
    previous = store.last_sequence_for(subject)
    store.append(sequence, time_ns, subject, len(headers), headers)
    state.ttl.add(sequence, time_ns, seconds, store)
    if state.mapping is not None and state.mapping.republishes:
        sink.republish(subject, headers, b"", sequence, time_ns, previous)
    sink.stored(sequence, sequence)
