"""One run: ground, workloads, a scenario's story, the judgement, and the folder that all of it is written to.

The verdict is a value first (`Verdict`) and a file second. Read next: `report` (what a person looks at).
"""

from __future__ import annotations

import asyncio
import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from clients.servers import Program
from clients.waiting import DeadlineMissed

from chaos import history
from chaos.checkers.outage import outage_statistics, outage_within
from chaos.field import Field
from chaos.ground import PLAIN, Ground
from chaos.nemesis.fault import NOT_OVER, HarmlessFault, Window
from chaos.processes import RootedNode
from chaos.report.page import write_page
from chaos.scenarios.scenario import Scenario
from chaos.workloads.compare_and_set import CompareAndSet
from chaos.workloads.publish import Publishing
from chaos.workloads.queue import WorkQueue
from chaos.workloads.streams import Streams
from chaos.workloads.workload import Workload, close, connect

BEAT_S = 0.02
STOOD_STILL = "this program stood still s"
QUIET_S = 6.0  # under load, before and after the faults
SHOWN = (  # of the figures, in the line of a run
    "acknowledged", "set", "jobs", "answered", "longest write outage s", "longest read outage s",
    "replicas equal after s",
)  # fmt: skip
INTERPRETED = "running interpreted"  # in the log of a server without its compiled core
STATISTICS_FROM = 5  # faults of a kind in one run


@dataclass
class Verdict:
    """What a run came to."""

    scenario: str
    text: str
    server: str
    ground: str
    seed: int
    seconds: float = 0.0
    complaints: dict[str, list[str]] = field(default_factory=dict)  # broken promises by kind; empty lists are kept
    misses: list[str] = field(default_factory=list)  # targets that were not reached
    harmless: str = ""  # why the run proves nothing
    broken: str = ""  # why the run could not be finished
    figures: dict[str, float] = field(default_factory=dict)
    windows: list[Window] = field(default_factory=list)
    machine: str = ""

    @property
    def broken_promises(self) -> int:
        """How many cases."""
        return sum(len(cases) for cases in self.complaints.values())

    @property
    def holds(self) -> bool:
        """Everything promised, every target reached, every fault real."""
        return not (self.broken_promises or self.misses or self.harmless or self.broken)

    def line(self) -> str:
        """The verdict in one line."""
        counts = [f"{len(cases)} {kind}" for kind, cases in self.complaints.items() if cases]
        trouble = [text for text in (self.harmless and f"harmless: {self.harmless}", self.broken) if text]
        what = "holds" if self.holds else "; ".join(counts + self.misses + trouble)
        figures = ", ".join(f"{name} {self.figures[name]:g}" for name in SHOWN if name in self.figures)
        return f"{self.scenario} on {self.server}: {what} ({figures}; {self.seconds:.0f} s)"


def workloads_of(scenario: Scenario, field: Field) -> list[Workload]:
    """The workloads of a scenario; the first one's stream is the one whose leader is struck."""
    found: list[Workload] = []
    if publishing := "".join(letter for letter in scenario.workloads if letter in "PD"):
        found.append(Publishing(field, publishing, scenario.preload_mb))
    if "C" in scenario.workloads:
        found.append(CompareAndSet(field))
    if "W" in scenario.workloads:
        found.append(WorkQueue(field))
    if "M" in scenario.workloads:
        found.append(Streams(field))
    return found


async def metronome(verdict: Verdict) -> None:
    """How long this program, clients and all, stood still at worst: no outage shorter than that means anything."""
    while True:
        began = time.monotonic()
        await asyncio.sleep(BEAT_S)
        late_s = round(time.monotonic() - began - BEAT_S, 3)
        verdict.figures[STOOD_STILL] = max(late_s, verdict.figures.get(STOOD_STILL, 0.0))


async def play(scenario: Scenario, field: Field, workloads: list[Workload], verdict: Verdict) -> None:
    """Prepare, load, strike, calm, judge."""
    field.control = await connect(field.ground.urls)
    try:
        for workload in workloads:
            await workload.prepare()
        field.stream = workloads[0].stream
        for workload in workloads:
            await workload.start()
        beat = asyncio.ensure_future(metronome(verdict))
        await field.quiet(QUIET_S)
        try:
            await scenario.story(field)
            await field.quiet(QUIET_S)
        except DeadlineMissed as late:  # the story could not go on; what it did so far is judged all the same
            verdict.broken = str(late)[:2000]
        finally:
            beat.cancel()
            for workload in workloads:
                await workload.stop()
        for workload in workloads:
            findings = await workload.judge()
            for kind, cases in findings.complaints.items():
                verdict.complaints.setdefault(kind, []).extend(cases)
            for name, value in findings.figures.items():
                verdict.figures[name] = max(value, verdict.figures.get(name, 0.0))
    finally:
        await close(field.control)


def run(
    scenario: Scenario,
    program: Program,
    ground_kind: str,
    seed: int,
    directory: Path,
    say: Callable[[str], None],
    sync_interval: str = "",
) -> Verdict:
    """Run it; everything is in `directory` afterwards, whatever happened."""
    directory.mkdir(parents=True)
    verdict = Verdict(scenario.name, scenario.text, program.title, ground_kind, seed, machine=platform.platform())
    ground = Ground(program, directory, ground_kind, sync_interval)
    field = Field(ground, seed, say)
    workloads = workloads_of(scenario, field)
    try:
        for node in ground.nodes:
            if scenario.movable_clocks and isinstance(node, RootedNode):
                node.is_clock_movable = True
                node.set_clock(0)
        ground.start()
        asyncio.run(play(scenario, field, workloads, verdict))
    except HarmlessFault as nothing:
        verdict.harmless = str(nothing)
    except (DeadlineMissed, AssertionError, RuntimeError) as trouble:
        verdict.broken = f"{type(trouble).__name__}: {trouble}"[:2000]
    finally:
        ground.stop()
    if any(INTERPRETED in node.log_tail(10**6) for node in ground.nodes):
        verdict.server += " (interpreted)"  # several times slower: its outages are not those of the product
    verdict.seconds = field.clock.now_s()
    verdict.windows = field.windows
    if field.recoveries:
        verdict.figures["longest recovery s"] = round(max(field.recoveries), 2)
    operations = sorted((op for each in workloads for op in each.history.operations), key=lambda op: op.start_s)
    measure_outages(verdict, operations)
    for name, most in scenario.limits.items():
        if verdict.figures.get(name, 0.0) > most:
            verdict.misses.append(f"{name} {verdict.figures[name]:g} > {most:g}")
    history.write(directory / "history.jsonl", operations)
    text = asdict(verdict) | {"holds": verdict.holds, "broken_promises": verdict.broken_promises}
    (directory / "verdict.json").write_text(json.dumps(text, indent=1))
    write_page(directory / "report.html", verdict, operations, scenario.workloads)
    return verdict


def measure_outages(verdict: Verdict, operations: list[history.Operation]) -> None:
    """How long writes were away at each fault, and what that comes to for each kind of fault."""
    writes = [each for each in operations if each.kind in history.WRITES]
    by_title: dict[str, list[float]] = {}
    for window in verdict.windows:
        end_s = window.end_s if window.end_s != NOT_OVER else verdict.seconds
        window.outage_s = round(outage_within(writes, history.WRITES, window.start_s, end_s), 3)
        by_title.setdefault(window.title, []).append(window.outage_s)
    for title, outages in by_title.items():
        if len(outages) >= STATISTICS_FROM:
            verdict.figures |= outage_statistics(outages, title)


def default_ground(scenario: Scenario, *, rooted: bool) -> str:
    """The scenario's own ground, or the plain one where there is no root."""
    return scenario.ground if rooted else PLAIN
