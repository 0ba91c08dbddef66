"""OP_SOURCED applied: messages of an origin are stored and its position moves, in one step.

Not here: bytes and positions (`sourced`), limits of messages that get sequences of their own (`publish`). Invariants:
an operation that does not follow the position that there is changes nothing; messages are done with in the order of
the origin; where one cannot be stored (a full stream with `discard: new`), the position stays before it, and its
source is read again from there.
"""

from typing import Final

from broker.jetstream.aging import age
from broker.jetstream.config.stream_config import DISCARD_NEW, RETENTION_INTEREST
from broker.jetstream.effects import EffectSink
from broker.jetstream.message_ttl import INVALID_TTL, NO_TTL, parse_ttl
from broker.jetstream.ops import PublishOp, PurgeOp
from broker.jetstream.publishing.batch_append import append_runs
from broker.jetstream.publishing.publish import apply_sourced_batch
from broker.jetstream.publishing.publish_checks import check_rollup
from broker.jetstream.publishing.publish_headers import PublishHeaders, has_our_headers
from broker.jetstream.publishing.subject_mapping import previous_sequences, republish_runs
from broker.jetstream.retention import (
    enforce_batch_subjects,
    enforce_limits,
    has_interest,
    message_size,
    purge,
)
from broker.jetstream.sources.sourced import SourcedOp
from broker.jetstream.stream_state import StreamState

_NO_HEADERS: Final = PublishHeaders(b"")


def apply_sourced(state: StreamState, body: bytes, ordinal: int, sink: EffectSink) -> bool:
    """The whole operation; False when not all of it is done with."""
    op = SourcedOp(body)
    time_ns = age(state, state.advance(op.timestamp_ns), sink)
    state.dedupe.expire(time_ns)
    if state.config.sealed or op.batch.count == 0:
        return False
    if not op.key:
        if state.config.mirror is None or op.after != state.store.last_sequence:
            return False
        return _Mirror(state, op, sink).run()
    position = state.sources.of(op.key)
    known = position.identity  # "" = unknown: nothing came yet, or all that came was restored from a backup
    restarts = op.after == 0 and known not in ("", op.identity)
    follows = op.after == position.sequence and known in ("", op.identity)
    if not follows and not restarts:
        return False
    done = apply_sourced_batch(state, op.batch, time_ns, ordinal, sink)
    if done:
        state.sources.move(op.key, op.sequences[done - 1], op.identity)
    return done == op.batch.count


class _Mirror:
    """Messages of the origin under their own sequences and times. Runs of neighbours are stored as one."""

    def __init__(self, state: StreamState, op: SourcedOp, sink: EffectSink) -> None:
        self._state: Final = state
        self._op: Final = op
        self._batch: Final[PublishOp] = op.batch
        self._sink: Final = sink
        self._start: int = 0  # of the run that is not stored yet
        self._end: int = 0
        config = state.config
        self._check_new: Final = config.discard == DISCARD_NEW
        self._check_interest: Final = config.retention == RETENTION_INTEREST

    def run(self) -> bool:
        """All messages; False when the stream is too full for one of them."""
        state = self._state
        op = self._op
        for index in range(op.batch.count):
            if self._check_new:
                self._flush()
                if self._is_full(index):
                    return False
            headers = op.batch.headers(index)
            known = PublishHeaders(headers) if headers and has_our_headers(headers) else _NO_HEADERS
            self._note_id(known.message_id, op.sequences[index])
            if self._check_interest and not has_interest(state, op.batch.subject(index)):
                self._flush()
                state.store.skip_to(op.sequences[index])
                self._start = self._end = index + 1
                continue
            if self._end > self._start and not self._follows(index):
                self._flush()
            self._end = index + 1
            if known is not _NO_HEADERS:
                self._with_headers(index, known)
        self._flush()
        return True

    def _follows(self, index: int) -> bool:
        """Whether the message is the next one of its run."""
        op = self._op
        return op.sequences[index] == op.sequences[index - 1] + 1 and op.times[index] == op.times[index - 1] + 1

    def _note_id(self, message_id: bytes, sequence: int) -> None:
        state = self._state
        state.last_message_id = message_id
        if message_id and state.dedupe.window_ns > 0 and message_id not in state.dedupe.sequences:
            state.dedupe.add(message_id, sequence, state.last_time_ns)

    def _is_full(self, index: int) -> bool:
        config = self._state.config
        store = self._state.store
        batch = self._batch
        if 0 < config.max_msgs <= store.messages:
            return True
        size = message_size(
            config, batch.subject_lengths[index], batch.header_lengths[index], batch.data_lengths[index]
        )
        return 0 < config.max_bytes <= store.bytes + size

    def _with_headers(self, index: int, headers: PublishHeaders) -> None:
        """TTL and roll-up, where this stream has them."""
        state = self._state
        ttl = parse_ttl(headers.ttl) if state.config.allow_msg_ttl else NO_TTL
        if ttl not in (NO_TTL, INVALID_TTL):
            state.ttl.add(self._op.sequences[index], self._op.times[index], ttl, state.store)
        if headers.rollup and check_rollup(state.config, headers) is None:
            self._flush()
            subject = self._batch.subject(index) if headers.rollup == b"sub" else b""
            purge(state, PurgeOp(subject, 0, 1), self._sink)

    def _flush(self) -> None:
        """Store the run, then apply limits."""
        low, high = self._start, self._end
        if low == high:
            return
        state = self._state
        store = state.store
        first = self._op.sequences[low]
        time_ns = max(self._op.times[low], store.last_timestamp_ns + 1)
        republishes = state.republishes(self._sink)
        previous = previous_sequences(store, self._batch, [low], [high], first) if republishes else []
        if first > store.last_sequence + 1:
            store.skip_to(first - 1)
        append_runs(store, self._batch, [low], [high], first, time_ns)
        state.last_time_ns = max(state.last_time_ns, time_ns + high - low - 1)
        if state.config.max_msgs_per_subject > 0:
            enforce_batch_subjects(state, self._batch, low, high, self._sink)
        enforce_limits(state)
        if republishes:
            republish_runs(self._sink, self._batch, [low], [high], first, time_ns, previous)
        self._sink.stored(first, first + high - low - 1)
        self._start = high
