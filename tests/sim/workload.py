"""What clients do in a simulation, and the history they keep of it.

Publishers of kind D send `D<name>-<number>` under a message id and try again until they have an answer; those of kind P
do neither. Consumers fetch and confirm every message with a double ack (some they forget, so that it comes again). The
history says what was acknowledged and delivered; `judge` compares it with what the cluster committed and kept.
"""

import json
import random

from sim.client import Message, SimClient
from sim.world import World

RETRY_NS = 200_000_000
REQUEST_NS = 2_000_000_000
FETCH_NS = 1_000_000_000


class History:
    """Everything the clients know, by stream."""

    def __init__(self) -> None:
        self.acked: dict[str, dict[str, int]] = {}
        self.acked_ns: dict[str, int] = {}  # of the last one
        self.sequences: dict[tuple[str, int], str] = {}
        self.attempts: dict[str, int] = {}
        self.delivered: dict[str, dict[int, str]] = {}
        self.redelivered = 0
        self.confirmed: dict[tuple[str, str, int], int] = {}
        self.conflicts: list[str] = []

    def total(self) -> int:
        """Acknowledged publishes."""
        return sum(len(messages) for messages in self.acked.values())

    def note_ack(self, stream: str, text: str, sequence: int, now_ns: int) -> None:
        """A publish was acknowledged under `sequence`."""
        acked = self.acked.setdefault(stream, {})
        before = acked.setdefault(text, sequence)
        if before != sequence:
            self.conflicts.append(f"{stream}: {text} acknowledged as {before} and as {sequence}")
        other = self.sequences.setdefault((stream, sequence), text)
        if other != text:
            self.conflicts.append(f"{stream}: sequence {sequence} acknowledged for {other} and for {text}")
        self.acked_ns[stream] = now_ns

    def note_delivery(self, stream: str, sequence: int, text: str) -> None:
        """A consumer got a message."""
        delivered = self.delivered.setdefault(stream, {})
        self.redelivered += sequence in delivered
        before = delivered.setdefault(sequence, text)
        if before != text:
            self.conflicts.append(f"{stream}: sequence {sequence} delivered as {before} and as {text}")


class Publisher:
    """Publishes one message after the other, now and then a few at once."""

    def __init__(self, world: World, history: History, name: str, stream: str, pause_ns: int) -> None:
        self.world = world
        self.history = history
        self.name = name
        self.stream = stream
        self.pause_ns = pause_ns
        self.with_ids = name.startswith("D")
        self.number = 0
        self.out = 0
        self.stopped = False
        self.rng = random.Random(world.rng.getrandbits(64))
        self.client = SimClient(world, name, list(world.servers))
        world.after(pause_ns, self._next)

    def _next(self) -> None:
        if self.stopped:
            return
        for _ in range(self.rng.choice((1, 1, 1, 1, 8))):
            if self.out < 32:
                self.number += 1
                self.out += 1
                self._send(f"{self.name}-{self.number}")
        self.world.after(self.rng.randrange(2 * self.pause_ns), self._next)

    def _send(self, text: str) -> None:
        self.history.attempts[text] = self.history.attempts.get(text, 0) + 1
        headers = {"Nats-Msg-Id": text} if self.with_ids else None
        subject = f"{self.stream}.{self.name}"
        self.client.request(subject, text.encode(), lambda answer: self._answered(text, answer), REQUEST_NS, headers)

    def _answered(self, text: str, answer: Message | None) -> None:
        body = {} if answer is None or not answer.data else answer.json()
        sequence = body.get("seq")
        if isinstance(sequence, int) and "error" not in body:
            self.history.note_ack(self.stream, text, sequence, self.world.now_ns)
        elif self.with_ids:
            self.world.after(RETRY_NS, lambda: self._send(text))
            return
        self.out -= 1


class Consumer:
    """Fetches from a durable pull consumer and double-acks what it gets."""

    def __init__(self, world: World, history: History, name: str, stream: str, durable: str) -> None:
        self.world = world
        self.history = history
        self.stream = stream
        self.durable = durable
        self.careful = False  # True: forgets no ack any more
        self.pull = 0
        self.wanted = 0  # of the pull under way
        self.inbox = f"_FETCH.{name}"
        self.rng = random.Random(world.rng.getrandbits(64))
        self.client = SimClient(world, name, list(world.servers))
        self.client.subscribe(f"{self.inbox}.*", self._message)
        world.after(RETRY_NS, self._fetch)

    def _fetch(self) -> None:
        self.pull += 1
        pull = self.pull
        self.wanted = self.rng.choice((1, 5, 20))
        request = json.dumps({"batch": self.wanted, "expires": FETCH_NS}).encode()
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{self.durable}"
        self.client.publish(subject, request, f"{self.inbox}.{pull}")
        self.world.after(FETCH_NS + 300_000_000, lambda: self._again(pull))

    def _again(self, pull: int) -> None:
        if pull == self.pull:
            self._fetch()

    def _fetch_soon(self) -> None:
        self.pull += 1  # the timer of the pull that ended means nothing any more
        self.world.after(20_000_000, self._fetch)

    def _message(self, message: Message | None) -> None:
        assert message is not None
        if message.status:
            if message.subject == f"{self.inbox}.{self.pull}":
                self._fetch_soon()
            return
        self.wanted -= 1  # a late one of an earlier pull counts too: the next pull is then early, which does no harm
        if self.wanted == 0:
            self._fetch_soon()
        sequence = int(message.reply.split(".")[5])
        self.history.note_delivery(self.stream, sequence, message.data.decode())
        chance = self.rng.random()
        if chance < 0.05 and not self.careful:
            return
        if chance < 0.08 and not self.careful:
            self.client.publish(message.reply, b"-NAK")
            return
        key = (self.stream, self.durable, sequence)
        self.client.request(message.reply, b"+ACK", lambda answer: self._confirmed(key, answer), REQUEST_NS)

    def _confirmed(self, key: tuple[str, str, int], answer: Message | None) -> None:
        if answer is not None and not answer.status and not answer.data:
            self.history.confirmed.setdefault(key, self.world.now_ns)


class Setup:
    """Creates streams and consumers, trying until it worked."""

    def __init__(self, world: World, requests: list[tuple[str, dict[str, object]]]) -> None:
        self.world = world
        self.requests = requests
        self.client = SimClient(world, "setup", list(world.servers))
        self.done = False
        self.errors: list[object] = []
        world.after(RETRY_NS, self._next)

    def _next(self) -> None:
        if not self.requests:
            self.done = True
            return
        subject, body = self.requests[0]
        self.client.request(subject, json.dumps(body).encode(), self._answered, REQUEST_NS)

    def _answered(self, answer: Message | None) -> None:
        if answer is not None and not answer.status and "error" not in answer.json():
            self.requests.pop(0)
            self._next()
            return
        if answer is not None and answer.data:
            self.errors.append(answer.json().get("error"))
        self.world.after(RETRY_NS, self._next)
