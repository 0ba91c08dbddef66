"""Publishers with message ids at full speed through nats-py, and reading everything back.

Each message is tried until it is acknowledged or the run ends: same id, same bytes, so that a retry of what was stored
is answered as a duplicate. What happened is a history for clients/history.py to judge.
"""

from __future__ import annotations

import asyncio
import time

import nats
import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig

from clients.history import Publish, Stored
from clients.servers import Cluster
from clients.waiting import wait_until_async

PUBLISH_TIMEOUT_S = 0.5  # a lost request costs this much; a retry with the same id is harmless
IN_FLIGHT = 4  # per publisher


async def ignore_error(_: Exception) -> None:
    """Connections break in these tests; the client says so and goes on."""


async def connect(urls: list[str], name: str | None = None) -> Client:
    """A client that never gives up."""
    return await nats.connect(
        urls, name=name, max_reconnect_attempts=-1, reconnect_time_wait=0.05, connect_timeout=2, error_cb=ignore_error
    )


async def create_stream(client: Client, name: str, replicas: int = 3) -> None:
    """A replicated file stream named `name` on subjects `<name>.>`."""
    config = StreamConfig(name=name, subjects=[f"{name}.>"], num_replicas=replicas)

    async def create() -> bool:
        await client.jetstream().add_stream(config)
        return True

    await wait_until_async(f"stream {name} created", create, 15)


async def leader_of(client: Client, stream: str) -> str:
    """The server name of the stream's leader, as stream info tells it."""

    async def ask() -> str:
        info = await client.jetstream(timeout=1).stream_info(stream)
        return (info.cluster.leader if info.cluster else "") or ""

    return await wait_until_async(f"a leader of {stream}", ask, 20)


class Publishers:
    """Eight connections, each with a few publishes in flight, until told to stop."""

    def __init__(self, stream: str, urls: list[str], publishers: int = 8) -> None:
        self.stream = stream
        self.urls = urls
        self.count = publishers
        self.history: list[Publish] = []
        self.acked = 0
        self.stopping = False
        self.tasks: list[asyncio.Task[None]] = []
        self.clients: list[Client] = []

    async def start(self) -> None:
        """Connect all, spread over the nodes, and begin."""
        for number in range(self.count):
            turned = self.urls[number % len(self.urls) :] + self.urls[: number % len(self.urls)]
            client = await connect(turned)
            self.clients.append(client)
            js = client.jetstream(timeout=PUBLISH_TIMEOUT_S)
            for lane in range(IN_FLIGHT):
                self.tasks.append(asyncio.create_task(self._lane(js, f"p{number}-{lane}")))

    async def _lane(self, js: JetStreamContext, name: str) -> None:
        count = 0
        while not self.stopping:
            count += 1
            publish = Publish(f"{name}-{count}", f"{name} says {count}".encode().ljust(128, b"."))
            self.history.append(publish)
            await self._until_acked(js, publish, f"{self.stream}.{name}")

    async def _until_acked(self, js: JetStreamContext, publish: Publish, subject: str) -> None:
        headers = {"Nats-Msg-Id": publish.message_id}
        give_up = None
        while publish.sequence == 0:
            if self.stopping:  # a last chance to learn of an ack, then the message stays unsure
                give_up = give_up or time.monotonic() + 5
                if time.monotonic() > give_up:
                    return
            try:
                ack = await js.publish(subject, publish.payload, timeout=PUBLISH_TIMEOUT_S, headers=headers)
            except Exception:  # no responders, timeout, closed connection, 503: all mean "try again"
                await asyncio.sleep(0.01)
                continue
            publish.sequence = ack.seq
            publish.acked_at_s = time.monotonic()
            self.acked += 1

    async def wait_acked(self, more: int, seconds: float = 20.0) -> None:
        """Wait until `more` further messages are acknowledged."""
        goal = self.acked + more

        async def reached() -> bool:
            return self.acked >= goal

        await wait_until_async(f"{more} more acknowledgements", reached, seconds)

    async def run_for(self, seconds: float) -> None:
        """Wait until acknowledgements have been coming in for this long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await self.wait_acked(1)

    async def stop(self) -> list[Publish]:
        """Finish what is in flight, close, and hand over the history."""
        self.stopping = True
        await asyncio.gather(*self.tasks)
        for client in self.clients:
            await client.close()
        return self.history


async def read_all(cluster: Cluster, stream: str, seconds: float = 20.0) -> list[Stored]:
    """Everything the stream holds, in order, through its present leader."""
    client = await connect(cluster.urls)
    try:
        js = client.jetstream(timeout=5)
        total = (await js.stream_info(stream)).state.messages
        config = ConsumerConfig(ack_policy=AckPolicy.NONE, inactive_threshold=60.0)
        subscription = await js.pull_subscribe(f"{stream}.>", stream=stream, config=config)
        stored: list[Stored] = []

        async def fetch() -> bool:
            for message in await subscription.fetch(min(500, total - len(stored)), timeout=5):
                sequence = message.metadata.sequence.stream
                if stored and sequence <= stored[-1].sequence:
                    continue  # delivered again after a hiccup: the checker wants each stored message once
                stored.append(Stored(sequence, (message.headers or {}).get("Nats-Msg-Id", ""), message.data))
            return len(stored) >= total

        while len(stored) < total:
            before = len(stored)
            await wait_until_async(f"{total} messages read back", fetch, seconds) if before == 0 else await fetch()
        return stored
    finally:
        await client.close()
