"""What a scenario has in its hands: the nodes, chance, time, who leads, and faults as `async with` blocks.

Here, and in the workloads, time passes for real: chaos/ is the one place of this project where something sleeps.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from clients.waiting import wait_until
from clients.workload import leader_of
from nats.aio.client import Client

from chaos.ground import Ground
from chaos.history import RunClock
from chaos.nemesis.fault import Fault, Window
from chaos.nemesis.network_faults import Deaf, Partition
from chaos.nemesis.toxics import Silence
from chaos.processes import ChaosNode, RootedNode

RECOVERY_S = 60.0


class Field:
    """One run's nodes, time line and chance."""

    def __init__(self, ground: Ground, seed: int, say: Callable[[str], None]) -> None:
        self.ground = ground
        self.rng = random.Random(seed)
        self.clock = RunClock()
        self.windows: list[Window] = []
        self.stream = ""  # whose leader is meant; without a stream the meta group's
        self.recoveries: list[float] = []  # seconds from the end of a fault until all nodes were healthy
        self.control: Client | None = None
        self._say = say

    @property
    def names(self) -> list[str]:
        """Of all nodes."""
        return [node.name for node in self.ground.nodes]

    async def leader(self) -> ChaosNode:
        """The node that leads the stream now."""
        if not self.stream:
            return self.ground.node(await asyncio.to_thread(self.ground.meta_leader))
        assert self.control is not None
        return self.ground.node(await leader_of(self.control, self.stream))

    async def leader_first(self) -> list[ChaosNode]:
        """The leader, then the others in an order of chance."""
        leader = await self.leader()
        others = [node for node in self.ground.nodes if node is not leader]
        self.rng.shuffle(others)
        return [leader, *others]

    async def rooted_leader_first(self) -> list[RootedNode]:
        """The same, where nodes have disks of their own."""
        return [node for node in await self.leader_first() if isinstance(node, RootedNode)]

    async def quiet(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)

    @asynccontextmanager
    async def fault(self, fault: Fault) -> AsyncIterator[Window]:
        """Begin, look whether it bites, and end it after the block. Raises HarmlessFault."""
        window = Window(fault.title, fault.target, self.clock.now_s(), holds_back=fault.holds_back)
        self.windows.append(window)
        self._say(f"{window.start_s:7.2f} s  {fault.title}: {fault.target}")
        await asyncio.to_thread(fault.begin)
        try:
            window.evidence = await asyncio.to_thread(fault.evidence)
            yield window
        finally:
            await asyncio.to_thread(fault.end)
            window.end_s = self.clock.now_s()
            self._say(f"{window.end_s:7.2f} s  over: {fault.title} ({window.evidence})")
        after = await asyncio.to_thread(fault.aftermath)
        if after:
            window.evidence += f"; {after}"

    async def for_seconds(self, seconds: float, fault: Fault) -> Window:
        """A fault that lasts so long."""
        async with self.fault(fault) as window:
            await self.quiet(seconds)
        return window

    def partition(self, title: str, deaf: Deaf, target: str) -> Fault:
        """By nftables where nodes have networks and no proxies, by toxiproxy otherwise."""
        if self.ground.network is not None and self.ground.proxies is None:
            return Partition(self.ground.network, title, deaf, target)
        assert self.ground.proxies is not None
        return Silence(self.ground.proxies, title, deaf, target)

    async def recovered(self) -> None:
        """Wait until all nodes are healthy; how long that takes after the last fault is a figure of the run."""
        began = time.monotonic()
        await asyncio.to_thread(self.ground.wait_healthy, RECOVERY_S)
        self.recoveries.append(time.monotonic() - began)

    async def wait(self, what: str, condition: Callable[[], object], seconds: float) -> None:
        """Wait for something that is looked at on another thread."""
        await asyncio.to_thread(wait_until, what, condition, seconds)
