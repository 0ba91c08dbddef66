"""How long the service was away: the longest time without a success, for writes and for reads.

Figures, not complaints: what is tolerable is the scenario's to say. A gap is measured over all clients together, as a
service is there when anybody gets an answer; the figure of the worst single client is given beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from chaos.history import OK, Operation


@dataclass(frozen=True)
class Span:
    """From when to when, in seconds of the run."""

    start_s: float
    end_s: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end_s - self.start_s


def gaps(operations: Iterable[Operation], kinds: tuple[str, ...]) -> list[Span]:
    """The times between neighbouring successes, longest first; the last one lasts until nobody tried any more."""
    mine = [each for each in operations if each.kind in kinds]
    times = sorted(each.end_s for each in mine if each.outcome == OK)
    if not times:
        return [Span(mine[0].start_s, mine[-1].start_s)] if mine else []
    times.append(max(times[-1], *(last_try_s(each) for each in mine)))
    spans = [Span(earlier, later) for earlier, later in pairwise(times)]
    return sorted(spans, key=lambda span: -span.seconds)


def outage_within(operations: list[Operation], kinds: tuple[str, ...], start_s: float, end_s: float) -> float:
    """The longest gap that reaches into this time, all of it, in seconds."""
    touching = [span.seconds for span in gaps(operations, kinds) if span.end_s > start_s and span.start_s < end_s]
    return max(touching, default=0.0)


def outage_statistics(outages: list[float], title: str) -> dict[str, float]:
    """Median, 99th percentile (nearest rank) and maximum of the outages of one kind of fault."""
    ranked = sorted(outages)
    return {
        f"{title}: outage p50 s": round(ranked[(len(ranked) - 1) // 2], 3),
        f"{title}: outage p99 s": round(ranked[math.ceil(0.99 * len(ranked)) - 1], 3),
        f"{title}: outage max s": round(ranked[-1], 3),
        f"{title}: times": len(ranked),
    }


def last_try_s(operation: Operation) -> float:
    """When it was tried last, as far as that is known: operations of several attempts end with the last one."""
    return operation.end_s if operation.attempts > 1 else operation.start_s


def outage_figures(operations: list[Operation], writes: tuple[str, ...], reads: tuple[str, ...]) -> dict[str, float]:
    """The longest outages of a run in seconds: of the service, and of the client that had it worst."""
    figures: dict[str, float] = {}
    for name, kinds in (("write", writes), ("read", reads)):
        mine = [each for each in operations if each.kind in kinds]
        if not mine:
            continue
        service = gaps(mine, kinds)
        figures[f"longest {name} outage s"] = round(service[0].seconds, 3) if service else 0.0
        if name == "write":
            workers = {each.worker for each in mine}
            each_worst = [gaps([op for op in mine if op.worker == worker], kinds) for worker in sorted(workers)]
            worst = max((spans[0].seconds for spans in each_worst if spans), default=0.0)
            figures["worst client's write outage s"] = round(worst, 3)
    return figures
