"""The promise, with real processes: nodes are killed with SIGKILL under full load and nothing acknowledged is lost."""

from __future__ import annotations

import asyncio

import pytest

from clients.history import judge, longest_gap_s
from clients.servers import Cluster
from clients.workload import Publishers, connect, create_stream, leader_of, read_all

pytestmark = [pytest.mark.clients, pytest.mark.slow, pytest.mark.timeout(600)]

GAP_MAX_S = 3.0
STREAM = "ORDERS"


async def kill_leader_under_load(cluster: Cluster, rounds: int, seconds: float) -> Publishers:
    """Publish; `rounds` times kill the leader, publish on without it, restart it, publish on."""
    client = await connect(cluster.urls)
    await create_stream(client, STREAM)
    publishers = Publishers(STREAM, cluster.urls)
    await publishers.start()
    for _ in range(rounds):
        await publishers.run_for(seconds)
        victim = cluster.node(await leader_of(client, STREAM))
        victim.kill()
        await publishers.wait_acked(1, 30)
        await publishers.run_for(seconds)
        victim.start()
        await asyncio.to_thread(cluster.wait_healthy, 60)
        await publishers.run_for(seconds)
    await publishers.stop()
    await client.close()
    return publishers


async def kill_all_under_load(cluster: Cluster, rounds: int, seconds: float) -> Publishers:
    """Publish; `rounds` times kill all three nodes at once and start them again."""
    client = await connect(cluster.urls)
    await create_stream(client, STREAM)
    await client.close()
    publishers = Publishers(STREAM, cluster.urls)
    await publishers.start()
    for _ in range(rounds):
        await publishers.run_for(seconds)
        for node in cluster.nodes:
            node.kill()
        for node in cluster.nodes:
            node.start()
        await asyncio.to_thread(cluster.wait_healthy, 60)
        await publishers.wait_acked(1, 30)
        await publishers.run_for(seconds)
    await publishers.stop()
    return publishers


def assert_nothing_lost(cluster: Cluster, publishers: Publishers) -> None:
    """The history holds on this leader and on the next one, and all three replicas report the same state."""
    cluster.wait_replicas_equal(STREAM, 60)
    acked = [publish for publish in publishers.history if publish.sequence]
    print(f"{len(acked)} acknowledged of {len(publishers.history)}, longest gap {longest_gap_s(acked):.2f} s")
    stored = asyncio.run(read_all(cluster, STREAM))
    complaints = judge(publishers.history, stored)
    assert not complaints, f"{len(complaints)} broken promises:\n" + "\n".join(complaints[:20])

    async def next_leader() -> None:
        client = await connect(cluster.urls)
        cluster.node(await leader_of(client, STREAM)).kill()
        await client.close()

    asyncio.run(next_leader())
    asyncio.run(wait_for_leader(cluster))
    assert asyncio.run(read_all(cluster, STREAM)) == stored, "another replica holds something else"


async def wait_for_leader(cluster: Cluster) -> None:
    """Wait until a stream leader is there that is alive."""
    client = await connect(cluster.urls)
    while not cluster.node(await leader_of(client, STREAM)).running():
        await asyncio.sleep(0)
    await client.close()


def test_leader_killed_under_load(cluster: Cluster, kill_seconds: float, kill_rounds: int) -> None:
    publishers = asyncio.run(kill_leader_under_load(cluster, kill_rounds, kill_seconds))
    assert_nothing_lost(cluster, publishers)
    if not cluster.nodes[0].program.reference:
        assert longest_gap_s(publishers.history) <= GAP_MAX_S


def test_all_three_killed_at_once_under_load(cluster: Cluster, kill_seconds: float, kill_rounds: int) -> None:
    publishers = asyncio.run(kill_all_under_load(cluster, kill_rounds, kill_seconds))
    assert_nothing_lost(cluster, publishers)
