"""OP_PUBLISH applied: which messages of a batch are stored, under which sequences.

Two paths. `_store_all`: nothing in the batch needs a look of its own (no headers, no limit that could refuse), so the
arrays go to the store as they are. `_Admission`: one message after the other, where runs of accepted ones still
become one `append_batch`.

Limits are applied behind each append. Not here: early refusals (`admission`), what headers ask for and may not have
(`publish_checks`), removal (`retention`, `aging`).

Invariants: message k stored of a batch has the batch's time + k, so that times are strictly ascending; refused and
duplicate messages take neither sequence nor time; a message nobody is interested in (interest retention) takes a
sequence and is acknowledged, but is not stored. A duplicate is told before any expectation is checked, so that a
retry whose first ack was lost gets its sequence.
"""

from typing import Final

from broker.jetstream.aging import age
from broker.jetstream.api_errors import MESSAGE_TOO_LARGE, MESSAGE_TTL_INVALID, STORE_FAILED, STREAM_SEALED, ApiError
from broker.jetstream.config.stream_config import DISCARD_NEW, RETENTION_INTEREST, StreamConfig
from broker.jetstream.durations import SECOND_NS
from broker.jetstream.effects import EffectSink
from broker.jetstream.message_ttl import INVALID_TTL, NO_TTL, parse_ttl
from broker.jetstream.ops import HEADERS_MAX, PublishOp, PurgeOp
from broker.jetstream.publishing.batch_append import append_runs
from broker.jetstream.publishing.publish_checks import (
    check_enabled,
    check_expectations,
    check_rollup,
    may_overflow,
    needs_look,
)
from broker.jetstream.publishing.publish_counter import apply_counted
from broker.jetstream.publishing.publish_headers import (
    ABSENT,
    PublishHeaders,
    add_header,
    has_our_headers,
    header_value,
    only_message_id,
    only_origin,
    remove_header,
)
from broker.jetstream.publishing.subject_mapping import previous_sequences, republish_runs
from broker.jetstream.retention import (
    enforce_batch_subjects,
    enforce_limits,
    enforce_subject_limit,
    has_interest,
    message_size,
    purge,
)
from broker.jetstream.schedules.schedule_checks import check_schedule, end_schedule
from broker.jetstream.schedules.schedules import SCHEDULE
from broker.jetstream.stream_state import StreamState

MAX_MSGS_REACHED: Final = STORE_FAILED.of(err="maximum messages exceeded")
MAX_BYTES_REACHED: Final = STORE_FAILED.of(err="maximum bytes exceeded")
MAX_SUBJECT_MSGS_REACHED: Final = STORE_FAILED.of(err="maximum messages per subject exceeded")

# How a batch is looked at.
_AS_SENT: Final = 0
_CHECKED: Final = 1  # that the stream takes every message is certain
_SOURCED: Final = 2  # of another stream: what it expected was expected there

_REFUSED: Final = -1
_SKIPPED: Final = 0
_ACCEPTED: Final = 1


def apply_publish(state: StreamState, op: PublishOp, ordinal: int, sink: EffectSink) -> None:
    """The whole operation."""
    if op.count == 0:
        return
    time_ns = age(state, state.advance(op.timestamp_ns), sink)
    state.dedupe.expire(time_ns)
    if state.config.allow_msg_counter:
        apply_counted(state, op, time_ns, ordinal, sink, False)
    elif needs_look(state, op):
        _Admission(state, op, time_ns, ordinal, sink, _AS_SENT).run()
    else:
        _store_all(state, op, time_ns, ordinal, sink)


def store_checked(
    state: StreamState, op: PublishOp, time_ns: int, ordinal: int, sink: EffectSink, headers: list[PublishHeaders]
) -> None:
    """All messages of an operation which the stream is certain to take (`publish_atomic`), whose headers were read."""
    if state.config.allow_msg_counter:
        apply_counted(state, op, time_ns, ordinal, sink, False)
    else:
        admission = _Admission(state, op, time_ns, ordinal, sink, _CHECKED)
        admission.read = headers
        admission.run()


def apply_sourced_batch(state: StreamState, op: PublishOp, time_ns: int, ordinal: int, sink: EffectSink) -> int:
    """Messages of another stream, in their order; how many are done with: where one is refused, it and all behind it
    are not."""
    if state.config.allow_msg_counter:
        return apply_counted(state, op, time_ns, ordinal, sink, True)
    admission = _Admission(state, op, time_ns, ordinal, sink, _SOURCED)
    admission.run()
    return op.count if admission.refused_at < 0 else admission.refused_at


def _store_all(state: StreamState, op: PublishOp, time_ns: int, ordinal: int, sink: EffectSink) -> None:
    store = state.store
    first = store.last_sequence + 1
    republishes = state.republishes(sink)
    previous = previous_sequences(store, op, [0], [op.count], first) if republishes else []
    store.append_batch(first, time_ns, op.raw, op.positions, op.subject_lengths, op.header_lengths, op.data_lengths)
    state.last_time_ns = time_ns + op.count - 1
    state.last_message_id = b""
    if state.config.max_msgs_per_subject > 0:
        enforce_batch_subjects(state, op, 0, op.count, sink)
    enforce_limits(state)
    sink.published(ordinal, 0, op.count, first)
    if republishes:
        republish_runs(sink, op, [0], [op.count], first, time_ns, previous)
    sink.stored(first, first + op.count - 1)


class _Admission:
    """One batch, message by message. Accepted messages wait in `segments` until `_flush`."""

    def __init__(
        self, state: StreamState, op: PublishOp, time_ns: int, ordinal: int, sink: EffectSink, mode: int
    ) -> None:
        self.state: Final = state
        self.mode: Final = mode
        self.refused_at: int = -1  # the first message that was refused
        self.op: Final = op
        self.read: list[PublishHeaders] | None = None  # of all messages, where somebody has read them
        self.ordinal: Final = ordinal
        self.sink: Final = sink
        self.time_ns: int = time_ns  # of the next message that is stored
        self.id_time_ns: Final = time_ns
        self.pending: int = 0  # accepted and not flushed
        self.pending_bytes: int = 0
        self.next_sequence: int = state.store.last_sequence + 1
        self.starts: list[int] = []  # runs of accepted messages: [start, end) in the batch
        self.ends: list[int] = []
        config = state.config
        self.check_interest: Final = config.retention == RETENTION_INTEREST
        self.check_size: Final = config.max_msg_size >= 0 and mode != _CHECKED
        self.check_new: Final = config.discard == DISCARD_NEW and mode != _CHECKED and may_overflow(state, op)
        self.interest: dict[bytes, bool] = {}

    def run(self) -> None:
        """All messages."""
        op = self.op
        sealed = self.state.config.sealed
        plain = not (self.check_interest or self.check_size or self.check_new)
        header_lengths = op.header_lengths
        index = 0
        while index < op.count and (self.mode != _SOURCED or self.refused_at < 0):
            if sealed:
                self._refuse(index, STREAM_SEALED)
            elif header_lengths[index]:
                self._with_headers(index, plain)
            elif plain or self._check_limits(index) == _ACCEPTED:
                self._accept(index, b"")
            index += 1
        self._flush()
        self.state.last_time_ns = max(self.id_time_ns, self.time_ns - 1)

    def _with_headers(self, index: int, plain: bool) -> None:
        headers = self.op.headers(index)
        message_id = only_message_id(headers)
        if message_id:
            known = self.state.dedupe.sequences.get(message_id)
            if known is not None:
                self.sink.duplicate(self.ordinal, index, known)
            elif plain or self._check_limits(index, message_id) == _ACCEPTED:
                self._accept(index, message_id)
        elif has_our_headers(headers) and not (self.mode == _SOURCED and only_origin(headers)):
            self._with_expectations(index, PublishHeaders(headers) if self.read is None else self.read[index])
        elif plain or self._check_limits(index) == _ACCEPTED:
            self._accept(index, b"")

    def _accept(self, index: int, message_id: bytes) -> None:
        sequence = self.next_sequence
        self.next_sequence = sequence + 1
        self.pending += 1
        self.state.last_message_id = message_id
        if message_id:
            self.state.dedupe.add(message_id, sequence, self.id_time_ns)
        ends = self.ends
        if ends and ends[-1] == index:
            ends[-1] = index + 1
        else:
            self.starts.append(index)
            ends.append(index + 1)

    def _refuse(self, index: int, error: ApiError) -> int:
        self.sink.refused(self.ordinal, index, error)
        if self.refused_at < 0:
            self.refused_at = index
        return _REFUSED

    # Limits.

    def _check_limits(self, index: int, message_id: bytes = b"") -> int:
        """Size, interest and `discard: new`. Refusals are told and skipped messages done with here."""
        op = self.op
        state = self.state
        data_length = op.data_lengths[index]
        if self.check_size and data_length > state.config.max_msg_size:
            return self._refuse(index, MESSAGE_TOO_LARGE)
        if self.check_interest and not self._interested(op.subject(index)):
            self._skip(index, message_id)
            return _SKIPPED
        if self.check_new:
            size = message_size(state.config, op.subject_lengths[index], op.header_lengths[index], data_length)
            error = self._check_discard_new(state.config, op.subject(index), size)
            if error is not None:
                return self._refuse(index, error)
            self.pending_bytes += size
        return _ACCEPTED

    def _interested(self, subject: bytes) -> bool:
        known = self.interest.get(subject)
        if known is None:
            known = has_interest(self.state, subject)
            self.interest[subject] = known
        return known

    def _skip(self, index: int, message_id: bytes) -> None:
        """Nobody is interested: it gets a sequence and is acknowledged."""
        self._flush()
        sequence = self.next_sequence
        self.next_sequence = sequence + 1
        self.state.store.skip_to(sequence)
        self.state.last_message_id = message_id
        if message_id:
            self.state.dedupe.add(message_id, sequence, self.id_time_ns)
        self.sink.published(self.ordinal, index, 1, sequence)

    def _check_discard_new(self, config: StreamConfig, subject: bytes, size: int) -> ApiError | None:
        store = self.state.store
        replaced = 0  # size of the message that makes place on the same subject
        if config.max_msgs_per_subject > 0:
            if self.pending:
                self._flush()
            if store.count_for(subject) >= config.max_msgs_per_subject:
                if config.discard_new_per_subject:
                    return MAX_SUBJECT_MSGS_REACHED
                oldest = store.get(store.first_sequence_for(subject))
                assert oldest is not None
                replaced = message_size(config, len(subject), oldest.header_length, len(oldest.data))
        if 0 < config.max_msgs <= store.messages + self.pending and not replaced:
            return MAX_MSGS_REACHED
        if 0 < config.max_bytes <= store.bytes + self.pending_bytes + size and replaced < size:
            return MAX_BYTES_REACHED
        return None

    # Headers for the stream.

    def _with_expectations(self, index: int, headers: PublishHeaders) -> None:
        state = self.state
        known = state.dedupe.sequences.get(headers.message_id) if headers.message_id else None
        error = check_enabled(state.config, headers) if self.mode == _AS_SENT else None
        if error is None and known is not None:
            self.sink.duplicate(self.ordinal, index, known)
            return
        if error is None and self.mode == _AS_SENT:
            if headers.expected_last_subject_sequence != ABSENT:
                self._flush()
            error = check_expectations(state, self.op.subject(index), headers, self.next_sequence - 1)
        if error is None and headers.has_schedule and self.mode == _AS_SENT:
            error = check_schedule(state, self.op.subject(index), self.op.headers(index), self.id_time_ns)
        wrong_rollup = check_rollup(state.config, headers)
        ttl = parse_ttl(headers.ttl)
        if self.mode == _SOURCED:
            ttl = ttl if state.config.allow_msg_ttl and ttl != INVALID_TTL else NO_TTL
        elif error is None:
            error = wrong_rollup
        if error is None and ttl == INVALID_TTL:
            error = MESSAGE_TTL_INVALID
        if error is not None:
            self._refuse(index, error)
            return
        outcome = self._check_limits(index, headers.message_id)
        if outcome == _ACCEPTED and headers.has_schedule and self.mode != _SOURCED:
            self._accept_schedule(index, headers, ttl)
        elif outcome == _ACCEPTED:
            self._accept_with_ttl(index, headers.message_id, ttl)
        if headers.rollup and outcome != _REFUSED and wrong_rollup is None:
            self._flush()
            subject = self.op.subject(index) if headers.rollup == b"sub" else b""
            purge(state, PurgeOp(subject, 0, 1 if outcome == _ACCEPTED else 0), self.sink)

    def _accept_with_ttl(self, index: int, message_id: bytes, ttl: int) -> None:
        state = self.state
        if ttl == NO_TTL:
            self._accept(index, message_id)
            return
        config = state.config
        shortest = config.subject_delete_marker_ttl_ns // SECOND_NS
        if 0 < ttl < shortest and config.max_msgs_per_subject != 1:
            # A marker that is there already must not outlive this message.
            ttl = shortest
            self._flush()
            headers = self.op.headers(index)
            raised = add_header(remove_header(headers, b"Nats-TTL"), b"Nats-TTL", b"%d" % ttl)
            if len(raised) <= HEADERS_MAX:  # otherwise they say the old one, and the new one counts
                headers = raised
            state.ttl.add(self.next_sequence, self.time_ns, ttl, state.store)
            self._store_changed(index, message_id, headers, self.op.payload(index))
            return
        state.ttl.add(self.next_sequence, self.time_ns + self.pending, ttl, state.store)
        self._accept(index, message_id)

    def _accept_schedule(self, index: int, headers: PublishHeaders, ttl: int) -> None:
        """A schedule, which replaces those before it, or a message that ends one."""
        self._flush()
        state = self.state
        block = self.op.headers(index)
        subject = self.op.subject(index)
        is_schedule = bool(header_value(block, SCHEDULE))
        if is_schedule and not headers.rollup:
            block = add_header(block, b"Nats-Rollup", b"sub")
        if ttl != NO_TTL:
            state.ttl.add(self.next_sequence, self.time_ns, ttl, state.store)
        self._store_changed(index, headers.message_id, block, self.op.payload(index))
        if is_schedule:
            purge(state, PurgeOp(subject, 0, 1), self.sink)
        else:
            end_schedule(state, block, self.sink)

    # Storing.

    def _flush(self) -> None:
        """Store what was accepted, then apply limits."""
        count = self.pending
        if count == 0:
            return
        op = self.op
        store = self.state.store
        first = self.next_sequence - count
        republishes = self.state.republishes(self.sink)
        previous = previous_sequences(store, op, self.starts, self.ends, first) if republishes else []
        append_runs(store, op, self.starts, self.ends, first, self.time_ns)
        self.time_ns += count
        sequence = first
        for run in range(len(self.starts)):
            low = self.starts[run]
            high = self.ends[run]
            if self.state.config.max_msgs_per_subject > 0:
                enforce_batch_subjects(self.state, op, low, high, self.sink)
            self.sink.published(self.ordinal, low, high - low, sequence)
            sequence += high - low
        if self.state.schedules.entries:
            self._replace_schedules(first)
        enforce_limits(self.state)
        if republishes:
            republish_runs(self.sink, op, self.starts, self.ends, first, self.time_ns - count, previous)
        self.sink.stored(first, sequence - 1)
        self.pending = 0
        self.pending_bytes = 0
        self.starts = []
        self.ends = []

    def _replace_schedules(self, sequence: int) -> None:
        """What was stored now may stand in the place of schedules."""
        for run in range(len(self.starts)):
            for index in range(self.starts[run], self.ends[run]):
                self.state.schedules.stored(self.op.subject(index), sequence, b"", 0, self.state.store)
                sequence += 1

    def _store_changed(self, index: int, message_id: bytes, headers: bytes, payload: bytes) -> None:
        """Store a message with other headers or payload than it came with; nothing is pending."""
        state = self.state
        subject = self.op.subject(index)
        sequence = self.next_sequence
        self.next_sequence = sequence + 1
        previous = state.store.last_sequence_for(subject)
        state.store.append(sequence, self.time_ns, subject, len(headers), headers + payload)
        if state.config.allow_msg_schedules:
            state.schedules.stored(subject, sequence, headers, self.time_ns, state.store)
        self.time_ns += 1
        state.last_message_id = message_id
        if message_id:
            state.dedupe.add(message_id, sequence, self.id_time_ns)
        if state.config.max_msgs_per_subject > 0:
            enforce_subject_limit(state, subject, self.sink)
        self.sink.published(self.ordinal, index, 1, sequence)
        if state.republishes(self.sink):
            self.sink.republish(subject, headers, payload, sequence, self.time_ns - 1, previous)
        enforce_limits(state)
        self.sink.stored(sequence, sequence)
