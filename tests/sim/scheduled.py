"""Schedules over a story: clients that ask for messages at a time to come, and the verdict that each came once.

A scheduler sends `S<name>-<number>` as a schedule of its own subject, due within a few seconds by the right clock,
under a message id, again until it is answered. What becomes of a schedule has the same text, on `<stream>.made`.
Read next: `workload`, `judge`.
"""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sim.judge import contents
from sim.plan import SECOND_NS, Plan
from sim.server import WALL_START_NS
from sim.workload import REQUEST_NS, Publisher

SOONEST_NS, LATEST_NS = -SECOND_NS, 4 * SECOND_NS
Groups = Callable[[str], dict[str, Any]]


class Scheduler(Publisher):
    """Asks for one message after the other."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.with_ids = True

    def _send(self, text: str) -> None:
        self.history.attempts[text] = self.history.attempts.get(text, 0) + 1
        due_ns = WALL_START_NS + self.world.now_ns + self.rng.randrange(SOONEST_NS, LATEST_NS)
        due = datetime.fromtimestamp(due_ns // SECOND_NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        headers = {
            "Nats-Msg-Id": text, "Nats-Schedule": f"@at {due}", "Nats-Schedule-Target": f"{self.stream}.made",
        }  # fmt: skip
        subject = f"{self.stream}.{text}"
        self.client.request(subject, text.encode(), lambda answer: self._answered(text, answer), REQUEST_NS, headers)


def to_come(plan: Plan, groups: Groups) -> list[str]:
    """Schedules that are still to come."""
    return [
        subject.decode()
        for stream in plan.streams
        if stream.schedulers
        for group in groups(stream.name).values()
        for subject in group.machine.schedules.entries
    ]


def judge_scheduled(plan: Plan, groups: Groups, acked: dict[str, dict[str, int]]) -> list[str]:
    """What does not hold: every schedule that was acknowledged made its message, once, and is gone."""
    faults: list[str] = []
    for stream in plan.streams if any(stream.schedulers for stream in plan.streams) else ():
        for group in groups(stream.name).values():
            kept = contents(group.machine).values()
            made = Counter(
                data.partition(b"\r\n\r\n")[2].decode() for subject, _, data in kept if subject.endswith(b".made")
            )
            left = [subject.decode() for subject, _, _ in kept if not subject.endswith(b".made")]
            faults += [f"{stream.name}: {text} was made {count} times" for text, count in made.items() if count > 1]
            faults += [f"{stream.name}: {text} was never made" for text in acked.get(stream.name, {}) if not made[text]]
            faults += [f"{stream.name}: the schedule {subject} is still there" for subject in left]
    return faults
