"""Dead letters moved: from a consumer's pending messages to the dead-letter stream of the same group, in one step.

While there is no dead-letter stream yet, or it is full, a message waits where it was, undelivered, in the consumer's
`dead` (and `exceeded`, as it is neither pending nor done); `settle_waiting` moves it as soon as it can be. So at any
entry of the log a message given up is in exactly one of the two places.

Not here: the bytes (`dead_letter`). Invariants: deterministic; a copy is stored before the original may go.
"""

from broker.jetstream.advisories import dead_letter_blocked, max_deliveries
from broker.jetstream.aging import age
from broker.jetstream.config.stream_config import DISCARD_NEW
from broker.jetstream.consumers.consumer import Consumer
from broker.jetstream.consumers.dead_letter import SUBJECT_PREFIX, DeadLetter, decode_dead_letters, letter_headers
from broker.jetstream.effects import EffectSink
from broker.jetstream.retention import enforce_limits, enforce_subject_limit, message_size
from broker.jetstream.store import StoredMessage
from broker.jetstream.stream_state import StreamState


def apply_dead_letters(
    state: StreamState, dead: StreamState | None, body: bytes, time_ns: int, sink: EffectSink
) -> None:
    """One OP_DEAD_LETTERS. What was acknowledged meanwhile is left alone."""
    for section in decode_dead_letters(body):
        consumer = state.consumers.get(section.consumer)
        if consumer is None or consumer.epoch_ns != section.epoch_ns:
            continue
        consumer.drop_below(state.store.first_sequence)
        for sequence, terminated, error, client in section.rows:
            entry = consumer.pending.pop(sequence, None)
            if entry is None:
                continue
            letter = DeadLetter(entry.deliveries, terminated, error, entry.first_ns, entry.last_ns, client)
            if terminated:
                consumer.acked_ns = time_ns
            else:
                subject, fields = max_deliveries(consumer.stream, consumer.name, sequence, letter.deliveries)
                sink.advisory(subject, fields)
            consumer.dead[sequence] = letter
            consumer.remember_exceeded(sequence, letter.deliveries, state.store.first_sequence)
            if dead is None:
                sink.dead_letters_wait()
            elif not _move(state, dead, consumer, sequence, letter, time_ns, sink):
                subject, fields = dead_letter_blocked(consumer.stream, consumer.name, sequence, dead.config.name)
                sink.advisory(subject, fields)
        consumer.move_floor()


def settle_waiting(state: StreamState, dead: StreamState, time_ns: int, sink: EffectSink) -> None:
    """There is a dead-letter stream now, or room in it."""
    for consumer in state.consumers.values():
        for sequence in list(consumer.dead):
            if not _move(state, dead, consumer, sequence, consumer.dead[sequence], time_ns, sink):
                return


def has_waiting(state: StreamState) -> bool:
    """Whether any message waits to be moved."""
    for consumer in state.consumers.values():  # noqa: SIM110 (a generator is slow under mypyc)
        if consumer.dead:
            return True
    return False


def _move(
    state: StreamState,
    dead: StreamState,
    consumer: Consumer,
    sequence: int,
    letter: DeadLetter,
    time_ns: int,
    sink: EffectSink,
) -> bool:
    """One message; False when there is no room for it."""
    message = state.store.get(sequence) if sequence in consumer.exceeded else None
    if message is not None and not _store(state, dead, consumer, message, letter, time_ns, sink.of_dead_letters()):
        return False
    del consumer.dead[sequence]
    if consumer.exceeded.pop(sequence, 0):
        state.acknowledged(consumer, sequence)
    return True


def _store(
    state: StreamState,
    dead: StreamState,
    consumer: Consumer,
    message: StoredMessage,
    letter: DeadLetter,
    time_ns: int,
    sink: EffectSink,
) -> bool:
    """Append the copy, within the dead-letter stream's limits."""
    config = dead.config
    store = dead.store
    own = message.data[: message.header_length]
    stream = state.config.name
    subject = f"{SUBJECT_PREFIX}{stream}.{consumer.name}.".encode() + message.subject
    headers = letter_headers(own, stream, consumer.name, message.sequence, message.subject, letter)
    data = headers + message.data[message.header_length :]
    stored_ns = age(dead, dead.advance(time_ns), sink)
    dead.last_time_ns = stored_ns
    if config.sealed:
        return False
    if config.discard == DISCARD_NEW:
        size = message_size(config, len(subject), len(headers), len(data))
        if 0 < config.max_msgs <= store.messages or 0 < config.max_bytes <= store.bytes + size:
            return False
        if config.discard_new_per_subject and store.count_for(subject) >= config.max_msgs_per_subject:
            return False
    sequence = store.last_sequence + 1
    dead.last_message_id = b""
    store.append(sequence, stored_ns, subject, len(headers), data)
    if config.max_msgs_per_subject > 0:
        enforce_subject_limit(dead, subject, sink)
    enforce_limits(dead)
    sink.stored(sequence, sequence)
    return True
