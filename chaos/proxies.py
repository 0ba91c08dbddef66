"""toxiproxy between any two nodes, and before each node's clients: slow, narrow, torn and silent connections.

Works with and without root. The nodes know each other only by the proxies' addresses, and advertise an address where
nobody listens, so that gossip leads nowhere past the proxies. Not for lost packets (`network`): a proxy sees streams.
"""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from clients.servers import free_ports
from clients.waiting import wait_until
from toxiproxy import Toxiproxy
from toxiproxy.proxy import Proxy

from chaos.needs import TOXIPROXY

CLIENT = "client"
UP, DOWN = "upstream", "downstream"


class Proxies:
    """The toxiproxy server, and a proxy for each (who connects, to whom)."""

    def __init__(self, directory: Path, host: str, names: list[str]) -> None:
        self.host = host
        pairs = [(source, target) for target in names for source in [*names, CLIENT] if source != target]
        api_port, *ports = free_ports(1 + len(pairs))
        self.ports = dict(zip(pairs, ports, strict=True))
        self.proxies: dict[tuple[str, str], Proxy] = {}
        self._log = (directory / "toxiproxy.log").open("ab")
        self._process = subprocess.Popen(
            [str(TOXIPROXY), "-host", host, "-port", str(api_port), "-seed", "1"], stdout=self._log, stderr=self._log
        )
        self._server = Toxiproxy()
        self._server.update_api_consumer(host, api_port)
        wait_until("toxiproxy", lambda: bool(self._server.running()), 10)

    def address(self, source: str, target: str) -> str:
        """Where `source` finds `target`."""
        return f"{self.host}:{self.ports[source, target]}"

    def open(self, target: str, client_address: str, cluster_address: str) -> None:
        """Lead to this node, for clients and for its peers."""
        for pair in [pair for pair in self.ports if pair[1] == target]:
            upstream = client_address if pair[0] == CLIENT else cluster_address
            name = "-".join(pair)
            self.proxies[pair] = self._server.create(upstream=upstream, name=name, listen=self.address(*pair))

    def close(self) -> None:
        """End the server."""
        self._process.kill()
        self._process.wait(10)
        self._log.close()

    def of(self, name: str, *, peers: bool = True, clients: bool = True) -> list[Proxy]:
        """All proxies that carry this node's traffic, in either direction."""
        return [
            proxy
            for (source, target), proxy in self.proxies.items()
            if name in (source, target) and (clients if source == CLIENT else peers)
        ]

    def towards(self, source: str, target: str) -> list[tuple[Proxy, str]]:
        """The streams on which what `source` says reaches `target`, whoever connected to whom."""
        streams = []
        if (source, target) in self.proxies:
            streams.append((self.proxies[source, target], UP))
        if (target, source) in self.proxies:
            streams.append((self.proxies[target, source], DOWN))
        return streams

    def heal(self) -> None:
        """No toxics, and every proxy is up."""
        self._server.reset()

    def greets(self, source: str, target: str, seconds: float = 1.0) -> bool:
        """Whether the first line of the server (both of our ports greet) arrives through this proxy in time."""
        return bool(self.greeting(source, target, seconds))

    def greeting(self, source: str, target: str, seconds: float = 1.0) -> list[bytes]:
        """The first line of the server in the pieces in which it arrives; [] when it does not arrive in time."""
        pieces: list[bytes] = []
        try:
            with socket.create_connection((self.host, self.ports[source, target]), seconds) as probe:
                probe.settimeout(seconds)
                while not pieces or not pieces[-1].endswith(b"\n"):
                    piece = probe.recv(4096)
                    if not piece:
                        return []
                    pieces.append(piece)
        except OSError:
            return []
        return pieces
