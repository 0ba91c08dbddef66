"""C: compare and set. Workers read a key's last revision and write with the condition that it still is the last.

The stream has the shape of a KV bucket, without a limit on history, so that the whole chain of every key can be read
back. Writes carry `Nats-Expected-Last-Subject-Sequence`, as `KeyValue.update` of the clients does.
"""

from __future__ import annotations

import base64
import json
import random
from typing import TYPE_CHECKING, Any

from nats.aio.client import Client
from nats.js.errors import APIError

from chaos.checkers.cas import CasOperation, check_cas
from chaos.checkers.outage import outage_figures
from chaos.checkers.replicas import check_replicas
from chaos.replicas import read_through_each, wait_settled
from chaos.workloads.workload import Findings, Workload, nats_cli

if TYPE_CHECKING:
    from chaos.field import Field

STREAM, BUCKET = "KV_CHAOS", "$KV.CHAOS"
KEYS = ("red", "green", "blue")
WORKERS = 6
PACE_S = 0.05
TIMEOUT_S = 2.0


class CompareAndSet(Workload):
    """C. A value says who wrote it, over which revision: `c1-7 over 42`."""

    stream = STREAM

    def __init__(self, field: Field) -> None:
        super().__init__(field)
        self.done: list[CasOperation] = []

    async def prepare(self) -> None:
        await nats_cli(
            self.field.ground.urls, *f"stream add {STREAM} --subjects {BUCKET}.> --replicas 3 --defaults".split()
        )

    async def start(self) -> None:
        for number in range(WORKERS):
            rng = random.Random(self.field.rng.random())
            self.spawn(self._compete(await self.client(number), f"c{number}", rng))

    async def _compete(self, client: Client, name: str, rng: random.Random) -> None:
        count = 0
        while not self.stopping:
            await self.pause(PACE_S)
            key = rng.choice(KEYS)
            revision = await self._read(client, name, key)
            if revision is not None and rng.random() < 0.7:
                count += 1
                await self._write(client, name, key, f"{name}-{count}", revision)

    async def _read(self, client: Client, name: str, key: str) -> int | None:
        """The key's last revision, 0 for none yet; None when nobody said."""
        operation = self.history.begin(name, "read", key)
        cas = CasOperation(key, "read", operation)
        self.done.append(cas)

        async def work() -> int:
            request = json.dumps({"last_by_subj": f"{BUCKET}.{key}"}).encode()
            answer = json.loads(
                (await client.request(f"$JS.API.STREAM.MSG.GET.{STREAM}", request, timeout=TIMEOUT_S)).data
            )
            if answer.get("error", {}).get("err_code") == 10037:  # no message found
                return 0
            message = checked(answer)["message"]
            cas.value = base64.b64decode(message["data"]).decode()
            return int(message["seq"])

        return operation.sequence if await self.attempt(operation, work) else None

    async def _write(self, client: Client, name: str, key: str, value: str, revision: int) -> None:
        operation = self.history.begin(name, "set", f"{value} over {revision}")
        self.done.append(CasOperation(key, "set", operation, value=operation.value, expected=revision))
        headers = {"Nats-Expected-Last-Subject-Sequence": str(revision)}

        async def work() -> int:
            body = operation.value.encode()
            answer = await client.request(f"{BUCKET}.{key}", body, timeout=TIMEOUT_S, headers=headers)
            return int(checked(json.loads(answer.data))["seq"])

        await self.attempt(operation, work)

    async def judge(self) -> Findings:
        findings = Findings()
        state = await wait_settled(self.field.ground, STREAM, findings)
        replicas = await read_through_each(self.field.ground, STREAM, state)
        chain = [(each.sequence, each.payload.decode()) for each in replicas.newest()]
        for kind, cases in check_cas(self.done, chain).items():
            findings.add(kind, cases)
        findings.add("replicas differ", check_replicas(replicas.by_node))
        findings.figures |= outage_figures(self.history.operations, ("set",), ("read",))
        findings.figures["set"] = sum(each.operation.outcome == "ok" for each in self.done if each.kind == "set")
        return findings


def checked(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer, if it is none of an error."""
    if "error" in answer:
        raise APIError.from_error(answer["error"])
    return answer
