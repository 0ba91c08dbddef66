"""The simulation is worth something only if it finds bugs: each one planted here is found within a few seeds.

`hunt` runs the stories of a bug's plan with the bug, seed after seed, until a checker that should see it complains
(what another one says, or a process that falls over, does not count), and then the same seeds without it, which must
hold. `make sim PLANTED=1` prints the list.

Read next: `bugs/planting` (how), the rest of `bugs/` (what).
"""

import functools
import multiprocessing
import os
from collections.abc import Iterable, Iterator

from sim.bugs import (
    batches,
    consensus,
    consumers,
    disk,
    membership,
    repair,
    scheduled,
    sourced,
    streams,
    values,
)
from sim.bugs.planting import BUGS, PlantedBug
from sim.run import Result, simulate

SEEDS_MAX = 20  # the rarest is found in every tenth story or so
__all__ = ["BUGS", "SEEDS_MAX", "Hunt", "hunt", "hunt_all", "sample"]
_REGISTERED = (
    batches, consensus, consumers, disk, membership, repair, scheduled, sourced, streams, values,
)  # fmt: skip


class Hunt:
    """How a bug was found. `seed` 0: it was not, within `SEEDS_MAX`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seed = 0
        self.found = ""
        self.others: list[str] = []  # checkers that said something, though it was not theirs to say
        self.steps = 0
        self.simulated_s = 0.0
        self.taken_s = 0.0
        self.innocent: list[str] = []  # what does not hold without the bug

    def text(self) -> str:
        """One line."""
        if not self.seed:
            others = f"; not by {sorted(set(self.others))}" if self.others else ""
            line = f"NOT FOUND in {SEEDS_MAX} seeds, {self.simulated_s:.0f} simulated s{others}"
        else:
            line = f"seed {self.seed}, {self.simulated_s:.1f} simulated s in {self.taken_s:.1f} s: {self.found}"
        complaints = [f"\n    does not hold without it: {fault}" for fault in self.innocent]
        return f"{self.name}: {line}{''.join(complaints)}"


@functools.cache
def innocent(plan: str, bug: str, seed: int) -> tuple[str, ...]:
    """What does not hold in a story without any bug; `bug` is any that uses the plan of that name."""
    del plan
    return tuple(simulate(seed, BUGS[bug].plan()).faults)


def run_with(bug: PlantedBug, seed: int) -> Result:
    """One story with the bug."""
    with bug.plant():
        return simulate(seed, bug.plan())


def hunt(name: str, seeds: int = SEEDS_MAX) -> Hunt:
    """Look for one bug, in so many stories at most."""
    bug = BUGS[name]
    found = Hunt(name)
    for seed in range(1, seeds + 1):
        result = run_with(bug, seed)
        found.simulated_s += result.simulated_s
        found.taken_s += result.taken_s
        told = [fault for fault in result.faults if fault.by in bug.by]
        if told:
            found.seed = seed
            found.found = f"{told[0].by}: {told[0].strip().splitlines()[-1]}"
            break
        found.others += [fault.by for fault in result.faults]
    for seed in range(1, (found.seed or 1) + 1):
        found.innocent += [f"seed {seed}: {fault}" for fault in _without(bug, seed)]
    return found


def _without(bug: PlantedBug, seed: int) -> tuple[str, ...]:
    plan = bug.plan().name
    users = [other.name for other in BUGS.values() if other.plan is bug.plan]
    return innocent(plan, users[0], seed)


def hunt_all(names: Iterable[str] = tuple(BUGS)) -> Iterator[Hunt]:
    """All of them, or these, on all cores, in their order."""
    with multiprocessing.Pool(os.cpu_count()) as pool:
        yield from pool.imap(hunt, names)


def sample() -> list[str]:
    """The first bug of every checker."""
    checkers: dict[str, str] = {}
    for name, bug in BUGS.items():
        for by in bug.by:
            checkers.setdefault(by, name)
    return list(dict.fromkeys(checkers.values()))
