"""A work queue's deliveries: nothing acknowledged goes undelivered, and nothing comes again once its ack was confirmed.

A delivery may be on its way while another one of the same job is confirmed, so only what arrives GRACE_S later counts.
"""

from __future__ import annotations

from dataclasses import dataclass

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


def check_queue(published: list[Operation], deliveries: list[Delivery]) -> dict[str, list[str]]:
    """Broken promises by kind."""
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
        if each.job in confirmed and each.at_s > confirmed[each.job] + GRACE_S
    ]
    found["not redelivered"] = never_settled(deliveries)
    return found


def never_settled(deliveries: list[Delivery]) -> list[str]:
    """Jobs whose last delivery was forgotten or refused by its worker, and that never came again."""
    last: dict[str, Delivery] = {}
    settled: set[str] = set()
    for each in deliveries:
        last[each.job] = each
        if each.fate in ("confirm", "ack", "term"):
            settled.add(each.job)
    return [f"{job}: {each.fate} at {each.at_s:.2f} s" for job, each in last.items() if job not in settled]
