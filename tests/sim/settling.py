"""What a cluster may still have to do when the faults are over and nobody asks for anything any more.

Each function names what is not done yet; a story waits until nothing is left, but not for ever (`run`).
"""

from collections.abc import Callable
from typing import Any

from sim.plan import Plan

Groups = Callable[[str], dict[str, Any]]


def unconsumed(plan: Plan, groups: Groups) -> list[str]:
    """Consumers that have not had everything, or wait for acks."""
    found = []
    for stream in plan.streams:
        names = [taker.name for taker in stream.takers()]
        for group in groups(stream.name).values():
            for consumer in group.machine.consumers.values():
                following = group.machine.store.next_sequence(consumer.delivered_stream + 1, consumer.matcher)
                if consumer.name in names and (consumer.pending or consumer.dead or following):
                    found.append(f"{stream.name}: {consumer.name} has {len(consumer.pending)} out, next {following}")
    return found


def unread(plan: Plan, groups: Groups) -> list[str]:
    """Streams that have not everything of their origins yet, and queues that do not know that it was read."""
    late = []
    read = {name for stream in plan.streams for name in stream.sources}
    for queue in [stream.name for stream in plan.streams if stream.work_queue and stream.name in read]:
        left = max((group.machine.store.messages for group in groups(queue).values()), default=0)
        late += [f"{queue} keeps {left}"] if left else []
    for stream in plan.streams:
        for machine in [group.machine for group in groups(stream.name).values()]:
            places = {name: machine.sources.of(f"{name} > >".encode()).sequence for name in stream.sources}
            if stream.mirror:
                places[stream.mirror] = machine.store.last_sequence
            late += [f"{stream.name} of {name}" for name, place in places.items() if place < last(groups, name)]
    return late


def last(groups: Groups, name: str) -> int:
    """The last sequence of a stream, as far as any replica knows."""
    return max((group.machine.store.last_sequence for group in groups(name).values()), default=0)


def to_come(plan: Plan, groups: Groups) -> list[str]:
    """Schedules that are still to come."""
    return [
        subject.decode()
        for stream in plan.streams
        if stream.schedulers
        for group in groups(stream.name).values()
        for subject, entry in group.machine.schedules.entries.items()
        if group.machine.store.get(entry.sequence) is not None
    ]
