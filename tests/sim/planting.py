"""Planting: one function of the real program is replaced for as long as a run lasts, and the simulation must notice.

The program has no switches for this; only interpreted modules can be changed so. A bug is a context manager with a
docstring that says what it breaks, registered by `@planted(plan)` with the kind of story that should find it.

Not here: the bugs (`bugs_*`), the hunt (`planted`).
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from sim.plan import SECOND_NS, Plan, StreamPlan, dead_letters, scheduled, sourced

Plant = Callable[[], AbstractContextManager[None]]
CRASHES = ("kill", "kill leader", "kill majority", "kill all", "power", "power leader", "power majority", "power all")
PARTITIONS = ("isolate", "isolate leader", "halves", "one way", "swizzle", "reset")


@dataclass(frozen=True)
class PlantedBug:
    """`plan()` makes the story for each seed anew; the name of the plan is the name of its control runs."""

    name: str
    breaks: str
    plan: Callable[[], Plan]
    plant: Plant


BUGS: dict[str, PlantedBug] = {}


def planted(plan: Callable[[], Plan]) -> Callable[[Callable[[], Iterator[None]]], Callable[[], Iterator[None]]]:
    """Register a bug under the name of its function."""

    def register(function: Callable[[], Iterator[None]]) -> Callable[[], Iterator[None]]:
        name = function.__name__.replace("_", " ")
        assert name not in BUGS and function.__doc__
        BUGS[name] = PlantedBug(name, " ".join(function.__doc__.split()), plan, contextmanager(function))
        return function

    return register


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """`owner.name` is something else for a while."""
    before = owner.__dict__[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


# Stories: short, with the faults that matter in quick succession.


def story(name: str, streams: list[StreamPlan], faults: tuple[str, ...], **settings: Any) -> Plan:
    """A plan of a few seconds."""
    options: dict[str, Any] = {"fault_ns": 8 * SECOND_NS, "quiet_ns": SECOND_NS // 2, **settings}
    return Plan(name, streams, faults, **options)


def crashes() -> Plan:
    """Processes and machines die."""
    return story("crashes", [StreamPlan("S")], CRASHES)


def elections() -> Plan:
    """Leaders come and go, without and with their log."""
    return story("elections", [StreamPlan("S")], ("kill leader", "isolate leader", "pause leader", "halves", "one way"))


def rivals() -> Plan:
    """Whoever was left behind stands for election soon, with old entries of its own."""
    faults = ("isolate leader", "isolate leader", "isolate", "kill leader")
    streams = [StreamPlan("S", publishers=4, consumers=0)]
    return story("rivals", streams, faults, quiet_ns=SECOND_NS // 4, pause_ns=SECOND_NS // 50)


def slow_disks() -> Plan:
    """Leaders come and go while disks are slow."""
    faults = ("slow disk", "slow disk", "kill leader", "isolate leader", "reset")
    return story("slow disks", [StreamPlan("S")], faults, quiet_ns=SECOND_NS // 4)


def checkpoints() -> Plan:
    """Small logs, so that snapshots are made and old entries dropped all the time."""
    return story("checkpoints", [StreamPlan("S", consumers=0)], CRASHES, log_file_bytes=4 * 1024)


def torn_checkpoints() -> Plan:
    """The power goes in the middle of checkpoints."""
    faults = ("torn checkpoint", "torn checkpoint", "kill")
    streams = [StreamPlan("S", publishers=4, consumers=0)]
    return story("torn checkpoints", streams, faults, log_file_bytes=4 * 1024, pause_ns=SECOND_NS // 40)


def laggards() -> Plan:
    """Small logs and nodes that stay away: they need snapshots from others."""
    faults = ("isolate", "kill", "power", "pause")
    return story("laggards", [StreamPlan("S", consumers=0)], faults, log_file_bytes=4 * 1024)


def rotting() -> Plan:
    """Bits flip on one node while nodes come and go."""
    faults = ("bit flip", "bit flip", "kill all", "kill leader", "kill", "isolate")
    return story("rotting", [StreamPlan("S", consumers=0)], faults, log_file_bytes=16 * 1024, quiet_ns=SECOND_NS // 3)


def given_up() -> Plan:
    """A work queue whose consumers fail often."""
    return story("given up", [dead_letters()], ("kill leader", "isolate leader", "power", "pause leader"))


def origins() -> Plan:
    """Mirrors and sources over changes of leader on both sides, with small logs."""
    faults = (*CRASHES, "isolate leader", "pause leader", "reset")
    return story("origins", sourced(), faults, log_file_bytes=8 * 1024)


def schedules() -> Plan:
    """Messages to come, over changes of leader."""
    return story("schedules", [scheduled()], (*CRASHES, "isolate leader", "pause leader"), log_file_bytes=8 * 1024)


def work_queue() -> Plan:
    """Confirmed acks over changes of leader."""
    streams = [StreamPlan("W", work_queue=True, consumers=2)]
    return story("work queue", streams, (*CRASHES, *PARTITIONS, "pause leader"))
