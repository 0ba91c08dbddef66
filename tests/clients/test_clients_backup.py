"""Backups with the `nats` tool: from here to nats-server and back, from a cluster's node to another's, and bad ones."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from clients.servers import Cluster, Program
from clients.test_clients_api import ask
from clients.workload import connect

pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]

CONSUMERS = ("C", "F", "E")


@pytest.fixture(scope="module")
def cluster(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes for the whole module."""
    with Cluster(program, tmp_path_factory.mktemp("backup")) as running:
        yield running


def nats(tool: str, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([tool, "-s", url, *arguments], capture_output=True, text=True, timeout=60)


async def fill(client: Client, name: str, replicas: int) -> None:
    """Messages with and without headers, large and empty, holes, consumers in the midst of things."""
    config: dict[str, Any] = {"name": name, "subjects": [f"{name}.>"], "num_replicas": replicas, "allow_msg_ttl": True}
    assert "error" not in await ask(client, f"STREAM.CREATE.{name}", config)
    about: list[dict[str, Any]] = [
        {"durable_name": "C", "ack_policy": "explicit", "max_deliver": 5},
        {"durable_name": "F", "ack_policy": "explicit", "filter_subject": f"{name}.b"},
        {"name": "E", "ack_policy": "none", "inactive_threshold": 300 * 10**9},
    ]
    for number, consumer in enumerate(about):
        body = {"stream_name": name, "config": consumer}
        assert "error" not in await ask(client, f"CONSUMER.CREATE.{name}.{CONSUMERS[number]}", body)
    for number in range(200):
        headers = {"Nats-Msg-Id": f"id-{number}", "X": "y"} if number % 5 == 0 else None
        subject = f"{name}.{'a' if number % 3 else 'b'}"
        await client.request(subject, b"hello %d " % number * 20, headers=headers, timeout=5)
    for data in (os.urandom(200_000), b""):
        await client.request(f"{name}.big", data, timeout=5)
    for sequence in (3, 50, 51, 52):
        assert (await ask(client, f"STREAM.MSG.DELETE.{name}", {"seq": sequence}))["success"]
    pull = await client.jetstream().pull_subscribe("", durable="C", stream=name)
    messages = await pull.fetch(20)
    for message in messages[:5] + messages[10:12]:
        await message.ack_sync()
    await messages[6].nak()
    await pull.fetch(1)


async def seen(client: Client, name: str) -> dict[str, Any]:
    """Everything of a stream that a backup must keep."""
    info = await ask(client, f"STREAM.INFO.{name}", {"deleted_details": True})
    state = {key: info["state"].get(key) for key in ("messages", "first_seq", "last_seq", "deleted", "num_subjects")}
    found: dict[str, Any] = {"state": state}
    for consumer in CONSUMERS:
        about = await ask(client, f"CONSUMER.INFO.{name}.{consumer}")
        kept = ("num_ack_pending", "num_redelivered", "num_pending")
        found[consumer] = {key: about[key] for key in kept}
        for pair in ("delivered", "ack_floor"):
            found[consumer][pair] = (about[pair]["consumer_seq"], about[pair]["stream_seq"])
    digest = hashlib.sha1()
    for sequence in range(state["first_seq"], state["last_seq"] + 1):
        message = (await ask(client, f"STREAM.MSG.GET.{name}", {"seq": sequence})).get("message")
        digest.update(json.dumps(message, sort_keys=True).encode())
    found["messages"] = digest.hexdigest()
    return found


async def backed_up(url: str, tool: str, name: str, directory: Path, replicas: int = 1) -> dict[str, Any]:
    client = await connect([url])
    await fill(client, name, replicas)
    made = nats(tool, url, "stream", "backup", name, str(directory))
    assert made.returncode == 0, made.stderr
    found = await seen(client, name)
    await client.close()
    return found


async def restored(url: str, tool: str, name: str, directory: Path) -> dict[str, Any]:
    made = nats(tool, url, "stream", "restore", str(directory))
    assert made.returncode == 0, made.stdout + made.stderr
    client = await connect([url])
    found = await seen(client, name)
    answer = json.loads((await client.request(f"{name}.new", b"x", timeout=5)).data)
    assert answer["seq"] == found["state"]["last_seq"] + 1
    await client.close()
    return found


@pytest.mark.parametrize("way", ["to nats-server", "from nats-server"])
def test_backups_go_to_nats_server_and_come_from_it(
    program: Program, nats_cli: str, tmp_path: Path, way: str
) -> None:
    programs = [program, Program.nats_server()]
    if way == "from nats-server":
        programs.reverse()
    with Cluster(programs[0], tmp_path / "from", 1) as server:
        before = asyncio.run(backed_up(server.urls[0], nats_cli, "S", tmp_path / "backup"))
    with Cluster(programs[1], tmp_path / "to", 1) as server:
        assert asyncio.run(restored(server.urls[0], nats_cli, "S", tmp_path / "backup")) == before


def test_a_replicated_stream_is_backed_up_and_restored_through_any_node(
    cluster: Cluster, nats_cli: str, tmp_path: Path
) -> None:
    async def flow() -> None:
        before = await backed_up(cluster.urls[0], nats_cli, "R", tmp_path / "backup", 3)
        client = await connect([cluster.urls[1]])
        refused = await ask(client, "STREAM.RESTORE.R", {"config": {"name": "R"}, "state": {}})
        assert refused["error"]["err_code"] == 10130
        for url in cluster.urls:
            assert (await ask(client, "STREAM.DELETE.R"))["success"]
            assert await restored(url, nats_cli, "R", tmp_path / "backup") == before
        await client.close()

    asyncio.run(flow())
    cluster.wait_replicas_equal("R")


async def send(client: Client, name: str, archive: bytes, chunk: int = 50_000) -> dict[str, Any]:
    """Restore by hand; the first answer that says anything, or the last one."""
    body = {"config": {"name": name, "subjects": [f"{name}.>"]}, "state": {}}
    begun = await ask(client, f"STREAM.RESTORE.{name}", body)
    assert "error" not in begun, begun
    subject = begun["deliver_subject"]
    assert subject.startswith(f"$JS.SNAPSHOT.RESTORE.{name}.")
    for at in range(0, len(archive), chunk):
        answer = (await client.request(subject, archive[at : at + chunk], timeout=5)).data
        if answer:
            found: dict[str, Any] = json.loads(answer)
            return found
    last: dict[str, Any] = json.loads((await client.request(subject, b"", timeout=5)).data)
    return last


def test_a_bad_archive_is_one_error_and_leaves_nothing(cluster: Cluster, nats_cli: str, tmp_path: Path) -> None:
    async def flow() -> None:
        await backed_up(cluster.urls[0], nats_cli, "B", tmp_path / "backup")
        archive = next((tmp_path / "backup").glob("stream.*")).read_bytes()
        client = await connect([cluster.urls[1]])
        flipped = bytearray(archive)
        flipped[len(archive) // 2] ^= 4
        cases = {
            "cut": archive[:-30],
            "between two blocks": archive[: archive.rindex(b"\x00", 0, 20_000)],
            "flipped": bytes(flipped),
            "nothing": b"",
            "text": b"this is no backup at all" * 1000,
            "twice": archive + archive[10:],
        }
        for name, data in cases.items():
            answer = await send(client, "T", data)
            assert answer["error"]["err_code"] == 10062, (name, answer)
            assert answer["error"]["description"].startswith("restore failed: "), (name, answer)

            async def is_gone() -> bool:
                return "T" not in ((await ask(client, "STREAM.NAMES"))["streams"] or [])

            assert await is_gone()
            made = {"error": {}}
            while "error" in made:  # until the meta group has heard of the failure
                made = await ask(client, "STREAM.CREATE.T", {"name": "T", "subjects": ["T.>"]})
            assert made["state"]["messages"] == 0
            assert (await ask(client, "STREAM.DELETE.T"))["success"]
        whole = await send(client, "T", archive)
        assert whole["state"]["messages"] == 198
        await client.close()

    asyncio.run(flow())


def test_what_is_asked_wrongly_is_refused(cluster: Cluster) -> None:
    async def flow() -> None:
        client = await connect([cluster.urls[0]])
        assert "error" not in await ask(client, "STREAM.CREATE.W", {"name": "W", "subjects": ["W.>"]})
        refused = await ask(client, "STREAM.SNAPSHOT.W")
        assert refused["error"]["err_code"] == 10003
        refused = await ask(client, "STREAM.SNAPSHOT.W", {"deliver_subject": "a.*"})
        assert refused["error"]["err_code"] == 10015
        refused = await ask(client, "STREAM.SNAPSHOT.X", {"deliver_subject": "a"})
        assert refused["error"]["err_code"] == 10059
        refused = await ask(client, "STREAM.RESTORE.X")
        assert refused["error"]["err_code"] == 10003
        refused = await ask(client, "STREAM.RESTORE.X", {"config": {"name": "Y"}})
        assert refused["error"]["err_code"] == 10056
        await client.close()

    asyncio.run(flow())
