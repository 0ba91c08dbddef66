"""A bit flips in what one node has stored of a stream, with real processes: the node goes on with its other streams,
has the damaged one repaired from the other nodes, and holds the same messages as they do afterwards."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import nats
import pytest

from clients.servers import Cluster, Node
from clients.waiting import wait_until, wait_until_async
from clients.workload import connect, leader_of

pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]

PATIENCE_S = 20.0
REPAIRED_S = 10.0
MARK = b"the message that is hit"
KINDS = ("block", "log", "snapshots")


@pytest.fixture(autouse=True)
def ours_only(cluster: Cluster) -> None:
    if cluster.nodes[0].program.reference:
        pytest.skip("nats-server cuts off what it cannot read")


async def set_up(cluster: Cluster) -> None:
    """S, in which MARK is, and T; both on all nodes."""
    client = await connect(cluster.urls)
    js = client.jetstream(timeout=PATIENCE_S)
    for name in ("S", "T"):
        await js.add_stream(name=name, subjects=[f"{name}.>"], num_replicas=3)
        for number in range(100):
            payload = MARK if name == "S" and number == 50 else f"{name} {number}".encode() * 10
            await js.publish(f"{name}.{number % 7}", payload)
    await client.close()


async def a_follower(cluster: Cluster, stream: str) -> Node:
    client = await connect(cluster.urls)
    try:
        leader = await leader_of(client, stream)
        return next(node for node in cluster.nodes if node.name != leader)
    finally:
        await client.close()


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 4]))


def blocks_with_mark(node: Node) -> list[Path]:
    store = node.store_dir / "jetstream" / "groups"
    return [path for path in store.glob("*/blocks/*.blk") if MARK in path.read_bytes()]


def damage(node: Node, kind: str) -> None:
    """Flip one bit of what a stopped node has of S; of each of its snapshots where only they are meant."""
    store = node.store_dir / "jetstream"
    if kind == "log":
        (path,) = [path for path in (store / "wal").glob("*.wal") if MARK in path.read_bytes()]
        flip(path, path.read_bytes().index(MARK) + 3)
        return
    (path,) = blocks_with_mark(node)
    if kind == "block":
        flip(path, path.read_bytes().index(MARK) + 3)
        return
    for snapshot in path.parent.parent.glob("*.snap"):
        flip(snapshot, 100)


def health(node: Node) -> str:
    """What /healthz says; "" while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{node.address}:{node.http_port}/healthz", timeout=5) as answer:
            return str(json.load(answer)["status"])
    except urllib.error.HTTPError as error:
        return str(json.load(error).get("error", ""))
    except OSError:
        return ""


async def publish_through(node: Node, stream: str, count: int) -> None:
    client = await nats.connect(node.url)
    js = client.jetstream(timeout=PATIENCE_S)

    async def known() -> bool:
        return bool((await js.publish(f"{stream}.x", b"first")).seq)

    await wait_until_async(f"{stream} takes messages at {node.name}", known, PATIENCE_S)
    for number in range(count):
        await js.publish(f"{stream}.x", f"more {number}".encode())
    await client.close()


async def messages_of(cluster: Cluster, node: Node, stream: str) -> list[tuple[int, str, bytes, Any]]:
    """All messages as the replica of this node has them: it is made the leader, who reads its own."""
    client = await connect(cluster.urls)
    js = client.jetstream(timeout=PATIENCE_S)

    async def leads() -> bool:
        if await leader_of(client, stream) == node.name:
            return True
        body = json.dumps({"placement": {"preferred": node.name}}).encode()
        await client.request(f"$JS.API.STREAM.LEADER.STEPDOWN.{stream}", body, timeout=5)
        return False

    await wait_until_async(f"{node.name} leads {stream}", leads, PATIENCE_S)
    last = (await js.stream_info(stream)).state.last_seq
    found = [await js.get_msg(stream, sequence) for sequence in range(1, last + 1)]
    await client.close()
    return [(m.seq or 0, m.subject or "", m.data or b"", m.time) for m in found]


def equal_everywhere(cluster: Cluster, stream: str) -> None:
    cluster.wait_replicas_equal(stream, REPAIRED_S)
    first, *others = [asyncio.run(messages_of(cluster, node, stream)) for node in cluster.nodes]
    assert any(data == MARK for _, _, data, _ in first)
    assert all(other == first for other in others)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bit_that_flipped_while_a_node_was_down_is_repaired(cluster: Cluster, kind: str) -> None:
    asyncio.run(set_up(cluster))
    node = asyncio.run(a_follower(cluster, "S"))
    if kind == "log":
        node.kill()
    else:
        node.stop()
    damage(node, kind)
    node.log_path.unlink()
    node.start()
    started = time.monotonic()
    said: list[str] = []

    def healthy() -> bool:
        said.append(health(node))
        return said[-1] == "ok"

    wait_until("it answers", lambda: health(node), PATIENCE_S)
    asyncio.run(publish_through(node, "T", 20))
    wait_until("healthy", healthy, PATIENCE_S)
    print(f"{kind}: healthy {time.monotonic() - started:.1f} s after the start; said {sorted(set(said))}")
    asyncio.run(publish_through(node, "S", 20))
    equal_everywhere(cluster, "S")
    log = node.log_path.read_text()
    assert log.count("What is stored of S on this server is damaged") == 1, log
    assert log.count("The copy of S on this server is whole again") == 1, log
    assert "What is stored of T" not in log and "Traceback" not in log, log


def test_a_bit_that_flips_while_the_leader_runs_is_found_by_reading_and_repaired(cluster: Cluster) -> None:
    asyncio.run(set_up(cluster))

    async def leader() -> Node:
        client = await connect(cluster.urls)
        try:
            return cluster.node(await leader_of(client, "S"))
        finally:
            await client.close()

    for each in cluster.nodes:  # their messages go to block files
        each.stop()
    cluster.start()
    node = asyncio.run(leader())
    (path,) = blocks_with_mark(node)
    flip(path, path.read_bytes().index(MARK) + 3)

    async def read() -> None:
        client = await connect([other.url for other in cluster.nodes if other is not node])
        js = client.jetstream(timeout=3)

        async def intact() -> bool:
            return (await js.get_msg("S", 51)).data == MARK

        await wait_until_async("the message is read from somebody else", intact, PATIENCE_S)
        await client.close()

    asyncio.run(read())
    asyncio.run(publish_through(node, "T", 20))
    wait_until("healthy", node.healthy, REPAIRED_S)
    equal_everywhere(cluster, "S")
    log = node.log_path.read_text()
    assert log.count("S stops on this server, its other replicas go on") == 1, log
    assert log.count("The copy of S on this server is whole again") == 1, log
    assert "Traceback" not in log
