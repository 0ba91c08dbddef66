"""A consumer's replicated state: what every replica knows about who got what and who acked what.

Delivered and ack floor are pairs (stream sequence, consumer sequence). `pending` holds messages delivered but not
settled, with the consumer sequence of their *first* delivery, the time from which the ack wait counts and the number
of deliveries. `exceeded` holds what was delivered `max_deliver` times in vain: no longer pending, but not done with
either (work-queue and interest streams keep it).

Not here: waiting pulls, timers, windows (the leader's: `consumer_lead`), operations on the set of consumers
(`consumer_apply`).

Invariants: first deliveries come in stream order, so `order` (first-delivery order, with settled ones still in it up
to the next sweep) is ascending and its head tells the ack floor in amortised constant time. Everything here is changed
by log entries only; pending messages that fell off the front of the stream are dropped at the next operation, the same
on every replica.
"""

from array import array
from typing import Any, Final

from mypy_extensions import mypyc_attr

from broker.core.subjects import SubjectMatcher
from broker.jetstream.config.consumer_config import ACK_ALL, ACK_EXPLICIT, ACK_NONE, ConsumerConfig, config_from_json
from broker.jetstream.consumers.ack import ACKED_ALL, EXCEEDED, AckSection, pack_column, unpack_column
from broker.jetstream.consumers.dead_letter import DeadLetter, letter_from_list
from broker.jetstream.consumers.delivered import Delivered

_SWEEP_MIN: Final = 1024
_EXCEEDED_MIN: Final = 256


@mypyc_attr(acyclic=True)  # no cycles: a hundred thousand of them must not cost the collector anything
class Pending:
    """One message that waits for its ack."""

    def __init__(self, consumer_sequence: int, timestamp_ns: int, deliveries: int) -> None:
        self.consumer_sequence: int = consumer_sequence
        self.timestamp_ns: int = timestamp_ns
        self.deliveries: int = deliveries
        self.first_ns: int = timestamp_ns  # of the first and the last delivery
        self.last_ns: int = timestamp_ns


@mypyc_attr(allow_interpreted_subclasses=True)
class Acknowledged:
    """Told of each message that a consumer is done with, so that a stream may drop it."""

    def acknowledged(self, consumer: "Consumer", sequence: int) -> None:
        """`consumer` will never need `sequence` again."""


class Consumer:
    """The state; see the module's text."""

    def __init__(self, stream: str, name: str, config: ConsumerConfig, created_ns: int) -> None:
        self.stream: Final = stream
        self.name: Final = name
        self.created_ns: Final = created_ns
        # Operations name it: those that a leader proposed before a reset are not for what the consumer is afterwards.
        self.epoch_ns: int = created_ns
        self.config: ConsumerConfig = config
        self.matcher: SubjectMatcher | None = None
        self.delivered_stream: int = 0
        self.delivered_consumer: int = 0
        self.delivered_ns: int = 0
        self.ack_floor_stream: int = 0
        self.ack_floor_consumer: int = 0
        self.acked_ns: int = 0
        self.pending: dict[int, Pending] = {}
        self.order: list[int] = []
        self.order_head: int = 0
        self.exceeded: dict[int, int] = {}
        self.exceeded_max: int = _EXCEEDED_MIN
        self.dead: dict[int, DeadLetter] = {}  # of `exceeded`: what waits for the dead-letter stream
        # deliver_policy last_per_subject: what to deliver before everything behind its last sequence.
        self.skip_list: array[int] = array("Q")
        self.set_config(config)

    def set_config(self, config: ConsumerConfig) -> None:
        """Take over a (checked) configuration."""
        self.config = config
        filters = config.filters()
        self.matcher = SubjectMatcher(filters) if filters else None

    def limit_replicas(self, most: int) -> None:
        """The stream has that many."""
        if self.config.num_replicas > most:
            config = config_from_json(self.config.to_json())
            config.num_replicas = most
            self.config = config

    def start_at(self, next_sequence: int) -> None:
        """The first message to be considered."""
        self.delivered_stream = next_sequence - 1
        self.ack_floor_stream = next_sequence - 1

    def set_skip_list(self, sequences: list[int]) -> None:
        """Deliver exactly `sequences` (ascending), then everything behind the last of them."""
        self.skip_list = array("Q", sequences)

    def reset(self, next_sequence: int, time_ns: int) -> None:
        """Begin again at a message, as if nothing had been delivered. What was given up and not yet moved to the
        dead-letter stream is delivered anew too."""
        self.epoch_ns = max(time_ns, self.epoch_ns + 1)
        self.pending = {}
        self.order = []
        self.order_head = 0
        self.exceeded = {}
        self.dead = {}
        self.delivered_consumer = 0
        self.delivered_ns = 0
        self.ack_floor_consumer = 0
        self.acked_ns = 0
        self.start_at(next_sequence)

    # Operations.

    def apply_delivered(self, op: Delivered, stream_first: int, done: Acknowledged | None) -> None:
        """Messages went out. `done` is given where the stream drops what nobody needs."""
        self.drop_below(stream_first)
        self.delivered_ns = op.timestamp_ns
        consumer_sequence = op.first_consumer_sequence
        for position in range(len(op.redelivered)):
            entry = self.pending.get(op.redelivered[position])
            if entry is not None:
                entry.timestamp_ns = op.timestamp_ns
                entry.last_ns = op.timestamp_ns
                entry.deliveries = op.deliveries[position]
        consumer_sequence += len(op.redelivered)
        for position in range(len(op.run_first)):
            first = op.run_first[position]
            length = op.run_length[position]
            if self.config.ack_policy == ACK_NONE:
                if done is not None:
                    for sequence in range(first, first + length):
                        done.acknowledged(self, sequence)
            else:
                self._add_pending(first, length, consumer_sequence, op.timestamp_ns)
            consumer_sequence += length
            if first + length - 1 > self.delivered_stream:
                self.delivered_stream = first + length - 1
        if consumer_sequence - 1 > self.delivered_consumer:
            self.delivered_consumer = consumer_sequence - 1
        if self.config.ack_policy == ACK_NONE:
            self.ack_floor_stream = self.delivered_stream
            self.ack_floor_consumer = self.delivered_consumer
        if self.skip_list and self.delivered_stream >= self.skip_list[-1]:
            self.skip_list = array("Q")

    def _add_pending(self, first: int, length: int, consumer_sequence: int, timestamp_ns: int) -> None:
        pending = self.pending
        order = self.order
        known = self.delivered_stream
        for sequence in range(first, first + length):
            if sequence > known:
                pending[sequence] = Pending(consumer_sequence, timestamp_ns, 1)
                order.append(sequence)
            consumer_sequence += 1

    def apply_acks(
        self, section: AckSection, timestamp_ns: int, stream_first: int, done: Acknowledged | None
    ) -> list[int]:
        """Acks of one turn. Returns the sequences newly given up (for the advisory), mostly none."""
        self.drop_below(stream_first)
        pending = self.pending
        for sequence in section.acks:
            if pending.pop(sequence, None) is not None or self.exceeded.pop(sequence, 0):
                self.acked_ns = timestamp_ns
                if done is not None:
                    done.acknowledged(self, sequence)
        given_up: list[int] = []
        for position in range(len(section.kinds)):
            kind = section.kinds[position]
            sequence = section.sequences[position]
            argument = section.arguments[position]
            if kind == ACKED_ALL:
                self._ack_all(sequence, argument, timestamp_ns, done)
                continue
            entry = pending.get(sequence)
            if entry is None:
                continue
            if kind == EXCEEDED:
                del pending[sequence]
                self.remember_exceeded(sequence, argument, stream_first)
                given_up.append(sequence)
            else:  # NAKED, PROGRESSED: both only say from when on the ack wait counts
                entry.timestamp_ns = argument
        self.move_floor()
        return given_up

    def _ack_all(self, sequence: int, consumer_sequence: int, timestamp_ns: int, done: Acknowledged | None) -> None:
        if sequence <= self.ack_floor_stream or sequence > self.delivered_stream:
            return
        self.acked_ns = timestamp_ns
        order = self.order
        head = self.order_head
        while head < len(order) and order[head] <= sequence:
            if self.pending.pop(order[head], None) is not None and done is not None:
                done.acknowledged(self, order[head])
            head += 1
        self.order_head = head
        for gone in [other for other in self.exceeded if other <= sequence]:
            del self.exceeded[gone]
            if done is not None:
                done.acknowledged(self, gone)
        self.ack_floor_stream = sequence
        self.ack_floor_consumer = max(self.ack_floor_consumer, min(consumer_sequence, self.delivered_consumer))

    def remember_exceeded(self, sequence: int, deliveries: int, stream_first: int) -> None:
        """A message is neither pending nor done with."""
        self.exceeded[sequence] = deliveries
        if len(self.exceeded) > self.exceeded_max:
            for gone in [other for other in self.exceeded if other < stream_first]:
                del self.exceeded[gone]
            self.exceeded_max = 2 * len(self.exceeded) + _EXCEEDED_MIN

    def move_floor(self) -> None:
        """Let the ack floor follow the oldest pending message."""
        order = self.order
        head = self.order_head
        pending = self.pending
        start = head
        while head < len(order) and order[head] not in pending:
            head += 1
        if head == len(order):
            if order or self.ack_floor_stream < self.delivered_stream:
                self.ack_floor_stream = self.delivered_stream
                self.ack_floor_consumer = self.delivered_consumer
            self.order = []
            self.order_head = 0
            return
        if head != start:
            oldest = order[head]
            self.ack_floor_stream = max(self.ack_floor_stream, oldest - 1)
            self.ack_floor_consumer = max(self.ack_floor_consumer, pending[oldest].consumer_sequence - 1)
        if head > _SWEEP_MIN and head * 2 > len(order):
            del order[:head]
            head = 0
        elif len(order) - head > 4 * len(pending) + _SWEEP_MIN:
            self.order = [sequence for sequence in order if sequence in pending]
            head = 0
        self.order_head = head

    # What the stream tells.

    def drop_below(self, stream_first: int) -> None:
        """Pending messages before `stream_first` no longer exist."""
        order = self.order
        head = self.order_head
        if head >= len(order) or order[head] >= stream_first:
            return
        while head < len(order) and order[head] < stream_first:
            self.pending.pop(order[head], None)
            head += 1
        # One step back, so that the floor is seen to move.
        self.order_head = head - 1
        self.move_floor()

    def drop_missing(self, stream_first: int, gone: list[int]) -> None:
        """A purge: the stream now begins at `stream_first`, and the pending messages `gone` were removed behind it."""
        self.drop_below(stream_first)
        for sequence in gone:
            self.pending.pop(sequence, None)
            self.exceeded.pop(sequence, 0)
        for sequence in [other for other in self.exceeded if other < stream_first]:
            del self.exceeded[sequence]
        if self.delivered_stream < stream_first - 1:
            self.delivered_stream = stream_first - 1
        self.move_floor()
        self.ack_floor_stream = max(self.ack_floor_stream, stream_first - 1)

    def matches(self, subject: bytes) -> bool:
        """Whether messages of this subject concern this consumer."""
        matcher = self.matcher
        return matcher is None or matcher.matches(subject)

    def needs(self, sequence: int, subject: bytes) -> bool:
        """Whether a stream that drops what nobody needs must keep this message for this consumer."""
        if not self.matches(subject):
            return False
        if sequence > self.delivered_stream:
            return True
        if self.config.ack_policy == ACK_EXPLICIT:
            return sequence in self.pending or sequence in self.exceeded
        if self.config.ack_policy == ACK_ALL:
            return sequence > self.ack_floor_stream or sequence in self.exceeded
        return False

    # Facts for INFO on a follower and for tests.

    def num_redelivered(self, stream_first: int) -> int:
        """Messages delivered more than once and not settled (none are told when only one delivery is allowed)."""
        if self.config.max_deliver == 1:
            return 0
        count = 0
        for entry in self.pending.values():
            if entry.deliveries > 1:
                count += 1
        for sequence in self.exceeded:
            if sequence >= stream_first:
                count += 1
        return count

    # Snapshot.

    def snapshot(self) -> dict[str, object]:
        """Everything but what the name of the stream tells, as plain values for CBOR."""
        sequences = [sequence for sequence in self.order[self.order_head :] if sequence in self.pending]
        entries = [self.pending[sequence] for sequence in sequences]
        return {
            "name": self.name,
            "created": self.created_ns,
            "epoch": self.epoch_ns,
            "config": self.config.to_json(),
            "delivered": [self.delivered_stream, self.delivered_consumer, self.delivered_ns],
            "floor": [self.ack_floor_stream, self.ack_floor_consumer, self.acked_ns],
            "pending": pack_column("Q", sequences),
            "pending_consumer": pack_column("Q", [entry.consumer_sequence for entry in entries]),
            "pending_time": pack_column("q", [entry.timestamp_ns for entry in entries]),
            "pending_deliveries": pack_column("I", [entry.deliveries for entry in entries]),
            "pending_first": pack_column("q", [entry.first_ns for entry in entries]),
            "pending_last": pack_column("q", [entry.last_ns for entry in entries]),
            "dead": [[sequence, self.dead[sequence].to_list()] for sequence in self.dead],
            "exceeded": [number for sequence in self.exceeded for number in (sequence, self.exceeded[sequence])],
            "skip": pack_column("Q", self.skip_list.tolist()),
        }


def restore_consumer(stream: str, state: dict[str, Any]) -> Consumer:
    """Inverse of `Consumer.snapshot`. Raises KeyError, TypeError, ValueError or ConfigError on anything else."""
    consumer = Consumer(stream, state["name"], config_from_json(state["config"]), state["created"])
    consumer.epoch_ns = state["epoch"]
    consumer.delivered_stream, consumer.delivered_consumer, consumer.delivered_ns = state["delivered"]
    consumer.ack_floor_stream, consumer.ack_floor_consumer, consumer.acked_ns = state["floor"]
    packed: bytes = state["pending"]
    count = len(packed) // 8
    sequences = unpack_column("Q", packed, 0, count)
    consumer_sequences = unpack_column("Q", state["pending_consumer"], 0, count)
    times = unpack_column("q", state["pending_time"], 0, count)
    deliveries = unpack_column("I", state["pending_deliveries"], 0, count)
    firsts = unpack_column("q", state["pending_first"], 0, count)
    lasts = unpack_column("q", state["pending_last"], 0, count)
    for position in range(count):
        entry = Pending(consumer_sequences[position], times[position], deliveries[position])
        entry.first_ns = firsts[position]
        entry.last_ns = lasts[position]
        consumer.pending[sequences[position]] = entry
    for sequence, letter in state["dead"]:
        consumer.dead[sequence] = letter_from_list(letter)
    consumer.order = sequences
    exceeded: list[int] = state["exceeded"]
    for position in range(0, len(exceeded), 2):
        consumer.exceeded[exceeded[position]] = exceeded[position + 1]
    consumer.exceeded_max = max(consumer.exceeded_max, 2 * len(consumer.exceeded))
    skip: bytes = state["skip"]
    consumer.skip_list = array("Q", unpack_column("Q", skip, 0, len(skip) // 8))
    return consumer
