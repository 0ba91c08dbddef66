"""Planting: one function of the real program is replaced for as long as a run lasts, and the simulation must notice.

The program has no switches for this; only interpreted modules can be changed so. A bug is a context manager with a
docstring that says what it breaks, registered by `@planted(plan, checker)` with the kind of story that should find it
and the checker that should say so.

Not here: the bugs (the other files here), the hunt (`hunt`).
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from sim import shapes
from sim.complaint import PROCESS
from sim.plan import SECOND_NS, Plan, StreamPlan

Plant = Callable[[], AbstractContextManager[None]]
CRASHES = ("kill", "kill leader", "kill majority", "kill all", "power", "power leader", "power majority", "power all")
PARTITIONS = ("isolate", "isolate leader", "halves", "one way", "swizzle", "reset")


@dataclass(frozen=True)
class PlantedBug:
    """`plan()` makes the story for each seed anew; the name of the plan is the name of its control runs. `by`: the
    checkers whose word counts as having found it."""

    name: str
    breaks: str
    plan: Callable[[], Plan]
    by: tuple[str, ...]
    plant: Plant


BUGS: dict[str, PlantedBug] = {}
Bug = Callable[[], Iterator[None]]


def planted(plan: Callable[[], Plan], *by: str) -> Callable[[Bug], Bug]:
    """Register a bug under the name of its function."""

    def register(function: Bug) -> Bug:
        name = function.__name__.replace("_", " ")
        assert name not in BUGS and function.__doc__ and by and PROCESS not in by
        BUGS[name] = PlantedBug(name, " ".join(function.__doc__.split()), plan, by, contextmanager(function))
        return function

    return register


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
    return story("given up", [shapes.dead_letters()], ("kill leader", "isolate leader", "power", "pause leader"))


def origins() -> Plan:
    """Mirrors and sources over changes of leader on both sides, with small logs."""
    faults = (*CRASHES, "isolate leader", "pause leader", "reset")
    return story("origins", shapes.sourced(), faults, log_file_bytes=8 * 1024)


def schedules() -> Plan:
    """Messages to come, over changes of leader."""
    return story(
        "schedules", [shapes.scheduled()], (*CRASHES, "isolate leader", "pause leader"), log_file_bytes=8 * 1024
    )


def work_queue() -> Plan:
    """Confirmed acks over changes of leader."""
    streams = [StreamPlan("W", work_queue=True, consumers=2)]
    return story("work queue", streams, (*CRASHES, *PARTITIONS, "pause leader"))


# Of consumers, batches and values.

LEADERS = ("kill leader", "isolate leader", "pause leader", "step down", "step down", "reset")


def consumer_kinds() -> Plan:
    """Every kind of consumer over changes of leader."""
    return story("consumer kinds", [shapes.consumer_kinds()], LEADERS, window_bytes=2048, log_file_bytes=16 * 1024)


def groups() -> Plan:
    """Priority groups over changes of leader."""
    return story("groups", [shapes.groups()], LEADERS)


def steered() -> Plan:
    """Pauses and resets over changes of leader."""
    return story("steered", shapes.steered(), LEADERS, fault_ns=12 * SECOND_NS)


def interest() -> Plan:
    """Two consumers, both of which must be done."""
    return story("interest", [shapes.interest()], LEADERS)


def counting() -> Plan:
    """Increments whose answers get lost."""
    return story("counting", [shapes.counting()], (*LEADERS, "reset", "reset"))


def batches() -> Plan:
    """Batches that changes of leader cut in the middle."""
    return story("batches", shapes.batches(), (*LEADERS, "reset", "halves"), pause_ns=SECOND_NS // 30)


def handed_over() -> Plan:
    """Leaders hand over to peers that cannot be reached, and lead on."""
    faults = ("step down", "step down", "isolate", "one way", "pause")
    return story("handed over", shapes.batches(), faults, pause_ns=SECOND_NS // 30, quiet_ns=SECOND_NS // 4)


def bucket() -> Plan:
    """A key-value bucket whose leaders get lost."""
    faults = (*LEADERS, "halves", "isolate leader", "kill all")
    return story("bucket", [shapes.bucket()], faults, pause_ns=SECOND_NS // 40, log_file_bytes=8 * 1024)


def stale() -> Plan:
    """The same with leaders that are cut off from the others, not from those who ask."""
    faults = ("isolate leader", "isolate leader", "pause leader")
    return story("stale", [shapes.bucket()], faults, pause_ns=SECOND_NS // 60)


def letters() -> Plan:
    """Dead letters of streams that keep their messages."""
    return story("letters", shapes.given_up(), (*CRASHES, "isolate leader"), log_file_bytes=8 * 1024)
