"""Planted into streams and consumers: who is told what, and what a change of leader forgets."""

from collections.abc import Iterator
from typing import Any

from broker.cluster.groups.engine import Engine
from broker.cluster.groups.group import RaftGroup, Waiter
from broker.cluster.streams.publishing import PublishWaiter
from broker.cluster.streams.stream_group import StreamGroup
from broker.jetstream.consumers import dead_letter_apply
from broker.jetstream.consumers.consumer import Consumer
from broker.jetstream.consumers.delivered import Delivered
from broker.jetstream.dedupe import DedupeTable
from broker.jetstream.delivery.ack_intake import AckIntake
from broker.jetstream.delivery.delivery_proposals import DoubleAckWaiter
from broker.jetstream.delivery.outstanding import OutstandingSet
from broker.jetstream.stream import StreamMachine
from raft.node import LEADER
from raft.types import Entry
from sim.bugs.planting import elections, given_up, planted, slow_disks, work_queue
from sim.replacing import replaced

Marks = list[tuple[RaftGroup, int, int]]


def acknowledge_early(group: RaftGroup, up_to_index: int) -> None:
    """Answer publishes that are not applied yet, under the sequences they will probably get."""
    if not isinstance(group, StreamGroup):
        return
    sequence = group.machine.store.last_sequence + 1
    for index, proposal in group.proposals.items():
        for waiter in proposal.waiters:
            if isinstance(waiter, PublishWaiter):
                if index <= up_to_index:
                    waiter.acknowledge(0, len(waiter.replies), sequence)
                    waiter.replies = [b""] * len(waiter.replies)
                sequence += len(waiter.replies)


@planted(elections, "publishes")
def publish_is_answered_when_proposed() -> Iterator[None]:
    """The PubAck leaves with the proposal, before anybody else has it."""
    flush = RaftGroup.flush_ops

    def hasty(group: RaftGroup) -> None:
        flush(group)
        acknowledge_early(group, group.raft.last_index)

    with replaced(RaftGroup, "flush_ops", hasty):
        yield


@planted(slow_disks, "publishes")
def publish_is_answered_after_the_leaders_own_sync() -> Iterator[None]:
    """The PubAck leaves as soon as the leader's disk has the entry."""
    release = Engine.released

    def hasty(engine: Engine, marks: Marks, messages: list[Any]) -> None:
        release(engine, marks, messages)
        for group, index, _ in marks:
            if group.raft.role == LEADER:
                acknowledge_early(group, index)

    with replaced(Engine, "released", hasty):
        yield


@planted(elections, "publishes", "deliveries")
def another_leaders_entry_is_taken_for_ours() -> Iterator[None]:
    """Whoever waits for an entry is answered for whatever was committed at its index."""

    def trusting(group: RaftGroup, entry: Entry) -> list[Waiter | None] | None:
        proposal = group.proposals.pop(entry.index, None)
        return None if proposal is None else proposal.waiters

    with replaced(RaftGroup, "_take_waiters", trusting), replaced(RaftGroup, "abandon_all", lambda group: None):
        yield


@planted(elections, "machines")
def message_ids_are_forgotten_at_a_leader_change() -> Iterator[None]:
    """Dedup forgotten: a new leader begins with an empty duplicate window."""
    begin = StreamGroup.became_leader

    def forgetful(group: StreamGroup) -> None:
        group.machine.dedupe = DedupeTable(group.machine.config.duplicate_window_ns)
        begin(group)

    with replaced(StreamGroup, "became_leader", forgetful):
        yield


@planted(work_queue, "leaving")
def double_ack_is_answered_before_its_commit() -> Iterator[None]:
    """A consumer's client is told that its ack counts when the leader has heard it."""
    begin = DoubleAckWaiter.__init__

    def hasty(waiter: DoubleAckWaiter, counter: Any, output: Any, replies: list[tuple[str, bytes]]) -> None:
        begin(waiter, counter, output, [])
        for origin, reply in replies:
            output.send(origin, reply, reply, b"", 0, b"")

    with replaced(DoubleAckWaiter, "__init__", hasty):
        yield


@planted(work_queue, "leaving")
def acks_do_not_reach_the_log() -> Iterator[None]:
    """The leader knows what was acked, the other replicas never hear of it."""

    def forgetful(intake: AckIntake, sequence: int, consumer_sequence: int, answered: bool) -> bool:
        intake.out.settle(sequence)
        intake._section()
        return True

    with replaced(AckIntake, "ack", forgetful):
        yield


@planted(work_queue, "deliveries")
def a_new_leader_forgets_who_has_what() -> Iterator[None]:
    """Messages that were out at a change of leader are never delivered again."""
    with replaced(OutstandingSet, "load", lambda out, consumer: None):
        yield


@planted(work_queue, "leaving")
def deliveries_do_not_reach_the_replicas() -> Iterator[None]:
    """What went out is known to the leader alone."""

    def deaf(consumer: Consumer, op: Delivered, stream_first: int, done: object) -> None:
        """Nothing is noted."""

    with replaced(Consumer, "apply_delivered", deaf):
        yield


@planted(work_queue, "deliveries")
def work_queue_keeps_what_was_acked() -> Iterator[None]:
    """An ack does not remove the message."""
    with replaced(StreamMachine, "acknowledged", lambda machine, consumer, sequence: None):
        yield


@planted(given_up, "dead letters")
def a_dead_letter_is_not_copied() -> Iterator[None]:
    """What was given up leaves the queue, and nothing comes into the dead-letter stream."""
    with replaced(dead_letter_apply, "_store", lambda *_: True):
        yield


@planted(given_up, "dead letters")
def a_dead_letter_stays_in_the_queue() -> Iterator[None]:
    """What was given up is copied, and the consumer is done with it only in its own eyes."""
    move = dead_letter_apply._move

    def half(state: Any, dead: Any, consumer: Any, sequence: int, *rest: Any) -> bool:
        kept = consumer.exceeded.get(sequence, 0)
        moved = False
        with replaced(StreamMachine, "acknowledged", lambda *_: None):
            moved = move(state, dead, consumer, sequence, *rest)
        if kept:
            consumer.exceeded[sequence] = kept
        return moved

    with replaced(dead_letter_apply, "_move", half):
        yield
