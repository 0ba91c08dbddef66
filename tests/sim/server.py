"""A simulated machine: a node's process, its disk that outlives it, its two IO threads, its clock.

`Machine` does for a node what `broker/net` does for it in the real world, over the seam of `broker/net/seam.py`, and
can be killed, deprived of power, paused and slowed down. A disk job takes effect at its end; a job under way when the
process ends has happened in part.

Read next: `nemesis` (who does such things), `durable` (what the disks must then have).
"""

import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from crash_disk import Contents, CrashDisk, PowerLost

from broker.cluster.groups.checkpoint import CheckpointJob
from broker.net.driver import STALL_NS
from broker.net.seam import THREAD_WAL, Job, Node
from sim.world import ClusterHost, End, World

TICK_NS = 50_000_000
TURN_NS = 100_000
SYNC_NS = (100_000, 3_000_000)
WALL_START_NS = 1_790_000_000_000_000_000
PARTIAL_STEPS = (4, 12)  # disk operations of a job that may still happen, seldom and often

MakeNode = Callable[["Machine"], Any]


class Watcher:
    """Sees what machines do. `invariants.Checks` is one."""

    def started(self, machine: "Machine") -> None:
        """A process began on what the disk held."""

    def turned(self, machine: "Machine") -> None:
        """A turn is over."""

    def ran(self, machine: "Machine", job: Job) -> None:
        """A disk job has done its work; the node does not know yet."""

    def broke(self, machine: "Machine", error: str) -> None:
        """Our own program failed."""

    def wiped(self, machine: "Machine") -> None:
        """The disk of a machine that is down is empty now."""


class Lane:
    """One IO thread: jobs in order."""

    def __init__(self) -> None:
        self.waiting: deque[Job] = deque()
        self.running: Job | None = None
        self.started_ns = 0


class Machine(ClusterHost):
    """See the module's text."""

    def __init__(self, world: World, name: str, disk: CrashDisk, make: MakeNode, watcher: Watcher) -> None:
        self.world = world
        self.name = name
        self.disk = disk
        self.node: Any = None  # a broker.net.seam.Node; tests look deeper
        self.incarnation = 0
        self.boots = 1
        self.sync_factor = 1
        self.hangs_until_ns = 0
        self.clock_offset_ns = 0
        self.rotten = False  # bits of its disk flipped
        self.events: list[tuple[int, str, str, dict[str, object]]] = []
        self.ambush: Callable[[], None] | None = None  # happens while blocks are being written next
        self._make = make
        self._watcher = watcher
        self._ends: dict[int, End] = {}
        self._turn_due = False
        self._deadline_ns = 0
        self._lanes = (Lane(), Lane())
        self._stall_told_ns = 0
        world.servers[name] = self

    # The process.

    @property
    def listening(self) -> bool:  # type: ignore[override]
        """Whether somebody accepts connections."""
        return self.node is not None

    def start(self) -> None:
        """The process starts on whatever the disk holds."""
        assert self.node is None
        self.incarnation += 1
        self.stalled = False
        self.powered = True
        self._turn_due = False
        self._deadline_ns = 0
        self._lanes = (Lane(), Lane())
        self._stall_told_ns = 0
        if not self._guarded(self._boot):
            return
        self._watcher.started(self)
        self.world.release()
        self._tick(self.incarnation)

    def _boot(self) -> None:
        self.node = self._make(self)

    def _guarded(self, action: Callable[[], None]) -> bool:
        """Run something of the node's; whatever it raises is a bug of ours, and the end of the process."""
        try:
            action()
            return True
        except Exception:
            self._watcher.broke(self, traceback.format_exc(limit=-6))
            self.node = None
            self.incarnation += 1
            self.world.hang_up(self)
            self._ends.clear()
            return False

    def crash(self, power_cut: bool) -> None:
        """The process is gone at once; with `power_cut` also what was never synced. Jobs under way ran in part."""
        if self.node is None:
            return
        self.node = None
        self.incarnation += 1
        self.stalled = False
        for lane in self._lanes:
            if lane.running is not None and not self.disk.off:
                self.disk.cut_after = self.world.rng.randrange(self.world.rng.choice(PARTIAL_STEPS))
                with suppress(PowerLost, Exception):
                    lane.running.run()
        if power_cut:
            self.disk.crash()
            self.boots += 1
            self.powered = False
            self.world.lose_power(self)
        else:
            self.disk.off = False
            self.disk.cut_after = None
            self.disk.boots += 1
            self.world.hang_up(self)
        self._ends.clear()

    def wipe(self) -> Contents:
        """The disk is lost; the machine is down and gets an empty one."""
        assert self.node is None
        self._watcher.wiped(self)
        return self.disk.take()

    def pause(self) -> None:
        """SIGSTOP."""
        self.stalled = self.node is not None

    def resume(self) -> None:
        """SIGCONT."""
        if self.node is None:
            return  # died meanwhile
        self.stalled = False
        self.world.release()
        self.schedule_turn(0)

    def wall_ns(self) -> int:
        """This node's idea of the date."""
        return WALL_START_NS + self.world.now_ns + self.clock_offset_ns

    # Turns.

    def _tick(self, incarnation: int) -> None:
        if incarnation != self.incarnation:
            return
        if not self.stalled:
            node: Node = self.node
            if not self._guarded(lambda: node.tick(self.world.now_ns, self.wall_ns())):
                return
            self._watch_disk()
            self.schedule_turn(0)
        self.world.after(TICK_NS, lambda: self._tick(incarnation))

    def _watch_disk(self) -> None:
        """As `broker.net.driver.Driver.watch` does."""
        lane = self._lanes[THREAD_WAL]
        stalled_ns = self.world.now_ns - lane.started_ns if lane.running is not None else 0
        if stalled_ns < STALL_NS:
            self._stall_told_ns = 0
        elif stalled_ns - self._stall_told_ns >= STALL_NS:
            self._stall_told_ns = stalled_ns
            self.node.disk_stalled(stalled_ns)

    def schedule_turn(self, delay_ns: int) -> None:
        """There is input, or a deadline: a turn follows soon."""
        if not self._turn_due:
            self._turn_due = True
            incarnation = self.incarnation
            self.world.after(delay_ns, lambda: self._turn(incarnation))

    def _turn(self, incarnation: int) -> None:
        if incarnation != self.incarnation:
            return
        self._turn_due = False
        if not self.stalled and self._guarded(self._take_turn):
            self._watcher.turned(self)

    def _take_turn(self) -> None:
        world, node = self.world, self.node
        turn = node.turn(world.now_ns, self.wall_ns())
        for level, name, fields in turn.events:
            self.events.append((world.now_ns, level, name, dict(fields)))
        for cid in turn.sends:
            end = self._ends.get(cid)
            if end is not None:
                self.writable(end)
        for cid, _ in turn.closes:
            end = self._ends.get(cid)
            if end is not None:
                world.carry(end, node.take_output(cid))
                world.close(end)
        incarnation = self.incarnation
        for dial in turn.dials:
            world.dial(self, (dial.host, dial.port), dial.token, lambda: self.incarnation == incarnation)
        for job in turn.jobs:
            self._lanes[job.thread].waiting.append(job)
            self._next_job(self._lanes[job.thread])
        self._set_deadline(turn.next_deadline_ns)

    def _set_deadline(self, deadline_ns: int) -> None:
        now_ns = self.world.now_ns
        if not deadline_ns or now_ns < self._deadline_ns <= deadline_ns:
            return  # none, or an earlier one is set already and will look again
        self._deadline_ns = max(deadline_ns, now_ns + 1_000)
        incarnation = self.incarnation

        def due() -> None:
            if incarnation == self.incarnation:
                self.schedule_turn(0)

        self.world.after(self._deadline_ns - now_ns, due)

    # Disk jobs.

    def _next_job(self, lane: Lane) -> None:
        if lane.running is None and lane.waiting:
            lane.running = lane.waiting.popleft()
            lane.started_ns = self.world.now_ns
            incarnation = self.incarnation
            takes_ns = self.world.rng.randrange(*SYNC_NS) * self.sync_factor
            self.world.after(takes_ns, lambda: self._finish(lane, incarnation))
            if self.ambush is not None and isinstance(lane.running, CheckpointJob) and lane.running.flush is not None:
                self.world.after(self.world.rng.randrange(takes_ns), self.ambush)
                self.ambush = None

    def _finish(self, lane: Lane, incarnation: int) -> None:
        if incarnation != self.incarnation:
            return
        wait_ns = self.hangs_until_ns - self.world.now_ns
        if self.stalled or wait_ns > 0:
            self.world.after(max(wait_ns, TICK_NS), lambda: self._finish(lane, incarnation))
            return
        job = lane.running
        assert job is not None
        lane.running = None
        error: Exception | None = None
        try:
            job.run()
        except Exception as raised:
            error = raised
        else:
            self._watcher.ran(self, job)
        if self._guarded(lambda: self.node.job_done(job, error)):
            self._next_job(lane)
            self.schedule_turn(TURN_NS)

    # What the world tells.

    def opened(self, end: End, kind: int, remote: tuple[str, int], token: str) -> None:
        self._ends[end.cid] = end
        if self._guarded(lambda: self.node.connection_opened(end.cid, kind, remote, token)):
            self.schedule_turn(TURN_NS)

    def dial_failed(self, address: tuple[str, int], token: str) -> None:
        self.node.dial_failed(address, token)
        self.schedule_turn(TURN_NS)

    def received(self, end: End, data: bytes) -> None:
        if end.cid in self._ends and self._guarded(lambda: self.node.connection_bytes(end.cid, data)):
            self.schedule_turn(TURN_NS)

    def closed(self, end: End) -> None:
        if self._ends.pop(end.cid, None) is not None:
            if self._guarded(lambda: self.node.connection_closed(end.cid, "Client Closed")):
                self.schedule_turn(TURN_NS)

    def writable(self, end: End) -> None:
        if end.cid in self._ends and self.world.room(end):
            data = self.node.take_output(end.cid)
            if data:
                self.world.carry(end, data)
