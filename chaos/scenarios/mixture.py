"""Mixtures of faults, in a fixed order and by chance, and clocks that jump."""

from __future__ import annotations

from chaos.field import Field
from chaos.nemesis import network_faults as shapes
from chaos.nemesis.clock_faults import ClockJump
from chaos.nemesis.disk_faults import FrozenDisk, PowerCut
from chaos.nemesis.fault import Fault
from chaos.nemesis.process_faults import Kill, Pause, Restart

MIXTURE_S = 60.0
SHORT_S = (1.0, 3.0, 6.0)
CALM_S = 3.0


async def one_by_chance(field: Field) -> Fault:
    """A fault of any kind, on nodes that chance picks."""
    nodes = await field.leader_first()
    disks = await field.rooted_leader_first()
    some = field.rng.choice((1, 1, 1, 2, 3))
    node = field.rng.choice(nodes)
    at = nodes.index(node)
    kinds: list[Fault] = [
        Kill(nodes[:some]), Pause([node]), Restart([node]),
        field.partition("isolated", shapes.isolated(field.names, node.name), node.name),
        field.partition("cut off", shapes.cut_off(field.names, node.name), node.name),
        field.partition("bridge", shapes.bridge(field.names, node.name), node.name),
        field.partition("deaf", shapes.one_way(field.names, node.name), node.name),
    ]  # fmt: skip
    if disks:
        kinds += [PowerCut(disks[:some]), FrozenDisk(disks[at])]
    return field.rng.choice(kinds)


async def one_after_the_other(field: Field) -> None:
    """The leader is killed, isolated, stopped, restarted as planned; then all lose power, where they have disks."""
    await field.for_seconds(3.0, Kill([await field.leader()]))
    await calm(field)
    leader = (await field.leader()).name
    await field.for_seconds(6.0, field.partition("leader isolated", shapes.isolated(field.names, leader), leader))
    await calm(field)
    await field.for_seconds(5.0, Pause([await field.leader()]))
    await calm(field)
    await field.for_seconds(0.5, Restart([await field.leader()]))
    await calm(field)
    disks = await field.rooted_leader_first()
    await field.for_seconds(1.0, PowerCut(disks) if disks else Kill(await field.leader_first()))
    await field.recovered()


async def calm(field: Field) -> None:
    """All is well for a while."""
    await field.recovered()
    await field.quiet(CALM_S)


async def registers(field: Field) -> None:
    """Compare-and-set on a few keys while the leader is killed, isolated, stopped, restarted, and all lose power."""
    await one_after_the_other(field)


async def work_queue(field: Field) -> None:
    """Workers confirm, ack, nak, term and forget jobs while the leader is killed, isolated, stopped, restarted …"""
    await one_after_the_other(field)


async def stream_life(field: Field) -> None:
    """Streams are made, changed, purged and deleted while a leader is killed, isolated, stopped, restarted …"""
    await one_after_the_other(field)


async def random_mix(field: Field) -> None:
    """Faults of all kinds by chance, one after the other, for a minute."""
    until_s = field.clock.now_s() + MIXTURE_S
    while field.clock.now_s() < until_s:
        await field.for_seconds(field.rng.choice(SHORT_S), await one_by_chance(field))
        await field.recovered()
        await field.quiet(field.rng.choice((0.5, 2.0, 4.0)))


async def clock_jumps(field: Field) -> None:
    """The leader's wall clock jumps a minute ahead, then a minute back; then a follower's strobes."""
    leader, follower, _ = await field.rooted_leader_first()
    await field.for_seconds(5.0, ClockJump(leader, 60.0))
    await field.for_seconds(5.0, ClockJump(leader, -60.0))
    for _ in range(10):
        await field.for_seconds(0.3, ClockJump(follower, field.rng.uniform(-60, 60)))
    await field.recovered()
