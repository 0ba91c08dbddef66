"""Clients that change what is stored: keepers compare and set, cleaners purge and delete, scalers change where it is.

A keeper reads the last message of a key from the stream's leader and publishes the next one on condition that nobody
was faster. Its texts say what it expected, so that the judge can see whether the condition was kept. Read next:
`workload`, `judge`.
"""

import json
import random

from sim.client import Message, SimClient, fields_of
from sim.plan import StreamPlan
from sim.workload import REQUEST_NS, RETRY_NS, History, error_code
from sim.world import World

KEYS = ("a", "b", "c")
WRONG_LAST_SEQUENCE = 10071
NO_MESSAGE_FOUND = 10037
# How long a leader that others have replaced may still answer reads: until it notices that nobody answers it.
STALE_NS = 2_000_000_000
CLEAN_NS = 300_000_000
SCALE_NS = 1_000_000_000


class Keeper:
    """Sends `K<name>-<number>-<key>-<expected sequence>`."""

    def __init__(self, world: World, history: History, name: str, stream: str, pause_ns: int) -> None:
        self.world = world
        self.history = history
        self.name = name
        self.stream = stream
        self.pause_ns = pause_ns
        self.number = 0
        self.out = 0
        self.stopped = False
        self.rng = random.Random(world.rng.getrandbits(64))
        self.client = SimClient(world, name, list(world.servers))
        world.after(pause_ns, self._read)

    def _read(self) -> None:
        if self.stopped:
            return
        key = self.rng.choice(KEYS)
        self.out = 1
        asked_ns = self.world.now_ns
        body = json.dumps({"last_by_subj": f"{self.stream}.{key}"}).encode()
        subject = f"$JS.API.STREAM.MSG.GET.{self.stream}"
        self.client.request(subject, body, lambda answer: self._found(key, asked_ns, answer), REQUEST_NS)

    def _found(self, key: str, asked_ns: int, answer: Message | None) -> None:
        body = fields_of(answer)
        message = body.get("message")
        if isinstance(message, dict):
            sequence = message["seq"]
        elif error_code(body) == NO_MESSAGE_FOUND:
            sequence = 0
        else:
            self._again()
            return
        self._check_fresh(key, asked_ns, sequence)
        self._write(key, sequence)

    def _check_fresh(self, key: str, asked_ns: int, sequence: int) -> None:
        for acked_ns, newer in self.history.key_acks.get((self.stream, key), []):
            if newer > sequence and acked_ns + STALE_NS < asked_ns:
                age_s = (asked_ns - acked_ns) / 1e9
                self.history.conflicts.append(
                    f"{self.stream}: a read of {key} found {sequence}, {newer} was acknowledged {age_s:.1f} s before"
                )
                return

    def _write(self, key: str, expected: int) -> None:
        self.number += 1
        text = f"{self.name}-{self.number}-{key}-{expected}"
        self.history.attempts[text] = 1
        headers = {"Nats-Expected-Last-Subject-Sequence": str(expected)}
        if self.rng.random() < 0.1:
            headers["Nats-Rollup"] = "sub"
        subject = f"{self.stream}.{key}"
        self.client.request(
            subject, text.encode(), lambda answer: self._written(text, key, answer), REQUEST_NS, headers
        )

    def _written(self, text: str, key: str, answer: Message | None) -> None:
        body = fields_of(answer)
        sequence = body.get("seq")
        if isinstance(sequence, int) and "error" not in body:
            self.history.note_ack(self.stream, text, sequence, self.world.now_ns)
            acks = self.history.key_acks.setdefault((self.stream, key), [])
            acks.append((self.world.now_ns, sequence))
        elif error_code(body) == WRONG_LAST_SEQUENCE:
            self.history.refused[text] = self.stream
        self._again()

    def _again(self) -> None:
        self.out = 0
        self.world.after(self.rng.randrange(2 * self.pause_ns), self._read)


class Cleaner:
    """Purges all, a subject, or up to a sequence; keeps a few; deletes single messages."""

    def __init__(self, world: World, history: History, name: str, stream: str) -> None:
        self.world = world
        self.history = history
        self.stream = stream
        self.name = name
        self.out = 0
        self.stopped = False
        self.rng = random.Random(world.rng.getrandbits(64))
        self.client = SimClient(world, name, list(world.servers))
        world.after(RETRY_NS, self._next)

    def _next(self) -> None:
        acked = self.history.acked.get(self.stream, {})
        if self.stopped:
            return
        self.world.after(self.rng.randrange(2 * CLEAN_NS), self._next)
        if self.out or not acked:
            return
        text = self.rng.choice(list(acked)[-50:])
        subject, sequence = f"{self.stream}.{text.split('-')[0]}", acked[text]
        self.out = 1
        choice = self.rng.randrange(8)
        if choice > 3:
            answer = f"$JS.API.STREAM.MSG.DELETE.{self.stream}"
            self._ask(answer, {"seq": sequence}, [sequence])
            return
        purge: dict[str, object] = [
            {"keep": self.rng.randrange(1, 30)},
            {"seq": sequence},
            {"filter": subject, "keep": self.rng.randrange(1, 5)},
            {"filter": subject, "seq": sequence},
        ][choice]  # fmt: skip
        gone = [seq for seq in acked.values() if seq < sequence] if choice == 1 else []
        self._ask(f"$JS.API.STREAM.PURGE.{self.stream}", purge, gone)

    def _ask(self, subject: str, body: dict[str, object], gone: list[int]) -> None:
        def answered(answer: Message | None) -> None:
            self.out = 0
            if answer is not None and answer.data and answer.json().get("success") is True:
                self.history.deleted.update((self.stream, sequence) for sequence in gone)

        self.client.request(subject, json.dumps(body).encode(), answered, REQUEST_NS)


class Scaler:
    """Changes the number of replicas again and again; leaves as many as were planned."""

    def __init__(self, world: World, history: History, name: str, plan: StreamPlan) -> None:
        self.world = world
        self.plan = plan
        self.name = name
        self.out = 1
        self.stopped = False
        self.rng = random.Random(world.rng.getrandbits(64))
        self.client = SimClient(world, name, list(world.servers))
        world.after(SCALE_NS, self._next)

    def _next(self) -> None:
        replicas = self.plan.replicas if self.stopped else self.rng.choice((1, 1, 2, 3))
        if not self.stopped and self.rng.random() < 0.3:
            self._move()
            return
        config = self.plan.config() | {"num_replicas": replicas}

        def answered(answer: Message | None) -> None:
            body = fields_of(answer)
            if self.stopped and body.get("config", {}).get("num_replicas") == self.plan.replicas:
                self.out = 0
            else:
                self.world.after(RETRY_NS if self.stopped else self.rng.randrange(2 * SCALE_NS), self._next)

        subject = f"$JS.API.STREAM.UPDATE.{self.plan.name}"
        self.client.request(subject, json.dumps(config).encode(), answered, REQUEST_NS)

    def _move(self) -> None:
        """Take the stream off a server, if another one is free, or take the last change back."""
        verb = self.rng.choice(("STREAM.PEER.REMOVE", "STREAM.PEER.EVACUATE", "STREAM.CANCEL_MOVE"))
        body = b"" if verb == "STREAM.CANCEL_MOVE" else json.dumps(self._somebody()).encode()

        def answered(answer: Message | None) -> None:
            self.world.after(self.rng.randrange(SCALE_NS), self._next)

        self.client.request(f"$JS.API.{verb}.{self.plan.name}", body, answered, REQUEST_NS)

    def _somebody(self) -> dict[str, str]:
        return {"peer": self.rng.choice(list(self.world.servers))}
