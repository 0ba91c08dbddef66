"""Disks that lose power, rot, fill, hang, or fail a call."""

from __future__ import annotations

from clients.workload import leader_of

from chaos.field import Field
from chaos.nemesis.disk_faults import BLOCKS, Decay, FrozenDisk, FullDisk, Injected, PowerCut, WipedDisk
from chaos.nemesis.process_faults import Pause
from chaos.processes import RootedNode
from chaos.replicas import move_leader

BETWEEN_S = 5.0


async def power_cut_all(field: Field) -> None:
    """All three nodes lose power in the same moment, twice."""
    for _ in range(2):
        await field.for_seconds(1.0, PowerCut(await field.rooted_leader_first()))
        await field.recovered()
        await field.quiet(BETWEEN_S)


async def power_cut_one(field: Field) -> None:
    """The leader loses power; while it comes back, a follower that had everything stands still."""
    leader, follower, _ = await field.rooted_leader_first()
    await field.for_seconds(1.0, PowerCut([leader]))
    await field.for_seconds(5.0, Pause([follower]))
    await field.recovered()


async def power_cut_two(field: Field) -> None:
    """The leader and a follower lose power in the same moment."""
    await field.for_seconds(2.0, PowerCut((await field.rooted_leader_first())[:2]))
    await field.recovered()


async def lead_from(field: Field, node: RootedNode) -> None:
    """Make this node lead, so that what it holds is what clients get."""
    assert field.control is not None
    for _ in range(8):
        leader = await leader_of(field.control, field.stream)
        if leader == node.name:
            return
        await move_leader(field.ground, field.control, field.stream, leader, node.name)


async def bit_flip(field: Field) -> None:
    """Bits of a follower's block files flip while it is down; then it is made leader."""
    follower = (await field.rooted_leader_first())[1]
    await field.for_seconds(1.0, Decay(follower, BLOCKS, field.rng))
    await field.recovered()
    await lead_from(field, follower)
    await field.quiet(BETWEEN_S)


async def bit_flip_all_files(field: Field) -> None:
    """Bits of every file of a follower flip, its log and its snapshots included; then it is made leader."""
    follower = (await field.rooted_leader_first())[1]
    await field.for_seconds(1.0, Decay(follower, "*", field.rng))
    await field.recovered()
    await lead_from(field, follower)


async def truncation(field: Field) -> None:
    """The ends of a follower's files are cut off while it is down; then it is made leader."""
    follower = (await field.rooted_leader_first())[1]
    await field.for_seconds(1.0, Decay(follower, "*", field.rng, cut=True))
    await field.recovered()
    await lead_from(field, follower)


async def wiped_disk(field: Field) -> None:
    """A follower comes back under its name with an empty disk."""
    await field.for_seconds(1.0, WipedDisk((await field.rooted_leader_first())[1]))
    await field.recovered()


async def disk_full(field: Field) -> None:
    """No space is left on the leader's disk; ten seconds later there is again."""
    await field.for_seconds(10.0, FullDisk((await field.rooted_leader_first())[0]))
    await field.recovered()


async def sync_error(field: Field) -> None:
    """Every third sync of the leader fails with EIO."""
    leader = (await field.rooted_leader_first())[0]
    inject = "fsync,fdatasync:error=EIO:when=3+3"
    await field.for_seconds(5.0, Injected(leader, "syncs fail", inject, field.ground.directory))
    await field.recovered()


async def slow_sync(field: Field) -> None:
    """Every sync of the leader takes 300 ms longer, for ten seconds."""
    leader = (await field.rooted_leader_first())[0]
    inject = "fsync,fdatasync:delay_enter=300000"
    await field.for_seconds(10.0, Injected(leader, "syncs take 300 ms", inject, field.ground.directory))
    await field.recovered()


async def frozen_disk(field: Field) -> None:
    """Writes to the leader's disk hang for ten seconds."""
    await field.for_seconds(10.0, FrozenDisk((await field.rooted_leader_first())[0]))
    await field.recovered()
