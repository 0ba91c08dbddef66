"""What a scenario is: a name, a sentence, a function over a Field, and what it must reach.

A scenario begins in a quiet time under load and ends in one; the runner adds both. Limits are TernMQ's targets; what
the known-bad patient misses is what the comparison shows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from chaos.field import Field
from chaos.ground import DIRECT

Story = Callable[[Field], Awaitable[None]]


@dataclass(frozen=True)
class Scenario:
    """`ground`: what it stands on where there is root; `rooted`: whether it needs root. `limits`: figure → maximum."""

    name: str
    text: str
    story: Story
    workloads: str = "PD"
    ground: str = DIRECT
    rooted: bool = True
    long: bool = False  # takes more than two minutes
    movable_clocks: bool = False
    preload_mb: int = 0  # what the stream holds before the load begins, so that there are several block files
    limits: dict[str, float] = field(default_factory=dict)


WRITE_OUTAGE = "longest write outage s"
KILLED_S, ISOLATED_S, PLANNED_S = 3.0, 3.5, 0.3
