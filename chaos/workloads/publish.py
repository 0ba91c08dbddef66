"""P: publish at a steady pace, whatever happens, without ids. D: publish with ids and try again until acknowledged.

P shows outages to within PACE_S, as it never waits for an answer before the next message; a message of P is sent once,
and its publishers stay each with its node.
D is a queue of lanes, each with one message in flight. Both go into one stream with three replicas, and read it back
through each replica when all is over (`replicas`). Readers, one at each node, ask for acknowledged messages meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING

from nats.aio.client import Client
from nats.js.errors import APIError

from chaos.checkers.messages import check_messages
from chaos.checkers.outage import outage_figures
from chaos.checkers.replicas import check_replicas
from chaos.history import UNKNOWN, Operation
from chaos.replicas import decode, read_through_each, wait_settled
from chaos.workloads.workload import Findings, Workload, nats_cli

if TYPE_CHECKING:
    from chaos.field import Field

STREAM = "CHAOS"
PACE_S = 0.02  # of each of the publishers of P
PUBLISHERS = 3
LANES = 2  # of each connection of D
IN_FLIGHT_MAX = 400  # of each publisher of P: behind a partition they pile up until they time out
TIMEOUT_S = 5.0
RETRY_S = 1.0
READ_PACE_S = 0.1  # of each reader
PAYLOAD_BYTES = 128
BULK, BULK_BYTES = "bulk", 8192  # what is there before the load begins, where a scenario wants it, is in big pieces
BULK_IN_FLIGHT = 32


def payload_of(value: str) -> bytes:
    """The value, padded; the checkers undo it."""
    return value.encode().ljust(BULK_BYTES if value.startswith(BULK) else PAYLOAD_BYTES, b".")


class Publishing(Workload):
    """P, D or both, as `letters` say."""

    stream = STREAM

    def __init__(self, field: Field, letters: str = "PD", preload_mb: int = 0) -> None:
        super().__init__(field)
        self.letters = letters
        self.preload_mb = preload_mb
        self.acknowledged: list[Operation] = []
        self.wrong_reads: list[str] = []

    async def prepare(self) -> None:
        await nats_cli(
            self.field.ground.urls, *f"stream add {STREAM} --subjects {STREAM}.> --replicas 3 --defaults".split()
        )
        client = await self.client(0)
        lanes = [self._preload(client, lane) for lane in range(BULK_IN_FLIGHT)]
        await asyncio.gather(*lanes)

    async def _preload(self, client: Client, lane: int) -> None:
        for number in range(self.preload_mb * 1024 * 1024 // BULK_BYTES // BULK_IN_FLIGHT):
            operation = self.history.begin(BULK, "publish", f"{BULK}-{lane}-{number}")
            await self._publish(client, operation, TIMEOUT_S)

    async def start(self) -> None:
        for number in range(PUBLISHERS):
            if "P" in self.letters:
                self.spawn(self._steadily(await self.faithful_client(number), f"p{number}"))
            if "D" in self.letters:
                client = await self.client(number)
                for lane in range(LANES):
                    self.spawn(self._until_acknowledged(client, f"d{number}-{lane}"))
            rng = random.Random(self.field.rng.random())
            self.spawn(self._read_on(await self.faithful_client(number), f"r{number}", rng))

    async def _publish(self, client: Client, operation: Operation, timeout_s: float, message_id: str = "") -> bool:
        """One request; ok when a PubAck came."""

        async def work() -> int:
            headers = {"Nats-Msg-Id": message_id} if message_id else None
            subject = f"{STREAM}.{operation.worker}"
            answer = await client.request(subject, payload_of(operation.value), timeout=timeout_s, headers=headers)
            ack = json.loads(answer.data)
            if "error" in ack:
                raise APIError.from_error(ack["error"])
            return int(ack["seq"])

        done = await self.attempt(operation, work)
        if done:
            self.acknowledged.append(operation)
        return done

    async def _steadily(self, client: Client, name: str) -> None:
        """P: a message each PACE_S, answered or not."""
        in_flight: set[asyncio.Task[bool]] = set()
        count = 0
        while not self.stopping:
            await self.pause(PACE_S)
            if len(in_flight) >= IN_FLIGHT_MAX:
                continue
            count += 1
            operation = self.history.begin(name, "publish", f"{name}-{count}")
            task = asyncio.create_task(self._publish(client, operation, TIMEOUT_S))
            in_flight.add(task)
            task.add_done_callback(in_flight.discard)
        await asyncio.gather(*in_flight)

    async def _until_acknowledged(self, client: Client, name: str) -> None:
        """D: one message after the other, each until it is acknowledged; the operation is all of its attempts."""
        count = 0
        while not self.stopping:
            await self.pause(PACE_S)
            count += 1
            operation = self.history.begin(name, "publish", f"{name}-{count}")
            while not await self._publish(client, operation, RETRY_S, message_id=operation.value):
                operation.outcome = UNKNOWN  # an earlier attempt may have been stored, whatever the last was told
                if self.is_stopping():
                    break
                operation.attempts += 1
                await self.pause(PACE_S)

    async def _read_on(self, client: Client, name: str, rng: random.Random) -> None:
        """Ask for acknowledged messages, now the last, now any."""
        while not self.stopping:
            await self.pause(READ_PACE_S)
            if not self.acknowledged:
                continue
            wanted = self.acknowledged[-1] if rng.random() < 0.5 else rng.choice(self.acknowledged)
            operation = self.history.begin(name, "read", wanted.value)

            async def work(wanted: Operation = wanted) -> int:
                request = json.dumps({"seq": wanted.sequence}).encode()
                answer = await client.request(f"$JS.API.STREAM.MSG.GET.{STREAM}", request, timeout=RETRY_S)
                known, stored = decode(answer.data)
                if not known:
                    raise APIError.from_error(json.loads(answer.data)["error"])
                if stored is None or stored.payload != payload_of(wanted.value):
                    self.wrong_reads.append(f"{wanted.value} ({wanted.sequence}): {stored and stored.payload[:40]!r}")
                return wanted.sequence

            await self.attempt(operation, work)

    async def judge(self) -> Findings:
        findings = Findings()
        state = await wait_settled(self.field.ground, STREAM, findings)
        replicas = await read_through_each(self.field.ground, STREAM, state)
        findings.add("stream without a leader", [] if replicas.by_node else [STREAM])
        sent = [each for each in self.history.operations if each.kind == "publish"]
        for kind, cases in check_messages(sent, replicas.newest(), payload_of).items():
            findings.add(kind, cases)
        findings.add("wrong read", self.wrong_reads)
        findings.add("replicas differ", check_replicas(replicas.by_node))
        findings.figures |= outage_figures(self.history.operations, ("publish",), ("read",))
        findings.figures["acknowledged"] = len(self.acknowledged)
        findings.figures["stored"] = len(replicas.newest())
        return findings
