"""Faults of disks: power cuts, decay, no space, no patience, errors of single calls. Needs root."""

from __future__ import annotations

import random
from pathlib import Path

from clients.waiting import wait_until

from chaos.nemesis.fault import Fault, HarmlessFault, must_see
from chaos.processes import RootedNode, Tracer

BLOCKS = "*.blk"
STARTS_S = 30.0
FATAL = "[FTL]"  # how both servers log the reason of a start that failed


class PowerCut(Fault):
    """Disks stop in mid-write, then the processes are gone; power is back at the end."""

    title = "power cut"

    def __init__(self, nodes: list[RootedNode]) -> None:
        super().__init__(" ".join(node.name for node in nodes))
        self.nodes = nodes

    def begin(self) -> None:
        for node in self.nodes:
            node.disk.place_canaries()
        for node in self.nodes:
            node.disk.cut_power()
        for node in self.nodes:
            node.kill()

    def evidence(self) -> str:
        for node in self.nodes:
            if not node.disk.refuses_writes():
                raise HarmlessFault(f"{node.name}: the disk still takes writes")
        return f"{self.target}: disks refuse writes"

    def end(self) -> None:
        for node in self.nodes:
            node.disk.unmount()
            node.disk.mount()
            kept, lost = node.disk.kept_and_lost()
            if not kept:
                raise HarmlessFault(f"{node.name}: a file that was synced is gone; this power cut is unfair")
            if not lost:
                raise HarmlessFault(f"{node.name}: a file that was not synced survived the power cut")
        for node in self.nodes:
            node.start()

    def aftermath(self) -> str:
        return "synced files kept, unsynced ones lost"


class Decay(Fault):
    """A node is stopped; bits of its files flip, or their ends are cut, while it is down; started at the end.

    Stopped and not killed, so that what it had in its log is in block files too, where there is more to damage.
    """

    def __init__(self, node: RootedNode, pattern: str, rng: random.Random, *, cut: bool = False) -> None:
        super().__init__(node.name)
        self.node = node
        self.pattern = pattern
        self.cut = cut
        self.title = f"{'truncation' if cut else 'bit flips'} {pattern}"
        self._rng = rng
        self._done = 0
        self._refused = ""

    def begin(self) -> None:
        self.node.stop()
        harm = self.node.disk.truncate if self.cut else self.node.disk.flip_bits
        self._done = harm(self.pattern, self._rng)

    def evidence(self) -> str:
        if self._done == 0:
            raise HarmlessFault(f"{self.node.name}: no file {self.pattern} to damage")
        return f"{self.node.name}: {self._done} {'bytes cut off' if self.cut else 'bits flipped'}"

    def end(self) -> None:
        """A server that says why it refuses to start on such a store (one that falls over is another thing) is given an
        empty one, as its operator would do."""
        self.node.start()
        wait_until("the start", lambda: not self.node.running() or self.node.is_alive(), STARTS_S)
        why = self.node.log_tail(1)
        if not self.node.running() and FATAL in why:
            self._refused = f"{self.node.name} refused to start ({why[:200]}); given an empty store"
            self.node.disk.wipe()
            self.node.start()

    def aftermath(self) -> str:
        return self._refused


class WipedDisk(Fault):
    """A node is killed and comes back under its name with an empty disk."""

    title = "wiped disk"

    def __init__(self, node: RootedNode) -> None:
        super().__init__(node.name)
        self.node = node
        self._files = 0

    def begin(self) -> None:
        self.node.kill()
        self._files = self.node.disk.wipe()

    def evidence(self) -> str:
        if self._files == 0 or self.node.store_dir.exists():
            raise HarmlessFault(f"{self.node.name}: nothing was wiped")
        return f"{self.node.name}: {self._files} files gone"

    def end(self) -> None:
        self.node.start()


class FullDisk(Fault):
    """No space is left on a node's disk, until the ballast is dropped."""

    title = "disk full"

    def __init__(self, node: RootedNode) -> None:
        super().__init__(node.name)
        self.node = node

    def begin(self) -> None:
        self.node.disk.fill()

    def evidence(self) -> str:
        if not self.node.disk.is_full():
            raise HarmlessFault(f"{self.node.name}: there is still space")
        return f"{self.node.name}: writes get ENOSPC"

    def end(self) -> None:
        self.node.disk.free()
        if not self.node.running():
            self.node.start()


class FrozenDisk(Fault):
    """Writes to a node's disk hang, and nothing fails."""

    title = "frozen disk"

    def __init__(self, node: RootedNode) -> None:
        super().__init__(node.name)
        self.node = node

    def begin(self) -> None:
        self.node.disk.freeze()

    def evidence(self) -> str:
        if not self.node.disk.writer_waits():
            raise HarmlessFault(f"{self.node.name}: writes go on")
        return f"{self.node.name}: a write hangs"

    def end(self) -> None:
        self.node.disk.thaw()


class Injected(Fault):
    """Some system calls of a node fail or take long, by strace."""

    def __init__(self, node: RootedNode, title: str, inject: str, directory: Path) -> None:
        super().__init__(node.name)
        self.title = title
        self.node = node
        self._tracer = Tracer(node, inject, directory / f"{node.name}.strace")
        self._restarted = ""

    def begin(self) -> None:
        self._tracer.attach()

    def evidence(self) -> str:
        must_see(f"{self.node.name}: {self.title}", lambda: self._tracer.injected() > 0, 15)
        return f"{self.node.name}: calls that met the fault are counted"

    def end(self) -> None:
        """A server that ended itself, or says that it cannot go on, is started again, as its supervisor would."""
        self._tracer.detach()
        if not self.node.running():
            self._restarted = f"{self.node.name} had ended and was started again; "
        elif not self.node.is_alive():
            self.node.stop()
            self._restarted = f"{self.node.name} failed its liveness probe and was restarted; "
        if self._restarted:
            self.node.start()

    def aftermath(self) -> str:
        return f"{self._restarted}{self._tracer.injected()} calls met the fault"
