"""The ground a run stands on: three nodes, their network, disks and proxies, built, started and taken down.

Three kinds: `direct` (root: namespaces, images, nodes talk to each other directly), `proxied` (the same, with
toxiproxy between all), `plain` (no root: processes on 127.0.0.x, toxiproxy between all, files where they are).
Read next: `field`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from clients.servers import Node, Program, free_ports
from clients.waiting import wait_until

from chaos.disks import Disk
from chaos.network import CLIENTS, Network
from chaos.processes import ChaosNode, RootedNode
from chaos.proxies import CLIENT, Proxies

DIRECT, PROXIED, PLAIN = "direct", "proxied", "plain"
NAMES = ["n1", "n2", "n3"]
NOWHERE = "127.0.0.1:1"  # advertised behind proxies: gossip must not lead past them
HEALTHY_S = 60.0


class Ground:
    """Three nodes. A context manager: everything is gone afterwards but the logs."""

    def __init__(self, program: Program, directory: Path, kind: str, sync_interval: str = "") -> None:
        self.program = program
        self.directory = directory
        self.kind = kind
        self.network: Network | None = None
        self.proxies: Proxies | None = None
        self.nodes: list[ChaosNode] = []
        if kind != PLAIN:
            self.network = Network(NAMES)
            for name in NAMES:
                self.nodes.append(RootedNode(program, name, directory, self.network, Disk(directory, name)))
        else:
            ports = free_ports(3)
            for number, name in enumerate(NAMES, 11):
                node = ChaosNode(program, name, directory, (ports[0], ports[1], ports[2]), f"127.0.0.{number}")
                self.nodes.append(node)
        if kind != DIRECT:
            self.proxies = Proxies(directory, "127.0.0.1" if kind == PLAIN else CLIENTS, NAMES)
            self._lay_proxies(self.proxies)
        cluster = "cluster {\n  no_advertise: true"  # clients know what they are told here, and nothing else
        if self.proxies is not None:
            cluster += f'\n  advertise: "{NOWHERE}"'
        for node in self.nodes:
            node.write_conf(self._routes(node), sync_interval, "")
            node.conf_path.write_text(node.conf_path.read_text().replace("cluster {", cluster))

    def _lay_proxies(self, proxies: Proxies) -> None:
        for node in self.nodes:
            proxies.open(node.name, f"{node.address}:{node.client_port}", f"{node.address}:{node.cluster_port}")
            if self.network is not None:  # nothing may find its way past the proxies
                others = ", ".join(other.address for other in self.nodes if other is not node)
                self.network.filter(node.name, [f"ip saddr {{ {others} }} reject with tcp reset"])

    def _routes(self, node: ChaosNode) -> list[str]:
        if self.proxies is None:
            return [other.route for other in self.nodes]
        others = [other for other in self.nodes if other is not node]
        return [node.route, *(f"nats://{self.proxies.address(node.name, other.name)}" for other in others)]

    def url(self, node: Node) -> str:
        """Where clients find the node."""
        if self.proxies is None:
            return node.url
        return f"nats://{self.proxies.address(CLIENT, node.name)}"

    @property
    def urls(self) -> list[str]:
        """Of all nodes."""
        return [self.url(node) for node in self.nodes]

    def node(self, name: str) -> ChaosNode:
        """The node of this name."""
        return next(node for node in self.nodes if node.name == name)

    def rooted(self) -> list[RootedNode]:
        """The nodes, where they have disks and networks of their own."""
        return [node for node in self.nodes if isinstance(node, RootedNode)]

    def start(self) -> None:
        """Start all; wait until all are healthy and the meta group has a leader."""
        for node in self.nodes:
            node.start()
        self.wait_healthy()

    def wait_healthy(self, seconds: float = HEALTHY_S) -> None:
        """Wait until every node answers /healthz with ok, and there is a meta leader."""
        for node in self.nodes:
            wait_until(f"{node.name} healthy", node.healthy, seconds)
        self.meta_leader(seconds)

    def meta_leader(self, seconds: float = HEALTHY_S) -> str:
        """The name of the meta group's leader, once all nodes that answer agree on it."""

        def agreed() -> str:
            leaders = {node.get("/jsz").get("meta_cluster", {}).get("leader", "") for node in self.nodes}
            return leaders.pop() if len(leaders) == 1 else ""

        return wait_until("a meta leader", agreed, seconds)

    def stop(self) -> None:
        """End all processes and unmount; images are deleted, logs and configuration stay."""
        for node in self.nodes:
            node.kill()
        if self.proxies is not None:
            self.proxies.close()
        for node in self.rooted():
            if node.disk.mounted:
                node.disk.unmount()
            node.disk.image.unlink()
            node.disk.path.rmdir()
        if self.network is not None:
            self.network.close()
        if self.kind == PLAIN:
            for node in self.nodes:
                shutil.rmtree(node.store_dir, ignore_errors=True)
