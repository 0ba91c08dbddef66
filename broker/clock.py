"""The two clocks of a process, behind one small class so that tests can drive time.

Is: monotonic nanoseconds for timers, Unix nanoseconds for data.
Is not: known to any pure layer; those are handed numbers.
Read next: `net/reactor.py`, the only reader.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What the reactor needs to know of time."""

    def monotonic_ns(self) -> int: ...

    def wall_ns(self) -> int: ...


class SystemClock:
    """The machine's clocks."""

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def wall_ns(self) -> int:
        return time.time_ns()
