"""What a stream must be after its log: a second machine, as plain as possible, that shares no rule with the real one.

`judge` replays the committed log into the real machine, which shows that replicas agree, and into this one, which shows
that what they agree on is right. Only the encodings of operations are shared. Dictionaries and loops over everything;
what no plan uses is absent and asserted so.

Checked on the way: a delivery leaves out no message that its consumer has not had (`_delivered`).
Read next: `judge`, `model_check`.
"""

import json
from typing import Any

from broker.core.subjects import SubjectMatcher
from broker.jetstream.consumers.ack import ACKED_ALL, EXCEEDED, decode_acks
from broker.jetstream.consumers.dead_letter import decode_dead_letters
from broker.jetstream.consumers.delivered import decode_delivered
from broker.jetstream.ops import (
    OP_ACKS,
    OP_CONSUMER_CREATE,
    OP_CONSUMER_DELETE,
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
    decode_purge,
    op_time,
    split_ops,
)
from broker.jetstream.schedules.schedules import ScheduledOp
from broker.jetstream.sources.sourced import SourcedOp

ACKED, PURGED, LIMIT, AGED = "acked", "purged", "over the limit", "too old"


class Stored:
    """A message."""

    def __init__(self, subject: str, time_ns: int, data: bytes) -> None:
        self.subject = subject
        self.time_ns = time_ns
        self.data = data


class ModelConsumer:
    """Who has what. `out`: sequence → deliveries; `given_up`: max_deliver times in vain."""

    def __init__(self, config: dict[str, Any], created_ns: int, delivered: int) -> None:
        self.config = config
        self.created_ns = created_ns
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


class Model:
    """One stream."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.messages: dict[int, Stored] = {}
        self.texts: dict[int, str] = {}  # of everything ever stored
        self.subjects: dict[int, str] = {}
        self.removed: dict[int, str] = {}  # why it is gone
        self.last = 0
        self.time_ns = 0
        self.ids: dict[str, tuple[int, int]] = {}  # message id → sequence, time
        self.schedules: dict[str, int] = {}
        self.origins: dict[bytes, tuple[int, str]] = {}  # of sources: the last message, and which stream it is of
        self.consumers: dict[str, ModelConsumer] = {}
        self.has_dead_letters = False
        self.waiting: list[tuple[str, int, int]] = []  # consumer, sequence, deliveries of what was given up
        self.letters: list[tuple[str, int, int]] = []
        self.faults: list[str] = []
        assert not config.get("sealed") and config.get("max_bytes", -1) < 0 and not config.get("first_seq")

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

    # Publishing.

    def _advance(self, stamp_ns: int) -> int:
        """Time never goes back, and what is too old goes."""
        now_ns = self.time_ns = max(stamp_ns, self.time_ns + 1)
        max_age_ns = self.config.get("max_age", 0)
        if max_age_ns:
            for sequence in [s for s, message in self.messages.items() if message.time_ns <= now_ns - max_age_ns]:
                self._remove(sequence, AGED)
        return now_ns

    def _publish(self, op: PublishOp) -> None:
        if op.count == 0:
            return
        batch_ns = self._advance(op.timestamp_ns)
        next_ns = batch_ns
        for at in range(op.count):
            headers = read_headers(op.headers(at))
            message_id = headers.get("Nats-Msg-Id")
            subject = op.subject(at).decode()
            if message_id is not None and self.knows(message_id, batch_ns):
                continue
            if not self._expected(subject, headers) or self._is_full(subject):
                continue
            self.last += 1
            if message_id is not None and self.config.get("duplicate_window"):
                self.ids[message_id] = (self.last, batch_ns)
            block = op.headers(at)
            if self._notes_schedule(subject, headers):
                block = block[:-2] + b"Nats-Rollup: sub\r\n\r\n"
            data = block + op.payload(at)
            self.texts[self.last] = op.payload(at).decode()
            self.subjects[self.last] = subject
            if self.config["retention"] == "interest" and not self._wanted(subject):
                self.removed[self.last] = "nobody wanted it"
                continue
            self.messages[self.last] = Stored(subject, next_ns, data)
            next_ns += 1
            if headers.get("Nats-Rollup") == "sub":
                for sequence in self._on(subject)[:-1]:
                    self._remove(sequence, PURGED)
            self._enforce()
        self.time_ns = max(batch_ns, next_ns - 1)

    def knows(self, message_id: str, now_ns: int) -> bool:
        """Whether the id is in the duplicate window."""
        known = self.ids.get(message_id)
        return known is not None and known[1] > now_ns - int(self.config.get("duplicate_window", 0))

    def _expected(self, subject: str, headers: dict[str, str]) -> bool:
        last = headers.get("Nats-Expected-Last-Sequence")
        if last is not None and int(last) != self.last:
            return False
        of_subject = headers.get("Nats-Expected-Last-Subject-Sequence")
        return of_subject is None or int(of_subject) == max(self._on(subject), default=0)

    def _is_full(self, subject: str) -> bool:
        most = self.config.get("max_msgs", -1)
        if self.config.get("discard") != "new" or most <= 0:
            return False
        return len(self.messages) >= most

    def _wanted(self, subject: str) -> bool:
        return any(consumer.wants(subject) for consumer in self.consumers.values())

    def _notes_schedule(self, subject: str, headers: dict[str, str]) -> bool:
        """Whether the message being stored is a schedule."""
        self.schedules.pop(subject, None)
        if "Nats-Schedule" in headers:
            self.schedules[subject] = self.last
        return "Nats-Schedule" in headers

    def _scheduled(self, op: ScheduledOp) -> None:
        """What a schedule makes, if it still stands."""
        subject = op.subject.decode()
        if self.schedules.get(subject) != op.sequence:
            self._advance(op.timestamp_ns)
            return
        assert op.due_ns == 0, "no plan has schedules that come again"
        op.batch.timestamp_ns = op.timestamp_ns
        self._publish(op.batch)
        del self.schedules[subject]
        self._remove(op.sequence, PURGED)

    def _sourced(self, op: SourcedOp) -> None:
        """Messages of another stream, if they follow what came from it before."""
        now_ns = self._advance(op.timestamp_ns)
        is_mirror = not op.key
        before = (self.last, op.identity) if is_mirror else self.origins.get(op.key, (0, ""))
        if before != (op.after, op.identity) and (is_mirror or op.after or before[1] == op.identity):
            return
        stored = 0
        for at in range(op.batch.count):
            self.origins[op.key] = (op.sequences[at], op.identity)
            message_id = read_headers(op.batch.headers(at)).get("Nats-Msg-Id")
            if message_id is not None and self.config.get("duplicate_window"):
                if self.knows(message_id, now_ns):
                    continue
                self.ids[message_id] = (self.last + 1, now_ns)
            self.last = op.sequences[at] if is_mirror else self.last + 1
            data = op.batch.headers(at) + op.batch.payload(at)
            self.texts[self.last] = op.batch.payload(at).decode()
            self.subjects[self.last] = op.batch.subject(at).decode()
            time_ns = op.times[at] if is_mirror else now_ns + stored
            stored += 1
            self.messages[self.last] = Stored(self.subjects[self.last], time_ns, data)
            self.time_ns = max(self.time_ns, time_ns)

    # Removing.

    def _on(self, subject: str) -> list[int]:
        """Sequences of the messages on a subject, ascending."""
        return sorted(s for s, message in self.messages.items() if message.subject == subject)

    def _remove(self, sequence: int, why: str) -> None:
        if self.messages.pop(sequence, None) is not None:
            self.removed[sequence] = why

    def _enforce(self) -> None:
        """Limits of the stream."""
        of_subject = self.config.get("max_msgs_per_subject", -1)
        if of_subject > 0:
            for subject in {message.subject for message in self.messages.values()}:
                for sequence in self._on(subject)[:-of_subject]:
                    self._remove(sequence, LIMIT)
        most = self.config.get("max_msgs", -1)
        if most > 0:
            for sequence in sorted(self.messages)[:-most]:
                self._remove(sequence, LIMIT)

    def _purge(self, body: bytes) -> None:
        op = decode_purge(body)
        matcher = SubjectMatcher([op.subject or b">"])
        found = sorted(s for s, message in self.messages.items() if matcher.matches(message.subject.encode()))
        if op.sequence:
            found = [sequence for sequence in found if sequence < op.sequence]
            assert op.sequence <= self.last + 1, "purging the future is not modelled"
        for sequence in found[: max(len(found) - op.keep, 0)] if op.keep else found:
            self._remove(sequence, PURGED)

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
        assert policy in ("all", "new"), policy
        first = min(self.messages, default=self.last + 1)
        delivered = first - 1 if policy == "all" else self.last
        self.consumers[name] = ModelConsumer(config, fields["created"], delivered)

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
        if consumer is None or consumer.created_ns != op.epoch_ns:
            return
        for sequence, deliveries in zip(op.redelivered, op.deliveries, strict=True):
            if sequence in consumer.out:
                consumer.out[sequence] = deliveries
        new = {first + at for first, length in zip(op.run_first, op.run_length, strict=True) for at in range(length)}
        if not new:
            return
        for sequence in range(consumer.delivered + 1, max(new)):
            message = self.messages.get(sequence)
            if message is not None and sequence not in new and consumer.wants(message.subject):
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
            if consumer is None or consumer.created_ns != section.epoch_ns:
                continue
            for sequence, _, _ in section.rows:
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
            if consumer is None or consumer.created_ns != section.epoch_ns:
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


def read_headers(block: bytes) -> dict[str, str]:
    """A header block as a dictionary."""
    found = {}
    for line in block.decode().split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name, value.strip())
    return found
