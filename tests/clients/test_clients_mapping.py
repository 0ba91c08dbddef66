"""Subject transforms and republishing of streams, as clients see them; the same on nats-server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from clients.servers import Cluster, Program
from clients.waiting import wait_until_async
from clients.workload import connect

pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def cluster(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes for the whole module."""
    with Cluster(program, tmp_path_factory.mktemp("mapping")) as running:
        yield running


async def ask(client: Client, verb: str, body: object = None) -> Any:
    """The answer to one API request."""
    payload = b"" if body is None else json.dumps(body).encode()
    return json.loads((await client.request(f"$JS.API.{verb}", payload, timeout=5)).data)


async def interest_travels(cluster: Cluster, heard: Subscription) -> None:
    """Until what any node publishes on `again.>` is heard."""
    for url in cluster.urls:
        client = await connect([url])

        async def arrives(client: Client = client) -> bool:
            await client.publish("again.ready", b"")
            await client.flush()
            return heard.pending_msgs > 0

        await wait_until_async("interest of other nodes", arrives)
        await client.close()
        while heard.pending_msgs:
            await heard.next_msg()


async def next_of(heard: Subscription) -> Msg:
    """The next message that is not one of `interest_travels`."""
    while (message := await heard.next_msg(timeout=5)).subject == "again.ready":
        pass
    return message


async def refusal(client: Client, **fields: object) -> str:
    """What an update to this configuration is told."""
    error = (await ask(client, "STREAM.UPDATE.R", {"name": "R", "subjects": ["r.>"], **fields}))["error"]
    return f"{error['code']} {error['err_code']} {error['description']}"


def test_subjects_are_transformed_before_they_are_stored(cluster: Cluster) -> None:
    async def flow() -> None:
        client = await connect([cluster.urls[0]])
        transform = {"src": "t.*", "dest": "stored.{{partition(4,1)}}.$1"}
        config = {"name": "T", "subjects": ["t.>"], "num_replicas": 3, "subject_transform": transform}
        made = await ask(client, "STREAM.CREATE.T", config)
        assert made["config"]["subject_transform"] == transform
        other = await connect([cluster.urls[1]])
        for subject in ("t.b", "t.x.y", "t.abcde"):
            await other.request(subject, b"hello", timeout=5)
        subjects = [
            (await ask(client, "STREAM.MSG.GET.T", {"seq": sequence}))["message"]["subject"] for sequence in (1, 2, 3)
        ]
        assert subjects == ["stored.1.b", "t.x.y", "stored.0.abcde"]
        config["subject_transform"] = {"src": "t.*", "dest": "stored.$1"}
        assert "error" not in await ask(client, "STREAM.UPDATE.T", config)
        await client.request("t.b", b"hello", timeout=5)
        found = await ask(client, "STREAM.MSG.GET.T", {"last_by_subj": "stored.b"})
        assert found["message"]["seq"] == 4
        await client.close()
        await other.close()

    asyncio.run(flow())


def test_what_is_stored_is_published_again(cluster: Cluster) -> None:
    async def flow() -> None:
        client = await connect([cluster.urls[0]])
        listener = await connect([cluster.urls[1]])
        heard = await listener.subscribe("again.>")
        await listener.flush()
        config = {"name": "P", "subjects": ["p.>"], "num_replicas": 3, "max_msgs_per_subject": 1}
        config["republish"] = {"src": "p.*", "dest": "again.$1"}
        assert "error" not in await ask(client, "STREAM.CREATE.P", config)
        await interest_travels(cluster, heard)
        for payload, headers in ((b"one", None), (b"two", {"K": "v"})):
            await client.request("p.x", payload, headers=headers, timeout=5)
        await client.request("p.x.y", b"elsewhere", timeout=5)
        first, second = [await next_of(heard) for _ in range(2)]
        assert (first.subject, first.reply, first.data) == ("again.x", "", b"one")
        assert first.headers is not None and second.headers is not None
        assert list(first.headers) == [
            "Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp", "Nats-Last-Sequence",
        ]  # fmt: skip
        assert [first.headers[key] for key in ("Nats-Stream", "Nats-Subject", "Nats-Sequence")] == ["P", "p.x", "1"]
        stored = await ask(client, "STREAM.MSG.GET.P", {"last_by_subj": "p.x"})
        assert second.headers["Nats-Time-Stamp"] == stored["message"]["time"]
        assert (second.headers["K"], second.headers["Nats-Last-Sequence"], second.data) == ("v", "1", b"two")
        config["republish"] = {"dest": "again.>", "headers_only": True}
        updated = await ask(client, "STREAM.UPDATE.P", config)
        assert updated["config"]["republish"] == {"src": ">", "dest": "again.>", "headers_only": True}
        await client.request("p.x", b"three", timeout=5)
        third = await next_of(heard)
        assert third.headers is not None
        assert (third.subject, third.data, third.headers["Nats-Msg-Size"]) == ("again.p.x", b"", "5")
        assert third.headers["Nats-Last-Sequence"] == "2"
        await client.close()
        await listener.close()

    asyncio.run(flow())


def test_what_makes_no_sense_is_refused(cluster: Cluster) -> None:
    async def flow() -> None:
        client = await connect([cluster.urls[0]])
        assert "error" not in await ask(client, "STREAM.CREATE.R", {"name": "R", "subjects": ["r.>"]})
        assert await refusal(client, subject_transform={"src": "r..x", "dest": "s"}) == (
            "400 10155 stream transform source: invalid subject r..x"
        )
        assert await refusal(client, subject_transform={"src": "r.*", "dest": "s.$2"}) == (
            "400 10156 stream transform: invalid mapping destination: wildcard index out of range in $2: [2]"
        )
        assert await refusal(client, republish={"src": "r.>", "dest": "r.again.>"}) == (
            "500 10052 stream configuration for republish destination forms a cycle"
        )
        assert await refusal(client, republish={"src": "r.*", "dest": "q.$2"}) == (
            "500 10052 stream configuration for republish with transform from 'r.*' to 'q.$2' not valid"
        )
        transform = {"src": "r.>", "dest": "q.>"}
        config = {"name": "R", "subjects": ["r.>"], "subject_transform": transform}
        updated = await ask(client, "STREAM.UPDATE.R", {**config, "republish": {"src": ">", "dest": ">"}})
        assert updated["config"]["republish"] == {"src": "q.>", "dest": "q.>"}
        await client.close()

    asyncio.run(flow())
