"""What clients did and what became of it: one operation a line, on one clock that starts with the run.

Not a judge (`checkers`). An operation ends as `ok` (the server said so), `failed` (the server said that it did not
happen) or `unknown` (nobody answered: it may have happened, or may happen later). An operation that never ended is
unknown too. Times are seconds since the run began.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

OK, FAILED, UNKNOWN = "ok", "failed", "unknown"
NEVER = -1.0
# Operations that only a server can bring to a good end, by what they ask of it; outages are measured on these.
WRITES = ("publish", "set", "confirm", "create", "update", "delete", "purge")
READS = ("read", "info")


@dataclass
class Operation:
    """`value` names what was written, read or asked for; `sequence` is what the server answered, 0 without."""

    worker: str
    kind: str
    value: str
    start_s: float
    end_s: float = NEVER
    outcome: str = UNKNOWN
    sequence: int = 0
    attempts: int = 1
    note: str = ""


class RunClock:
    """Seconds since the run began, the same for clients and faults."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def now_s(self) -> float:
        """Now."""
        return time.monotonic() - self._began


@dataclass
class History:
    """All operations of a run, in the order they began."""

    clock: RunClock
    operations: list[Operation] = field(default_factory=list)

    def begin(self, worker: str, kind: str, value: str) -> Operation:
        """An operation starts now."""
        operation = Operation(worker, kind, value, self.clock.now_s())
        self.operations.append(operation)
        return operation

    def end(self, operation: Operation, outcome: str, sequence: int = 0, note: str = "") -> None:
        """It ends now."""
        operation.end_s = self.clock.now_s()
        operation.outcome, operation.sequence, operation.note = outcome, sequence, note


def write(path: Path, operations: Iterable[Operation]) -> None:
    """One JSON object a line."""
    with path.open("w") as file:
        for operation in operations:
            file.write(json.dumps(asdict(operation)) + "\n")


def read(path: Path) -> list[Operation]:
    """What `write` wrote."""
    return [Operation(**json.loads(line)) for line in path.read_text().splitlines()]
