"""One simulated story: a cluster, its clients, faults drawn from the seed, healing; then the history is judged.

The whole run follows from the seed and the plan. `Result.faults` is empty when every promise held.
Read next: `plan`, `shapes`, `world`, `server`, `nemesis`, `clients`, `invariants`, `verdict`.
"""

import gc
import random
import time
from collections.abc import Callable
from contextlib import suppress

from crash_disk import CrashDisk

from broker.config import ClusterOptions, JetStreamOptions, Options, RouteUrl
from broker.node import BrokerNode
from raft.errors import RaftError
from raft.node import LEADER
from sim.clients import CONSUMERS, WORKLOADS
from sim.complaint import LIVENESS, Complaint
from sim.history import History
from sim.invariants import Checks, watching
from sim.nemesis import Nemesis
from sim.plan import SECOND_NS, Plan
from sim.replacing import windows
from sim.server import Machine
from sim.settling import last, to_come, unconsumed, unread
from sim.setup import Setup
from sim.shapes import plan_of
from sim.verdict import judge
from sim.workloads.consumers import Consumer, Listener
from sim.workloads.workload import Workload
from sim.world import CLUSTER_PORT, World

SETUP_NS = 20 * SECOND_NS
PROGRESS_NS = 10 * SECOND_NS  # after healing everything must move again within this time
SETTLE_NS = 60 * SECOND_NS
LOOK_NS = SECOND_NS // 50
REST_NS = 2 * SECOND_NS
EVENTS_SHOWN = 30
LINK_TROUBLE = ("route_error", "route_dial_failed")  # what a network that fails makes nodes say: no promise is broken
ROT_EVENTS = ("log_damaged", "stream_damaged", "group_failed", "boot_mark_damaged", "catch_up_failed")


class Result:
    """What came of a run."""

    def __init__(self, seed: int, plan: Plan) -> None:
        self.seed = seed
        self.plan = plan.name
        self.story: list[str] = []
        self.faults: list[Complaint] = []
        self.events: list[str] = []
        self.acked = 0
        self.confirmed = 0
        self.strikes = 0
        self.restarts = 0
        self.compared = 0
        self.simulated_s = 0.0
        self.taken_s = 0.0

    def replay(self) -> str:
        """The command that runs the same story again."""
        return f'make sim SIM="--seed {self.seed}"'

    def text(self) -> str:
        """What a person wants to know of it."""
        if not self.faults:
            return (
                f"seed {self.seed} ({self.plan}): holds; {self.acked} acknowledged, {self.confirmed} acks confirmed, "
                f"{self.strikes} faults, {self.restarts} starts, {self.compared} states compared, "
                f"{self.simulated_s:.0f} s in {self.taken_s:.0f} s"
            )
        lines = [f"seed {self.seed} ({self.plan}): BROKEN after {self.simulated_s:.4f} s"]
        lines += ["  faults:", *(f"    {line}" for line in self.story[-12:])]
        lines += ["  last events:", *(f"    {line}" for line in self.events)]
        lines += ["  does not hold:", *(f"    {line.by}: {line}" for line in self.faults[:10])]
        lines.append(f"  again: {self.replay()}")
        return "\n".join(lines)


class Cluster:
    """Machines, clients and checks of one story."""

    def __init__(self, seed: int, plan: Plan) -> None:
        self.plan = plan
        self.world = World(seed)
        self.history = History()
        self.checks = Checks(self.world, self.history, plan.sync_interval_ns > 0)
        self.machines = {name: self._machine(name) for name in plan.nodes}
        self.workloads: list[Workload] = []
        self.consumers: list[Consumer] = []

    def _machine(self, name: str) -> Machine:
        options = Options(server_name=name)
        options.jetstream = JetStreamOptions(enabled=True, max_file=1 << 40, max_memory=1 << 40)
        options.jetstream.log_file_bytes = self.plan.log_file_bytes
        options.jetstream.sync_interval_ns = self.plan.sync_interval_ns
        routes = [RouteUrl(other, CLUSTER_PORT) for other in self.plan.nodes]
        options.cluster = ClusterOptions(name="sim", host=name, port=CLUSTER_PORT, routes=routes)
        rng = self.world.rng
        disk = CrashDisk(random.Random(rng.getrandbits(64)))

        def make(machine: Machine) -> BrokerNode:
            node = BrokerNode(options, disk, random.Random(rng.getrandbits(64)), f"{name}-{machine.boots}")
            node.clock.set(self.world.now_ns, machine.wall_ns())
            if self.plan.small_log_bytes:
                assert node.jetstream is not None
                node.jetstream.checkpoints.small_bytes = self.plan.small_log_bytes
            return node

        machine = Machine(self.world, name, disk, make, self.checks)
        self.checks.add(machine)
        return machine

    def set_up(self) -> bool:
        """Start the nodes, create streams and consumers; False when that does not work."""
        for machine in self.machines.values():
            machine.start()
        requests = []
        for stream in self.plan.streams:
            requests.append((f"$JS.API.STREAM.CREATE.{stream.name}", stream.config()))
            for taker in stream.takers():
                body = {"stream_name": stream.name, "config": taker.config(stream)}
                requests.append((f"$JS.API.CONSUMER.DURABLE.CREATE.{stream.name}.{taker.name}", body))
        setup = Setup(self.world, requests)
        if not self.run(SETUP_NS, lambda: setup.done):
            self.fail(f"set-up did not end in {SETUP_NS // SECOND_NS} s: {setup.errors[-3:]}")
            return False
        return True

    def start_clients(self) -> None:
        """Who uses every stream, in its kinds' order."""
        world, history = self.world, self.history
        for stream in self.plan.streams:
            for field, letter, kind in WORKLOADS:
                for n in range(getattr(stream, field)):
                    name = f"{letter}{stream.name}{n}"
                    self.workloads.append(kind(world, history, name, stream, self.plan.pause_ns))
            for taker in stream.takers():
                for n in range(taker.clients):
                    name = f"C{stream.name}{taker.name}{n}"
                    self.consumers.append(CONSUMERS[taker.kind](world, history, name, stream, taker, n))

    def run(self, duration_ns: int, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass, until something is broken at the latest."""
        broken = self.checks.broken
        if until is None:
            self.world.run(duration_ns, lambda: bool(broken))
            return False
        return self.world.run(duration_ns, lambda: bool(broken) or until()) and not broken

    def step_down(self) -> str:
        """Somebody who leads something hands over, to whom chance wants; who, "" when nobody does."""
        leading = [
            (machine, group)
            for machine in self.machines.values()
            if machine.node is not None and not machine.stalled
            for group in machine.node.jetstream.engine.groups.values()
            if group.raft.role == LEADER and len(group.membership().voters) > 1
        ]
        if not leading:
            return ""
        machine, group = self.world.rng.choice(leading)
        others = [peer for peer in group.membership().voters if peer != group.raft.peer_id]
        with suppress(RaftError):
            group.raft.transfer_leadership(self.world.rng.choice(others))
        group.touch()
        machine.schedule_turn(0)
        return f"{machine.name}, of group {group.id}"

    def leader(self) -> str | None:
        """Somebody who leads a stream."""
        for name, machine in self.machines.items():
            if machine.node is not None:
                for group in machine.node.jetstream.assignments.groups.values():
                    if group.raft.role == LEADER:
                        return name
        return None

    def whole(self) -> bool:
        """Whether every node is up and votes in the meta group and in every replicated stream, as everybody knows."""
        nodes = [machine.node for machine in self.machines.values()]
        if None in nodes:
            return False
        peers = sorted(node.links.peer for node in nodes)
        replicated = sum(stream.replicas > 1 for stream in self.plan.streams)
        for node in nodes:
            groups = [group for group in node.jetstream.engine.groups.values() if len(group.membership().peers()) != 1]
            if len(groups) != 1 + replicated or any(list(group.membership().voters) != peers for group in groups):
                return False
        return True

    def groups(self, stream: str) -> dict[str, object]:
        """The replicas of a stream, by node."""
        found = {}
        for name, machine in self.machines.items():
            for group in machine.node.jetstream.assignments.groups.values():
                if group.machine.config.name == stream:
                    found[name] = group
        return found

    # After the faults.

    def progress(self) -> None:
        """Healed: every stream takes publishes again within `PROGRESS_NS`."""
        healed_ns = self.world.now_ns
        acked_ns = self.history.acked_ns
        names = [stream.name for stream in self.plan.streams if stream.is_published_to()]
        if not self.run(PROGRESS_NS, lambda: all(acked_ns.get(name, 0) > healed_ns for name in names)):
            stuck = [name for name in names if acked_ns.get(name, 0) <= healed_ns]
            self.fail(f"no publish acknowledged {PROGRESS_NS // SECOND_NS} s after healing: {stuck}")

    def settle(self) -> None:
        """Nobody publishes any more: everything is delivered and confirmed, replicas become equal."""
        for workload in self.workloads:
            workload.stopped = True
        for consumer in self.consumers:
            consumer.careful = True
        self._until(PROGRESS_NS, "wait for answers", lambda: [one.name for one in self.workloads if one.out])
        self._until(SETTLE_NS, "not consumed", lambda: unconsumed(self.plan, self.groups), "deliveries")
        self._until(SETTLE_NS, "not read", lambda: unread(self.plan, self.groups), "origins")
        self._until(SETTLE_NS, "not made", lambda: to_come(self.plan, self.groups), "schedules")
        self._until(SETTLE_NS, "not done", self._unfinished, "ordered")
        if any(isinstance(one, Listener) for one in self.consumers):
            self.run(REST_NS)  # nothing but heartbeats is heard now
        self._until(PROGRESS_NS, "no heartbeat", self._silent, "heartbeats")
        self._until(PROGRESS_NS, "replicas are not equal", lambda: [] if self._level() else ["all was delivered"])

    def _until(self, limit_ns: int, what: str, left: Callable[[], list[str]], by: str = LIVENESS) -> None:
        """Let time pass until nothing is left of something; not longer than `limit_ns`."""
        look_ns = 0

        def is_done() -> bool:
            """Looked at now and then: it is dear."""
            nonlocal look_ns
            if self.world.now_ns < look_ns:
                return False
            look_ns = self.world.now_ns + LOOK_NS
            return not left()

        if not self.run(limit_ns, is_done) and left():
            self.fail(f"{what} after {limit_ns // SECOND_NS} s: {left()[:5]}", by)

    def _unfinished(self) -> list[str]:
        found = [workload.unfinished(lambda name: last(self.groups, name)) for workload in self.workloads]
        return [text for text in found if text]

    def _silent(self) -> list[str]:
        return [f"{one.client.name} for {one.silent_for_ns()} ns" for one in self.consumers if one.silent_for_ns()]

    def fail(self, text: str, by: str = LIVENESS) -> None:
        """A promise of liveness does not hold (unless something worse happened)."""
        if not self.checks.broken:
            self.checks.broken.append(Complaint(by, text))

    def _level(self) -> bool:
        for stream in self.plan.streams:
            groups = list(self.groups(stream.name).values())
            if len(groups) != stream.replicas or len({group.raft.applied for group in groups}) > 1:  # type: ignore[attr-defined]
                return False
            if any(group.raft.has_ready() for group in groups):  # type: ignore[attr-defined]
                return False  # a snapshot counts as applied before the machine has it
        return True

    def judge(self) -> list[Complaint]:
        """The history against the logs, and what the nodes said."""
        checks = self.checks
        faults = judge(self.plan, self.history, checks.entries, self.groups, checks.cut_short)
        is_rotten = any(machine.rotten for machine in self.machines.values())
        for name, machine in self.machines.items():
            for _, level, event, fields in machine.events:
                known = ROT_EVENTS if machine.rotten else (ROT_EVENTS[-1:] if is_rotten else ())
                if level == "error" and event not in LINK_TROUBLE and event not in known:
                    faults.append(Complaint("events", f"{name}: {event} {fields}"))
        return faults

    def last_events(self) -> list[str]:
        """What the nodes said last."""
        events = [(event[0], name, event) for name, machine in self.machines.items() for event in machine.events]
        events.sort(key=lambda event: event[0])
        return [
            f"{when / SECOND_NS:9.4f} s  {name} {event[1]} {event[2]} {event[3]}"
            for when, name, event in events[-EVENTS_SHOWN:]
        ]


def simulate(seed: int, plan: Plan | None = None) -> Result:
    """Run the story of a seed and judge it."""
    if plan is None:
        plan = plan_of(seed)
    result = Result(seed, plan)
    started = time.monotonic()
    collecting = gc.isenabled()
    gc.disable()  # half of the time would go there; a story is short
    try:
        cluster = Cluster(seed, plan)
        with watching(cluster.checks), windows(plan.window_bytes):
            _tell(cluster, result)
        history, checks = cluster.history, cluster.checks
        result.faults = checks.broken or cluster.judge()
        if result.faults:
            result.events = cluster.last_events()
        result.acked, result.confirmed = history.total(), len(history.confirmed)
        result.restarts, result.compared = checks.restarts, checks.compared
        result.simulated_s = cluster.world.now_ns / SECOND_NS
    finally:
        if collecting:
            gc.enable()
    result.taken_s = time.monotonic() - started
    return result


def _tell(cluster: Cluster, result: Result) -> None:
    if not cluster.set_up():
        return
    cluster.start_clients()
    nemesis = Nemesis(cluster.world, cluster.machines, cluster.plan, cluster, result.story)
    nemesis.begin()
    cluster.run(cluster.plan.fault_ns)
    result.strikes = nemesis.strikes
    if cluster.checks.broken:
        return
    nemesis.heal()
    cluster.progress()
    if not cluster.checks.broken:
        cluster.settle()
