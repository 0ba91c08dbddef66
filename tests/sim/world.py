"""A whole cluster in one thread: real `BrokerNode`s, virtual time, a simulated network and simulated disks.

Everything that happens is an event on one heap, ordered by time and then by the order of its making; all chance comes
from one `random.Random`. So a seed is a run, and a run can be had again.

The network carries byte streams, as TCP does: bytes arrive in order or the connection breaks. A partition holds bytes
back and lets dials time out; healing lets them through, unless the connection was reset meanwhile.

Read next: `client` (a NATS client made of the same stuff), `workload`, `invariants`.
"""

import heapq
import random
from collections.abc import Callable

from crash_disk import CrashDisk

from broker.config import ClusterOptions, JetStreamOptions, Options, RouteUrl
from broker.net.seam import CLIENT, CLUSTER_IN, CLUSTER_OUT, THREAD_WAL
from broker.node import BrokerNode

TICK_NS = 50_000_000
TURN_NS = 20_000
LATENCY_NS = (50_000, 400_000)
SYNC_NS = (100_000, 3_000_000)
DIAL_TIMEOUT_NS = 1_000_000_000
WALL_START_NS = 1_790_000_000_000_000_000
CLUSTER_PORT = 6222
LOG_FILE_BYTES = 256 * 1024


class End:
    """One end of a connection: who holds it, under which id, and the bytes on their way to it."""

    def __init__(self, owner: "SimNode | SimPeer", cid: int) -> None:
        self.owner = owner
        self.cid = cid
        self.other: End | None = None
        self.open = True
        self.arrives_ns = 0


class SimPeer:
    """Anything that is not a node and holds connections: a client."""

    name = "client"

    def opened(self, end: End) -> None: ...

    def received(self, end: End, data: bytes) -> None: ...

    def closed(self, end: End) -> None: ...


class SimNode:
    """A server: its disk outlives its process."""

    def __init__(self, world: "World", name: str, disk: CrashDisk, options: Options) -> None:
        self.world = world
        self.name = name
        self.disk = disk
        self.options = options
        self.node: BrokerNode | None = None
        self.ends: dict[int, End] = {}
        self.incarnation = 0
        self.turn_due = False
        self.paused = False
        self.wal_busy_until_ns = 0
        self.clock_offset_ns = 0
        self.events: list[tuple[int, str, str, dict[str, object]]] = []

    def start(self) -> None:
        """The process starts on whatever the disk holds."""
        assert self.node is None
        self.incarnation += 1
        self.turn_due = False
        self.paused = False
        self.wal_busy_until_ns = 0
        self.node = BrokerNode(self.options, self.disk, random.Random(self.world.rng.getrandbits(64)))
        self._tick(self.incarnation)

    def _tick(self, incarnation: int) -> None:
        if incarnation != self.incarnation or self.node is None:
            return
        if not self.paused:
            self.node.tick(self.world.now_ns, self.wall_ns())
            self.schedule_turn(0)
        self.world.after(TICK_NS, lambda: self._tick(incarnation))

    def wall_ns(self) -> int:
        """This node's idea of the date."""
        return WALL_START_NS + self.world.now_ns + self.clock_offset_ns

    def schedule_turn(self, delay_ns: int) -> None:
        """There is input, or a deadline: a turn follows soon."""
        if not self.turn_due:
            self.turn_due = True
            incarnation = self.incarnation
            self.world.after(delay_ns, lambda: self._turn(incarnation))

    def _turn(self, incarnation: int) -> None:
        if incarnation != self.incarnation or self.node is None:
            return
        self.turn_due = False
        if self.paused:
            return
        node = self.node
        turn = node.turn(self.world.now_ns, self.wall_ns())
        for level, name, fields in turn.events:
            self.events.append((self.world.now_ns, level, name, dict(fields)))
        for cid in turn.sends:
            data = node.take_output(cid)
            end = self.ends.get(cid)
            if data and end is not None:
                self.world.carry(end, data)
        for cid, _ in turn.closes:
            end = self.ends.get(cid)
            if end is not None:
                self.world.break_connection(end)
        for dial in turn.dials:
            self.world.dial(self, dial.host, dial.port, dial.token)
        for job in turn.jobs:
            self._start_job(job, incarnation)
        if turn.next_deadline_ns:
            delay = max(turn.next_deadline_ns - self.world.now_ns, 1_000)
            self.world.after(delay, lambda: self._deadline(incarnation))

    def _deadline(self, incarnation: int) -> None:
        if incarnation == self.incarnation:
            self.schedule_turn(0)

    def _start_job(self, job: object, incarnation: int) -> None:
        """Jobs of one thread run one after the other; a job takes effect on the disk at its end."""
        started = max(self.world.now_ns, self.wal_busy_until_ns)
        ends = started + self.world.rng.randrange(*SYNC_NS)
        if job.thread == THREAD_WAL:  # type: ignore[attr-defined]
            self.wal_busy_until_ns = ends
        self.world.after(ends - self.world.now_ns, lambda: self._finish_job(job, incarnation))

    def _finish_job(self, job: object, incarnation: int) -> None:
        if incarnation != self.incarnation or self.node is None:
            return
        if self.paused:
            self.world.after(TICK_NS, lambda: self._finish_job(job, incarnation))
            return
        error: Exception | None = None
        try:
            job.run()  # type: ignore[attr-defined]
        except Exception as raised:
            error = raised
        self.node.job_done(job, error)
        self.schedule_turn(TURN_NS)

    def crash(self, power_cut: bool) -> None:
        """The process is gone at once; with `power_cut` also what was never synced."""
        self.node = None
        self.incarnation += 1
        for end in list(self.ends.values()):
            self.world.break_connection(end)
        self.ends = {}
        if power_cut:
            self.disk.crash()

    # What the world tells.

    def opened(self, end: End, kind: int, remote: tuple[str, int], token: str) -> None:
        if self.node is not None:
            self.ends[end.cid] = end
            self.node.connection_opened(end.cid, kind, remote, token)
            self.schedule_turn(TURN_NS)

    def received(self, end: End, data: bytes) -> None:
        if self.paused:
            self.world.after(TICK_NS, lambda: self.received(end, data))
        elif self.node is not None and end.cid in self.ends:
            self.node.connection_bytes(end.cid, data)
            self.schedule_turn(TURN_NS)

    def closed(self, end: End) -> None:
        if self.ends.pop(end.cid, None) is not None and self.node is not None:
            self.node.connection_closed(end.cid, "Client Closed")
            self.schedule_turn(TURN_NS)


class World:
    """Time, chance, network; and the nodes."""

    def __init__(self, seed: int, names: list[str], sync_interval_ns: int = 0) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.now_ns = 1_000_000_000
        self.cut: set[tuple[str, str]] = set()
        self.steps = 0
        self.after_step: list[Callable[[], None]] = []
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._made = 0
        self._next_cid = 1
        self.nodes = {name: self._node(name, names, sync_interval_ns) for name in names}

    def _node(self, name: str, names: list[str], sync_interval_ns: int) -> SimNode:
        options = Options(server_name=name)
        options.jetstream = JetStreamOptions(
            enabled=True, store_dir="", max_file=1 << 40, max_memory=1 << 40, sync_interval_ns=sync_interval_ns
        )
        options.jetstream.log_file_bytes = LOG_FILE_BYTES
        if len(names) > 1:
            routes = [RouteUrl(other, CLUSTER_PORT) for other in names]
            options.cluster = ClusterOptions(name="sim", host=name, port=CLUSTER_PORT, routes=routes)
        return SimNode(self, name, CrashDisk(random.Random(self.rng.getrandbits(64))), options)

    # Time.

    def after(self, delay_ns: int, action: Callable[[], None]) -> None:
        """Do it later."""
        self._made += 1
        heapq.heappush(self._heap, (self.now_ns + delay_ns, self._made, action))

    def run(self, duration_ns: int, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass; True as soon as `until` holds."""
        end_ns = self.now_ns + duration_ns
        while self._heap and self._heap[0][0] <= end_ns:
            self.now_ns, _, action = heapq.heappop(self._heap)
            action()
            self.steps += 1
            for check in self.after_step:
                check()
            if until is not None and until():
                return True
        self.now_ns = end_ns
        return until is not None and until()

    # Network.

    def cid(self) -> int:
        self._next_cid += 1
        return self._next_cid

    def dial(self, source: SimNode, host: str, port: int, token: str) -> None:
        """A node connects to a cluster port."""
        incarnation = source.incarnation
        target = self.nodes.get(host)

        def arrive() -> None:
            if source.incarnation != incarnation or source.node is None:
                return
            reachable = target is not None and target.node is not None and port == CLUSTER_PORT
            if target is None or not reachable or not self.connected(source.name, target.name):
                source.node.dial_failed((host, port), token)
                source.schedule_turn(TURN_NS)
                return
            near, far = self._pair(source, target)
            source.opened(near, CLUSTER_OUT, (host, port), token)
            target.opened(far, CLUSTER_IN, (source.name, 0), "")

        blocked = target is not None and not self.connected(source.name, target.name)
        self.after(DIAL_TIMEOUT_NS if blocked else self.latency_ns(), arrive)

    def connect_client(self, client: SimPeer, name: str) -> End | None:
        """A client connects to a node; None when nobody listens."""
        target = self.nodes[name]
        if target.node is None:
            return None
        near, far = self._pair(client, target)
        target.opened(far, CLIENT, ("client", 0), "")
        return near

    def _pair(self, near_owner: "SimNode | SimPeer", far_owner: "SimNode | SimPeer") -> tuple[End, End]:
        near, far = End(near_owner, self.cid()), End(far_owner, self.cid())
        near.other, far.other = far, near
        return near, far

    def latency_ns(self) -> int:
        return self.rng.randrange(*LATENCY_NS)

    def connected(self, one: str, other: str) -> bool:
        """Whether bytes pass from `one` to `other` and back."""
        return (one, other) not in self.cut and (other, one) not in self.cut

    def carry(self, end: End, data: bytes) -> None:
        """Bytes leave at `end`; they arrive in order at its other end."""
        other = end.other
        if not end.open or other is None:
            return
        arrives_ns = max(self.now_ns + self.latency_ns(), other.arrives_ns + 1)
        other.arrives_ns = arrives_ns
        self.after(arrives_ns - self.now_ns, lambda: self._arrive(end, other, data))

    def _arrive(self, end: End, other: End, data: bytes) -> None:
        if not other.open:
            return
        if (end.owner.name, other.owner.name) in self.cut:
            # Held by the network; order is kept because everything behind it waits for the same heal.
            other.arrives_ns = max(other.arrives_ns, self.now_ns + TICK_NS)
            self.after(TICK_NS, lambda: self._arrive(end, other, data))
            return
        other.owner.received(other, data)

    def break_connection(self, end: End) -> None:
        """Both ends learn that it is gone; bytes on their way are lost."""
        other = end.other
        if not end.open:
            return
        end.open = False
        self.after(1_000, lambda: end.owner.closed(end))
        if other is not None and other.open:
            self.after(self.latency_ns(), lambda: self._break_other(other))

    def _break_other(self, other: End) -> None:
        if other.open:
            other.open = False
            other.owner.closed(other)

    # Faults.

    def isolate(self, name: str, one_way: bool = False) -> None:
        """Nothing passes between `name` and the other nodes (or only towards it)."""
        for other in self.nodes:
            if other != name:
                self.cut.add((name, other))
                if not one_way:
                    self.cut.add((other, name))

    def heal(self) -> None:
        """The network is whole again."""
        self.cut.clear()
