"""A work queue's deliveries: nothing acknowledged goes undelivered, and nothing comes again once its ack was confirmed.

A delivery may be on its way while another one of the same job is confirmed, so only what arrives GRACE_S later counts.
A partition or a stopped process can hold it back for longer: until the fault is over, and then until TCP tries again,
which it does within as much time as the fault took.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaos.checkers.outage import Span
from chaos.history import NEVER, OK, Operation

GRACE_S = 1.0


@dataclass
class Delivery:
    """A job as it came to a worker: when, how often, what was done with it, and when that was answered or sent."""

    job: str
    at_s: float
    count: int
    fate: str
    settled_s: float = NEVER


def check_queue(
    published: list[Operation], deliveries: list[Delivery], held_back: Sequence[Span] = ()
) -> dict[str, list[str]]:
    """Broken promises by kind. `held_back`: when faults held packets back without losing them."""
    found: dict[str, list[str]] = {}
    known = {each.value for each in published}
    delivered = {each.job for each in deliveries}
    found["acknowledged and never delivered"] = [
        each.value for each in published if each.outcome == OK and each.value not in delivered
    ]
    found["never sent"] = [each.job for each in deliveries if each.job not in known]
    confirmed: dict[str, float] = {}
    for each in deliveries:
        if each.fate == "confirm" and each.settled_s != NEVER:
            confirmed[each.job] = min(each.settled_s, confirmed.get(each.job, each.settled_s))
    found["redelivered after confirmed ack"] = [
        f"{each.job}: confirmed at {confirmed[each.job]:.2f} s, delivered again at {each.at_s:.2f} s ({each.count}.)"
        for each in deliveries
        if each.job in confirmed and each.at_s > latest_s(confirmed[each.job], held_back)
    ]
    found["not redelivered"] = never_settled(deliveries)
    return found


def latest_s(confirmed_s: float, held_back: Sequence[Span]) -> float:
    """Until when a delivery may arrive that left before the confirmation."""
    begun = [span.end_s + span.seconds for span in held_back if span.start_s < confirmed_s]
    return max([confirmed_s, *begun]) + GRACE_S


def never_settled(deliveries: list[Delivery]) -> list[str]:
    """Jobs whose last delivery was forgotten or refused by its worker, and that never came again."""
    last: dict[str, Delivery] = {}
    settled: set[str] = set()
    for each in deliveries:
        last[each.job] = each
        if each.fate in ("confirm", "ack", "term"):
            settled.add(each.job)
    return [f"{job}: {each.fate} at {each.at_s:.2f} s" for job, each in last.items() if job not in settled]
