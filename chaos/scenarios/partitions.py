"""Networks that let nothing through, or only some of it."""

from __future__ import annotations

from chaos.field import Field
from chaos.nemesis import network_faults as shapes
from chaos.nemesis.network_faults import CableOut, PacketLoss

LASTS_S, BETWEEN_S = 8.0, 5.0


async def partition_leader(field: Field) -> None:
    """The leader and the others do not hear each other; clients reach all. Twice."""
    for _ in range(2):
        leader = (await field.leader()).name
        await field.for_seconds(
            LASTS_S, field.partition("leader isolated", shapes.isolated(field.names, leader), leader)
        )
        await field.recovered()
        await field.quiet(BETWEEN_S)


async def halves(field: Field) -> None:
    """The leader is on the smaller side, with no client there."""
    leader = (await field.leader()).name
    await field.for_seconds(LASTS_S, field.partition("leader cut off", shapes.cut_off(field.names, leader), leader))
    await field.recovered()


async def one_way(field: Field) -> None:
    """The leader hears nobody and is heard; then the leader hears all and nobody hears it."""
    for title, shape in (("leader deaf", shapes.one_way), ("leader mute", shapes.mute)):
        leader = (await field.leader()).name
        await field.for_seconds(LASTS_S, field.partition(title, shape(field.names, leader), leader))
        await field.recovered()
        await field.quiet(BETWEEN_S)


async def bridge(field: Field) -> None:
    """Only a follower hears the two others."""
    middle = (await field.leader_first())[1].name
    await field.for_seconds(LASTS_S, field.partition("bridge", shapes.bridge(field.names, middle), middle))
    await field.recovered()


async def ring(field: Field) -> None:
    """Each node hears one other: three majorities, all different."""
    await field.for_seconds(LASTS_S, field.partition("ring", shapes.ring(field.names), "all"))
    await field.recovered()


async def clients_only(field: Field) -> None:
    """The cluster is well, and no client reaches the leader."""
    leader = (await field.leader()).name
    shape = shapes.clients_only(field.names, leader)
    await field.for_seconds(LASTS_S, field.partition("leader without clients", shape, leader))
    await field.recovered()


async def cable_out(field: Field) -> None:
    """The leader's cable is out."""
    assert field.ground.network is not None
    await field.for_seconds(LASTS_S, CableOut(field.ground.network, (await field.leader()).name))
    await field.recovered()


async def packet_loss(field: Field) -> None:
    """A third of all packets between nodes is lost for fifteen seconds."""
    assert field.ground.network is not None
    await field.for_seconds(15.0, PacketLoss(field.ground.network))
    await field.recovered()
