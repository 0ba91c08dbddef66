"""What the leader has delivered of one consumer and not seen settled: its overlay over the replicated pending messages.

It runs ahead of the log: a delivery or an ack counts here at once and in the log when its operation is applied. Built
from the replicated state at the start of a term (`load`), thrown away at its end.

Not here: sending, proposing, what an ack's payload means (`consumer_lead`).

Invariants: `entries` is in first-delivery order, so its front is the oldest. A sequence is in `due` at most once as
long as its entry says so; settled ones stay in `due` until they are reached. Deadlines are monotonic ns.
"""

from mypy_extensions import i64, mypyc_attr

from broker.jetstream.consumers.consumer import Consumer
from broker.jetstream.delivery.ack_timers import AckTimers


@mypyc_attr(acyclic=True)  # no cycles: a hundred thousand of them must not cost the collector anything
class Outstanding:
    """One message out."""

    def __init__(self, consumer_sequence: i64, deliveries: i64, deadline_ns: i64) -> None:
        self.consumer_sequence: i64 = consumer_sequence
        self.deliveries: i64 = deliveries
        self.deadline_ns: i64 = deadline_ns
        self.due: bool = False
        self.client: bytes = b""  # who pulled it last; unknown after a change of leader


class OutstandingSet:
    """All messages out of one consumer, the redelivery queue and the timers."""

    def __init__(self) -> None:
        self.entries: dict[int, Outstanding] = {}
        self.timers: AckTimers = AckTimers()
        self.due: list[int] = []
        self.due_head: int = 0
        self.due_count: int = 0
        self.redelivered: int = 0
        self.oldest: int = 0

    def load(self, consumer: Consumer) -> None:
        """Take over the replicated facts; their times begin to run with `start`."""
        for sequence in consumer.order[consumer.order_head :]:
            fact = consumer.pending.get(sequence)
            if fact is not None:
                self.entries[sequence] = Outstanding(fact.consumer_sequence, fact.deliveries, 0)
                if fact.deliveries > 1:
                    self.redelivered += 1

    def start(self, consumer: Consumer, now_ns: int, wall_ns: int) -> None:
        """What is left of each wait, by the clocks of now."""
        config = consumer.config
        for sequence in self.entries:
            entry = self.entries[sequence]
            fact = consumer.pending.get(sequence)
            left_ns = 0
            if fact is not None:
                left_ns = max(fact.timestamp_ns + config.wait_ns(fact.deliveries) - wall_ns, 0)
            entry.deadline_ns = now_ns + left_ns
            self.timers.add(sequence, entry.deadline_ns)

    def add(self, sequence: int, consumer_sequence: int, deadline_ns: int) -> None:
        """A first delivery."""
        self.entries[sequence] = Outstanding(consumer_sequence, 1, deadline_ns)
        self.timers.add(sequence, deadline_ns)

    def again(self, sequence: int, entry: Outstanding, deadline_ns: int) -> None:
        """A redelivery of the head of `due`."""
        entry.deliveries += 1
        if entry.deliveries == 2:
            self.redelivered += 1
        entry.due = False
        self.due_count -= 1
        self.due_head += 1
        self.wait_until(sequence, entry, deadline_ns)

    def wait_until(self, sequence: int, entry: Outstanding, deadline_ns: int) -> None:
        """Do not deliver it again before `deadline_ns`."""
        if entry.due:
            entry.due = False
            self.due_count -= 1
        entry.deadline_ns = deadline_ns
        self.timers.add(sequence, deadline_ns)

    def make_due(self, sequence: int, entry: Outstanding) -> None:
        """Deliver it again as soon as somebody takes it."""
        if not entry.due:
            entry.due = True
            self.due_count += 1
            self.due.append(sequence)

    def settle(self, sequence: int) -> Outstanding | None:
        """It is done with; None if it was not out."""
        entry = self.entries.pop(sequence, None)
        if entry is not None:
            if entry.due:
                self.due_count -= 1
            if entry.deliveries > 1:
                self.redelivered -= 1
        return entry

    def settle_up_to(self, sequence: int) -> None:
        """Everything first delivered at or before `sequence` is done with."""
        gone: list[int] = []
        for other in self.entries:
            if other > sequence:
                break
            gone.append(other)
        for other in gone:
            self.settle(other)

    def next_due(self) -> int:
        """The sequence at the head of the redelivery queue, 0 when it is empty."""
        due = self.due
        head = self.due_head
        while head < len(due):
            entry = self.entries.get(due[head])
            if entry is not None and entry.due:
                self.due_head = head
                return due[head]
            head += 1
        if due:
            self.due = []
        self.due_head = 0
        return 0

    def expired(self, now_ns: int) -> list[int]:
        """Sequences whose wait is over and that are not due yet, ascending."""
        over: list[int] = []
        for sequence in self.timers.take_due(now_ns):
            entry = self.entries.get(sequence)
            if entry is not None and not entry.due and entry.deadline_ns <= now_ns:
                over.append(sequence)
        over.sort()
        if self.timers.bloated(len(self.entries)):
            self.timers.clear()
            for sequence in self.entries:
                self.timers.add(sequence, self.entries[sequence].deadline_ns)
        return over

    def below(self, stream_first: int) -> list[int]:
        """Those before `stream_first`, which the stream no longer has."""
        if stream_first <= self.oldest or not self.entries:
            return []
        gone: list[int] = []
        for sequence in self.entries:
            if sequence >= stream_first:
                self.oldest = sequence
                return gone
            gone.append(sequence)
        self.oldest = stream_first
        return gone

    def oldest_entry(self) -> int:
        """The first sequence still out, 0 when none is."""
        for sequence in self.entries:
            return sequence
        return 0

    def latest_deadline_ns(self) -> int:
        """When the last wait ends (for the inactivity of a consumer whose client still works)."""
        latest = 0
        for entry in self.entries.values():
            if entry.deadline_ns > latest:
                latest = entry.deadline_ns
        return latest
