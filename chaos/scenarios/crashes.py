"""Processes that die or stand still."""

from __future__ import annotations

from chaos.field import Field
from chaos.nemesis.process_faults import Kill, Pause, Restart, Strobe

DOWN_S, BETWEEN_S = 4.0, 5.0


async def leader_kill(field: Field) -> None:
    """The leader is killed, three times; each comes back after a few seconds."""
    for _ in range(3):
        await field.for_seconds(DOWN_S, Kill([await field.leader()]))
        await field.recovered()
        await field.quiet(BETWEEN_S)


async def follower_kill(field: Field) -> None:
    """A follower is killed, twice."""
    for _ in range(2):
        await field.for_seconds(DOWN_S, Kill((await field.leader_first())[1:2]))
        await field.recovered()
        await field.quiet(BETWEEN_S)


async def majority_kill(field: Field) -> None:
    """The leader and a follower are killed at once."""
    await field.for_seconds(DOWN_S, Kill((await field.leader_first())[:2]))
    await field.recovered()


async def kill_all(field: Field) -> None:
    """All three are killed at once, twice."""
    for _ in range(2):
        await field.for_seconds(1.0, Kill(await field.leader_first()))
        await field.recovered()
        await field.quiet(BETWEEN_S)


async def pause_leader(field: Field) -> None:
    """The leader is stopped for six seconds and goes on as if nothing had happened, twice."""
    for _ in range(2):
        await field.for_seconds(6.0, Pause([await field.leader()]))
        await field.recovered()
        await field.quiet(BETWEEN_S)


async def strobe_leader(field: Field) -> None:
    """The leader stops and goes on ten times a second, for ten seconds."""
    await field.for_seconds(10.0, Strobe([await field.leader()]))
    await field.recovered()


async def rolling_restart(field: Field) -> None:
    """One node after the other hands over, stops and comes back."""
    for node in reversed(await field.leader_first()):
        await field.for_seconds(0.5, Restart([node]))
        await field.recovered()
        await field.quiet(3.0)
