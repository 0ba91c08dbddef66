"""M: streams are made, changed, purged and deleted, one worker a name, so that a name's state is always known.

What is asked in between must agree with what was answered before; an operation that nobody answered leaves the name
unsure until the next one that somebody answers.
"""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

from nats.aio.client import Client

from chaos.checkers.streams import StreamOperation, check_streams
from chaos.workloads.compare_and_set import checked
from chaos.workloads.workload import Findings, Workload

NAMES = 4
PACE_S = 0.25
TIMEOUT_S = 3.0
NOT_FOUND, NAME_IN_USE = 10059, 10058
MESSAGES = 5  # published before a purge
SETTLE_S = 10.0


class Streams(Workload):
    """M. What is struck is the leader of the meta group, which all of this goes through."""

    stream = ""

    def __init__(self, field: Any) -> None:
        super().__init__(field)
        self.done: list[StreamOperation] = []

    async def prepare(self) -> None:
        """Nothing to begin with: making streams is what this is about."""

    async def start(self) -> None:
        for number in range(NAMES):
            rng = random.Random(self.field.rng.random())
            self.spawn(self._live(await self.client(number), f"m{number}", f"M{number}", rng))

    async def _live(self, client: Client, worker: str, name: str, rng: random.Random) -> None:
        age = 0
        while not self.stopping:
            await self.pause(PACE_S)
            age += 1
            kind = rng.choice(("create", "create", "update", "purge", "info", "delete"))
            if kind in ("create", "update"):
                body = config(name, 0 if kind == "create" else age)
                await self._ask(client, worker, name, kind, f"STREAM.{kind.upper()}", body)
            elif kind == "purge":
                for _ in range(MESSAGES):
                    await client.publish(f"{name}.x", b"x")
                await self._ask(client, worker, name, kind, "STREAM.PURGE", {})
            else:
                await self._ask(client, worker, name, kind, f"STREAM.{kind.upper()}", {})

    async def _ask(self, client: Client, worker: str, name: str, kind: str, verb: str, body: dict[str, Any]) -> None:
        operation = self.history.begin(worker, kind, name)
        asked = StreamOperation(name, kind, operation)
        self.done.append(asked)

        async def work() -> int:
            answer = await client.request(f"$JS.API.{verb}.{name}", json.dumps(body).encode(), timeout=TIMEOUT_S)
            reply = json.loads(answer.data)
            code = reply.get("error", {}).get("err_code")
            asked.not_found, asked.in_use = code == NOT_FOUND, code == NAME_IN_USE
            if not (asked.not_found or asked.in_use):  # which are answers as good as any, and for the checker to judge
                checked(reply)
            return 0

        await self.attempt(operation, work)

    async def judge(self) -> Findings:
        findings = Findings()
        seen: dict[str, list[str]] = {}
        for _ in range(int(SETTLE_S)):
            seen = await asyncio.to_thread(self._names)
            if len({json.dumps(names) for names in seen.values()}) == 1:
                break
            await asyncio.sleep(1)
        for kind, cases in check_streams(self.done, seen).items():
            findings.add(kind, cases)
        findings.figures["answered"] = sum(each.operation.outcome == "ok" for each in self.done)
        return findings

    def _names(self) -> dict[str, list[str]]:
        """The streams that each node holds a replica of."""
        found = {}
        for node in self.field.ground.nodes:
            page = node.get("/jsz?accounts=true&streams=true")
            details = [each for account in page.get("account_details", []) for each in account.get("stream_detail", [])]
            found[node.name] = sorted(each["name"] for each in details)
        return found


def config(name: str, age: int) -> dict[str, Any]:
    """A replicated stream; `age` changes its description."""
    return {
        "name": name, "subjects": [f"{name}.>"], "num_replicas": 3, "storage": "file", "retention": "limits",
        "max_msgs": -1, "max_bytes": -1, "max_age": 0, "description": f"age {age}",
    }  # fmt: skip
