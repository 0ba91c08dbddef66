"""A disk is lost under full load, with real processes: the node comes back empty under its old name, nothing
acknowledged is missing afterwards, three replicas are equal, and the new one counts."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from clients.history import judge
from clients.servers import Cluster
from clients.workload import Publishers, connect, create_stream, leader_of, read_all

pytestmark = [pytest.mark.clients, pytest.mark.slow, pytest.mark.timeout(600)]

STREAM = "ORDERS"


async def lose_disks_under_load(cluster: Cluster, seconds: float) -> Publishers:
    """Publish; the leader's disk is lost, then, when all is well again, that of another node."""
    client = await connect(cluster.urls)
    await create_stream(client, STREAM)
    await client.close()
    publishers = Publishers(STREAM, cluster.urls)
    await publishers.start()
    lost: list[str] = []
    for _ in range(2):
        await publishers.run_for(seconds)
        client = await connect(cluster.urls)
        leader = await leader_of(client, STREAM)
        await client.close()
        name = next(name for name in [leader, "n1", "n2", "n3"] if name not in lost)
        lost.append(name)
        victim = cluster.node(name)
        victim.kill()
        shutil.rmtree(victim.directory / victim.name)
        await publishers.wait_acked(1, 30)
        victim.start()
        await asyncio.to_thread(cluster.wait_healthy, 60)
        await publishers.run_for(seconds)
    await publishers.stop()
    return publishers


def test_a_lost_disk_is_filled_again_under_load(cluster: Cluster, kill_seconds: float) -> None:
    if cluster.nodes[0].program.reference:
        pytest.skip("nats-server takes an empty store for the one that was lost")
    publishers = asyncio.run(lose_disks_under_load(cluster, kill_seconds))
    cluster.wait_replicas_equal(STREAM, 60)
    acked = [publish for publish in publishers.history if publish.sequence]
    stored = asyncio.run(read_all(cluster, STREAM))
    complaints = judge(publishers.history, stored)
    assert not complaints, f"{len(complaints)} broken promises:\n" + "\n".join(complaints[:20])
    print(f"{len(acked)} acknowledged of {len(publishers.history)}, {len(stored)} stored")
    for node in cluster.nodes:
        replicas = node.get("/jsz")["meta_cluster"]
        assert (replicas["cluster_size"], len(replicas.get("replicas", []))) in ((3, 2), (3, 0)), replicas

    async def publish_without_one() -> None:
        client = await connect([node.url for node in cluster.nodes[:2]])
        cluster.nodes[2].kill()
        late = Publishers(STREAM, [node.url for node in cluster.nodes[:2]], 2)
        await late.start()
        await late.wait_acked(10, 30)
        await late.stop()
        await client.close()

    asyncio.run(publish_without_one())
