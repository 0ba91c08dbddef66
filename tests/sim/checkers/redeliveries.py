"""What comes again was still out, comes with the next number of its deliveries, and not before its wait is over.

Told from the log alone: OP_DELIVERED against what was delivered and acknowledged before it. Only where a replica of
another term could not know better may a wait be shorter, by what clocks differ; stories with wrong clocks are left out.
"""

import json

from broker.jetstream.consumers.ack import ACKED_ALL, EXCEEDED, decode_acks
from broker.jetstream.consumers.dead_letter import decode_dead_letters
from broker.jetstream.consumers.delivered import Delivered, decode_delivered
from broker.jetstream.ops import (
    OP_ACKS,
    OP_CONSUMER_CREATE,
    OP_CONSUMER_DELETE,
    OP_CONSUMER_RESET,
    OP_DEAD_LETTERS,
    OP_DELIVERED,
    SLOT_OWN,
    split_ops,
)
from sim.account import Account
from sim.plan import SECOND_NS, ConsumerPlan

TOLERANCE_NS = SECOND_NS // 10


class Out:
    """A message of a consumer: how often it was delivered, and from when its wait counts."""

    def __init__(self, since_ns: int) -> None:
        self.deliveries = 1
        self.since_ns = since_ns


class Follower:
    """One consumer, over the log."""

    def __init__(self, account: Account, taker: ConsumerPlan, keeps_time: bool) -> None:
        config = taker.config(account.plan)
        self.account = account
        self.name = taker.name
        self.keeps_time = keeps_time
        waits = config.get("backoff") or [config["ack_wait"]]
        assert isinstance(waits, list)
        self.waits: list[int] = waits
        self.out: dict[int, Out] = {}
        self.last = 0
        self.faults: list[str] = []

    def delivered(self, op: Delivered) -> None:
        """What a leader handed out."""
        for sequence, deliveries in zip(op.redelivered, op.deliveries, strict=True):
            self._again(sequence, deliveries, op.timestamp_ns)
        for first, length in zip(op.run_first, op.run_length, strict=True):
            for sequence in range(first, first + length):
                if sequence > self.last:
                    self.out[sequence] = Out(op.timestamp_ns)
                    self.last = sequence

    def _again(self, sequence: int, deliveries: int, now_ns: int) -> None:
        known = self.out.get(sequence)
        what = f"{self.account.name}: {sequence} was delivered to {self.name} again"
        if known is None:
            if sequence not in self.account.model.removed:
                self.faults.append(f"{what} though it was settled")
            return
        if deliveries != known.deliveries + 1:
            self.faults.append(f"{what} as number {deliveries}, after {known.deliveries}")
        early_ns = known.since_ns + self.waits[min(known.deliveries, len(self.waits)) - 1] - now_ns
        if early_ns > TOLERANCE_NS and self.keeps_time:
            self.faults.append(f"{what}, number {deliveries}, {early_ns / SECOND_NS:.3f} s too early")
        known.deliveries = deliveries
        known.since_ns = now_ns

    def begin_again(self, next_sequence: int) -> None:
        """The consumer was reset; 0 = behind its ack floor."""
        floor = min(self.out) - 1 if self.out else self.last
        self.last = (next_sequence or floor + 1) - 1
        self.out = {}

    def acked(self, acks: list[int], kinds: list[int], sequences: list[int], arguments: list[int]) -> None:
        """One section of OP_ACKS."""
        for sequence in acks:
            self.out.pop(sequence, None)
        for kind, sequence, argument in zip(kinds, sequences, arguments, strict=True):
            if kind == ACKED_ALL:
                self.out = {other: its for other, its in self.out.items() if other > sequence}
            elif kind == EXCEEDED:
                self.out.pop(sequence, None)
            elif sequence in self.out:
                self.out[sequence].since_ns = argument


def judge(account: Account) -> list[str]:
    """What does not hold."""
    faults: list[str] = []
    for taker in account.plan.takers():
        faults += _follow(account, taker)
    return faults


def _follow(account: Account, taker: ConsumerPlan) -> list[str]:
    follower = Follower(account, taker, not account.has_wrong_clocks)
    epoch_ns = 0
    for data in account.log:
        for slot, kind, body in split_ops(data):
            if slot != SLOT_OWN:
                continue
            if kind in (OP_CONSUMER_CREATE, OP_CONSUMER_RESET, OP_CONSUMER_DELETE):
                fields = json.loads(body)
                if fields["name"] != taker.name:
                    continue
                assert kind != OP_CONSUMER_DELETE, "no plan deletes its durable consumers"
                if kind == OP_CONSUMER_RESET:
                    follower.begin_again(fields["sequence"])
                    epoch_ns = max(fields["time"], epoch_ns + 1)
                else:
                    epoch_ns = epoch_ns or fields["created"]
            elif kind == OP_DELIVERED:
                op = decode_delivered(body)
                if (op.consumer, op.epoch_ns) == (taker.name, epoch_ns):
                    follower.delivered(op)
            elif kind == OP_ACKS:
                for section in decode_acks(body)[1]:
                    if (section.consumer, section.epoch_ns) == (taker.name, epoch_ns):
                        follower.acked(section.acks, section.kinds, section.sequences, section.arguments)
            elif kind == OP_DEAD_LETTERS:
                for letters in decode_dead_letters(body):
                    if (letters.consumer, letters.epoch_ns) == (taker.name, epoch_ns):
                        for sequence, *_ in letters.rows:
                            follower.out.pop(sequence, None)
    return follower.faults
