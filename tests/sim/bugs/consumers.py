"""Planted into consumers of every kind: who gets what, when, and what a change of leader forgets of it."""

from collections import deque
from collections.abc import Iterator
from typing import Any

from broker.jetstream import stream
from broker.jetstream.consumers import consumer_apply
from broker.jetstream.consumers.consumer import Consumer
from broker.jetstream.delivery import consumer_lead
from broker.jetstream.delivery.outstanding import OutstandingSet
from broker.jetstream.delivery.priority import PriorityGroup
from broker.jetstream.delivery.pull_request import PullRequest
from broker.jetstream.delivery.push import PushLink
from sim.bugs.planting import consumer_kinds, groups, interest, planted, steered
from sim.replacing import replaced


@planted(consumer_kinds, "redeliveries")
def waits_are_over_at_a_change_of_leader() -> Iterator[None]:
    """A new leader delivers at once what others had only just got."""
    start = OutstandingSet.start

    def hasty(out: OutstandingSet, consumer: Consumer, now_ns: int, wall_ns: int) -> None:
        start(out, consumer, now_ns, wall_ns + 60_000_000_000)

    with replaced(OutstandingSet, "start", hasty):
        yield


@planted(consumer_kinds, "redeliveries")
def a_new_leader_counts_deliveries_anew() -> Iterator[None]:
    """How often a message was delivered before is not looked up."""
    load = OutstandingSet.load

    def forgetful(out: OutstandingSet, consumer: Consumer) -> None:
        load(out, consumer)
        for entry in out.entries.values():
            entry.deliveries = 1

    with replaced(OutstandingSet, "load", forgetful):
        yield


@planted(consumer_kinds, "ordered")
def an_ordered_consumer_begins_a_message_late() -> Iterator[None]:
    """Behind the sequence that its client asked for."""
    place = consumer_apply._place

    def late(consumer: Consumer, store: Any, config: Any) -> None:
        place(consumer, store, config)
        if consumer.config.opt_start_sequence:
            consumer.start_at(consumer.delivered_stream + 2)

    with replaced(consumer_apply, "_place", late):
        yield


@planted(consumer_kinds, "windows")
def a_window_is_not_kept() -> Iterator[None]:
    """A push consumer sends on, however little was answered."""
    with replaced(PushLink, "may_send", lambda link: link.active):
        yield


@planted(consumer_kinds, "heartbeats")
def a_push_consumer_is_silent_when_it_is_idle() -> Iterator[None]:
    """It has no heartbeat."""

    def silent(link: PushLink, now_ns: int, header: bytes) -> None:
        """Nothing is sent, and it is not looked at again at once."""
        if link.heartbeat_every_ns and now_ns >= link.heartbeat_ns:
            link.heartbeat_ns = now_ns + link.heartbeat_every_ns

    with replaced(PushLink, "beat", silent):
        yield


@planted(groups, "groups")
def a_pin_is_for_everybody() -> Iterator[None]:
    """Whoever comes next is served, pinned or not, far behind or not."""
    with replaced(PriorityGroup, "_may_serve", lambda group, policy, request: True):
        yield


@planted(groups, "leaving")
def priorities_are_not_looked_at() -> Iterator[None]:
    """Requests wait in the order in which they came."""

    def unfair(group: PriorityGroup, waiting: deque[PullRequest], request: PullRequest) -> None:
        waiting.append(request)

    with replaced(PriorityGroup, "insert", unfair):
        yield


@planted(steered, "leaving")
def a_new_leader_does_not_know_of_pauses() -> Iterator[None]:
    """It delivers for a consumer that was paused before its time."""
    with replaced(consumer_lead, "needs_pace", lambda config: False):
        yield


@planted(steered, "replicas")
def acks_from_before_a_reset_count_behind_it() -> Iterator[None]:
    """A consumer that begins again does not know its new life from the old one."""
    reset = Consumer.reset

    def ageless(consumer: Consumer, next_sequence: int, time_ns: int) -> None:
        epoch_ns = consumer.epoch_ns
        reset(consumer, next_sequence, time_ns)
        consumer.epoch_ns = epoch_ns

    with replaced(Consumer, "reset", ageless):
        yield


@planted(interest, "deliveries")
def the_first_ack_is_enough() -> Iterator[None]:
    """A stream of interest drops what one of two consumers is done with."""
    with replaced(stream, "is_needed", lambda *_: False):
        yield
