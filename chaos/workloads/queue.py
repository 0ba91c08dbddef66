"""W: a work queue. Jobs with ids go in; workers fetch and confirm, ack, nak, term, or forget them.

What a worker does with a job is chance, weighted so that most are confirmed. When the load ends workers go on until the
queue is empty, or DRAIN_S have passed.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import TYPE_CHECKING

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.errors import APIError

from chaos.checkers.outage import Span, outage_figures
from chaos.checkers.queue import Delivery, check_queue
from chaos.history import OK, UNKNOWN
from chaos.nemesis.fault import NOT_OVER
from chaos.replicas import states, wait_settled
from chaos.workloads.workload import Findings, Workload, close, connect, nats_cli

if TYPE_CHECKING:
    from chaos.field import Field

STREAM, CONSUMER = "WORK", "WORKERS"
PUBLISHERS, WORKERS = 3, 3
PACE_S = 0.05
TIMEOUT_S = 1.0
BATCH = 5
DRAIN_S = 45.0
FATES = (("confirm", 70), ("ack", 10), ("nak", 8), ("term", 4), ("forget", 8))  # in percent


class WorkQueue(Workload):
    """W."""

    stream = STREAM

    def __init__(self, field: Field) -> None:
        super().__init__(field)
        self.deliveries: list[Delivery] = []
        self.draining_until_s = 0.0
        self.empty = False

    async def prepare(self) -> None:
        urls = self.field.ground.urls
        queue = f"stream add {STREAM} --subjects {STREAM}.> --replicas 3 --retention work --defaults"
        await nats_cli(urls, *queue.split())
        consumer = f"consumer add {STREAM} {CONSUMER} --pull --ack explicit --wait 2s --max-pending 500 --defaults"
        await nats_cli(urls, *consumer.split())

    async def start(self) -> None:
        for number in range(PUBLISHERS):
            self.spawn(self._fill(await self.client(number), f"w{number}"))
        for number in range(WORKERS):
            rng = random.Random(self.field.rng.random())
            self.spawn(self._work(await self.client(number), f"worker{number}", rng))
        self.spawn(self._watch())

    async def _fill(self, client: Client, name: str) -> None:
        count = 0
        while not self.stopping:
            await self.pause(PACE_S)
            count += 1
            operation = self.history.begin(name, "publish", f"{name}-{count}")

            async def work(job: str = operation.value) -> int:
                headers = {"Nats-Msg-Id": job}
                answer = await client.request(f"{STREAM}.{name}", job.encode(), timeout=TIMEOUT_S, headers=headers)
                ack = json.loads(answer.data)
                if "error" in ack:
                    raise APIError.from_error(ack["error"])
                return int(ack["seq"])

            while not await self.attempt(operation, work):
                operation.outcome = UNKNOWN
                if self.is_stopping():
                    break
                operation.attempts += 1
                await self.pause(PACE_S)

    async def _work(self, client: Client, name: str, rng: random.Random) -> None:
        subscription: JetStreamContext.PullSubscription | None = None
        while not self.stopping or (not self.empty and time.monotonic() < self.draining_until_s):
            try:
                if subscription is None:
                    subscription = await client.jetstream(timeout=TIMEOUT_S).pull_subscribe_bind(CONSUMER, STREAM)
                messages = await subscription.fetch(BATCH, timeout=TIMEOUT_S)
            except Exception:  # nothing to do, or nobody there: ask again
                await self.pause(PACE_S)
                continue
            await asyncio.gather(*(self._decide(message, name, rng) for message in messages))

    async def _decide(self, message: Msg, name: str, rng: random.Random) -> None:
        fate = rng.choices([fate for fate, _ in FATES], [weight for _, weight in FATES])[0]
        if self.stopping and fate == "forget":
            fate = "confirm"
        job = message.data.decode()
        delivery = Delivery(job, self.field.clock.now_s(), message.metadata.num_delivered, fate)
        self.deliveries.append(delivery)
        operation = self.history.begin(name, fate, job)

        async def work() -> int:
            if fate == "confirm":
                await message.ack_sync(timeout=TIMEOUT_S)
            elif fate == "ack":
                await message.ack()
            elif fate == "nak":
                await message.nak(delay=0.2)
            elif fate == "term":
                await message.term()
            return message.metadata.sequence.stream

        if await self.attempt(operation, work):
            delivery.settled_s = operation.end_s

    async def _watch(self) -> None:
        """Once the load has ended: is the queue empty?"""
        while not self.stopping:
            await self.pause(0.2)
        self.draining_until_s = time.monotonic() + DRAIN_S
        while not self.empty and time.monotonic() < self.draining_until_s:
            await self.pause(0.5)
            seen = await asyncio.to_thread(states, self.field.ground, STREAM)
            self.empty = bool(seen) and all(state["messages"] == 0 for state in seen.values())

    async def judge(self) -> Findings:
        findings = Findings()
        await wait_settled(self.field.ground, STREAM, findings)
        published = [each for each in self.history.operations if each.kind == "publish"]
        for kind, cases in check_queue(published, self.deliveries, self._held_back()).items():
            findings.add(kind, cases)
        left = await self._left()
        findings.add("queue not empty", [f"{left} jobs left after {DRAIN_S:g} s"] if left else [])
        confirmed = [each for each in self.history.operations if each.kind in ("publish", "confirm")]
        findings.figures |= outage_figures(confirmed, ("publish",), ())
        findings.figures["jobs"] = sum(each.outcome == OK for each in published)
        findings.figures["deliveries"] = len(self.deliveries)
        return findings

    def _held_back(self) -> list[Span]:
        """When faults held packets back."""
        now_s = self.field.clock.now_s()
        faults = [window for window in self.field.windows if window.holds_back]
        return [Span(each.start_s, each.end_s if each.end_s != NOT_OVER else now_s) for each in faults]

    async def _left(self) -> int:
        client = await connect(self.field.ground.urls)
        try:
            return (await client.jetstream(timeout=5).stream_info(STREAM)).state.messages
        finally:
            await close(client)

    async def stop(self) -> None:
        self.draining_until_s = time.monotonic() + DRAIN_S
        await self.finish(DRAIN_S + 30)
