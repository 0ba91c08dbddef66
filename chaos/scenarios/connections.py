"""Connections that are slow, narrow, torn or silent, by toxiproxy; the same with and without root."""

from __future__ import annotations

from chaos.field import Field
from chaos.nemesis.toxics import Refused, Toxic

LASTS_S = 10.0


async def poison(field: Field, title: str, kind: str, attributes: dict[str, int], target: str) -> None:
    """One toxic for a while."""
    assert field.ground.proxies is not None
    await field.for_seconds(LASTS_S, Toxic(field.ground.proxies, title, kind, attributes, target))
    await field.recovered()


async def latency(field: Field) -> None:
    """Every connection takes 100 ± 50 ms longer in each direction."""
    await poison(field, "latency 100 ± 50 ms", "latency", {"latency": 100, "jitter": 50}, "all")


async def bandwidth(field: Field) -> None:
    """Every connection of the leader carries 64 KB a second."""
    await poison(field, "64 KB/s", "bandwidth", {"rate": 64}, (await field.leader()).name)


async def slicer(field: Field) -> None:
    """All that is said arrives in pieces of a few bytes."""
    crumbs = {"average_size": 64, "size_variation": 32, "delay": 100}
    await poison(field, "crumbs of 64 bytes", "slicer", crumbs, "all")


async def resets(field: Field) -> None:
    """The leader's connections are reset, again and again."""
    await poison(field, "reset after 500 ms", "reset_peer", {"timeout": 500}, (await field.leader()).name)


async def timeouts(field: Field) -> None:
    """What the leader and the others say to each other, and to clients, is swallowed; then connections are closed."""
    await poison(field, "swallowed, closed after 2 s", "timeout", {"timeout": 2000}, (await field.leader()).name)


async def refused(field: Field) -> None:
    """Connections to and from the leader break, and new ones are refused."""
    assert field.ground.proxies is not None
    await field.for_seconds(LASTS_S, Refused(field.ground.proxies, (await field.leader()).name))
    await field.recovered()
