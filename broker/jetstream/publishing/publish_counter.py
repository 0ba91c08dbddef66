"""Messages of a counter stream: each adds to the number that its subject had, and is stored with the sum (ADR-49).

What comes is a header `Nats-Incr` and no payload; what is stored has the payload `{"val":"<sum>"}`. A message from
another stream's counter brings the sum there: what counts is the difference to what this stream had of it before,
which stands in `Nats-Counter-Sources`. Numbers have any size, up to `DIGITS_MAX` digits.

Not here: all other streams (`publish`). Invariants: as in `publish`; one message after the other, as each needs the
one before it on its subject.
"""

import json
import re
from typing import Final

from broker.jetstream.api_errors import (
    COUNTER_BROKEN,
    COUNTER_INCREMENT_INVALID,
    COUNTER_INCREMENT_MISSING,
    COUNTER_WITH_PAYLOAD,
    HEADERS_TOO_LARGE,
    MESSAGE_TOO_LARGE,
    MESSAGE_TTL_INVALID,
    STREAM_SEALED,
    ApiError,
)
from broker.jetstream.effects import EffectSink
from broker.jetstream.message_ttl import INVALID_TTL, NO_TTL, parse_ttl
from broker.jetstream.ops import HEADERS_MAX, PublishOp
from broker.jetstream.publishing.publish_checks import check_enabled
from broker.jetstream.publishing.publish_headers import ABSENT, PublishHeaders, header_value, set_header
from broker.jetstream.retention import enforce_limits, enforce_subject_limit
from broker.jetstream.store import MessageStore
from broker.jetstream.stream_state import StreamState

DIGITS_MAX: Final = 4000  # of an increment; a sum may have a few more
_NUMBER: Final = re.compile(rb"[+-]?[0-9]{1,4000}")
_SUM_MAX: Final = 10 ** (DIGITS_MAX + 100)
_SOURCES: Final = b"Nats-Counter-Sources"

Sources = dict[str, dict[str, str]]  # stream → subject → the last sum


class Counter:
    """The number of a subject, and what of it came from which counters of other streams."""

    def __init__(self, value: int, sources: Sources) -> None:
        self.value: int = value
        self.sources: Sources = sources


def counter_of(store: MessageStore, subject: bytes) -> Counter | ApiError:
    """Where the counter of a subject stands."""
    last = store.last_sequence_for(subject)
    message = store.get(last) if last else None
    if message is None:
        return Counter(0, {})
    value = _value(message.data[message.header_length :])
    header = header_value(message.data[: message.header_length], _SOURCES)
    try:
        sources = json.loads(header) if header else {}
    except (ValueError, RecursionError):
        return COUNTER_BROKEN
    if value is None or not _are_sources(sources):
        return COUNTER_BROKEN
    return Counter(value, sources)


def _value(payload: bytes) -> int | None:
    """The number in a stored message; None when it is none."""
    try:
        fields = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    text = fields.get("val", "0") if isinstance(fields, dict) else None
    if not isinstance(text, str) or not _NUMBER.fullmatch(text[-DIGITS_MAX:].encode()) or len(text) > DIGITS_MAX + 101:
        return None
    return int(text)


def _are_sources(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    for subjects in value.values():
        if not isinstance(subjects, dict) or not all(isinstance(text, str) for text in subjects.values()):
            return False
    return True


def check_increment(headers: PublishHeaders, payload: bytes) -> ApiError | None:
    """What a client may not say to a counter."""
    if headers.increment and not _NUMBER.fullmatch(headers.increment):
        return COUNTER_INCREMENT_INVALID
    if headers.increment and payload:
        return COUNTER_WITH_PAYLOAD
    if headers.increment and _expects(headers):
        return COUNTER_INCREMENT_INVALID
    return None if headers.increment else COUNTER_INCREMENT_MISSING


def _expects(headers: PublishHeaders) -> bool:
    """Whether the message says what does not go together with counting."""
    return bool(
        headers.expected_stream
        or headers.expected_last_message_id
        or headers.expected_subject
        or headers.rollup
        or headers.expected_last_sequence != ABSENT
        or headers.expected_last_subject_sequence != ABSENT
    )


def apply_counted(
    state: StreamState, op: PublishOp, time_ns: int, ordinal: int, sink: EffectSink, is_sourced: bool
) -> int:
    """All messages of an operation; how many are done with. Of another stream's messages, nothing behind one that is
    refused."""
    counting = _Counting(state, op, time_ns, ordinal, sink, is_sourced)
    for index in range(op.count):
        error = counting.add(index)
        if error is not None:
            sink.refused(ordinal, index, error)
            if is_sourced:
                return index
    state.last_time_ns = max(time_ns, counting.time_ns - 1)
    return op.count


class _Counting:
    def __init__(
        self, state: StreamState, op: PublishOp, time_ns: int, ordinal: int, sink: EffectSink, is_sourced: bool
    ) -> None:
        self.time_ns: int = time_ns  # of the next message that is stored
        self._id_time_ns: Final = time_ns
        self._state: Final = state
        self._op: Final = op
        self._ordinal: Final = ordinal
        self._sink: Final = sink
        self._is_sourced: Final = is_sourced

    def add(self, index: int) -> ApiError | None:
        """One message; the error when it is refused."""
        state = self._state
        if state.config.sealed:
            return STREAM_SEALED
        block, payload = self._op.headers(index), self._op.payload(index)
        headers = PublishHeaders(block)
        if not self._is_sourced:
            error = check_increment(headers, payload) or check_enabled(state.config, headers)
            if error is not None:
                return error
        elif not headers.increment:
            return COUNTER_INCREMENT_MISSING
        known = state.dedupe.sequences.get(headers.message_id) if headers.message_id else None
        if known is not None:
            self._sink.duplicate(self._ordinal, index, known)
            return None
        ttl = parse_ttl(headers.ttl) if state.config.allow_msg_ttl else NO_TTL
        if ttl == INVALID_TTL:
            return MESSAGE_TTL_INVALID
        subject = self._op.subject(index)
        counter = counter_of(state.store, subject)
        if isinstance(counter, ApiError):
            return counter
        if self._is_sourced:
            sourced = _take_over(counter, headers.stream_source, subject, block, payload)
            if isinstance(sourced, ApiError):
                return sourced
            block = sourced
        else:
            counter.value += int(headers.increment)
        return self._store(index, headers.message_id, subject, counter, block, ttl)

    def _store(
        self, index: int, message_id: bytes, subject: bytes, counter: Counter, block: bytes, ttl: int
    ) -> ApiError | None:
        state = self._state
        store = state.store
        if abs(counter.value) >= _SUM_MAX:
            return COUNTER_INCREMENT_INVALID
        text = str(counter.value)
        if counter.sources:
            block = set_header(block, _SOURCES, _sources_json(counter.sources))
        data = block + b'{"val":"%b"}' % text.encode()
        if len(block) > HEADERS_MAX:
            return HEADERS_TOO_LARGE
        if 0 <= state.config.max_msg_size < len(data):
            return MESSAGE_TOO_LARGE
        sequence = store.last_sequence + 1
        previous = store.last_sequence_for(subject)
        store.append(sequence, self.time_ns, subject, len(block), data)
        state.last_message_id = message_id
        if message_id:
            state.dedupe.add(message_id, sequence, self._id_time_ns)
        if ttl != NO_TTL:
            state.ttl.add(sequence, self.time_ns, ttl, store)
        self.time_ns += 1
        if state.config.max_msgs_per_subject > 0:
            enforce_subject_limit(state, subject, self._sink)
        enforce_limits(state)
        self._sink.counted(self._ordinal, index, sequence, text)
        if state.republishes(self._sink):
            payload = data[len(block) :]
            self._sink.republish(subject, block, payload, sequence, self.time_ns - 1, previous)
        self._sink.stored(sequence, sequence)
        return None


def _take_over(counter: Counter, origin: bytes, subject: bytes, block: bytes, payload: bytes) -> bytes | ApiError:
    """Add what another counter has grown by since it was last seen; the message's headers say so then."""
    value = _value(payload)
    if value is None:
        return COUNTER_BROKEN
    fields = origin.decode("utf-8", "replace").split(" ")
    place = fields[4] if len(fields) >= 5 else subject.decode("utf-8", "replace")
    known = counter.sources.setdefault(fields[0], {})
    before = _value(json.dumps({"val": known.get(place, "0")}).encode()) or 0
    known[place] = str(value)
    counter.value += value - before
    return set_header(block, b"Nats-Incr", str(value - before).encode())


def _sources_json(sources: Sources) -> bytes:
    """As Go writes a map: sorted, compact, and careful with what HTML would take for markup."""
    text = json.dumps(sources, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").encode()
