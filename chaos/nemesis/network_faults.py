"""Faults of the network between nodes and towards clients, by nftables: packets vanish. Needs root.

A partition is said as who hears whom: `deaf` maps a node to the nodes (or CLIENT) that it hears no more.
"""

from __future__ import annotations

from functools import partial

from chaos.nemesis.fault import Fault, HarmlessFault, must_see
from chaos.network import CLIENTS, Network
from chaos.proxies import CLIENT

Deaf = dict[str, list[str]]
CLUSTER_PORT = 6222
LOSS_PERCENT = 30


def isolated(names: list[str], one: str) -> Deaf:
    """`one` and the others do not hear each other; clients reach all."""
    others = [name for name in names if name != one]
    return {one: others, **{other: [one] for other in others}}


def cut_off(names: list[str], one: str) -> Deaf:
    """As isolated, and no client reaches it either."""
    return isolated(names, one) | {one: [*(name for name in names if name != one), CLIENT]}


def one_way(names: list[str], one: str) -> Deaf:
    """`one` is heard and hears nobody."""
    return {one: [name for name in names if name != one]}


def mute(names: list[str], one: str) -> Deaf:
    """`one` hears all and is heard by nobody."""
    return {name: [one] for name in names if name != one}


def bridge(names: list[str], middle: str) -> Deaf:
    """Only `middle` hears both of the others, which do not hear each other."""
    left, right = (name for name in names if name != middle)
    return {left: [right], right: [left]}


def ring(names: list[str]) -> Deaf:
    """Each hears only the one before it: three majorities, and no two of them the same."""
    return {name: [names[(at + 1) % len(names)]] for at, name in enumerate(names)}


def clients_only(names: list[str], one: str) -> Deaf:
    """The cluster is well, and no client reaches `one`."""
    return {one: [CLIENT]}


class Partition(Fault):
    """Packets vanish between some."""

    holds_back = True

    def __init__(self, network: Network, title: str, deaf: Deaf, target: str) -> None:
        super().__init__(target)
        self.title = title
        self.network = network
        self.deaf = deaf

    def begin(self) -> None:
        for name, unheard in self.deaf.items():
            addresses = ", ".join(CLIENTS if who == CLIENT else self.network.addresses[who] for who in unheard)
            self.network.filter(name, [f"ip saddr {{ {addresses} }} counter drop"])

    def evidence(self) -> str:
        seen = []
        for name, unheard in self.deaf.items():
            for who in unheard:
                source = "" if who == CLIENT else who
                if self.network.reaches(source, name, CLUSTER_PORT, 0.4):
                    raise HarmlessFault(f"{who} still reaches {name}")
                seen.append(f"{who} no longer reaches {name}")
        return "; ".join(seen)

    def end(self) -> None:
        for name in self.deaf:
            if self.network.dropped(name) == 0:
                raise HarmlessFault(f"no packet to {name} met the partition")
            self.network.filter(name, [])

    def aftermath(self) -> str:
        for name, unheard in self.deaf.items():
            for who in unheard:
                source = "" if who == CLIENT else who
                must_see(f"{who} reaches {name} again", partial(self.network.reaches, source, name, CLUSTER_PORT))
        return "healed"


class PacketLoss(Fault):
    """A third of the packets that reach any node are lost."""

    holds_back = True
    title = f"{LOSS_PERCENT} % loss"

    def __init__(self, network: Network) -> None:
        super().__init__(" ".join(network.addresses))
        self.network = network

    def begin(self) -> None:
        for name in self.network.addresses:
            sources = ", ".join(address for other, address in self.network.addresses.items() if other != name)
            rule = f"ip saddr {{ {sources} }} numgen random mod 100 < {LOSS_PERCENT} counter drop"
            self.network.filter(name, [rule])

    def evidence(self) -> str:
        return must_see(
            f"{self.target}: packets lost",
            lambda: all(self.network.dropped(name) >= 10 for name in self.network.addresses),
            10,
        )

    def end(self) -> None:
        for name in self.network.addresses:
            self.network.filter(name, [])


class CableOut(Fault):
    """A node's network interface is down: neither peers nor clients."""

    holds_back = True
    title = "cable out"

    def __init__(self, network: Network, name: str) -> None:
        super().__init__(name)
        self.network = network

    def begin(self) -> None:
        self.network.unplug(self.target)

    def evidence(self) -> str:
        if self.network.reaches("", self.target, CLUSTER_PORT, 0.4):
            raise HarmlessFault(f"{self.target} is still reached")
        return f"{self.target}: no longer reached"

    def end(self) -> None:
        self.network.plug(self.target)

    def aftermath(self) -> str:
        return must_see(f"{self.target} is reached again", lambda: self.network.reaches("", self.target, CLUSTER_PORT))
