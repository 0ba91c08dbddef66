"""Acks of one consumer as its leader hears them, and waits that end without one.

What an ack does to the overlay happens at once; what it does to the facts is a row in this turn's section of OP_ACKS.
Acks that need the time (naks, progress) are put off to the pump, which knows it.

Not here: reading subjects and payloads (`ack`), answering double acks (`delivery`), deliveries (`consumer_lead`).

Invariants: an ack of something never delivered in this term or before is ignored and not answered, so no client
believes in an ack that the log does not know. A message delivered `max_deliver` times is given up when its wait is
over or it is naked.
"""

from typing import Final

from broker.jetstream.advisories import REASON_DELETED, ack_sampled, message_naked, message_terminated
from broker.jetstream.config.consumer_config import ACK_ALL, ACK_NONE
from broker.jetstream.config.consumer_rules import sample_percent
from broker.jetstream.consumers.ack import ACKED_ALL, EXCEEDED, NAKED, PROGRESSED, AckSection
from broker.jetstream.consumers.consumer import Consumer
from broker.jetstream.consumers.dead_letter import (
    MODE_BOTH,
    MODE_MAX_DELIVER,
    MODE_OFF,
    MODE_TERMINATED,
    DeadSection,
    mode_of,
)
from broker.jetstream.delivery.lead_context import LeadContext
from broker.jetstream.delivery.outstanding import Outstanding, OutstandingSet


class AckIntake:
    """One consumer's acks and outstanding messages."""

    def __init__(self, consumer: Consumer, context: LeadContext) -> None:
        self.consumer: Final = consumer
        self.context: Final = context
        self.out: Final = OutstandingSet()
        self.section: AckSection | None = None
        self.deferred: list[tuple[int, int, int]] = []  # kind, sequence, delay ns
        self.sampled: list[tuple[int, int, int, int]] = []  # sequence, consumer sequence, deliveries, sent ns
        self.sample_percent: int = 0
        self.dead_letter_mode: str = MODE_OFF
        self.dead: DeadSection | None = None
        self.follow_config()
        self.all_up_to: int = consumer.ack_floor_stream
        self.all_consumer: int = consumer.ack_floor_consumer
        self.delivered_sequence: int = consumer.delivered_stream
        self.acked: bool = False
        self.out.load(consumer)

    def follow_config(self) -> None:
        """The consumer has another configuration."""
        config = self.consumer.config
        self.sample_percent = sample_percent(config.sample_freq)
        self.dead_letter_mode = mode_of(config.metadata) if self.context.dead_letters else MODE_OFF

    def _section(self) -> AckSection:
        section = self.section
        if section is None or section.proposed:
            section = AckSection(self.consumer.name, self.consumer.epoch_ns)
            self.section = section
            self.context.sections.append(section)
        return section

    def ack(self, sequence: int, consumer_sequence: int, answered: bool, is_handled: bool = True) -> bool:
        """An ack or (not `is_handled`) a term; False if it means nothing. `answered`: somebody waits, so it must reach
        the log in any case."""
        policy = self.consumer.config.ack_policy
        if policy == ACK_NONE or sequence > self.delivered_sequence:
            return False
        if policy == ACK_ALL:
            if sequence > self.all_up_to:
                self.all_up_to = sequence
                self.all_consumer = max(self.all_consumer, consumer_sequence)
                self.out.settle_up_to(sequence)
                self._section().add(ACKED_ALL, sequence, consumer_sequence)
                self.acked = True
            elif answered:
                self._section()
            return True
        entry = self.out.settle(sequence)
        if entry is not None:
            if self.sample_percent and is_handled:
                self._sample(sequence, entry)
            self.acked = True
        elif not answered and sequence not in self.consumer.exceeded:
            return True
        self._section().acks.append(sequence)
        return True

    def terminate(self, sequence: int, consumer_sequence: int, deliveries: int, reason: str, answered: bool) -> bool:
        """A term: an ack that is told to whoever wants to know."""
        entry = self.out.entries.get(sequence)
        if entry is not None and reason != REASON_DELETED and self.dead_letter_mode in (MODE_TERMINATED, MODE_BOTH):
            self._bury(sequence, True, reason)
            known = True
            if answered:
                self._section()
        else:
            known = self.ack(sequence, consumer_sequence, answered, False)
        if known:
            name = self.consumer.name
            advisory = message_terminated(
                self.consumer.stream, name, consumer_sequence, sequence, deliveries, reason
            )
            if self.context.interested(advisory[0]):
                self.context.publish(advisory)
        return known

    def nak(self, sequence: int, consumer_sequence: int, deliveries: int, delay_ns: int) -> None:
        """Deliver again, at once or after `delay_ns`."""
        if sequence not in self.out.entries:
            return
        self.deferred.append((NAKED, sequence, delay_ns))
        name = self.consumer.name
        advisory = message_naked(self.consumer.stream, name, consumer_sequence, sequence, deliveries)
        if self.context.interested(advisory[0]):
            self.context.publish(advisory)

    def progress(self, sequence: int) -> None:
        """The client still works on it."""
        if sequence in self.out.entries:
            self.deferred.append((PROGRESSED, sequence, 0))

    def has_deferred(self) -> bool:
        """Whether `settle_deferred` has something to do."""
        return bool(self.deferred) or bool(self.sampled)

    def settle_deferred(self) -> None:
        """Do what had to wait for the time."""
        context = self.context
        for kind, sequence, delay_ns in self.deferred:
            entry = self.out.entries.get(sequence)
            if entry is None:
                continue
            wait_ns = self.consumer.config.wait_ns(int(entry.deliveries))
            if kind == PROGRESSED:
                self.out.wait_until(sequence, entry, context.now_ns + wait_ns)
                self._section().add(PROGRESSED, sequence, context.wall_ns)
            elif delay_ns > 0:
                self.out.wait_until(sequence, entry, context.now_ns + delay_ns)
                self._section().add(NAKED, sequence, context.wall_ns + delay_ns - wait_ns)
            elif not self._give_up(sequence, entry):
                self.out.make_due(sequence, entry)
                self._section().add(NAKED, sequence, context.wall_ns - wait_ns)
        self.deferred = []
        for sequence, consumer_sequence, deliveries, sent_ns in self.sampled:
            self._tell_sample(sequence, consumer_sequence, deliveries, context.now_ns - sent_ns)
        self.sampled = []

    def expire(self) -> None:
        """Waits that are over: deliver again, or give up."""
        for sequence in self.out.expired(self.context.now_ns):
            entry = self.out.entries.get(sequence)  # one with several timers past is in the list as often
            if entry is not None and not self._give_up(sequence, entry):
                self.out.make_due(sequence, entry)

    def _give_up(self, sequence: int, entry: Outstanding) -> bool:
        most = self.consumer.config.max_deliver
        if most <= 0 or entry.deliveries < most:
            return False
        if self.dead_letter_mode in (MODE_MAX_DELIVER, MODE_BOTH):
            self._bury(sequence, False, "")
            return True
        self._section().add(EXCEEDED, sequence, int(entry.deliveries))
        self.out.settle(sequence)
        return True

    def _bury(self, sequence: int, terminated: bool, error: str) -> None:
        """The message becomes a dead letter."""
        section = self.dead
        if section is None or section.proposed:
            section = DeadSection(self.consumer.name, self.consumer.epoch_ns)
            self.dead = section
            self.context.dead_sections.append(section)
        client = self.client_of(sequence).decode("utf-8", "replace")
        section.rows.append((sequence, terminated, error, client))
        self.out.settle(sequence)

    def note_client(self, sequence: int, client: bytes) -> None:
        """Who got a message last."""
        entry = self.out.entries.get(sequence)
        if entry is not None:
            entry.client = client

    def client_of(self, sequence: int) -> bytes:
        """The name of who pulled a message that is out; b"" where that is not known."""
        entry = self.out.entries.get(sequence)
        return b"" if entry is None else entry.client

    def drop_removed(self) -> None:
        """Messages out that fell off the front of the stream."""
        for sequence in self.out.below(self.context.store.first_sequence):
            self.terminate_removed(sequence, False)

    def terminate_removed(self, sequence: int, alone: bool) -> None:
        """The stream removed a message that was out; not `alone`: with all that was before it."""
        entry = self.out.entries.get(sequence)
        if entry is None:
            return
        if not alone and sequence <= self.consumer.ack_floor_stream:
            self.out.settle(sequence)  # a purge, which settled it in the facts already
            self.acked = True
        else:
            deliveries = int(entry.deliveries)
            self.terminate(sequence, int(entry.consumer_sequence), deliveries, REASON_DELETED, False)

    def _sample(self, sequence: int, entry: Outstanding) -> None:
        percent = self.sample_percent
        if percent >= 100 or self.context.rng.randrange(100) < percent:
            deliveries = int(entry.deliveries)
            sent_ns = int(entry.deadline_ns) - self.consumer.config.wait_ns(deliveries)
            self.sampled.append((sequence, int(entry.consumer_sequence), deliveries, sent_ns))

    def _tell_sample(self, sequence: int, consumer_sequence: int, deliveries: int, ack_time_ns: int) -> None:
        name = self.consumer.name
        metric = ack_sampled(self.consumer.stream, name, consumer_sequence, sequence, ack_time_ns, deliveries)
        if self.context.interested(metric[0]):
            self.context.publish(metric)
