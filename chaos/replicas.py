"""What each replica holds, message by message: every node is made the stream's leader in turn, and read through.

Message get is answered by the leader from its own store, in TernMQ and in nats-server, so this needs no knowledge of
files. Which node leads next is asked for with a step-down, and where that is not to be had by restarting the leader.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from dataclasses import dataclass, field
from typing import Any

from clients.history import Stored
from clients.waiting import DeadlineMissed, wait_until_async
from clients.workload import leader_of
from nats.aio.client import Client
from nats.aio.msg import Msg

from chaos.ground import Ground
from chaos.workloads.workload import Findings, close, connect

EQUAL_S = 10.0  # replicas must be equal this soon after the load has ended
LATEST_S = 60.0  # … and are looked at anyway after this long
WINDOW = 256  # message gets in flight
ANSWER_S = 5.0
TRIES = 12
DOWN_S = 2.0
STATE_KEYS = ("messages", "bytes", "first_seq", "last_seq")

State = dict[str, Any]


@dataclass
class Replicas:
    """The messages of each node's replica, by sequence; a node that could not be read as leader is missing."""

    by_node: dict[str, dict[int, Stored]] = field(default_factory=dict)

    def newest(self) -> list[Stored]:
        """What the first leader held."""
        first = next(iter(self.by_node.values()), {})
        return [first[sequence] for sequence in sorted(first)]


def states(ground: Ground, stream: str) -> dict[str, State]:
    """The stream's state as each node reports it of its own replica."""
    found: dict[str, State] = {}
    for node in ground.nodes:
        try:
            page = node.get("/jsz?accounts=true&streams=true")
        except OSError:
            continue
        details = [each for account in page.get("account_details", []) for each in account.get("stream_detail", [])]
        state: State = next((each["state"] for each in details if each["name"] == stream), {})
        found[node.name] = {key: state.get(key) for key in STATE_KEYS}
    return found


def states_leader(ground: Ground, stream: str, other_than: str) -> set[str]:
    """The leaders of the stream, as the nodes other than this one tell it."""
    leaders: set[str] = set()
    for node in ground.nodes:
        if node.name == other_than:
            continue
        try:
            page = node.get("/jsz?accounts=true&streams=true")
        except OSError:
            continue
        details = [each for account in page.get("account_details", []) for each in account.get("stream_detail", [])]
        leaders |= {each.get("cluster", {}).get("leader", "") for each in details if each["name"] == stream}
    return leaders - {"", other_than}


async def wait_settled(ground: Ground, stream: str, findings: Findings) -> State:
    """Wait until the nodes report equal replicas; whether and when they do is a finding."""
    began = time.monotonic()
    seen: dict[str, State]
    while True:
        seen = await asyncio.to_thread(states, ground, stream)
        waited = time.monotonic() - began
        equal = len(seen) == len(ground.nodes) and len({json.dumps(each) for each in seen.values()}) == 1
        if equal or waited > LATEST_S:
            break
        await asyncio.sleep(0.1)
    findings.figures["replicas equal after s"] = round(waited, 2)
    late = [] if waited <= EQUAL_S else [f"after {waited:.1f} s: {json.dumps(seen)}"]
    findings.add("replicas not equal within 10 s", late)
    return max(seen.values(), key=lambda each: each["last_seq"] or 0, default={})


async def read_through_each(ground: Ground, stream: str, state: State) -> Replicas:
    """Every node's replica, the present leader's first."""
    replicas = Replicas()
    control = await connect(ground.urls)
    try:
        for _ in range(TRIES):
            leader = await leader_of(control, stream)
            if leader not in replicas.by_node:
                replicas.by_node[leader] = await read_leader(ground, stream, leader, state)
            missing = [node.name for node in ground.nodes if node.name not in replicas.by_node]
            if not missing:
                break
            await move_leader(ground, control, stream, leader, missing[0])
        return replicas
    except DeadlineMissed:  # nobody leads, or a leader does not answer: what could be read is what there is
        return replicas
    finally:
        await close(control)


async def read_leader(ground: Ground, stream: str, leader: str, state: State) -> dict[int, Stored]:
    """All messages between the first and the last sequence, asked for at the leader's own address."""
    client = await connect([ground.url(ground.node(leader))])
    try:
        wanted = list(range(max(1, state.get("first_seq") or 1), (state.get("last_seq") or 0) + 1))
        answers = await get_all(client, stream, wanted)
        return {sequence: stored for sequence, stored in answers.items() if stored is not None}
    finally:
        await close(client)


async def get_all(client: Client, stream: str, wanted: list[int]) -> dict[int, Stored | None]:
    """Pipelined message gets. None for a sequence that the leader says it does not have."""
    answers: dict[int, Stored | None] = {}
    inbox = client.new_inbox()
    arrived = asyncio.Event()

    async def on_answer(message: Msg) -> None:
        sequence = int(message.subject.rpartition(".")[2])
        known, stored = decode(message.data)
        if known:
            answers[sequence] = stored
        arrived.set()

    subscription = await client.subscribe(f"{inbox}.*", cb=on_answer)
    for start in range(0, len(wanted), WINDOW):
        window = wanted[start : start + WINDOW]

        async def whole(window: list[int] = window) -> bool:
            missing = [sequence for sequence in window if sequence not in answers]
            for sequence in missing:
                body = json.dumps({"seq": sequence}).encode()
                await client.publish(f"$JS.API.STREAM.MSG.GET.{stream}", body, reply=f"{inbox}.{sequence}")
            deadline = time.monotonic() + ANSWER_S
            while any(sequence not in answers for sequence in missing) and time.monotonic() < deadline:
                arrived.clear()
                await asyncio.wait_for(arrived.wait(), ANSWER_S)
            return all(sequence in answers for sequence in window)

        await wait_until_async(f"messages {window[0]} to {window[-1]} of {stream} read", whole, 30)
    await subscription.unsubscribe()
    return answers


def decode(data: bytes) -> tuple[bool, Stored | None]:
    """(whether this is an answer about the message, the message or None for one that is not there)."""
    if not data:
        return False, None
    answer = json.loads(data)
    if "error" in answer:
        return answer["error"].get("code") == 404, None
    message = answer["message"]
    return True, Stored(int(message["seq"]), "", base64.b64decode(message.get("data", "")))


def digest(replica: dict[int, Stored]) -> str:
    """One value for all messages of a replica."""
    whole = hashlib.sha256()
    for sequence in sorted(replica):
        whole.update(sequence.to_bytes(8) + replica[sequence].payload)
    return whole.hexdigest()


def restart(ground: Ground, name: str) -> None:
    """Stop a node for long enough that another leads, and start it again."""
    node = ground.node(name)
    node.stop()
    time.sleep(DOWN_S)
    node.start()
    ground.wait_healthy()


async def move_leader(ground: Ground, control: Client, stream: str, leader: str, wanted: str) -> None:
    """Make somebody else lead, `wanted` if possible. Nobody publishes now."""
    body = json.dumps({"placement": {"preferred": wanted}}).encode()
    try:
        answer = await control.request(f"$JS.API.STREAM.LEADER.STEPDOWN.{stream}", body, timeout=3)
        stepped = bool(json.loads(answer.data or b"{}").get("success"))
    except Exception:
        stepped = False
    if not stepped:
        await asyncio.to_thread(restart, ground, leader)

    async def moved() -> bool:
        return await leader_of(control, stream) != leader

    try:
        await wait_until_async(f"{stream} led by another than {leader}", moved, 10)
    except DeadlineMissed:
        return
