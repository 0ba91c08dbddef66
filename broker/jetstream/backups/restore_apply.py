"""OP_RESTORE applied: messages of a backup are stored under their own sequences and times; at the end come consumers.

The body is CBOR: time, last sequence to let the stream grow to, messages; at the end, first sequence, what is gone, and
consumers (as in a snapshot). Only the leader that reads a backup writes it (`restore`), into a stream that nobody sees
yet. Not here: showing it, which is the meta group's.
"""

from typing import Any

import cbor2

from broker.jetstream.backups.backup_reader import Ending, Row
from broker.jetstream.config.source_config import sources_of
from broker.jetstream.config.stream_config import RETENTION_INTEREST
from broker.jetstream.consumers.consumer import Consumer, restore_consumer
from broker.jetstream.effects import EffectSink
from broker.jetstream.message_ttl import INVALID_TTL, NO_TTL, parse_ttl
from broker.jetstream.publishing.publish_headers import header_value
from broker.jetstream.retention import drop_unneeded, enforce_limits, enforce_subject_limits
from broker.jetstream.stream_state import StreamState


def encode_restore(time_ns: int, last: int, rows: list[Row]) -> bytes:
    """The body, with messages; `last` > 0: the stream grows to there first where it is shorter."""
    return bytes(cbor2.dumps([time_ns, last, [list(row) for row in rows], None]))


def encode_restore_end(time_ns: int, ending: Ending, consumers: list[Consumer]) -> bytes:
    """The body that ends a restore."""
    snapshots = [consumer.snapshot() for consumer in consumers]
    return bytes(cbor2.dumps([time_ns, ending.last, [], [ending.first, ending.gone, snapshots]]))


def apply_restore(state: StreamState, body: bytes, sink: EffectSink) -> None:
    """The whole operation."""
    time_ns, last, rows, end = cbor2.loads(body)
    store = state.store
    for row in rows:
        if row[0] > store.last_sequence:
            _store(state, row, time_ns)
    if last > store.last_sequence:
        store.skip_to(last)
    state.last_time_ns = max(state.last_time_ns, store.last_timestamp_ns)
    if end is not None:
        _end(state, end, sink)


def _store(state: StreamState, row: list[Any], time_ns: int) -> None:
    sequence, timestamp_ns, subject, header_length, data = row
    state.store.append(sequence, timestamp_ns, subject, header_length, data)
    headers = data[:header_length]
    if state.config.allow_msg_schedules:
        state.schedules.stored(subject, sequence, headers, timestamp_ns, state.store)
    if not header_length:
        return
    if state.config.sources:
        state.sources.restored(header_value(headers, b"Nats-Stream-Source"))
    message_id = header_value(headers, b"Nats-Msg-Id")
    recent = timestamp_ns > time_ns - state.dedupe.window_ns
    if message_id and recent and message_id not in state.dedupe.sequences:
        state.dedupe.add(message_id, sequence, timestamp_ns)
    if state.config.allow_msg_ttl:
        seconds = parse_ttl(header_value(headers, b"Nats-TTL"))
        if seconds not in (NO_TTL, INVALID_TTL):
            state.ttl.add(sequence, timestamp_ns, seconds, state.store)


def _end(state: StreamState, end: list[Any], sink: EffectSink) -> None:
    first, gone, consumers = end
    if first:
        state.store.truncate_front(first)
    for sequence in gone:
        state.store.delete(sequence)
    state.sources.keep([source.key for source in sources_of(state.config)])
    for snapshot in consumers:
        consumer = restore_consumer(state.config.name, snapshot)
        state.consumers[consumer.name] = consumer
        sink.consumer_created(consumer)
    if state.config.max_msgs_per_subject > 0:
        enforce_subject_limits(state, sink)
    enforce_limits(state)
    if state.config.retention == RETENTION_INTEREST:
        drop_unneeded(state, None)
