"""Servers with tags, and streams that ask for them; the same with nats-server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from nats.aio.client import Client

from clients.servers import Cluster, Program
from clients.test_clients_api import ask
from clients.waiting import wait_until_async
from clients.workload import connect, leader_of

pytestmark = [pytest.mark.clients, pytest.mark.timeout(120)]

TAGS = {"n1": ["az:a", "SSD"], "n2": ["az:b", "ssd"], "n3": ["az:b", "hdd"]}
NOWHERE = "no suitable peers for placement"


@pytest.fixture(scope="module")
def cluster(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    running = Cluster(program, tmp_path_factory.mktemp("tags"), jetstream='  unique_tag: "az:"\n')
    for node in running.nodes:
        quoted = ", ".join(f'"{tag}"' for tag in TAGS[node.name])
        node.conf_path.write_text(node.conf_path.read_text() + f"server_tags: [{quoted}]\n")
    with running:
        yield running


def test_streams_are_where_tags_ask_for(cluster: Cluster) -> None:
    asyncio.run(placed_by_tags(cluster))


async def make(client: Client, name: str, replicas: int, *tags: str) -> list[str] | str:
    """Who holds a new stream, or why nobody does."""
    config = {"name": name, "num_replicas": replicas, "placement": {"tags": list(tags)}}
    answer = await ask(client, f"STREAM.CREATE.{name}", config)
    return answer["error"]["description"] if "error" in answer else holders(answer)


def holders(answer: dict[str, Any]) -> list[str]:
    cluster = answer["cluster"]
    return sorted([cluster["leader"], *(replica["name"] for replica in cluster.get("replicas", []))])


async def placed_by_tags(cluster: Cluster) -> None:
    client = await connect([cluster.urls[0]])
    assert await make(client, "A", 2, "ssd") == ["n1", "n2"]
    assert await make(client, "B", 1, "ssd", "!az:a") == ["n2"]
    assert await make(client, "C", 1, "HDD") == ["n3"]
    assert await make(client, "D", 2, "az:b") == ["n2", "n3"]
    assert await make(client, "E", 2, "hdd") == f"{NOWHERE}, tags not matched ['hdd']"
    assert await make(client, "F", 1, "gpu") == f"{NOWHERE}, tags not matched ['gpu']"
    assert await make(client, "G", 2, "!ssd") == f"{NOWHERE}, tags excluded ['ssd']"
    answer = await ask(client, "STREAM.CREATE.H", {"name": "H", "num_replicas": 3})
    assert answer["error"]["description"] == f"{NOWHERE}, server tag not unique"
    for number in range(4):
        answer = await ask(client, f"STREAM.CREATE.I{number}", {"name": f"I{number}", "num_replicas": 2})
        assert "n1" in holders(answer)
    moved = await ask(client, "STREAM.UPDATE.C", {"name": "C", "placement": {"tags": ["az:a"]}})
    assert "error" not in moved

    async def moves() -> bool:
        answer = await ask(client, "STREAM.INFO.C")
        return "error" not in answer and holders(answer) == ["n1"]

    await wait_until_async("the stream to move", moves)
    first = await leader_of(client, "A")
    other = "az:b" if first == "n1" else "az:a"
    refused = await ask(client, "STREAM.LEADER.STEPDOWN.A", {"placement": {"tags": ["hdd"]}})
    assert refused["error"]["description"] == "no replacement peer connected"
    stepped = await ask(client, "STREAM.LEADER.STEPDOWN.A", {"placement": {"tags": [other]}})
    assert "error" not in stepped

    async def stepped_down() -> bool:
        return await leader_of(client, "A") not in ("", first)

    await wait_until_async("the other leader", stepped_down)
    for node in cluster.nodes:
        assert node.get("/varz")["tags"] == [tag.lower() for tag in TAGS[node.name]]
    await client.close()
