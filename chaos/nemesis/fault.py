"""What a fault is, and the time line of a run.

The rule that keeps the runs honest: a fault must show that it bites. `evidence` looks at the world, not at what the
fault meant to do, and raises HarmlessFault when nothing is wrong there; the run has failed then, whatever clients saw.
Methods block; they are called on a thread of their own.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

NOT_OVER = -1.0


class HarmlessFault(Exception):
    """A fault did nothing: the run proves nothing."""


class Fault(ABC):
    """One thing that goes wrong with `target` (the names of nodes), until it ends."""

    title = "fault"
    holds_back = False  # whether packets may arrive once it is over that were sent before or meanwhile

    def __init__(self, target: str) -> None:
        self.target = target

    @abstractmethod
    def begin(self) -> None:
        """Do it."""

    @abstractmethod
    def evidence(self) -> str:
        """What can be seen of it from outside. Raises HarmlessFault."""

    @abstractmethod
    def end(self) -> None:
        """Undo it; the node runs afterwards."""

    def aftermath(self) -> str:
        """What can only be seen once it is over. Raises HarmlessFault."""
        return ""


@dataclass
class Window:
    """A fault on the time line. `end_s` is NOT_OVER while it lasts."""

    title: str
    target: str
    start_s: float
    end_s: float = NOT_OVER
    evidence: str = ""
    holds_back: bool = False
    outage_s: float = 0.0  # the longest time without a successful write that reaches into it


def must_see(what: str, condition: Callable[[], bool], seconds: float = 5.0) -> str:
    """`what`, once the condition has come true. Raises HarmlessFault when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise HarmlessFault(f"not seen within {seconds:g} s: {what}")
        time.sleep(0.02)
    return what
