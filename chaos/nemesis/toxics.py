"""Faults of connections, by toxiproxy: slow, narrow, in crumbs, reset, silent. With and without root.

A toxic is laid on all connections of a node (or of all nodes), in both directions. That it bites is measured by the
time until a new connection through a proxy is greeted, and by the pieces in which the greeting arrives.
"""

from __future__ import annotations

import time
from functools import partial

from toxiproxy.proxy import Proxy

from chaos.nemesis.fault import Fault, HarmlessFault, must_see
from chaos.proxies import DOWN, UP, Proxies

PIECES_MIN = 2  # whole, a greeting comes in one piece


class Toxic(Fault):
    """One kind of toxic on some proxies."""

    holds_back = True

    def __init__(self, proxies: Proxies, title: str, kind: str, attributes: dict[str, int], target: str) -> None:
        super().__init__(target)
        self.title = title
        self.proxies = proxies
        self.kind = kind
        self.attributes = attributes
        self.toxicity = 1.0

    def _poisoned(self) -> list[Proxy]:
        if self.target == "all":
            return list(self.proxies.proxies.values())
        return self.proxies.of(self.target)

    def begin(self) -> None:
        for proxy in self._poisoned():
            for stream in (UP, DOWN):
                proxy.add_toxic(type=self.kind, stream=stream, toxicity=self.toxicity, attributes=self.attributes)

    def _pair(self) -> tuple[str, str]:
        return next(pair for pair in self.proxies.ports if self.target in ("all", pair[1]))

    def evidence(self) -> str:
        began = time.monotonic()
        pieces = len(self.proxies.greeting(*self._pair(), seconds=3.0))
        took_ms = 1000 * (time.monotonic() - began)
        return self._verdict(pieces, took_ms)

    def _verdict(self, pieces: int, took_ms: float) -> str:
        """What a greeting that took so long, came in so many pieces, or did not come, shows."""
        if self.kind in ("latency", "bandwidth") and took_ms >= self._least_ms():
            return f"{self.target}: a greeting takes {took_ms:.0f} ms"
        if self.kind == "slicer" and pieces >= PIECES_MIN:
            return f"{self.target}: a greeting comes in {pieces} pieces"
        if self.kind in ("timeout", "reset_peer", "limit_data") and not pieces:
            return f"{self.target}: no greeting arrives"
        raise HarmlessFault(f"{self.title} on {self.target}: greeted after {took_ms:.0f} ms in {pieces} pieces")

    def _least_ms(self) -> float:
        if self.kind == "latency":
            return max(1, self.attributes["latency"] - self.attributes.get("jitter", 0))
        return 2.0

    def end(self) -> None:
        for proxy in self._poisoned():
            for stream in (UP, DOWN):
                proxy.destroy_toxic(f"{self.kind}_{stream}")

    def aftermath(self) -> str:
        return must_see(f"{self.target} greets again", lambda: self.proxies.greets(*self._pair()))


class Silence(Fault):
    """What some say is swallowed, and connections stay open: a partition by proxies. `deaf` as in network_faults."""

    holds_back = True
    title = "silence"

    def __init__(self, proxies: Proxies, title: str, deaf: dict[str, list[str]], target: str) -> None:
        super().__init__(target)
        self.title = title
        self.proxies = proxies
        self.streams = [
            stream for name, unheard in deaf.items() for who in unheard for stream in proxies.towards(who, name)
        ]
        self.pairs = [(who, name) for name, unheard in deaf.items() for who in unheard]

    def begin(self) -> None:
        for proxy, stream in self.streams:
            proxy.add_toxic(type="timeout", stream=stream, attributes={"timeout": 0})

    def evidence(self) -> str:
        for source, target in self.pairs:
            # The server greets whoever connects; the greeting comes back on the stream of the other direction.
            if (target, source) in self.pairs and self.proxies.greets(source, target, 0.4):
                raise HarmlessFault(f"{source} is still greeted by {target}")
        toxics = sum(len(proxy.toxics()) for proxy, _ in self.streams)
        if toxics == 0:
            raise HarmlessFault("no stream is silenced")
        return "; ".join(f"{source} no longer reaches {target}" for source, target in self.pairs)

    def end(self) -> None:
        for proxy, stream in self.streams:
            proxy.destroy_toxic(f"timeout_{stream}")

    def aftermath(self) -> str:
        for source, target in self.pairs:
            must_see(f"{target} greets {source}", partial(self.proxies.greets, source, target))
        return "healed"


class Refused(Fault):
    """All of a node's proxies are down: connections break and new ones are refused."""

    title = "connections refused"

    def __init__(self, proxies: Proxies, target: str) -> None:
        super().__init__(target)
        self.proxies = proxies

    def begin(self) -> None:
        for proxy in self.proxies.of(self.target):
            proxy.disable()

    def evidence(self) -> str:
        pair = next(pair for pair in self.proxies.ports if pair[1] == self.target)
        if self.proxies.greets(*pair):
            raise HarmlessFault(f"{self.target} still greets")
        return f"{self.target}: no greeting arrives"

    def end(self) -> None:
        for proxy in self.proxies.of(self.target):
            proxy.enable()
