"""How messages leave a stream: limits, limits per subject, purge, and nobody needing them any more.

Functions over the `StreamState`; each leaves the store within its rule. Not here: when they are called (`stream`,
`publish`), age and TTL (`aging`). Invariants: deterministic; what is removed behind the front of the stream is
told to consumers and the sink, what moves the front shows in `store.first_sequence`.
"""

from typing import Final

from mypy_extensions import i64

from broker.core.subjects import SubjectMatcher, collides, is_literal, is_subset
from broker.jetstream.config.stream_config import DISCARD_NEW, FILE_STORAGE, StreamConfig
from broker.jetstream.consumers.consumer import Consumer
from broker.jetstream.effects import EffectSink
from broker.jetstream.ops import PublishOp, PurgeOp
from broker.jetstream.store import SEQUENCE_MAX, MessageStore
from broker.jetstream.stream_state import StreamState

_FILE_COST: Final = 22 + 8
_FILE_HEADER_COST: Final = 4
_MEMORY_COST: Final = 16


def message_size(config: StreamConfig, subject_length: int, header_length: int, data_length: int) -> int:
    """What a message counts for in `max_bytes`: NATS's rule."""
    if config.storage == FILE_STORAGE:
        return _FILE_COST + subject_length + data_length + (_FILE_HEADER_COST if header_length else 0)
    return _MEMORY_COST + subject_length + data_length


def enforce_limits(state: StreamState) -> None:
    """Drop from the front what is more than `max_msgs` and `max_bytes` allow; a stream that refuses new messages keeps
    its old ones, also when its limits were lowered."""
    config = state.config
    if config.discard == DISCARD_NEW:
        return
    store = state.store
    excess = store.messages - config.max_msgs
    if config.max_msgs > 0 and excess > 0:
        if store.num_deleted == 0:
            store.truncate_front(store.first_sequence + excess)
        else:
            while excess > 0:
                store.delete(store.first_sequence)
                excess -= 1
    if config.max_bytes > 0:
        while store.bytes > config.max_bytes and store.messages > 0:
            store.delete(store.first_sequence)


def enforce_subject_limit(state: StreamState, subject: bytes, sink: EffectSink) -> None:
    """Drop the oldest messages of one subject beyond `max_msgs_per_subject`."""
    store = state.store
    excess = store.count_for(subject) - state.config.max_msgs_per_subject
    while excess > 0:
        sequence = store.first_sequence_for(subject)
        store.delete(sequence)
        tell_removed(state, sequence, sink)
        excess -= 1


def enforce_batch_subjects(state: StreamState, op: PublishOp, low: int, high: int, sink: EffectSink) -> None:
    """`enforce_subject_limit` for the messages [low, high) of a batch."""
    seen: dict[bytes, bool] = {}
    raw = op.raw
    positions = op.positions
    lengths = op.subject_lengths
    index: i64 = low
    end: i64 = high
    while index < end:
        position: i64 = positions[index]
        subject = raw[position : position + lengths[index]]
        if subject not in seen:
            seen[subject] = True
            enforce_subject_limit(state, subject, sink)
        index += 1


def enforce_subject_limits(state: StreamState, sink: EffectSink) -> None:
    """`enforce_subject_limit` for all subjects."""
    for subject in sorted(state.store.subjects_above(state.config.max_msgs_per_subject)):  # mostly few, or none
        enforce_subject_limit(state, subject, sink)


def tell_removed(state: StreamState, sequence: int, sink: EffectSink) -> None:
    """A message behind the front is gone."""
    for consumer in state.consumers.values():
        if sequence in consumer.pending or sequence in consumer.exceeded:
            consumer.drop_missing(state.store.first_sequence, [sequence])
    sink.removed(sequence)


def delete_message(state: StreamState, sequence: int, sink: EffectSink) -> bool:
    """Remove one message; False when there is none."""
    if state.store.get(sequence) is None:
        return False
    state.store.delete(sequence)
    tell_removed(state, sequence, sink)
    return True


# Purge.


def purge(state: StreamState, op: PurgeOp, sink: EffectSink) -> int:
    """Returns how many messages were removed."""
    store = state.store
    before = store.messages
    if op.subject in (b"", b">"):
        if op.keep:
            first = _first_kept(state, op.keep)
        elif op.sequence:
            first = min(op.sequence, SEQUENCE_MAX)
        else:
            first = store.last_sequence + 1
        store.truncate_front(min(first, store.last_sequence + 1))
        if first > store.last_sequence + 1:
            store.skip_to(first - 1)
        for consumer in state.consumers.values():
            consumer.drop_missing(store.first_sequence, [])
        return before - store.messages
    return _purge_subject(state, op, sink)


def _first_kept(state: StreamState, keep: int) -> int:
    store = state.store
    excess = store.messages - keep
    if excess <= 0:
        return store.first_sequence
    if store.num_deleted == 0:
        return store.first_sequence + excess
    sequence = store.first_sequence
    while excess > 0:
        sequence = store.next_sequence(sequence + 1, None)
        excess -= 1
    return sequence


def _purge_subject(state: StreamState, op: PurgeOp, sink: EffectSink) -> int:
    store = state.store
    matcher = SubjectMatcher([op.subject])
    if op.keep and is_literal(op.subject):
        excess = store.count_for(op.subject) - op.keep
    elif op.keep:
        excess = sum([count for _, count in store.subjects(matcher)]) - op.keep
    else:
        excess = store.messages
    end = op.sequence if op.sequence else store.last_sequence + 1
    removed: list[int] = []
    sequence = store.next_sequence(store.first_sequence, matcher)
    while sequence and sequence < end and len(removed) < excess:
        store.delete(sequence)
        removed.append(sequence)
        sequence = store.next_sequence(sequence + 1, matcher)
    for consumer in state.consumers.values():
        start = _start_behind_purge(consumer, op.subject, store)
        if start:
            consumer.drop_missing(start, removed)
    for gone in removed:
        sink.removed(gone)
    return len(removed)


def _start_behind_purge(consumer: Consumer, purged: bytes, store: MessageStore) -> int:
    """The first sequence that may still concern a consumer whose subjects were purged; 0 when none of them were."""
    filters = [wanted.encode() for wanted in consumer.config.filters()]
    if filters and all(is_subset(wanted, purged) for wanted in filters):
        return store.next_sequence(store.first_sequence, SubjectMatcher([purged])) or store.last_sequence + 1
    if not filters or any(collides(wanted, purged) for wanted in filters):
        return store.first_sequence
    return 0


# Interest.


def has_interest(state: StreamState, subject: bytes) -> bool:
    """Whether any consumer wants messages of this subject."""
    for consumer in state.consumers.values():  # noqa: SIM110 (a generator is slow under mypyc)
        if consumer.matches(subject):
            return True
    return False


def is_needed(state: StreamState, sequence: int, done: Consumer | None) -> bool:
    """Whether a consumer other than `done` still needs the message."""
    message = state.store.get(sequence)
    if message is None:
        return False
    for consumer in state.consumers.values():
        if consumer is not done and consumer.needs(sequence, message.subject):
            return True
    return False


def drop_unneeded(state: StreamState, gone: Consumer | None) -> None:
    """Interest retention: remove what no consumer needs, of what `gone` wanted (None: of everything)."""
    store = state.store
    if not state.consumers:
        store.truncate_front(store.last_sequence + 1)
        return
    matcher = None if gone is None else gone.matcher
    sequence = store.next_sequence(store.first_sequence, matcher)
    while sequence:
        if not is_needed(state, sequence, None):
            store.delete(sequence)
        sequence = store.next_sequence(sequence + 1, matcher)
