"""What a stream must be after its log: a second machine, as plain as possible, that shares no rule with the real one.

`verdict` replays the committed log into the real machine, which shows that replicas agree, and into this one, which
shows that what they agree on is right. Only the encodings of operations are shared. Here are its consumers and dead
letters; what no plan uses is absent and asserted so.

Checked on the way: a delivery leaves out no message that its consumer has not had (`_delivered`).
Read next: `model_publish`, `model_store`, `model_check`.
"""

import json
from typing import Any

from broker.core.subjects import SubjectMatcher
from broker.jetstream.consumers.ack import ACKED_ALL, EXCEEDED, decode_acks
from broker.jetstream.consumers.dead_letter import decode_dead_letters
from broker.jetstream.consumers.delivered import decode_delivered
from broker.jetstream.ops import (
    OP_ACKS,
    OP_ATOMIC_PUBLISH,
    OP_CONSUMER_CREATE,
    OP_CONSUMER_DELETE,
    OP_CONSUMER_PAUSE,
    OP_CONSUMER_RESET,
    OP_DEAD_LETTERS,
    OP_DEAD_STREAM,
    OP_DELIVERED,
    OP_EXPIRE,
    OP_MESSAGE_DELETE,
    OP_PUBLISH,
    OP_PURGE,
    OP_SCHEDULED,
    OP_SOURCED,
    OP_STREAM_CONFIG,
    SLOT_OWN,
    PublishOp,
    decode_config,
    decode_delete,
    op_time,
    split_ops,
)
from broker.jetstream.schedules.schedules import ScheduledOp
from broker.jetstream.sources.sourced import SourcedOp
from sim.model_publish import ModelPublish
from sim.model_store import ACKED, PURGED


class ModelConsumer:
    """Who has what. `out`: sequence → deliveries; `given_up`: max_deliver times in vain."""

    def __init__(self, config: dict[str, Any], created_ns: int, delivered: int) -> None:
        self.config = config
        self.created_ns = self.epoch_ns = created_ns
        self.skip: list[int] = []  # of deliver_policy last_per_subject: what is wanted, up to the last of them
        self.delivered = delivered
        self.out: dict[int, int] = {}
        self.given_up: set[int] = set()
        self.done: set[int] = set()

    def wants(self, subject: str) -> bool:
        """By its filters."""
        one = self.config.get("filter_subject")
        filters = [one] if one else self.config.get("filter_subjects", [])
        return not filters or SubjectMatcher(filters).matches(subject.encode())

    def needs(self, sequence: int, subject: str) -> bool:
        """Not done with it."""
        return self.wants(subject) and (sequence > self.delivered or sequence in self.out or sequence in self.given_up)


class Model(ModelPublish):
    """One stream."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self.consumers: dict[str, ModelConsumer] = {}
        self.has_dead_letters = False
        self.waiting: list[tuple[str, int, int]] = []  # consumer, sequence, deliveries of what was given up
        self.letters: list[tuple[str, int, int]] = []
        self.faults: list[str] = []

    def replay(self, log: list[bytes]) -> None:
        """All entries."""
        for data in log:
            for slot, kind, body in split_ops(data):
                if slot == SLOT_OWN:
                    self.apply(kind, body)
                else:
                    assert kind == OP_EXPIRE, "no plan does anything else to dead letters"

    def apply(self, kind: int, body: bytes) -> None:
        """One operation."""
        if kind == OP_PUBLISH:
            self._publish(PublishOp(body))
        elif kind == OP_ATOMIC_PUBLISH:
            self._publish_whole(PublishOp(body))
        elif kind == OP_SCHEDULED:
            self._scheduled(ScheduledOp(body))
        elif kind == OP_SOURCED:
            self._sourced(SourcedOp(body))
        elif kind == OP_DELIVERED:
            self._delivered(body)
        elif kind == OP_ACKS:
            self._acks(body)
        elif kind == OP_CONSUMER_CREATE:
            self._create(json.loads(body))
        elif kind == OP_CONSUMER_DELETE:
            self._delete_consumer(json.loads(body))
        elif kind == OP_CONSUMER_RESET:
            self._reset(json.loads(body))
        elif kind == OP_CONSUMER_PAUSE:
            pass  # it changes when, not what
        else:
            self._advance(op_time(body))
            if kind == OP_PURGE:
                self._purge(body)
            elif kind == OP_MESSAGE_DELETE:
                self._remove(decode_delete(body), PURGED)
            elif kind == OP_STREAM_CONFIG:
                self.config = json.loads(decode_config(body)[1])
                self._advance(self.time_ns)  # by the new rules
                self._enforce()
            elif kind == OP_DEAD_LETTERS:
                self._give_up(body)
            elif kind == OP_DEAD_STREAM:
                self.has_dead_letters = True
                self._bury()
            else:
                assert kind == OP_EXPIRE

    def _settled(self, consumer: ModelConsumer, sequence: int) -> None:
        """`consumer` is done with it: work-queue and interest streams drop what nobody needs."""
        consumer.done.add(sequence)
        message = self.messages.get(sequence)
        if message is None or self.config["retention"] == "limits":
            return
        others = [other for other in self.consumers.values() if other is not consumer]
        if not any(other.needs(sequence, message.subject) for other in others):
            self._remove(sequence, ACKED)

    # Consumers.

    def _create(self, fields: dict[str, Any]) -> None:
        name, config = fields["name"], fields["config"]
        if name in self.consumers:
            self.consumers[name].config = config
            return
        policy = config["deliver_policy"]
        start = min(self.messages, default=self.last + 1)
        made = self.consumers[name] = ModelConsumer(config, fields["created"], 0)
        if policy == "new":
            start = self.last + 1
        elif policy == "by_start_sequence":
            start = max(start, config["opt_start_seq"])
        elif policy == "last_per_subject":
            subjects = sorted({message.subject for message in self.messages.values()})
            made.skip = sorted(self._on(subject)[-1] for subject in subjects if made.wants(subject))
            start = made.skip[0] if made.skip else self.last + 1
        else:
            assert policy == "all", policy
        made.delivered = start - 1

    def _reset(self, fields: dict[str, Any]) -> None:
        """Begin again somewhere, or behind the ack floor."""
        consumer = self.consumers.get(fields["name"])
        if consumer is None:
            return
        assert consumer.config["deliver_policy"] == "all" and self.config["retention"] == "limits"
        floor = min(consumer.out) - 1 if consumer.out else consumer.delivered
        consumer.delivered = (fields["sequence"] or floor + 1) - 1
        consumer.epoch_ns = max(fields["time"], consumer.epoch_ns + 1)
        consumer.out = {}
        consumer.given_up = set()

    def _delete_consumer(self, fields: dict[str, Any]) -> None:
        consumer = self.consumers.get(fields["name"])
        if consumer is None or fields["created"] not in (0, consumer.created_ns):
            return
        del self.consumers[fields["name"]]
        if self.config["retention"] == "interest":
            for sequence, message in list(self.messages.items()):
                if not any(other.needs(sequence, message.subject) for other in self.consumers.values()):
                    self._remove(sequence, ACKED)

    def _delivered(self, body: bytes) -> None:
        op = decode_delivered(body)
        consumer = self.consumers.get(op.consumer)
        if consumer is None or consumer.epoch_ns != op.epoch_ns:
            return
        for sequence, deliveries in zip(op.redelivered, op.deliveries, strict=True):
            if sequence in consumer.out:
                consumer.out[sequence] = deliveries
        new = {first + at for first, length in zip(op.run_first, op.run_length, strict=True) for at in range(length)}
        if not new:
            return
        for sequence in range(consumer.delivered + 1, max(new)):
            message = self.messages.get(sequence)
            skips = bool(consumer.skip) and sequence <= consumer.skip[-1] and sequence not in consumer.skip
            if message is not None and sequence not in new and consumer.wants(message.subject) and not skips:
                self.faults.append(f"{op.consumer} was given {max(new)} but never {sequence}")
        for sequence in sorted(new):
            if sequence > consumer.delivered:
                if consumer.config["ack_policy"] == "none":
                    self._settled(consumer, sequence)
                else:
                    consumer.out[sequence] = 1
        consumer.delivered = max(consumer.delivered, *new)

    def _give_up(self, body: bytes) -> None:
        for section in decode_dead_letters(body):
            consumer = self.consumers.get(section.consumer)
            if consumer is None or consumer.epoch_ns != section.epoch_ns:
                continue
            for sequence, _, _, _ in section.rows:
                if sequence in consumer.out and sequence in self.messages:
                    self.waiting.append((section.consumer, sequence, consumer.out.pop(sequence)))
                    consumer.given_up.add(sequence)
        self._bury()

    def _bury(self) -> None:
        """Everything given up moves, as soon as there is a place for it."""
        if not self.has_dead_letters:
            return
        for name, sequence, deliveries in self.waiting:
            consumer = self.consumers.get(name)
            if consumer is not None and sequence in consumer.given_up and sequence in self.messages:
                consumer.given_up.discard(sequence)
                self.letters.append((name, sequence, deliveries))
                self._settled(consumer, sequence)
        self.waiting = []

    def _acks(self, body: bytes) -> None:
        for section in decode_acks(body)[1]:
            consumer = self.consumers.get(section.consumer)
            if consumer is None or consumer.epoch_ns != section.epoch_ns:
                continue
            acked = list(section.acks)
            for kind, sequence in zip(section.kinds, section.sequences, strict=True):
                if kind == ACKED_ALL:
                    acked += [s for s in sorted({*consumer.out, *consumer.given_up}) if s <= sequence]
                elif kind == EXCEEDED and sequence in consumer.out:
                    del consumer.out[sequence]
                    consumer.given_up.add(sequence)
            for sequence in acked:
                if sequence in consumer.out or sequence in consumer.given_up:
                    consumer.out.pop(sequence, None)
                    consumer.given_up.discard(sequence)
                    self._settled(consumer, sequence)
