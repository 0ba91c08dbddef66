"""Key-value buckets and object stores as nats-py builds them, on one server and on three.

Waiting for an expiry is waiting for the marker a watcher gets, with a deadline; nothing sleeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats.js.errors
import pytest
from nats.js.kv import KV_DEL, KV_PURGE

from clients.servers import Cluster, Program
from clients.waiting import wait_until
from clients.workload import connect

pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]


@pytest.fixture(params=[1, 3], ids=["one", "three"])
def servers(request: pytest.FixtureRequest, program: Program, tmp_path: Path) -> Iterator[Cluster]:
    """One server, then three."""
    with Cluster(program, tmp_path / "servers", request.param) as running:
        yield running


def test_nats_py_key_value(servers: Cluster) -> None:
    asyncio.run(key_value_flow(servers))


async def key_value_flow(servers: Cluster) -> None:
    client = await connect([servers.nodes[0].url])
    other = await connect([servers.nodes[-1].url])
    js = client.jetstream()
    bucket = await js.create_key_value(bucket="b", history=5, replicas=len(servers.nodes))
    assert await bucket.put("a.b", b"1") == 1
    assert (await bucket.get("a.b")).value == b"1"

    # A key is created once, and changed by whoever knows its revision.
    assert await bucket.create("new", b"x") == 2
    with pytest.raises(nats.js.errors.KeyWrongLastSequenceError):
        await bucket.create("new", b"y")
    assert await bucket.update("new", b"y", last=2) == 3
    with pytest.raises(nats.js.errors.KeyWrongLastSequenceError, match="wrong last sequence: 3"):
        await bucket.update("new", b"z", last=2)
    assert (await bucket.get("new", revision=2)).value == b"x"

    # Deleted, created again, purged.
    assert await bucket.delete("new")
    with pytest.raises(nats.js.errors.KeyNotFoundError):
        await bucket.get("new")
    assert await bucket.create("new", b"again") == 5
    assert [entry.operation for entry in await bucket.history("new")] == [None, None, KV_DEL, None]
    assert sorted(await bucket.keys()) == ["a.b", "new"]
    assert await bucket.purge("new")
    assert [entry.operation for entry in await bucket.history("new")] == [KV_PURGE]
    assert await bucket.keys() == ["a.b"]

    # A watch sees what there is, then None, then what comes, through whichever node.
    theirs = await other.jetstream().key_value("b")
    watcher = await theirs.watchall()
    seen = [await watcher.updates(timeout=5) for _ in range(3)]
    assert [entry and (entry.key, entry.operation) for entry in seen] == [("a.b", None), ("new", KV_PURGE), None]
    await bucket.put("c", b"3")
    entry = await watcher.updates(timeout=5)
    assert (entry.key, entry.value) == ("c", b"3")
    await watcher.stop()
    status = await bucket.status()
    assert (status.values, status.history) == (3, 5)
    assert await js.delete_key_value("b")
    with pytest.raises(nats.js.errors.BucketNotFoundError):
        await js.key_value("b")
    await client.close()
    await other.close()


def test_nats_py_keys_with_a_ttl_end_in_a_marker(servers: Cluster) -> None:
    asyncio.run(ttl_flow(servers))


async def ttl_flow(servers: Cluster) -> None:
    client = await connect([servers.nodes[-1].url])
    js = client.jetstream()
    replicas = len(servers.nodes)
    bucket = await js.create_key_value(bucket="ttl", limit_marker_ttl=1.0, replicas=replicas)
    watcher = await bucket.watchall()
    assert await watcher.updates(timeout=5) is None
    assert await bucket.create("short", b"1", msg_ttl=1) == 1
    await bucket.put("stays", b"2")
    assert [(await watcher.updates(timeout=5)).key for _ in range(2)] == ["short", "stays"]
    marker = await watcher.updates(timeout=10)
    assert (marker.key, marker.revision, marker.value) == ("short", 3, b"")
    raw = await js.get_msg("KV_ttl", 3)
    assert raw.headers == {"Nats-Marker-Reason": "MaxAge", "Nats-TTL": "1s", "Nats-Rollup": "sub"}
    await watcher.stop()
    # The marker goes as well; then the key may be made again with any expectation.
    await asyncio.to_thread(
        wait_until, "the marker's end", lambda: states(servers, "KV_ttl") == [(1, 2, 3)] * replicas, 10
    )
    await bucket.create("short", b"3")

    # A bucket's own TTL.
    brief = await js.create_key_value(bucket="brief", ttl=1, replicas=replicas)
    await brief.put("k", b"v")
    empty = [(0, 2, 1)] * replicas
    await asyncio.to_thread(wait_until, "an empty bucket", lambda: states(servers, "KV_brief") == empty, 10)
    with pytest.raises(nats.js.errors.KeyNotFoundError):
        await brief.get("k")
    await client.close()


def states(servers: Cluster, stream: str) -> list[tuple[int, int, int]]:
    """Messages, first and last sequence on every node."""
    return [(state["messages"], state["first_seq"], state["last_seq"]) for state in servers.stream_states(stream)]


def test_nats_py_object_store(servers: Cluster) -> None:
    asyncio.run(object_flow(servers))


async def object_flow(servers: Cluster) -> None:
    client = await connect([servers.nodes[0].url])
    other = await connect([servers.nodes[-1].url])
    js = client.jetstream()
    store: Any = await js.create_object_store("files", replicas=len(servers.nodes))
    content = b"0123456789abcdef" * 40_000  # five chunks
    info = await store.put("big", content)
    assert (info.size, info.chunks) == (len(content), 5)
    theirs: Any = await other.jetstream().object_store("files")
    found = await theirs.get("big")
    assert found.data == content
    assert found.info.digest == info.digest
    await store.put("big", b"small")
    assert (await theirs.get("big")).data == b"small"
    state = (await js.stream_info("OBJ_files")).state
    assert state.messages == 2

    # A link, a new description, a watch that sees both.
    watcher = await theirs.watch()
    assert (await watcher.updates()).name == "big"
    assert await watcher.updates() is None
    await store.put("other", b"o")
    seen = await watcher.updates(timeout=5)
    assert (seen.name, seen.deleted) == ("other", False)
    await store.delete("other")
    seen = await watcher.updates(timeout=5)
    assert (seen.name, bool(seen.deleted)) == ("other", True)
    await watcher.stop()
    assert [entry.name for entry in await theirs.list(ignore_deletes=True)] == ["big"]
    with pytest.raises(nats.js.errors.ObjectNotFoundError):
        await store.get("other")
    await store.seal()
    assert (await store.status()).sealed
    assert await js.delete_object_store("files")
    await client.close()
    await other.close()
