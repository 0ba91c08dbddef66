"""What every workload has: a name, a client of its own, a source of chance, and how many answers it waits for."""

import random
from collections.abc import Callable

from sim.client import SimClient
from sim.history import History
from sim.plan import StreamPlan
from sim.world import World

RETRY_NS = 200_000_000
REQUEST_NS = 2_000_000_000


class Workload:
    """`out`: answers that are still to come; a story ends when there are none. `stopped`: begin nothing new."""

    def __init__(self, world: World, history: History, name: str, plan: StreamPlan, pause_ns: int) -> None:
        self.world = world
        self.history = history
        self.name = name
        self.plan = plan
        self.stream = plan.name
        self.pause_ns = pause_ns
        self.out = 0
        self.stopped = False
        self.rng = random.Random(world.rng.getrandbits(64))
        self.client = SimClient(world, name, list(world.servers))
        self.begin()

    def begin(self) -> None:
        """The client is there."""
        self.world.after(self.pause_ns, self.next)

    def next(self) -> None:
        """One more step, unless it is stopped."""
        raise NotImplementedError

    def pause(self) -> int:
        """How long to wait, this time."""
        return self.rng.randrange(1, 2 * self.pause_ns)

    def unfinished(self, last: Callable[[str], int]) -> str:
        """What must still happen after the faults, "" when nothing must; `last` is the last sequence of a stream."""
        return ""
