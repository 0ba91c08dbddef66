"""Applications as people write them, with FastStream and with taskiq, on one server and on three.

The libraries are as they are installed; the programs of apps/ know nothing of these tests.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from clients.conftest import missing
from clients.servers import Cluster, Program
from clients.waiting import wait_until, wait_until_async
from clients.workload import connect

pytestmark = [pytest.mark.clients, pytest.mark.slow, pytest.mark.timeout(120)]

APPS = Path(__file__).parent / "apps"


@pytest.fixture(scope="module", params=[1, 3], ids=["one", "three"])
def servers(
    request: pytest.FixtureRequest, program: Program, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    for library in ("faststream", "taskiq_nats"):
        if importlib.util.find_spec(library) is None:
            missing(library)
    with Cluster(program, tmp_path_factory.mktemp("apps"), request.param) as running:
        yield running


def environment(servers: Cluster, **more: str) -> dict[str, str]:
    return dict(os.environ, NATS_URL=",".join(servers.urls), REPLICAS=str(len(servers.nodes)), **more)


@contextmanager
def started(log: Path, environment: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program of apps/, gone afterwards with everything that it started."""
    with log.open("ab") as sink:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=APPS, env=environment, stdout=sink, stderr=sink, start_new_session=True
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_shop_with_faststream(servers: Cluster, tmp_path: Path) -> None:
    asyncio.run(sell(servers, tmp_path / "shop.log"))


async def sell(servers: Cluster, log: Path) -> None:
    client = await connect(servers.urls)
    js = client.jetstream()
    replicas = len(servers.nodes)
    prices = await js.create_key_value(bucket="prices", replicas=replicas)
    labels = await js.create_object_store("labels", replicas=replicas)
    await prices.put("apple", b"3")

    async def is_open() -> bool:
        return len(await js.consumers_info("SHOP")) == 2 and await price("apple") == 3

    async def price(what: str) -> int:
        return int((await client.request("price.of", json.dumps(what).encode(), timeout=1)).data)

    async def order(number: int, what: str) -> None:
        order = json.dumps({"number": number, "what": what, "pieces": number}).encode()

        async def is_stored() -> bool:
            return (await js.publish("shop.orders", order, headers={"Nats-Msg-Id": str(number)}, timeout=1)).seq > 0

        await wait_until_async(f"order {number} is stored", is_stored)

    async def shipped() -> dict[int, int]:
        """Total by number of the order."""
        found = [json.loads(text) for text in await read(js, "shop.shipped")]
        return {invoice["number"]: invoice["total"] for invoice in found}

    async def labelled() -> list[str]:
        return await read(js, "shop.labelled")

    with started(log, environment(servers), "shop.py") as keeper:
        await wait_until_async("the shop is open", is_open)
        for number in range(1, 11):
            await order(number, "apple")
        wanted = {number: 3 * number for number in range(1, 11)}
        await wait_until_async("apples are shipped", lambda: equal(shipped, wanted))
        await order(11, "pear")  # which has no price yet
        await order(12, "apple")
        wanted[12] = 36
        await wait_until_async("who can be served is", lambda: equal(shipped, wanted))
        await prices.put("pear", b"5")
        wanted[11] = 55
        await wait_until_async("pears are shipped", lambda: equal(shipped, wanted))
        assert len(await read(js, "shop.shipped")) == len(wanted), "nothing twice"
        await labels.put("box", b"x" * 300_000)
        await wait_until_async("a label is seen", lambda: equal(labelled, ["box: 300000 bytes"]))
        if replicas > 1:
            leader = servers.node((await js.stream_info("SHOP")).cluster.leader)
            leader.kill()
            await order(20, "apple")
            wanted[20] = 60
            await wait_until_async("the shop goes on without a server", lambda: equal(shipped, wanted), 40)
            leader.start()
            await asyncio.to_thread(servers.wait_healthy)
        keeper.terminate()
        assert keeper.wait(20) == 0, log.read_text()
    for number in range(13, 20):
        await order(number, "apple")  # while nobody is there
        wanted[number] = 3 * number
    with started(log, environment(servers), "shop.py"):
        await wait_until_async("what came meanwhile is shipped", lambda: equal(shipped, wanted))
    await client.close()


async def equal(found: Any, wanted: object) -> bool:
    return bool(await found() == wanted)


async def read(js: Any, subject: str) -> list[str]:
    """Everything that the stream has on a subject."""
    subscription = await js.subscribe(subject, stream="SHOP", ordered_consumer=True)
    info = await subscription.consumer_info()
    messages = [await subscription.next_msg(timeout=5) for _ in range(info.num_pending + info.delivered.consumer_seq)]
    await subscription.unsubscribe()
    return [message.data.decode() for message in messages]


@pytest.mark.parametrize("consumer", ["pull", "push"])
def test_tasks_with_taskiq(consumer: str, servers: Cluster, tmp_path: Path) -> None:
    surroundings = environment(servers, CONSUMER=consumer)
    worker = ("-m", "taskiq", "worker", "tasks:broker", "--workers", "1")
    log = tmp_path / "worker.log"
    with started(log, surroundings, *worker):
        wait_until("the worker listens", lambda: "Listening started" in log.read_text(), 30)
        done = subprocess.run([sys.executable, "tasks.py"], cwd=APPS, env=surroundings, capture_output=True, timeout=90)
    assert done.returncode == 0, f"{done.stderr.decode()}\n{log.read_text()}"
    came_of_it = json.loads(done.stdout.splitlines()[-1])
    assert came_of_it == {
        "sums": [2 * number for number in range(20)],
        "failed": "ZeroDivisionError",
        "long": 300_000,
        "planned": ["one"],
        "left": [],
    }
    asyncio.run(forget_tasks(servers))


async def forget_tasks(servers: Cluster) -> None:
    """Every task was acknowledged, so that the work queue is empty."""
    client = await connect(servers.urls[:1])
    assert (await client.jetstream().stream_info("TASKS")).state.messages == 0
    await client.jetstream().delete_stream("TASKS")
    await client.close()
