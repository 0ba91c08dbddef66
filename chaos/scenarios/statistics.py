"""The same fault many times, for the distribution of outages: what the table in the README is made of."""

from __future__ import annotations

import asyncio

from chaos.field import Field
from chaos.nemesis import network_faults as shapes
from chaos.nemesis.fault import Fault
from chaos.nemesis.process_faults import Kill, Pause, StepDown
from chaos.processes import ChaosNode
from chaos.replicas import states_leader

KILLS, STOPS, CHANGES = 30, 10, 30
BETWEEN_S = 2.0
LONG_S = 12.0  # longer than any server here takes to elect


async def again_and_again(field: Field, times: int, lasts_s: float, fault: type[Kill] | type[Pause]) -> None:
    """A fault of the leader, so many times; each lasts until writes are back, and `lasts_s` at least."""
    for _ in range(times):
        await one(field, fault([await field.leader()]), lasts_s)


async def one(field: Field, fault: Fault, lasts_s: float) -> None:
    """Strike, wait until somebody else leads, heal, recover, breathe."""
    async with field.fault(fault):
        began_s = field.clock.now_s()
        await field.quiet(lasts_s)
        while await no_other_leader(field, fault.target) and field.clock.now_s() < began_s + LONG_S:
            await field.quiet(0.1)
    await field.recovered()
    await field.quiet(BETWEEN_S)


async def no_other_leader(field: Field, than: str) -> bool:
    """Whether no other node says that it leads the stream."""
    leaders = await asyncio.to_thread(states_leader, field.ground, field.stream, than)
    return not leaders


async def leader_kills(field: Field) -> None:
    """The leader is killed with SIGKILL, thirty times."""
    await again_and_again(field, KILLS, 2.0, Kill)


async def leader_pauses(field: Field) -> None:
    """The leader is stopped with SIGSTOP, ten times."""
    await again_and_again(field, STOPS, 4.0, Pause)


async def leader_isolations(field: Field) -> None:
    """The leader and the others do not hear each other, ten times."""
    for _ in range(STOPS):
        leader = (await field.leader()).name
        await one(field, field.partition("leader isolated", shapes.isolated(field.names, leader), leader), 4.0)


async def planned_changes(field: Field) -> None:
    """The leader is asked to hand over, thirty times."""
    for _ in range(CHANGES):
        leader: ChaosNode = await field.leader()

        def leader_now(than: str = leader.name) -> str:
            return next(iter(states_leader(field.ground, field.stream, than)), "")

        await field.for_seconds(0.5, StepDown(leader, field.ground.url(leader), field.stream, leader_now))
        await field.quiet(0.5)
