"""Operations of consumers as the stream's machine applies them: create or update, delete, delivered, acks,
pause, reset.

`StreamMachine.apply` hands kinds from OP_CONSUMER_CREATE on to `apply_consumer_op`. The machine is a
`ConsumerOwner`: what this module needs of it and nothing more, so that there is no cycle of imports.

Not here: what a consumer's state does with them (`consumer`), the leader's side (`delivery`), JSON of the API
(`api/consumers`).

Invariants: every replica decides the same from the same entry, so checks that depend on other consumers are made here
(again, after the leader's early refusal). An operation on a consumer that is gone is ignored, even if another of
that name has been made. Bodies come from our own leader: a malformed one is a bug and
raises.
"""

import json
from typing import Final

from mypy_extensions import mypyc_attr

from broker.core.subjects import collides
from broker.jetstream import consumer_errors as errors
from broker.jetstream.advisories import consumer_action, consumer_paused, max_deliveries
from broker.jetstream.api_errors import ApiError
from broker.jetstream.config.consumer_config import (
    ACK_EXPLICIT,
    DELIVER_ALL,
    DELIVER_BY_START_SEQUENCE,
    DELIVER_BY_START_TIME,
    DELIVER_LAST,
    DELIVER_LAST_PER_SUBJECT,
    ConsumerConfig,
    config_from_json,
)
from broker.jetstream.config.consumer_rules import check_update, required_level
from broker.jetstream.config.stream_config import METADATA_REQUIRED_LEVEL, StreamConfig
from broker.jetstream.consumers.ack import decode_acks
from broker.jetstream.consumers.consumer import Acknowledged, Consumer
from broker.jetstream.consumers.delivered import decode_delivered
from broker.jetstream.effects import EffectSink
from broker.jetstream.ops import (
    OP_ACKS,
    OP_CONSUMER_CREATE,
    OP_CONSUMER_DELETE,
    OP_CONSUMER_PAUSE,
    OP_CONSUMER_RESET,
    OP_DELIVERED,
)
from broker.jetstream.store import MessageStore

ACTION_ANY: Final = ""
ACTION_CREATE: Final = "create"
ACTION_UPDATE: Final = "update"


@mypyc_attr(allow_interpreted_subclasses=True)
class ConsumerOwner(Acknowledged):
    """The stream's machine as consumers see it."""

    def __init__(self, config: StreamConfig, store: MessageStore) -> None:
        self.config: StreamConfig = config
        self.store: MessageStore = store
        self.consumers: dict[str, Consumer] = {}

    def consumer_made(self, consumer: Consumer) -> None:
        """There is another consumer."""

    def consumer_changed(self, consumer: Consumer, gone: bool) -> None:
        """Filters changed or the consumer is gone: messages that only it needed may be dropped (interest retention)."""


def encode_create(name: str, action: str, created_ns: int, config: ConsumerConfig) -> bytes:
    """The body of OP_CONSUMER_CREATE; the configuration is defaulted and checked."""
    fields = {"name": name, "action": action, "created": created_ns, "config": config.to_json()}
    return json.dumps(fields, separators=(",", ":")).encode()


def encode_delete(name: str, created_ns: int) -> bytes:
    """The body of OP_CONSUMER_DELETE; `created_ns` 0 = whichever consumer has the name now."""
    return json.dumps({"name": name, "created": created_ns}).encode()


def encode_pause(name: str, until_ns: int, time_ns: int) -> bytes:
    """The body of OP_CONSUMER_PAUSE; `until_ns` 0 = go on."""
    return json.dumps({"name": name, "until": until_ns, "time": time_ns}).encode()


def encode_reset(name: str, sequence: int, time_ns: int) -> bytes:
    """The body of OP_CONSUMER_RESET; `sequence`: what is delivered next, 0 = what follows the ack floor."""
    return json.dumps({"name": name, "sequence": sequence, "time": time_ns}).encode()


def apply_consumer_op(owner: ConsumerOwner, kind: int, body: bytes, ordinal: int, sink: EffectSink) -> None:
    """One operation of kind OP_CONSUMER_CREATE and above."""
    if kind == OP_DELIVERED:
        op = decode_delivered(body)
        consumer = owner.consumers.get(op.consumer)
        if consumer is not None and consumer.epoch_ns == op.epoch_ns:
            consumer.apply_delivered(op, owner.store.first_sequence, _listener(owner))
        return
    if kind == OP_ACKS:
        _apply_acks(owner, body, sink)
        sink.done(ordinal, None)
        return
    fields = json.loads(body)
    if kind == OP_CONSUMER_CREATE:
        config = config_from_json(fields["config"])
        sink.done(ordinal, _create(owner, fields["name"], fields["action"], fields["created"], config, sink))
    elif kind == OP_CONSUMER_PAUSE:
        sink.done(ordinal, _pause(owner, fields["name"], fields["until"], fields["time"], sink))
    elif kind == OP_CONSUMER_RESET:
        sink.done(ordinal, _reset(owner, fields["name"], fields["sequence"], fields["time"], sink))
    else:
        assert kind == OP_CONSUMER_DELETE
        sink.done(ordinal, _delete(owner, fields["name"], fields["created"], sink))


def _listener(owner: ConsumerOwner) -> Acknowledged | None:
    """Who must hear of every acknowledged message: only streams that drop them."""
    return None if owner.config.retention == "limits" else owner


def _apply_acks(owner: ConsumerOwner, body: bytes, sink: EffectSink) -> None:
    timestamp_ns, sections = decode_acks(body)
    listener = _listener(owner)
    for section in sections:
        consumer = owner.consumers.get(section.consumer)
        if consumer is None or consumer.epoch_ns != section.epoch_ns:
            continue
        given_up = consumer.apply_acks(section, timestamp_ns, owner.store.first_sequence, listener)
        for sequence in given_up:
            subject, fields = max_deliveries(consumer.stream, consumer.name, sequence, consumer.exceeded[sequence])
            sink.advisory(subject, fields)


def _create(
    owner: ConsumerOwner, name: str, action: str, created_ns: int, config: ConsumerConfig, sink: EffectSink
) -> object:
    """The consumer, or the error."""
    known = owner.consumers.get(name)
    if known is not None:
        keep_pause(config, known)
    error = refuse_create(owner, name, action, config)
    if error is not None:
        return error
    if known is not None:
        filters_changed = known.config.filters() != config.filters()
        known.set_config(config)
        if filters_changed:
            owner.consumer_changed(known, False)
        sink.consumer_created(known)
        return known
    consumer = Consumer(owner.config.name, name, config, created_ns)
    _place(consumer, owner.store, owner.config)
    owner.consumers[name] = consumer
    owner.consumer_made(consumer)
    sink.consumer_created(consumer)
    subject, fields = consumer_action(consumer.stream, name, "create")
    sink.advisory(subject, fields)
    if created_ns < config.pause_until_ns:
        subject, fields = consumer_paused(consumer.stream, name, config.pause_until_ns, True)
        sink.advisory(subject, fields)
    return consumer


def keep_pause(config: ConsumerConfig, known: Consumer) -> None:
    """A pause is set when a consumer is made, and afterwards by CONSUMER.PAUSE alone."""
    config.pause_until_ns = known.config.pause_until_ns
    config.metadata[METADATA_REQUIRED_LEVEL] = str(required_level(config))


def refuse_create(owner: ConsumerOwner, name: str, action: str, config: ConsumerConfig) -> ApiError | None:
    """Why the consumer can be neither made nor changed so, given those that exist."""
    known = owner.consumers.get(name)
    workqueue = owner.config.retention == "workqueue"
    if known is not None:
        if action == ACTION_CREATE and not known.config.same_as(config):
            return errors.CONSUMER_EXISTS
        if workqueue and not _is_unique(owner, name, config):
            return errors.WORKQUEUE_NOT_UNIQUE
        return check_update(known.config, config)
    if action == ACTION_UPDATE:
        return errors.CONSUMER_DOES_NOT_EXIST
    if 0 < owner.config.max_consumers <= len(owner.consumers):
        return errors.MAXIMUM_CONSUMERS
    if workqueue and not config.sourcing:  # mirrors and sources come besides the others (`origin_consumers`)
        if config.ack_policy != ACK_EXPLICIT:
            return errors.WORKQUEUE_REQUIRES_EXPLICIT_ACK
        if config.deliver_policy != DELIVER_ALL:
            return errors.WORKQUEUE_NOT_DELIVER_ALL
        if any([not other.config.sourcing for other in owner.consumers.values()]):  # noqa: C419 (generators are slow)
            if not config.filters():
                return errors.WORKQUEUE_MULTIPLE_UNFILTERED
            if not _is_unique(owner, name, config):
                return errors.WORKQUEUE_NOT_UNIQUE
    return None


def _is_unique(owner: ConsumerOwner, name: str, config: ConsumerConfig) -> bool:
    """Whether no other consumer of a work queue would get the same messages."""
    filters = config.filters() or [">"]
    for other in owner.consumers.values():
        if other.name == name or other.config.sourcing:
            continue
        for theirs in other.config.filters() or [">"]:
            for ours in filters:
                if collides(ours.encode(), theirs.encode()):
                    return False
    return True


def _place(consumer: Consumer, store: MessageStore, stream: StreamConfig) -> None:
    """Where a new consumer begins, by its deliver policy."""
    policy = consumer.config.deliver_policy
    first = store.first_sequence
    last = store.last_sequence
    start = last + 1
    if policy == DELIVER_ALL:
        start = first
    elif policy == DELIVER_BY_START_SEQUENCE:
        start = consumer.config.opt_start_sequence
    elif policy == DELIVER_BY_START_TIME:
        start = store.sequence_at_time(consumer.config.opt_start_time_ns)
    elif policy == DELIVER_LAST:
        start = last if consumer.matcher is None else store.previous_sequence(last, consumer.matcher)
    elif policy == DELIVER_LAST_PER_SUBJECT:
        start = first if stream.max_msgs_per_subject == 1 else _collect_last(consumer, store)
    if policy != DELIVER_BY_START_SEQUENCE and start > last:
        start = last + 1
    consumer.start_at(max(start, first, 1))


def _collect_last(consumer: Consumer, store: MessageStore) -> int:
    """The newest message of every subject, in stream order; everything behind the last of them is new."""
    assert consumer.matcher is not None
    sequences = sorted(store.last_sequence_for(subject) for subject, _count in store.subjects(consumer.matcher))
    consumer.set_skip_list(sequences)
    return sequences[0] if sequences else store.last_sequence + 1


def _delete(owner: ConsumerOwner, name: str, created_ns: int, sink: EffectSink) -> object:
    """None, or the error."""
    consumer = owner.consumers.get(name)
    if consumer is None or created_ns not in (0, consumer.created_ns):
        return errors.CONSUMER_NOT_FOUND
    del owner.consumers[name]
    owner.consumer_changed(consumer, True)
    sink.consumer_deleted(consumer)
    subject, fields = consumer_action(consumer.stream, name, "delete")
    sink.advisory(subject, fields)
    return None


def _pause(owner: ConsumerOwner, name: str, until_ns: int, time_ns: int, sink: EffectSink) -> object:
    """The consumer, or the error."""
    consumer = owner.consumers.get(name)
    if consumer is None:
        return errors.CONSUMER_NOT_FOUND
    if consumer.config.pause_until_ns != until_ns:
        config = config_from_json(consumer.config.to_json())
        config.pause_until_ns = until_ns
        config.metadata[METADATA_REQUIRED_LEVEL] = str(required_level(config))
        consumer.set_config(config)
        sink.consumer_created(consumer)
        subject, fields = consumer_paused(consumer.stream, name, until_ns, time_ns < until_ns)
        sink.advisory(subject, fields)
    return consumer


def _reset(owner: ConsumerOwner, name: str, sequence: int, time_ns: int, sink: EffectSink) -> object:
    """The consumer, or the error."""
    consumer = owner.consumers.get(name)
    if consumer is None:
        return errors.CONSUMER_NOT_FOUND
    refusal = refuse_reset(consumer, sequence, owner.store)
    if refusal is not None:
        return refusal
    consumer.reset(sequence or consumer.ack_floor_stream + 1, time_ns)
    sink.consumer_reset(consumer)
    owner.consumer_changed(consumer, False)
    return consumer


def refuse_reset(consumer: Consumer, sequence: int, store: MessageStore) -> ApiError | None:
    """Why the consumer cannot begin again at `sequence`: only where its deliver policy could have begun."""
    policy = consumer.config.deliver_policy
    if sequence == 0 or policy == DELIVER_ALL:
        return None
    if policy == DELIVER_BY_START_SEQUENCE:
        return errors.invalid_reset("below start seq") if sequence < consumer.config.opt_start_sequence else None
    if policy == DELIVER_BY_START_TIME:
        first = store.sequence_at_time(consumer.config.opt_start_time_ns)
        return errors.invalid_reset("below start time") if sequence < first else None
    return errors.invalid_reset("not allowed")
