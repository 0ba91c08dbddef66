"""Wall clocks that jump, by libfaketime; monotonic clocks are left alone. The node must have been started for it.

Does not work on statically linked servers, nats-server among them: then it says that it is harmless.
"""

from __future__ import annotations

import time
from datetime import datetime

from chaos.nemesis.fault import Fault, must_see
from chaos.processes import RootedNode


class ClockJump(Fault):
    """The node's wall clock is off by `offset_s` until the end."""

    def __init__(self, node: RootedNode, offset_s: float) -> None:
        super().__init__(node.name)
        self.title = f"clock {offset_s:+g} s"
        self.node = node
        self.offset_s = offset_s

    def begin(self) -> None:
        self.node.set_clock(self.offset_s)

    def off_by_s(self) -> float:
        """How far the server's own idea of now (/varz) is from ours."""
        told = str(self.node.get("/varz")["now"])
        seconds, _, fraction = told.rstrip("Z").partition(".")
        now = datetime.fromisoformat(f"{seconds}.{fraction[:6]:0<6}+00:00")
        return now.timestamp() - time.time()

    def evidence(self) -> str:
        return must_see(
            f"{self.node.name}: its clock is off by {self.offset_s:+g} s",
            lambda: abs(self.off_by_s() - self.offset_s) < 1.0,
        )

    def end(self) -> None:
        self.node.set_clock(0)
