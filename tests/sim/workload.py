"""What clients do in a simulation, and the history they keep of it.

Publishers of kind D send `D<name>-<number>` under a message id and try again until they have an answer; those of kind P
do neither. Consumers fetch (or are sent) messages and confirm every one with a double ack or term; some they forget or
refuse, so that they come again. The history says what was acknowledged and delivered; `judge` compares it with what the
cluster committed and kept. Read next: `keepers`.
"""

import json
import random

from sim.client import Message, SimClient, fields_of
from sim.plan import StreamPlan
from sim.world import World

RETRY_NS = 200_000_000
REQUEST_NS = 2_000_000_000
FETCH_NS = 1_000_000_000
PING_NS = 1_000_000_000
STORE_FAILED = 10077


class History:
    """Everything the clients know, by stream."""

    def __init__(self) -> None:
        self.acked: dict[str, dict[str, int]] = {}
        self.acked_ns: dict[str, int] = {}  # of the last one
        self.sequences: dict[tuple[str, int], str] = {}
        self.attempts: dict[str, int] = {}
        self.refused: dict[str, str] = {}
        self.delivered: dict[str, dict[int, str]] = {}
        self.received: dict[tuple[str, str], set[int]] = {}  # by stream and consumer
        self.redelivered = 0
        self.tried: set[tuple[str, int]] = set()  # an ack was sent, whatever became of it
        self.confirmed: dict[tuple[str, str, int], int] = {}
        self.confirmed_up_to: dict[tuple[str, str], int] = {}
        self.deleted: set[tuple[str, int]] = set()  # confirmed
        self.key_acks: dict[tuple[str, str], list[tuple[int, int]]] = {}  # by stream and key: time, sequence
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

    def note_delivery(self, stream: str, durable: str, sequence: int, text: str) -> None:
        """A consumer got a message."""
        self.received.setdefault((stream, durable), set()).add(sequence)
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
        body = fields_of(answer)
        sequence = body.get("seq")
        if isinstance(sequence, int) and "error" not in body:
            self.history.note_ack(self.stream, text, sequence, self.world.now_ns)
        elif error_code(body) == STORE_FAILED:
            self.history.refused[text] = self.stream
        elif self.with_ids:
            self.world.after(RETRY_NS, lambda: self._send(text))
            return
        self.out -= 1


def error_code(body: dict[str, object]) -> int:
    """JetStream's number of the error, 0 without one."""
    error = body.get("error")
    code = error.get("err_code", 0) if isinstance(error, dict) else 0
    assert isinstance(code, int)
    return code


class Consumer:
    """Fetches from a durable pull consumer and double-acks what it gets."""

    def __init__(self, world: World, history: History, name: str, plan: StreamPlan, durable: str) -> None:
        self.world = world
        self.history = history
        self.stream = plan.name
        self.ack_all = plan.consumer_settings.get("ack_policy") == "all"
        self.durable = durable
        self.forgotten = plan.forgotten
        self.careful = False  # True: forgets no ack any more
        self.pull = 0
        self.wanted = 0  # of the pull under way
        self.inbox = f"_FETCH.{name}"
        self.rng = random.Random(world.rng.getrandbits(64))
        self.client = SimClient(world, name, list(world.servers))
        self._begin(plan)

    def _begin(self, plan: StreamPlan) -> None:
        self.client.subscribe(f"{self.inbox}.*", self._message)
        self.world.after(RETRY_NS, self._fetch)

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
        self._take(message)

    def _take(self, message: Message) -> None:
        """Acknowledge a message, mostly."""
        sequence = int(message.reply.split(".")[5])
        self.history.note_delivery(self.stream, self.durable, sequence, message.data.decode())
        chance = self.rng.random()
        if not self.careful:
            if chance < self.forgotten:
                return
            if chance < self.forgotten + 0.06:
                self.client.publish(message.reply, self.rng.choice((b"-NAK", b'-NAK {"delay": 300000000}', b"+WPI")))
                return
        settle = b"+TERM" if chance > 0.95 and not self.ack_all else b"+ACK"
        self.history.tried.add((self.stream, sequence))
        self.client.request(message.reply, settle, lambda answer: self._confirmed(sequence, answer), REQUEST_NS)

    def _confirmed(self, sequence: int, answer: Message | None) -> None:
        if answer is None or answer.status or answer.data:
            return
        self.history.confirmed.setdefault((self.stream, self.durable, sequence), self.world.now_ns)
        if self.ack_all:
            up_to = self.history.confirmed_up_to
            key = (self.stream, self.durable)
            up_to[key] = max(up_to.get(key, 0), sequence)


class PushTaker(Consumer):
    """Is sent messages by a push consumer, in a queue group with others."""

    def _begin(self, plan: StreamPlan) -> None:
        self.client.subscribe(plan.deliver_subject(self.durable), self._pushed, "Q")
        self._ping()

    def _ping(self) -> None:
        self.client.ping()
        self.world.after(PING_NS, self._ping)

    def _pushed(self, message: Message | None) -> None:
        assert message is not None
        if not message.status:
            self._take(message)


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
