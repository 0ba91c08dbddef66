"""Dead letters, end to end: on one server and on three, over changes of leader and restarts; off as nats-server does.

`broker/DEAD_LETTERS.md` is played with the `nats` tool, command by command.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats.js.errors
import pytest
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StreamConfig

from clients.servers import ROOT, Cluster, Program
from clients.waiting import wait_until_async
from clients.workload import connect, leader_of

pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]


@pytest.fixture(params=[1, 3], ids=["one", "three"])
def servers(request: pytest.FixtureRequest, program: Program, tmp_path: Path) -> Iterator[Cluster]:
    """One server, then three."""
    if program.reference:
        pytest.skip("nats-server has no dead letters")
    with Cluster(program, tmp_path / "servers", request.param) as running:
        yield running


async def messages_of(js: Any, stream: str) -> int:
    """How many messages a stream holds; 0 while there is none of that name."""
    try:
        return int((await js.stream_info(stream)).state.messages)
    except nats.js.errors.NotFoundError:
        return 0


def test_messages_delivered_too_often_move_and_survive(servers: Cluster) -> None:
    asyncio.run(flow(servers))


async def flow(servers: Cluster) -> None:
    replicas = len(servers.nodes)
    client = await connect(servers.urls, "worker 7")
    js = client.jetstream(timeout=2)
    config = StreamConfig(name="JOBS", subjects=["jobs.>"], retention=RetentionPolicy.WORK_QUEUE, num_replicas=replicas)
    await js.add_stream(config)
    wanted = ConsumerConfig(durable_name="worker", ack_policy=AckPolicy.EXPLICIT, max_deliver=2, ack_wait=0.5)
    worker = await js.pull_subscribe("jobs.>", durable="worker", stream="JOBS", config=wanted)
    for number in range(20):
        await js.publish("jobs.eu", b"%d" % number, headers={"Kind": "test"})
    for _ in range(2):  # every message twice in vain; evens are acknowledged the second time
        seen = {message.data for message in await take(worker, 20)}
        assert len(seen) == 20
    for message in worker.taken:
        if int(message.data) % 2 == 0:
            await message.ack()

    async def moved(count: int) -> bool:
        return await messages_of(js, "DLQ_JOBS") == count

    await wait_until_async("ten dead letters", lambda: moved(10))
    info = await js.stream_info("DLQ_JOBS")
    assert (info.config.subjects, info.config.num_replicas) == (["$DLQ.JOBS.>"], replicas)
    assert await messages_of(js, "JOBS") == 0
    letter = await js.get_msg("DLQ_JOBS", 1)
    assert (letter.subject, int(letter.data) % 2) == ("$DLQ.JOBS.worker.jobs.eu", 1)
    headers = letter.headers or {}
    assert headers["Kind"] == "test"
    assert (headers["Ternmq-Dlq-Deliveries"], headers["Ternmq-Dlq-Reason"]) == ("2", "max_deliver")
    assert headers["Ternmq-Dlq-Client"] == "worker 7"

    # The letters are an ordinary stream: consumers, deletes and restarts work on it.
    reader = await js.pull_subscribe("$DLQ.JOBS.>", durable="reader", stream="DLQ_JOBS")
    (first,) = await reader.fetch(1, timeout=5)
    await first.ack_sync()
    await js.delete_msg("DLQ_JOBS", 2)
    if replicas == 3:
        await js._nc.request("$JS.API.STREAM.LEADER.STEPDOWN.DLQ_JOBS", b"")
    for node in servers.nodes:
        if replicas == 3:
            node.kill()
        else:
            node.stop()
    await asyncio.to_thread(servers.start)
    await leader_of(client, "DLQ_JOBS")
    await wait_until_async("nine dead letters", lambda: moved(9))
    (second,) = await reader.fetch(1, timeout=5)
    assert second.metadata.sequence.stream == 3
    await js.publish("jobs.us", b"last")
    for _ in range(2):
        await take(worker, 1)
    await wait_until_async("the tenth again", lambda: moved(10))

    # Deleted, it is made again for the next letter; it goes with its stream.
    assert await js.delete_stream("DLQ_JOBS")
    await js.publish("jobs.us", b"another")
    for _ in range(2):
        await take(worker, 1)
    await wait_until_async("a new stream", lambda: moved(1))
    assert await js.delete_stream("JOBS")
    with pytest.raises(nats.js.errors.NotFoundError):
        await js.stream_info("DLQ_JOBS")
    await client.close()


async def take(worker: Any, count: int) -> list[Any]:
    """Fetch exactly so many, redeliveries included."""
    found: list[Any] = []

    async def more() -> bool:
        found.extend(await worker.fetch(count - len(found), timeout=1))
        return len(found) >= count

    await wait_until_async(f"{count} messages", more)
    worker.taken = found
    return found


SWITCHED_OFF = [
    ("", {"ternmq.dead_letter": "off"}),
    ("ternmq { dead_letter: off }\n", {}),
]


@pytest.mark.parametrize(("extra", "metadata"), SWITCHED_OFF, ids=["consumer", "server"])
def test_off_is_what_the_reference_does(program: Program, tmp_path: Path, extra: str, metadata: dict[str, str]) -> None:
    """The same conversation with either server: the message stays, told about once."""
    if program.reference and extra:
        pytest.skip("a setting of ours")
    with Cluster(program, tmp_path / "one", 1, extra=extra) as server:
        asyncio.run(off_flow(server, metadata))


async def off_flow(server: Cluster, metadata: dict[str, str]) -> None:
    client = await connect(server.urls)
    js = client.jetstream()
    await js.add_stream(StreamConfig(name="S", subjects=["s.>"], retention=RetentionPolicy.WORK_QUEUE))
    told = await client.subscribe("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.c")
    wanted = ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, max_deliver=1, ack_wait=0.3, metadata=metadata)
    worker = await js.pull_subscribe("s.>", durable="c", stream="S", config=wanted)
    await js.publish("s.a", b"1")
    await take(worker, 1)
    await told.next_msg(timeout=5)
    info = await worker.consumer_info()
    assert (info.num_ack_pending, info.num_redelivered) == (0, 0)
    assert (await js.stream_info("S")).state.messages == 1
    with pytest.raises(nats.js.errors.NotFoundError):
        await js.stream_info("DLQ_S")
    await client.close()


def test_the_page_tells_commands_that_work(servers: Cluster, nats_cli: str) -> None:
    """Every command of the page, in order; what it is said to print is waited for."""
    page = (ROOT / "broker" / "DEAD_LETTERS.md").read_text()
    if len(servers.nodes) == 1:
        page = page.replace("--replicas 3", "--replicas 1")
    environment = dict(os.environ, NATS_URL=servers.nodes[-1].url, PATH=f"{Path(nats_cli).parent}:{os.environ['PATH']}")
    commands = re.findall(r"^(nats .*)\n(?:# prints: (.*)\n)?", page, re.MULTILINE)
    assert len(commands) > 8
    for command, expected in commands:
        asyncio.run(play(command, expected, environment))


async def play(command: str, expected: str, environment: dict[str, str]) -> None:
    """One command; a command that says what it prints is repeated until it does."""

    async def prints() -> bool:
        done = await asyncio.to_thread(
            subprocess.run, ["bash", "-c", command], capture_output=True, text=True, timeout=30, env=environment
        )
        said = done.stdout + done.stderr
        if not expected and done.returncode:
            raise RuntimeError(said)
        return expected in said

    await wait_until_async(f"{command} prints {expected!r}", prints)
