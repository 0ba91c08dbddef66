"""The JetStream API as clients and operators use it, asked raw through any node of one cluster.

Each test has a stream of its own; the cluster is shared, as starting one is what takes time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from clients.servers import Cluster, Program
from clients.waiting import wait_until_async
from clients.workload import connect, leader_of

pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def cluster(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes for the whole module."""
    with Cluster(program, tmp_path_factory.mktemp("api")) as running:
        yield running


async def ask(client: Client, verb: str, body: object = None) -> Any:
    """The answer to one API request."""
    payload = b"" if body is None else json.dumps(body).encode()
    return json.loads((await client.request(f"$JS.API.{verb}", payload, timeout=5)).data)


def test_leaders_step_down(cluster: Cluster) -> None:
    asyncio.run(step_down_flow(cluster))


async def step_down_flow(cluster: Cluster) -> None:
    client = await connect([cluster.urls[0]])
    made = await ask(client, "STREAM.CREATE.LEAD", {"name": "LEAD", "subjects": ["lead.*"], "num_replicas": 3})
    assert made["did_create"]
    config = {"durable_name": "C", "ack_policy": "explicit"}
    await ask(client, "CONSUMER.CREATE.LEAD.C", {"stream_name": "LEAD", "config": config})
    first = await leader_of(client, "LEAD")
    elections = await client.subscribe("$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.LEAD")
    refused = await ask(client, "STREAM.LEADER.STEPDOWN.LEAD", {"placement": {"preferred": "nowhere"}})
    assert refused["error"] == {"code": 400, "err_code": 10005, "description": 'preferred server "nowhere" not known'}
    refused = await ask(client, "STREAM.LEADER.STEPDOWN.LEAD", {"placement": {"preferred": first}})
    assert refused["error"]["description"] == f'preferred server "{first}" is already leader'
    refused = await ask(client, "STREAM.LEADER.STEPDOWN.LEAD", {"nonsense": 1})
    assert refused["error"]["err_code"] == 10025
    wanted = next(node.name for node in cluster.nodes if node.name != first)
    stepped = await ask(client, "STREAM.LEADER.STEPDOWN.LEAD", {"placement": {"preferred": wanted}})
    assert stepped == {"type": "io.nats.jetstream.api.v1.stream_leader_stepdown_response", "success": True}
    elected = json.loads((await elections.next_msg(timeout=5)).data)
    assert (elected["type"], elected["leader"]) == ("io.nats.jetstream.advisory.v1.stream_leader_elected", wanted)
    assert len(elected["replicas"]) == 3

    async def leads(name: str, want: bool) -> bool:
        return (await leader_of(client, "LEAD") == name) is want

    await wait_until_async("the preferred leader", lambda: leads(wanted, True))
    stepped = await ask(client, "CONSUMER.LEADER.STEPDOWN.LEAD.C")
    assert stepped == {"type": "io.nats.jetstream.api.v1.consumer_leader_stepdown_response", "success": True}
    refused = await ask(client, "CONSUMER.LEADER.STEPDOWN.LEAD.X")
    assert refused["error"]["err_code"] == 10014
    if not cluster.nodes[0].program.reference:  # consumers ride in their stream's group
        await wait_until_async("another leader", lambda: leads(wanted, False))
        await meta_step_down(client, cluster)
    await client.close()


async def meta_step_down(client: Client, cluster: Cluster) -> None:
    """nats-server answers this on its system account only."""
    before = cluster.nodes[0].get("/jsz")["meta_cluster"]["leader"]
    assert (await ask(client, "META.LEADER.STEPDOWN"))["success"]

    async def another() -> bool:
        seen = await asyncio.to_thread(cluster.nodes[0].get, "/jsz")
        return seen["meta_cluster"].get("leader", "") not in ("", before)

    await wait_until_async("another meta leader", another)


def test_a_lone_server_has_no_leaders_to_step_down(program: Program, tmp_path: Path) -> None:
    async def flow(server: Cluster) -> None:
        client = await connect(server.urls)
        await ask(client, "STREAM.CREATE.S", {"name": "S"})
        for verb in ("STREAM.LEADER.STEPDOWN.S", "CONSUMER.LEADER.STEPDOWN.S.C"):
            refused = await ask(client, verb)
            assert refused["error"]["err_code"] == 10010
        await client.close()

    with Cluster(program, tmp_path / "lone", 1) as server:
        asyncio.run(flow(server))
