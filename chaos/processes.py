"""A node of the cluster under test: one server process on its own network and disk, and what befalls the process.

Extends the servers of tests/clients. With root a node stands alone in a namespace with an image of its own
(`RootedNode`); without, it is a process on 127.0.0.x whose peers and clients come through toxiproxy.
Read next: `ground`.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from clients.servers import Node, Program

from chaos.disks import Disk
from chaos.needs import libfaketime
from chaos.network import Network

CLIENT_PORT, CLUSTER_PORT, HTTP_PORT = 4222, 6222, 8222


class ChaosNode(Node):
    """A server process that can be stopped in its tracks."""

    def pid(self) -> int:
        """Of the running process."""
        assert self.process is not None and self.process.poll() is None, f"{self.name} does not run"
        return self.process.pid

    def signal_kill(self) -> None:
        """SIGKILL without waiting, so that several nodes can die in the same moment."""
        os.kill(self.pid(), signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP."""
        os.kill(self.pid(), signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid(), signal.SIGCONT)

    def is_alive(self) -> bool:
        """What the liveness probe of the chart would say; where it says no, the container is restarted."""
        try:
            return bool(self.get("/healthz?js-enabled-only=true")["status"] == "ok")
        except OSError:
            return False

    def is_paused(self) -> bool:
        """Whether the kernel says that the process is stopped."""
        return process_state(self.pid()) == "T"

    def is_dead(self) -> bool:
        """Whether the process was killed and is gone."""
        return self.process is not None and self.process.poll() == -signal.SIGKILL


class RootedNode(ChaosNode):
    """A node with a namespace and a disk."""

    def __init__(self, program: Program, name: str, directory: Path, network: Network, disk: Disk) -> None:
        ports = (CLIENT_PORT, CLUSTER_PORT, HTTP_PORT)
        super().__init__(program, name, directory, ports, network.addresses[name])
        self.network = network
        self.disk = disk
        self.store_dir = disk.store_dir
        self.clock_path = directory / f"{name}.clock"
        self.is_clock_movable = False

    def command(self) -> list[str]:
        """In the node's own network."""
        return [*self.network.inside(self.name), *super().command()]

    def environment(self) -> dict[str, str]:
        """With a clock that `set_clock` can move, where that was asked for."""
        environment = super().environment()
        if self.is_clock_movable:
            environment |= {
                "LD_PRELOAD": libfaketime(), "FAKETIME_TIMESTAMP_FILE": str(self.clock_path), "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1",
            }  # fmt: skip
        return environment

    def set_clock(self, offset_s: float) -> None:
        """The process's wall clock is off by this much from now on; its monotonic clock is left alone."""
        self.clock_path.write_text(f"{offset_s:+.3f}")


def process_state(pid: int) -> str:
    """One letter, as /proc has it: R, S, D, T, Z …"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


class Tracer:
    """strace attached to a running node, injecting faults into its system calls; the log counts the injections."""

    def __init__(self, node: ChaosNode, inject: str, log: Path) -> None:
        self.node = node
        self.log = log
        calls = inject.partition(":")[0]
        self.argv = ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={calls}", "-e", f"inject={inject}"]
        self.process: subprocess.Popen[bytes] | None = None

    def attach(self) -> None:
        """Attach; the node runs on, with faults."""
        self.process = subprocess.Popen([*self.argv, "-p", str(self.node.pid())], stderr=subprocess.DEVNULL)

    def injected(self) -> int:
        """How many calls were given a fault so far."""
        if not self.log.exists():
            return 0
        text = self.log.read_text(errors="replace")
        return text.count("(INJECTED)") + text.count("(DELAYED)")

    def detach(self) -> None:
        """The node is left alone again."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)
