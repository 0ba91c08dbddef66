"""Mirrors and sources at the end of a story: every message of the origin, once, in its order, and nothing else.

Read next: `plan.sourced`, `judge`.
"""

from collections.abc import Callable
from typing import Any

from sim.judge import contents
from sim.model import read_headers
from sim.plan import Plan, StreamPlan

Groups = Callable[[str], dict[str, Any]]


def unread(plan: Plan, groups: Groups) -> list[str]:
    """Streams that have not everything of their origins yet."""
    late = []
    for stream in plan.streams:
        for machine in [group.machine for group in groups(stream.name).values()]:
            places = {name: machine.sources.of(f"{name} > >".encode()).sequence for name in stream.sources}
            if stream.mirror:
                places[stream.mirror] = machine.store.last_sequence
            late += [
                f"{stream.name} of {name}" for name, place in places.items() if place < _last(groups, name)
            ]  # fmt: skip
    return late


def _last(groups: Groups, name: str) -> int:
    return max((group.machine.store.last_sequence for group in groups(name).values()), default=0)


def judge_sourced(plan: Plan, groups: Groups, acked: dict[str, dict[str, int]]) -> list[str]:
    """What does not hold."""
    faults: list[str] = []
    queues = [stream.name for stream in plan.streams if stream.work_queue]
    for stream in plan.streams:
        kept = [contents(group.machine) for group in groups(stream.name).values()]
        for origin in [stream.mirror] if stream.mirror else stream.sources:
            theirs = contents(next(iter(groups(origin).values())).machine)
            for mine in kept:
                if stream.mirror:
                    faults += _mirror(stream, mine, theirs)
                elif origin in queues:
                    faults += _queue(stream, origin, mine, theirs, acked.get(origin, {}))
                else:
                    faults += _source(stream, origin, mine, theirs)
    return faults


Messages = dict[int, tuple[bytes, int, bytes]]  # sequence → subject, time, data


def _mirror(stream: StreamPlan, mine: Messages, theirs: Messages) -> list[str]:
    faults = [f"{stream.name}: {sequence} is missing" for sequence in theirs if sequence not in mine]
    for sequence, message in mine.items():
        if theirs.get(sequence) != message:
            faults.append(f"{stream.name}: {sequence} is {message}, in the origin {theirs.get(sequence)}")
    return faults


def _queue(stream: StreamPlan, origin: str, mine: Messages, theirs: Messages, acked: dict[str, int]) -> list[str]:
    """A work queue is empty in the end: everything that was ever acknowledged is here, once."""
    texts = [payload.decode() for _, _, payload in _from(origin, mine)]
    faults = [f"{stream.name}: {text} of {origin} is not here" for text in acked if text not in texts]
    if len(set(texts)) != len(texts):
        faults.append(f"{stream.name}: something of {origin} came twice")
    if theirs:
        faults.append(f"{origin}: {len(theirs)} messages are left though {stream.name} has read it")
    return faults


def _from(origin: str, mine: Messages) -> list[tuple[int, bytes, bytes]]:
    """What came from an origin: sequence there, subject, payload."""
    found = []
    for sequence in sorted(mine):
        subject, _, data = mine[sequence]
        block, _, payload = data.partition(b"\r\n\r\n")
        mark = read_headers(block + b"\r\n").get("Nats-Stream-Source", "").split(" ")
        if mark[0] == origin:
            found.append((int(mark[1]), subject, payload))
    return found


def _source(stream: StreamPlan, origin: str, mine: Messages, theirs: Messages) -> list[str]:
    found = _from(origin, mine)
    expected = [
        (sequence, subject, data.partition(b"\r\n\r\n")[2] if data.startswith(b"NATS/1.0\r\n") else data)
        for sequence, (subject, _, data) in sorted(theirs.items())
    ]
    if found == expected:
        return []
    twice = sorted({message[0] for message in found if found.count(message) > 1})
    left_out = sorted({message[0] for message in expected} - {message[0] for message in found})
    return [
        f"{stream.name}: of {origin}, twice: {twice[:5]}, left out: {left_out[:5]}, {len(found)} of {len(expected)}"
    ]
