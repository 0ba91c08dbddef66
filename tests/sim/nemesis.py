"""Does something bad to a cluster, and undoes it, again and again, as chance wants; `heal` ends it all.

Faults overlap: while one lasts another may begin. Everything is written down with its time, for the story of a failure.
"""

import random
from collections.abc import Callable
from typing import Protocol

from sim.plan import SECOND_NS, Plan
from sim.rot import rot
from sim.server import Machine
from sim.world import World

CLOCK_MAX_NS = 30 * SECOND_NS


class Besieged(Protocol):
    """The cluster, as far as it matters here."""

    def leader(self) -> str | None:
        """Who leads (anything) now, None when nobody does."""

    def whole(self) -> bool:
        """Whether all nodes are up and members of everything, so that one may lose its disk without harm."""

    def step_down(self) -> str:
        """Somebody hands over what he leads; who, "" when nobody does."""


class Nemesis:
    """See the module's text."""

    def __init__(
        self, world: World, machines: dict[str, Machine], plan: Plan, cluster: Besieged, story: list[str]
    ) -> None:
        self.world = world
        self.machines = machines
        self.plan = plan
        self.strikes = 0
        self.rotten: Machine | None = None  # whose bits flip: one node a story
        self._cluster = cluster
        self._story = story
        self._rng = random.Random(world.rng.getrandbits(64))
        self._active = False
        self._undo: dict[int, Callable[[], None]] = {}

    def begin(self) -> None:
        """From now on nothing is safe."""
        self._active = True
        self._wait()

    def heal(self) -> None:
        """Everything is well again, at once."""
        self._active = False
        for undo in list(self._undo.values()):
            undo()
        self._undo.clear()
        if self.rotten is not None:
            self.rotten.crash(False)  # its next start reads everything: what has not been noticed will be
        for machine in self.machines.values():
            machine.sync_factor = 1
            machine.hangs_until_ns = 0
            machine.ambush = None
            self._start(machine)
            if machine.stalled:
                machine.resume()
        self.world.heal()
        self.tell("healed")

    def tell(self, text: str) -> None:
        """One line of the story."""
        self._story.append(f"{self.world.now_ns / SECOND_NS:9.4f} s  {text}")

    def _wait(self) -> None:
        self.world.after(int(self._rng.expovariate(1 / self.plan.quiet_ns)), self._strike)

    def _strike(self) -> None:
        if not self._active:
            return
        self.strikes += 1
        kind = self._rng.choice(self.plan.faults)
        names = list(self.machines)
        self._rng.shuffle(names)
        if kind.endswith("leader"):
            leader = self._cluster.leader()
            if leader is not None:
                names.remove(leader)
                names.insert(0, leader)
        what, _, how_many = kind.partition(" ")
        count = {"majority": len(names) // 2 + 1, "all": len(names)}.get(how_many, 1)
        lasts_ns = self._rng.choice((SECOND_NS // 5, SECOND_NS, 3 * SECOND_NS))
        if what in ("kill", "power"):
            self.tell(f"{kind}: {' '.join(names[:count])}, for {lasts_ns / SECOND_NS} s")
            for name in names[:count]:
                self._crash(self.machines[name], what == "power", self._rng.randrange(lasts_ns))
        elif what == "lost":
            if self._cluster.whole():
                self._lose_disk(self.machines[names[0]], self._rng.randrange(lasts_ns))
        elif what == "bit":
            if self._cluster.whole():
                self._rot(self._rng.randrange(lasts_ns))
        elif what == "torn":
            self._tear(self.machines[names[0]], lasts_ns)
        elif kind == "clock":
            self._clock(self.machines[names[0]])
        elif kind == "step down":
            self.tell(f"step down: {self._cluster.step_down()}")
        elif kind == "reset":
            self._reset()
        elif what in ("pause", "slow", "hanging"):
            self.tell(f"{kind}: {names[0]}, for {lasts_ns / SECOND_NS} s")
            self._hinder(what, self.machines[names[0]], lasts_ns)
        else:
            self._cut(kind, names, lasts_ns)
        self._wait()

    def _later(self, delay_ns: int, undo: Callable[[], None]) -> None:
        key = self.strikes * 8 + len(self._undo) % 8
        while key in self._undo:
            key += 1
        self._undo[key] = undo

        def act() -> None:
            if self._undo.pop(key, None) is not None:
                undo()

        self.world.after(delay_ns, act)

    # Crashes.

    def _crash(self, machine: Machine, power_cut: bool, down_ns: int) -> None:
        machine.crash(power_cut)
        self._later(down_ns, lambda: self._start(machine))

    def _tear(self, machine: Machine, down_ns: int) -> None:
        """The power goes in the middle of this machine's next checkpoint."""

        def act() -> None:
            if self._active:
                self.tell(f"torn checkpoint: {machine.name}")
                self._crash(machine, True, down_ns)

        machine.ambush = act

    def _lose_disk(self, machine: Machine, down_ns: int) -> None:
        self.tell(f"lost disk: {machine.name}")
        self._crash(machine, True, down_ns)
        machine.wipe()

    def _rot(self, down_ns: int) -> None:
        """Noticed when it is read, or at once by a restart."""
        machine = self.rotten or self._rng.choice(list(self.machines.values()))
        done = rot(machine, self._rng)
        if not done:
            return
        self.rotten = machine
        machine.rotten = True
        restarts = self._rng.random() < 0.7
        self.tell(f"bit flip on {machine.name}: {done}{', and it restarts' if restarts else ''}")
        if restarts:
            self._crash(machine, False, down_ns)

    def _start(self, machine: Machine) -> None:
        if machine.node is None:
            machine.start()

    # Slowness.

    def _hinder(self, what: str, machine: Machine, lasts_ns: int) -> None:
        if what == "pause":
            machine.pause()
            self._later(lasts_ns, machine.resume)
        elif what == "hanging":
            machine.hangs_until_ns = self.world.now_ns + lasts_ns
        else:
            machine.sync_factor = 100
            self._later(lasts_ns, lambda: setattr(machine, "sync_factor", 1))

    def _clock(self, machine: Machine) -> None:
        machine.clock_offset_ns = self._rng.randrange(-CLOCK_MAX_NS, CLOCK_MAX_NS)
        self.tell(f"clock of {machine.name} is off by {machine.clock_offset_ns / SECOND_NS:.1f} s")

    # The network.

    def _reset(self) -> None:
        ends = list(self.world.ends.values())
        chosen = self._rng.sample(ends, min(len(ends), self._rng.choice((1, 3, len(ends)))))
        self.tell(f"reset of {len(chosen)} connections")
        for end in chosen:
            self.world.reset(end)

    def _cut(self, kind: str, names: list[str], lasts_ns: int) -> None:
        one, others = names[0], names[1:]
        if kind == "swizzle":
            self._swizzle(names, lasts_ns)
            return
        links = [(one, other) for other in others]
        if kind == "clients":
            links = [(one, client) for client in self.world.clients]
        elif kind == "halves":  # with half of the clients on each side
            mine = set(self._rng.sample(self.world.clients, len(self.world.clients) // 2))
            links += [(one, client) for client in self.world.clients if client not in mine]
            links += [(other, client) for other in others for client in mine]
        if kind == "one way":
            self.tell(f"nothing reaches {one} from the others, for {lasts_ns / SECOND_NS} s")
            links = [(other, one) for one, other in links]
        else:
            self.tell(f"{kind}: {one}, for {lasts_ns / SECOND_NS} s")
            links += [(other, one) for one, other in links]
        self.world.cut_links(links)
        self._later(lasts_ns, lambda: self.world.heal(links))

    def _swizzle(self, names: list[str], lasts_ns: int) -> None:
        """Links go one by one, and come back one by one in another order."""
        links = [(one, other) for one in names for other in names if one != other]
        self._rng.shuffle(links)
        self.tell(f"swizzle, for {lasts_ns / SECOND_NS} s")
        for at, link in enumerate(links):
            self._after_if_active(at * lasts_ns // 8, link)
        self._rng.shuffle(links)
        for at, link in enumerate(links):
            self._later(lasts_ns + at * lasts_ns // 8, lambda link=link: self.world.heal([link]))  # type: ignore[misc]

    def _after_if_active(self, delay_ns: int, link: tuple[str, str]) -> None:
        def act() -> None:
            if self._active:
                self.world.cut_links([link])

        self.world.after(delay_ns, act)
