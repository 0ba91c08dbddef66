"""What clients do in a simulation, and the history they keep of it.

Publishers write `publisher-number` under a message id and try again until they have an answer. Consumers fetch and
confirm every message with a double ack. The history says what was acknowledged; `invariants` compares it with what
the cluster kept.
"""

import json

from sim.client import Message, SimClient
from sim.world import World

RETRY_NS = 200_000_000
REQUEST_NS = 2_000_000_000


class History:
    """Everything the clients know."""

    def __init__(self) -> None:
        self.acked: dict[str, int] = {}
        self.acked_ns: list[int] = []
        self.attempts: dict[str, int] = {}
        self.delivered: dict[str, int] = {}
        self.confirmed: dict[int, int] = {}
        self.redelivered_after_confirm: list[int] = []
        self.sequences: dict[int, str] = {}
        self.conflicts: list[str] = []

    def note_ack(self, message: str, sequence: int, now_ns: int) -> None:
        """A publish was acknowledged under `sequence`."""
        before = self.acked.get(message)
        if before is not None and before != sequence:
            self.conflicts.append(f"{message} acknowledged as {before} and as {sequence}")
        other = self.sequences.get(sequence)
        if other is not None and other != message:
            self.conflicts.append(f"sequence {sequence} acknowledged for {other} and for {message}")
        self.acked[message] = sequence
        self.sequences[sequence] = message
        self.acked_ns.append(now_ns)


class Publisher:
    """Publishes one message after the other, each until it is acknowledged."""

    def __init__(self, world: World, history: History, name: str, subject: str, pause_ns: int, with_ids: bool) -> None:
        self.world = world
        self.history = history
        self.name = name
        self.subject = subject
        self.pause_ns = pause_ns
        self.with_ids = with_ids
        self.number = 0
        self.stopped = False
        self.client = SimClient(world, name, list(world.nodes))
        world.after(pause_ns, self._next)

    def _next(self) -> None:
        if not self.stopped:
            self.number += 1
            self._send(f"{self.name}-{self.number}")

    def _send(self, message: str) -> None:
        self.history.attempts[message] = self.history.attempts.get(message, 0) + 1
        headers = {"Nats-Msg-Id": message} if self.with_ids else None
        self.client.request(
            self.subject, message.encode(), lambda answer: self._answered(message, answer), REQUEST_NS, headers
        )

    def _answered(self, message: str, answer: Message | None) -> None:
        body = {} if answer is None or not answer.data else answer.json()
        if "seq" in body and "error" not in body:
            sequence = body["seq"]
            assert isinstance(sequence, int)
            self.history.note_ack(message, sequence, self.world.now_ns)
            self.world.after(self.pause_ns, self._next)
        elif self.stopped:
            return
        elif self.with_ids:
            self.world.after(RETRY_NS, lambda: self._send(message))
        else:
            self.world.after(RETRY_NS, self._next)


class Consumer:
    """Fetches from a durable pull consumer and double-acks what it gets."""

    def __init__(self, world: World, history: History, name: str, stream: str, durable: str, batch: int) -> None:
        self.world = world
        self.history = history
        self.stream = stream
        self.durable = durable
        self.batch = batch
        self.stopped = False
        self.pull = 0
        self.inbox = f"_FETCH.{name}"
        self.client = SimClient(world, name, list(world.nodes))
        self.client.subscribe(f"{self.inbox}.*", self._message)
        world.after(RETRY_NS, self._fetch)

    def _fetch(self) -> None:
        if self.stopped:
            return
        self.pull += 1
        pull = self.pull
        request = json.dumps({"batch": self.batch, "expires": 1_000_000_000}).encode()
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{self.durable}"
        self.client.publish(subject, request, f"{self.inbox}.{pull}")
        self.world.after(1_500_000_000, lambda: self._again(pull))

    def _again(self, pull: int) -> None:
        if pull == self.pull:
            self._fetch()

    def _message(self, message: Message | None) -> None:
        assert message is not None
        if message.status:
            if message.subject == f"{self.inbox}.{self.pull}":
                self.world.after(10_000_000, self._fetch)
            return
        sequence = int(message.reply.split(".")[5])
        text = message.data.decode()
        self.history.delivered[text] = self.history.delivered.get(text, 0) + 1
        if sequence in self.history.confirmed:
            self.history.redelivered_after_confirm.append(sequence)
        self.client.request(message.reply, b"+ACK", lambda answer: self._confirmed(sequence, answer), REQUEST_NS)

    def _confirmed(self, sequence: int, answer: Message | None) -> None:
        if answer is not None and not answer.status and not answer.data:
            self.history.confirmed[sequence] = self.world.now_ns


class Setup:
    """Creates a stream and perhaps a consumer, trying until it worked."""

    def __init__(self, world: World, requests: list[tuple[str, dict[str, object]]]) -> None:
        self.world = world
        self.requests = requests
        self.client = SimClient(world, "setup", list(world.nodes))
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
