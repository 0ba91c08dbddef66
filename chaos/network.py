"""A network of its own for each node: a namespace, one cable to a bridge, and nftables rules that damage it.

Not toxiproxy (`proxies`), which sits between connections. Here packets vanish and nobody is told: a switch has died.
The program itself and its clients are on the bridge at CLIENTS. Rules are always written as a whole, for one node;
every rule counts, so that a fault can show that it met packets.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import threading
from pathlib import Path

CLIENTS = "10.7.0.254"
NETMASK = 24
CLONE_NEWNET = 0x40000000
TABLE = "inet chaos"
NETNS = Path("/run/netns")


def run(*argv: str, text: str | None = None) -> str:
    """A command that must succeed; its output."""
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


class Network:
    """The bridge, and one namespace a name. Built once; it goes away with the namespaces of `isolation`."""

    def __init__(self, names: list[str]) -> None:
        self.addresses = {name: f"10.7.0.{number}" for number, name in enumerate(names, 1)}
        run("ip", "link", "add", "bridge0", "type", "bridge")
        run("ip", "addr", "add", f"{CLIENTS}/{NETMASK}", "dev", "bridge0")
        run("ip", "link", "set", "bridge0", "up")
        for name, address in self.addresses.items():
            run("ip", "netns", "add", name)
            run("ip", "link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
            run("ip", "link", "set", f"to-{name}", "master", "bridge0", "up")
            run("ip", "-n", name, "addr", "add", f"{address}/{NETMASK}", "dev", "eth0")
            run("ip", "-n", name, "link", "set", "eth0", "up")
            run("ip", "-n", name, "link", "set", "lo", "up")

    def close(self) -> None:
        """Take it down, so that the next run can have one; the nodes' processes are gone."""
        for name in self.addresses:
            run("ip", "netns", "del", name)
        run("ip", "link", "del", "bridge0")

    @staticmethod
    def inside(name: str) -> list[str]:
        """What stands before a command that is to run in the node's namespace (and only its network changes)."""
        return ["nsenter", f"--net={NETNS / name}"]

    def filter(self, name: str, rules: list[str]) -> None:
        """From now on `rules` decide about packets that arrive at the node; no rules: all is well."""
        text = f"table {TABLE}\ndelete table {TABLE}\n"
        if rules:
            lines = "".join(f"    {rule}\n" for rule in rules)
            text += f"table {TABLE} {{\n  chain arriving {{\n    type filter hook input priority 0\n{lines}  }}\n}}\n"
        run(*self.inside(name), "nft", "-f", "-", text=text)

    def dropped(self, name: str) -> int:
        """How many packets the node's rules have met."""
        listing = json.loads(run(*self.inside(name), "nft", "-j", "list", "ruleset"))
        return sum(
            part["counter"]["packets"]
            for item in listing["nftables"] if "rule" in item
            for part in item["rule"]["expr"] if "counter" in part
        )  # fmt: skip

    def unplug(self, name: str) -> None:
        """The cable is out."""
        run("ip", "link", "set", f"to-{name}", "down")

    def plug(self, name: str) -> None:
        """The cable is in."""
        run("ip", "link", "set", f"to-{name}", "up")

    def reaches(self, source: str, target: str, port: int, seconds: float = 1.0) -> bool:
        """Whether a connection from the node `source` ("" = from where the clients are) to `target` comes about."""
        outcome: list[bool] = []

        def attempt() -> None:  # a thread's network namespace is its own, and ends with it
            if source:
                enter_network(source)
            try:
                socket.create_connection((self.addresses[target], port), seconds).close()
                outcome.append(True)
            except OSError:
                outcome.append(False)

        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()
        return outcome[0]


def enter_network(name: str) -> None:
    """The calling thread is in the node's network from now on."""
    descriptor = os.open(NETNS / name, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {name}")
    finally:
        os.close(descriptor)
