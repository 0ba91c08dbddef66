"""Key-value buckets and object stores as clients build them: nats-py and the `nats` tool, on one server and on three.

Waiting for an expiry is waiting for the marker a watcher gets, with a deadline; nothing sleeps.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
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


class Tool:
    """The `nats` tool at one server."""

    def __init__(self, path: str, url: str) -> None:
        self.path = path
        self.url = url

    def run(self, *words: str, stdin: str = "") -> str:
        """Output of a command that succeeds."""
        done = self._run(words, stdin)
        assert done.returncode == 0, f"nats {' '.join(words)}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def refused(self, *words: str) -> str:
        """What a command says that fails."""
        done = self._run(words, "")
        assert done.returncode != 0, f"nats {' '.join(words)} succeeded:\n{done.stdout}"
        return done.stdout + done.stderr

    def _run(self, words: tuple[str, ...], stdin: str) -> subprocess.CompletedProcess[str]:
        argv = [self.path, "--server", self.url, "--no-context", *words]
        return subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def tool(servers: Cluster, nats_cli: str) -> Tool:
    return Tool(nats_cli, servers.nodes[-1].url)


def test_nats_tool_key_value(servers: Cluster, tool: Tool) -> None:
    replicas = str(len(servers.nodes))
    tool.run("kv", "add", "B", "--history", "4", "--marker-ttl", "1s", "--replicas", replicas)
    assert tool.run("kv", "put", "B", "k", "one") == "one\n"
    assert tool.run("kv", "create", "B", "fresh", "first") == "first\n"
    assert "wrong last sequence: 2" in tool.refused("kv", "create", "B", "fresh", "second")
    assert tool.run("kv", "update", "B", "fresh", "second", "2") == "second\n"
    assert "wrong last sequence: 3" in tool.refused("kv", "update", "B", "fresh", "third", "2")
    assert tool.run("kv", "get", "B", "k", "--raw") == "one"
    tool.run("kv", "put", "B", "k", "two")
    history = tool.run("kv", "history", "B", "k")
    assert "one" in history and "two" in history
    tool.run("kv", "revert", "B", "k", "1", "--force")
    assert tool.run("kv", "get", "B", "k", "--raw") == "one"
    assert tool.run("kv", "ls", "B").split() == ["fresh", "k"]
    tool.run("kv", "del", "B", "k", "--force")
    assert "key not found" in tool.refused("kv", "get", "B", "k")
    tool.run("kv", "purge", "B", "fresh", "--force")
    assert "No keys" in tool.run("kv", "ls", "B")
    tool.run("kv", "create", "B", "brief", "x", "--ttl", "1s")
    info = tool.run("kv", "info", "B")
    assert "KV_B" in info and "Marker TTL" in info
    assert "B" in tool.run("kv", "ls")
    tool.run("kv", "edit", "B", "--history", "6")
    wait_until("the key's end", lambda: "brief" not in tool.run("kv", "ls", "B"), 10)
    tool.run("kv", "compact", "B", "--force")
    tool.run("kv", "del", "B", "--force")
    assert "bucket not found" in tool.refused("kv", "info", "B")


def test_nats_tool_object_store(servers: Cluster, tool: Tool, tmp_path: Path) -> None:
    content = bytes(range(256)) * 2048  # four chunks and a half
    source, target = tmp_path / "source.bin", tmp_path / "target.bin"
    source.write_bytes(content)
    tool.run("object", "add", "O", "--replicas", str(len(servers.nodes)))
    tool.run("object", "put", "O", str(source), "--name", "file", "--force", "--no-progress")
    tool.run("object", "get", "O", "file", "--output", str(target), "--force", "--no-progress")
    assert target.read_bytes() == content
    info = tool.run("object", "info", "O", "file")
    assert "SHA-256" in info and "512 KiB" in info
    source.write_bytes(content[:1000])
    tool.run("object", "put", "O", str(source), "--name", "file", "--force", "--no-progress")
    tool.run("object", "get", "O", "file", "--output", str(target), "--force", "--no-progress")
    assert target.read_bytes() == content[:1000]
    stream = json.loads(tool.run("stream", "info", "OBJ_O", "--json"))
    assert stream["state"]["messages"] == 2  # one chunk and its description: the old chunks are purged
    assert "file" in tool.run("object", "ls", "O")
    tool.run("object", "del", "O", "file", "--force")
    assert "not found" in tool.refused("object", "get", "O", "file", "--no-progress")
    tool.run("object", "put", "O", str(source), "--name", "last", "--force", "--no-progress")
    tool.run("object", "seal", "O", "--force")
    assert "sealed" in tool.refused("object", "put", "O", str(source), "--name", "more", "--force", "--no-progress")
    tool.run("object", "del", "O", "--force")


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
