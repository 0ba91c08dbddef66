"""A cluster for scenarios that are told step by step: ask, wait, stop, start, look inside.

The same machines, network and disks as a story of chance (`run`), without publishers, faults and judge; the promises of
`invariants` are checked all the same. Seeds only decide latencies and election timeouts.
"""

import json
from collections.abc import Callable
from typing import Any

from sim.client import Message, SimClient, fields_of
from sim.plan import SECOND_NS, Plan
from sim.run import Cluster
from sim.server import Machine

WAIT_NS = 20 * SECOND_NS
NODES = ["n1", "n2", "n3"]


class Stage:
    """Nodes that run; `broken` is what does not hold."""

    def __init__(self, seed: int = 1, log_file_bytes: int = 64 * 1024, sync_interval_ns: int = 0) -> None:
        plan = Plan("stage", [], log_file_bytes=log_file_bytes, nodes=NODES, sync_interval_ns=sync_interval_ns)
        self.cluster = Cluster(seed, plan)
        self.world = self.cluster.world
        self.machines: dict[str, Machine] = self.cluster.machines
        self._clients = 0
        for machine in self.machines.values():
            machine.start()
        self.wait(lambda: all(machine.node.jetstream.assignments.meta for machine in self.machines.values()))

    @property
    def broken(self) -> list[str]:
        """Broken promises, and nodes that fell over."""
        return self.cluster.checks.broken

    def wait(self, until: Callable[[], bool], duration_ns: int = WAIT_NS) -> None:
        """Let time pass until something is so. Fails when it does not come to that."""
        held = self.world.run(duration_ns, lambda: bool(self.broken) or until())
        assert not self.broken, "\n".join(self.broken)
        assert held, "this did not come to pass: " + "\n".join(self.cluster.last_events())

    def rest(self, duration_ns: int = SECOND_NS) -> None:
        """Let time pass."""
        self.world.run(duration_ns, lambda: bool(self.broken))
        assert not self.broken, "\n".join(self.broken)

    # Clients.

    def client(self, *servers: str) -> SimClient:
        """A client of one of these nodes (none given: any)."""
        self._clients += 1
        client = SimClient(self.world, f"c{self._clients}", list(servers) or NODES)
        self.wait(lambda: client.ready)
        return client

    def request(
        self, client: SimClient, subject: str, body: object = b"", headers: dict[str, str] | None = None
    ) -> Message | None:
        """One request and its answer; None when none came."""
        found: list[Message | None] = []
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        client.request(subject, data, found.append, headers=headers)
        self.wait(lambda: bool(found))
        return found[0]

    def ask(
        self, client: SimClient, subject: str, body: object = b"", headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """One request and its JSON answer; {} when none came."""
        answer = self.request(client, subject, body, headers)
        return fields_of(answer)

    def create(self, client: SimClient, name: str, **config: object) -> dict[str, Any]:
        """A stream of three replicas on `name.>`."""
        wanted = {"name": name, "subjects": [f"{name}.>"], "num_replicas": 3, **config}
        answer = self.ask(client, f"$JS.API.STREAM.CREATE.{name}", wanted)
        assert "error" not in answer and answer, answer
        return answer

    def publish(self, client: SimClient, subject: str, count: int, data: bytes = b"x") -> None:
        """So many messages, one after the other, each acknowledged."""
        for _ in range(count):
            answer = self.ask(client, subject, data)
            assert "seq" in answer, answer

    # Nodes.

    def group(self, node: str, stream: str) -> Any:
        """A stream's group on a node; None when it has none."""
        jetstream = self.machines[node].node.jetstream
        for group in jetstream.assignments.groups.values():
            if group.machine.config.name == stream:
                return group
        return None

    def leader(self, stream: str) -> str:
        """Who leads a stream; waits until somebody does."""
        found: list[str] = []

        def leads() -> bool:
            found.clear()
            for name, machine in self.machines.items():
                group = None if machine.node is None else self.group(name, stream)
                if group is not None and group.is_leader:
                    found.append(name)
            return len(found) == 1

        self.wait(leads)
        return found[0]

    def others(self, node: str) -> list[str]:
        """All nodes but one."""
        return [name for name in NODES if name != node]

    def stop(self, node: str) -> None:
        """A clean stop: checkpoints, then the process ends."""
        machine = self.machines[node]
        machine.node.shutdown()
        machine.schedule_turn(0)
        self.rest(SECOND_NS)
        machine.crash(False)
        self.rest(SECOND_NS)

    def lose_disk(self, node: str) -> None:
        """The process ends, and its disk is empty when it starts again (`restart`)."""
        machine = self.machines[node]
        machine.crash(False)
        machine.wipe()

    def restart(self, node: str) -> None:
        """The process starts on whatever its disk has."""
        self.machines[node].start()

    def events(self, node: str, name: str) -> list[dict[str, object]]:
        """What a node said under this name."""
        return [fields for _, _, event, fields in self.machines[node].events if event == name]

    def isolate(self, node: str) -> None:
        """Nothing passes between the node and the others."""
        for other in self.others(node):
            self.world.cut_links([(node, other), (other, node)])

    def level(self, stream: str) -> bool:
        """Whether all replicas have applied the same, and all of it."""
        groups = [self.group(name, stream) for name in NODES if self.machines[name].node is not None]
        indexes = {group.raft.applied for group in groups if group is not None}
        return len(indexes) == 1 and all(group.raft.log.last_index in indexes for group in groups)
