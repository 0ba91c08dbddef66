"""Faults of processes: killed, stopped, strobed, restarted; one node or several at once."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable

from chaos.needs import NATS_CLI
from chaos.nemesis.fault import Fault, HarmlessFault, must_see
from chaos.processes import ChaosNode

STROBE_S = 0.1
ASKED_AGAIN_S, ASKED_TIMES = 4.0, 3


class Nodes(Fault):
    """A fault of one or several processes."""

    def __init__(self, nodes: list[ChaosNode]) -> None:
        super().__init__(" ".join(node.name for node in nodes))
        self.nodes = nodes


class Kill(Nodes):
    """SIGKILL, all of them at once; started again at the end."""

    title = "SIGKILL"

    def begin(self) -> None:
        for node in self.nodes:
            node.signal_kill()
        for node in self.nodes:
            node.kill()

    def evidence(self) -> str:
        return must_see(f"{self.target}: killed", lambda: all(node.is_dead() for node in self.nodes))

    def end(self) -> None:
        for node in self.nodes:
            node.start()


class Pause(Nodes):
    """SIGSTOP; SIGCONT at the end."""

    holds_back = True
    title = "SIGSTOP"

    def begin(self) -> None:
        for node in self.nodes:
            node.pause()

    def evidence(self) -> str:
        return must_see(f"{self.target}: stopped", lambda: all(node.is_paused() for node in self.nodes))

    def end(self) -> None:
        for node in self.nodes:
            node.resume()


class Strobe(Nodes):
    """Stopped and continued, ten times a second each: alive enough to be heard, too dead to be of use."""

    holds_back = True
    title = "strobe"

    def __init__(self, nodes: list[ChaosNode]) -> None:
        super().__init__(nodes)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._flicker, daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def _flicker(self) -> None:
        while not self._over.is_set():
            for node in self.nodes:
                node.pause()
            time.sleep(STROBE_S)
            for node in self.nodes:
                node.resume()
            time.sleep(STROBE_S)

    def evidence(self) -> str:
        seen = must_see(f"{self.target}: stopped", lambda: all(node.is_paused() for node in self.nodes))
        must_see(f"{self.target}: running", lambda: not any(node.is_paused() for node in self.nodes))
        return f"{seen} and running, in turn"

    def end(self) -> None:
        self._over.set()
        self._thread.join()


class Restart(Nodes):
    """A planned restart: SIGTERM, on which a server hands its leaderships over; started again at the end."""

    title = "planned restart"

    def begin(self) -> None:
        for node in self.nodes:
            node.stop()

    def evidence(self) -> str:
        return must_see(f"{self.target}: ended", lambda: not any(node.running() for node in self.nodes))

    def end(self) -> None:
        for node in self.nodes:
            node.start()


class StepDown(Fault):
    """A planned change: the stream's leader is asked to hand over. `leader` tells who leads now."""

    title = "planned change"

    def __init__(self, leader: ChaosNode, url: str, stream: str, leader_now: Callable[[], str]) -> None:
        super().__init__(leader.name)
        self._url = url
        self._stream = stream
        self._leader_now = leader_now
        self._asked = 0
        self._told = ""

    def begin(self) -> None:
        self._ask()

    def _ask(self) -> None:
        command = [str(NATS_CLI), "--server", self._url, "stream", "cluster", "step-down", self._stream]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)
        self._asked += 1
        self._told = (done.stdout + done.stderr).strip().rpartition("\n")[2]

    def _has_moved(self) -> bool:
        return self._leader_now() not in ("", self.target)

    def evidence(self) -> str:
        """A request may come to nothing, if whoever is to lead is not level in time; it is repeated then."""
        while True:
            try:
                seen = must_see(f"{self.target} no longer leads", self._has_moved, ASKED_AGAIN_S)
            except HarmlessFault as nothing:
                if self._asked == ASKED_TIMES:
                    raise HarmlessFault(f"{nothing}; the nats tool said last: {self._told}") from None
                self._ask()
            else:
                return seen if self._asked == 1 else f"{seen}, asked {self._asked} times"

    def end(self) -> None:
        """Nothing to undo."""
