"""Many messages in one go, on three nodes and through each of them: atomic and fast batches, direct gets in batches."""

from __future__ import annotations

import asyncio
import json

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from clients.servers import Cluster
from clients.workload import connect

pytestmark = [pytest.mark.clients, pytest.mark.timeout(120)]
FIELDS = {"name": "S", "subjects": ["s.*"], "num_replicas": 3, "allow_atomic": True, "allow_direct": True}


def test_batches_through_every_node(cluster: Cluster) -> None:
    asyncio.run(batches_through_every_node(cluster))


async def batches_through_every_node(cluster: Cluster) -> None:
    clients = [await connect([node.url]) for node in cluster.nodes]
    assert "error" not in await api(clients[0], "STREAM.CREATE.S", FIELDS)
    for number, client in enumerate(clients):
        for sequence in range(1, 10):
            staged = await say(client, f"batch{number}", sequence)
            assert staged == b"", "staged on the leader, wherever that is"
        assert (await api(client, "STREAM.INFO.S"))["state"]["messages"] == 10 * number
        ack = json.loads(await say(client, f"batch{number}", 10, "1"))
        assert ack == {"stream": "S", "seq": 10 * number + 10, "batch": f"batch{number}", "count": 10}
    await fast_batches(clients)
    for client in clients:
        *found, end = await direct_get(client, {"seq": 11, "batch": 15})
        assert [int((message.headers or {})["Nats-Sequence"]) for message in found] == list(range(11, 26))
        assert (end.headers or {})["Nats-Num-Pending"] == "5"
        *found, _ = await direct_get(client, {"multi_last": ["s.*"]})
        assert [(message.headers or {})["Nats-Sequence"] for message in found] == ["30"]
    for client in clients:
        await client.close()


async def fast_batches(clients: list[Client]) -> None:
    """A thousand messages in a stream of their own; then as many with acks every hundred."""
    fields = {"name": "F", "subjects": ["f"], "num_replicas": 3, "allow_batched": True}
    assert "error" not in await api(clients[0], "STREAM.CREATE.F", fields)
    for number, client in enumerate(clients):
        inbox = client.new_inbox()
        answers = await client.subscribe(f"{inbox}.>")
        for sequence in range(1, 1001):
            operation = 0 if sequence == 1 else 2 if sequence == 1000 else 1
            reply = f"{inbox}.fast{number}.100.fail.{sequence}.{operation}.$FI"
            await client.publish("f", b"x", reply=reply)
        acks = [json.loads((await answers.next_msg(timeout=5)).data)]
        while "batch" not in acks[-1]:
            acks.append(json.loads((await answers.next_msg(timeout=5)).data))
        assert acks[0] == {"type": "ack", "seq": 0, "msgs": 100}
        assert acks[-1] == {"stream": "F", "seq": 1000 * (number + 1), "batch": f"fast{number}", "count": 1000}
        assert [ack["seq"] % 100 for ack in acks[:-1]] == [0] * (len(acks) - 1)
        await answers.unsubscribe()


async def api(client: Client, verb: str, body: object = None) -> dict:
    answer = await client.request(f"$JS.API.{verb}", b"" if body is None else json.dumps(body).encode(), timeout=5)
    return json.loads(answer.data)


async def say(client: Client, batch: str, sequence: int, commit: str = "") -> bytes:
    headers = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(sequence)}
    if commit:
        headers["Nats-Batch-Commit"] = commit
    return (await client.request("s.a", b"x", headers=headers, timeout=5)).data


async def direct_get(client: Client, body: object) -> list[Msg]:
    """Everything up to the end of the batch."""
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox)
    await client.publish("$JS.API.DIRECT.GET.S", json.dumps(body).encode(), reply=inbox)
    found = []
    while not found or (found[-1].headers or {}).get("Status") != "204":
        found.append(await subscription.next_msg(timeout=5))
    await subscription.unsubscribe()
    return found
