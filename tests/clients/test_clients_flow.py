"""A first hour with two clients: nats-py and the jetstream package of nats.go. The `nats` tool is in cli/."""

from __future__ import annotations

import asyncio
import subprocess
from typing import Any

import nats.errors
import nats.js.errors
import pytest
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StreamConfig

from clients.servers import Cluster
from clients.workload import connect

pytestmark = [pytest.mark.clients, pytest.mark.timeout(180)]


def test_nats_py_publishes_consumes_and_is_told_the_truth(cluster: Cluster) -> None:
    asyncio.run(nats_py_flow(cluster))


async def nats_py_flow(cluster: Cluster) -> None:
    client = await connect([cluster.nodes[0].url])
    other = await connect([cluster.nodes[1].url])
    js = client.jetstream()
    subjects = ["pyflow.>"]
    info = await js.add_stream(StreamConfig(name="PYFLOW", subjects=subjects, num_replicas=3))
    assert info.config.num_replicas == 3
    assert info.cluster is not None
    assert len(info.cluster.replicas or []) == 2

    # Published through one node with ids, seen as duplicates through another.
    first = await js.publish("pyflow.a", b"one", headers={"Nats-Msg-Id": "1"})
    second = await other.jetstream().publish("pyflow.a", b"one", headers={"Nats-Msg-Id": "1"})
    assert (first.seq, second.seq, second.duplicate) == (1, 1, True)
    for number in range(2, 11):
        await js.publish("pyflow.b", b"%d" % number)

    # A durable pull consumer: fetch, nak, ack, redelivery counts.
    consumer = await other.jetstream().pull_subscribe("pyflow.>", durable="worker", stream="PYFLOW")
    messages = await consumer.fetch(10, timeout=5)
    assert [message.metadata.sequence.stream for message in messages] == list(range(1, 11))
    await messages[0].nak()
    for message in messages[1:]:
        await message.ack_sync()
    (again,) = await consumer.fetch(1, timeout=5)
    assert (again.metadata.sequence.stream, again.metadata.num_delivered) == (1, 2)
    await again.ack_sync()
    state = await consumer.consumer_info()
    assert (state.num_ack_pending, state.num_pending) == (0, 0)
    with pytest.raises(nats.errors.TimeoutError):
        await consumer.fetch(1, timeout=0.3)

    await direct_reads_and_work_queue(client)
    assert await js.delete_stream("PYFLOW")
    with pytest.raises(nats.js.errors.NotFoundError):
        await js.stream_info("PYFLOW")
    await client.close()
    await other.close()


async def direct_reads_and_work_queue(client: Any) -> None:
    """Message get and delete, and a work queue that forgets what was acknowledged."""
    js = client.jetstream()
    assert (await js.get_msg("PYFLOW", 1)).data == b"one"
    assert (await js.get_last_msg("PYFLOW", "pyflow.b")).data == b"10"
    await js.delete_msg("PYFLOW", 5)
    with pytest.raises(nats.js.errors.NotFoundError):
        await js.get_msg("PYFLOW", 5)
    await js.add_stream(
        StreamConfig(name="JOBS", subjects=["jobs.*"], retention=RetentionPolicy.WORK_QUEUE, num_replicas=3)
    )
    await js.publish("jobs.x", b"work")
    config = ConsumerConfig(ack_policy=AckPolicy.EXPLICIT)
    worker = await js.pull_subscribe("jobs.x", durable="jobs", stream="JOBS", config=config)
    (job,) = await worker.fetch(1, timeout=5)
    await job.ack_sync()
    assert (await js.stream_info("JOBS")).state.messages == 0
    await js.delete_stream("JOBS")


def test_nats_py_push_consumer_and_core_requests(cluster: Cluster) -> None:
    asyncio.run(push_flow(cluster))


async def push_flow(cluster: Cluster) -> None:
    """A service on one node asked through another; a push consumer; a request that nobody answers."""
    here = await connect([cluster.nodes[0].url])
    there = await connect([cluster.nodes[2].url])

    async def answer(message: Any) -> None:
        await message.respond(b"pong " + message.data)

    await here.subscribe("service", queue="workers", cb=answer)
    await here.flush()
    deadline = asyncio.get_running_loop().time() + 5
    while True:  # interest spreads to the other nodes a moment later
        try:
            reply = await there.request("service", b"1", timeout=1)
            break
        except nats.errors.NoRespondersError:
            assert asyncio.get_running_loop().time() < deadline
    assert reply.data == b"pong 1"
    with pytest.raises(nats.errors.NoRespondersError):
        await there.request("nobody.listens", b"", timeout=2)

    js = here.jetstream()
    await js.add_stream(StreamConfig(name="PUSH", subjects=["push.*"], num_replicas=3))
    arrived: asyncio.Queue[Any] = asyncio.Queue()
    await there.jetstream().subscribe("push.*", stream="PUSH", durable="pusher", cb=arrived.put, manual_ack=True)
    for number in range(5):
        await js.publish("push.x", b"%d" % number)
    got = [await asyncio.wait_for(arrived.get(), 5) for _ in range(5)]
    assert [message.data for message in got] == [b"0", b"1", b"2", b"3", b"4"]
    for message in got:
        await message.ack()
    await js.delete_stream("PUSH")
    await here.close()
    await there.close()


def test_nats_go_jetstream_package(cluster: Cluster, go_flow: str) -> None:
    done = subprocess.run([go_flow, ",".join(cluster.urls)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "flow complete" in done.stdout
