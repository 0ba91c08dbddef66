"""A small world around the consumers of one stream: three replicas of its machine, a log, time that is driven, clients
that record.

`World` proposes into a list. With `commit_at_once` each turn's operations are applied at the end of the turn on every
replica, else they wait for `commit()`, or for `change_leader()`, which loses what was not committed. Whatever is sent
lands in `sent`.
"""

import json
import random
from dataclasses import dataclass

from broker.core.subjects import matches
from broker.jetstream.api.consumers import handle_consumer
from broker.jetstream.api.requests import Propose, Reply
from broker.jetstream.api_types import ApiRequest
from broker.jetstream.config.server_limits import NO_LIMITS, ServerLimits
from broker.jetstream.config.stream_config import StreamConfig
from broker.jetstream.config.stream_rules import complete_new
from broker.jetstream.consumers.consumer import Consumer
from broker.jetstream.consumers.consumer_apply import ConsumerOwner
from broker.jetstream.delivery.delivery import Delivery
from broker.jetstream.delivery.delivery_output import DeliveryOutput, OpWaiter
from broker.jetstream.effects import EffectSink
from broker.jetstream.ops import (
    OP_MESSAGE_DELETE,
    OP_PUBLISH,
    OP_PURGE,
    PublishBatch,
    PurgeOp,
    encode_delete,
    encode_purge,
)
from broker.jetstream.stream import StreamMachine
from storage.memory import MemoryStreamStore

SECOND = 1_000_000_000
MS = 1_000_000
WALL = 1_700_000_000 * SECOND


def dropped(machine: StreamMachine) -> list[int]:
    """Sequences that hold no message."""
    return [s for s in range(1, machine.store.last_sequence + 1) if machine.store.get(s) is None]


def apply_local(machine: StreamMachine, kind: str, arguments: tuple, wall_ns: int, sink: EffectSink) -> None:
    """The stream's own operations in short form."""
    if kind == "publish":
        batch = PublishBatch()
        for subject, header, payload in arguments:
            batch.add(subject.encode(), len(header), header + payload)
        machine.apply(OP_PUBLISH, batch.encode(wall_ns), 0, sink)
    elif kind == "delete":
        machine.apply(OP_MESSAGE_DELETE, encode_delete(wall_ns, *arguments), 0, sink)
    elif kind == "purge":
        machine.apply(OP_PURGE, encode_purge(wall_ns, PurgeOp(b"", 0, 0)), 0, sink)
    elif kind == "truncate":  # as a limit would
        machine.store.truncate_front(*arguments)


class Sink(EffectSink):
    """The leader's sink, as the cluster's: effects to the delivery, outcomes to waiters."""

    def __init__(self, world: "World", leader: bool) -> None:
        super().__init__()
        self.world = world
        self.leader = leader
        self.result: object = None
        self.advisories: list[tuple[str, dict]] = []

    def done(self, ordinal: int, result: object) -> None:
        self.result = result

    def removed(self, sequence: int) -> None:
        if self.leader:
            self.world.delivery.removed(sequence)

    def advisory(self, subject: str, body: dict) -> None:
        if self.leader:
            self.world.advisories.append((subject, body))

    def consumer_created(self, consumer: Consumer) -> None:
        if self.leader:
            self.world.delivery.consumer_created(consumer)

    def consumer_reset(self, consumer: Consumer) -> None:
        if self.leader:
            self.world.delivery.consumer_reset(consumer)

    def consumer_deleted(self, consumer: Consumer) -> None:
        if self.leader:
            self.world.delivery.consumer_deleted(consumer)


@dataclass
class Sent:
    """One message on its way to an inbox."""

    origin: str
    inbox: bytes
    subject: bytes
    reply: bytes
    header: bytes
    payload: bytes

    @property
    def status(self) -> str:
        """The status line without its version, "" for a message."""
        if not self.header.startswith(b"NATS/1.0 "):
            return ""
        return self.header.split(b"\r\n")[0][9:].decode()

    def token(self, index: int) -> int:
        return int(self.reply.split(b".")[index])

    deliveries = property(lambda self: self.token(4))
    sequence = property(lambda self: self.token(5))
    consumer_sequence = property(lambda self: self.token(6))
    pending = property(lambda self: self.token(8))


class Output(DeliveryOutput):
    """Records what leaves and what is proposed."""

    def __init__(self, world: "World") -> None:
        super().__init__()
        self.world = world

    def send(self, origin: str, inbox: bytes, subject: bytes, reply: bytes, header_length: int, data: bytes) -> None:
        message = Sent(origin, inbox, subject, reply, data[:header_length], data[header_length:])
        if inbox.startswith(b"$JS.EVENT."):
            self.world.advisories.append((inbox.decode(), json.loads(data)))
        else:
            self.world.sent.append(message)

    def propose(self, kind: int, body: bytes, urgent: bool, waiter: OpWaiter) -> None:
        self.world.proposed.append((kind, body, urgent, waiter))

    def has_interest(self, inbox: bytes, queue: bytes) -> bool:
        if inbox.startswith(b"$JS.EVENT."):
            return self.world.listens_to_events
        return any(matches(pattern, inbox) and group == queue for pattern, group in self.world.interest)


class World:
    """See the module's text."""

    def __init__(self, commit_at_once: bool = True, **stream: object) -> None:
        config = make_stream_config(**stream)
        self.machines = [StreamMachine(config, MemoryStreamStore.open(None), WALL) for _ in range(3)]
        self.leader_index = 0
        self.commit_at_once = commit_at_once
        self.now_ns = 10 * SECOND
        self.wall_ns = WALL
        self.sent: list[Sent] = []
        self.proposed: list[tuple[int, bytes, bool, OpWaiter | None]] = []
        self.advisories: list[tuple[str, dict]] = []
        self.interest: list[tuple[bytes, bytes]] = []
        self.listens_to_events = True
        self.answers: list[dict] = []
        self.rng = random.Random(7)
        self.delivery = self._lead()

    # The group.

    @property
    def machine(self) -> StreamMachine:
        return self.machines[self.leader_index]

    def _lead(self) -> Delivery:
        self.delivery = Delivery(self.machine, Output(self), self.rng)
        self.delivery.become_leader()
        return self.delivery

    def alternates(self) -> list[dict[str, object]]:
        return []

    def sources_info(self) -> dict[str, object]:
        return {}

    def limits(self) -> ServerLimits:
        return NO_LIMITS

    def domain(self) -> str:
        return ""

    def cluster_info(self) -> dict | None:
        return None

    def turn(self) -> None:
        """One turn: what came in is worked on, then (if so) committed."""
        for _ in range(1000):
            more = self.delivery.pump(self.now_ns, self.wall_ns)
            if self.commit_at_once:
                self.commit()
            if not (more or (self.commit_at_once and self.delivery.dirty)):
                return

    def commit(self, count: int | None = None) -> None:
        """Apply operations that were proposed, on every replica."""
        take = len(self.proposed) if count is None else count
        ops, self.proposed = self.proposed[:take], self.proposed[take:]
        for kind, body, _urgent, waiter in ops:
            result: object = None
            for index, machine in enumerate(self.machines):
                sink = Sink(self, index == self.leader_index)
                machine.apply(kind, body, 0, sink)
                if index == self.leader_index:
                    result = sink.result
            if waiter is not None:
                waiter.applied(result)

    def local(self, kind: str, *arguments: object) -> None:
        """An operation of the stream itself, committed at once."""
        for index, machine in enumerate(self.machines):
            apply_local(machine, kind, arguments, self.wall_ns, Sink(self, index == self.leader_index))
        self.delivery.stored()

    def advance(self, ns: int) -> None:
        """Time passes, turn by turn, as deadlines ask."""
        self.turn()
        end = self.now_ns + ns
        while True:
            deadline = self.delivery.next_deadline_ns()
            if deadline == 0 or deadline > end:
                break
            step = max(deadline - self.now_ns, 1)
            self.now_ns += step
            self.wall_ns += step
            self.turn()
        self.wall_ns += end - self.now_ns
        self.now_ns = end
        self.turn()

    def change_leader(self, resign: bool = True) -> None:
        """What is not committed is lost; the next replica leads."""
        lost, self.proposed = self.proposed, []
        for _kind, _body, _urgent, waiter in lost:
            if waiter is not None:
                waiter.abandoned()
        if resign:
            self.delivery.resign()
        self.leader_index = (self.leader_index + 1) % len(self.machines)
        self._lead()

    # Clients.

    def publish(self, count: int = 1, subject: str = "s.a", payload: bytes = b"x", header: bytes = b"") -> None:
        self.local("publish", *[(subject, header, payload)] * count)
        self.turn()

    def request(self, verb: str, rest: str, body: object = None) -> dict:
        """An API request, answered after commit."""
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        request = ApiRequest(f"$JS.API.{verb}.{rest}".encode(), b"_INBOX.api", 0, data, "", self.wall_ns)
        answer = handle_consumer(verb, request, self)
        if answer is None:
            return {}
        if isinstance(answer, Reply):
            return json.loads(answer.payload)
        assert isinstance(answer, Propose)
        waiter = Responder(answer)
        self.proposed.append((answer.kind, answer.body, True, waiter))
        self.commit()
        self.turn()
        assert waiter.answer is not None
        return json.loads(waiter.answer)

    def create(self, name: str = "C", action: str = "", **config: object) -> dict:
        config.setdefault("ack_policy", "explicit")
        config.setdefault("durable_name", name)
        body = {"stream_name": "S", "config": config, "action": action}
        return self.request("CONSUMER.CREATE", f"S.{name}", body)

    def info(self, name: str = "C") -> dict:
        return self.request("CONSUMER.INFO", f"S.{name}")

    def consumer(self, name: str = "C") -> Consumer:
        return self.machine.consumers[name]

    def listen(self, subject: str, queue: str = "") -> None:
        self.interest.append((subject.encode(), queue.encode()))
        self.delivery.interest_changed(subject.encode())

    def hang_up(self, subject: str, queue: str = "") -> None:
        self.interest.remove((subject.encode(), queue.encode()))
        self.delivery.interest_changed(subject.encode())

    def ask(
        self,
        name: str = "C",
        inbox: str = "in",
        listening: bool = True,
        origin: str = "",
        body: bytes | None = None,
        **fields: object,
    ) -> None:
        """A pull request, without a turn."""
        if listening and (inbox.encode(), b"") not in self.interest:
            self.listen(inbox)
        data = body if body is not None else json.dumps(fields).encode() if fields else b""
        subject = f"$JS.API.CONSUMER.MSG.NEXT.S.{name}".encode()
        self.delivery.pull_request(name, ApiRequest(subject, inbox.encode(), 0, data, origin, self.wall_ns))

    def pull(self, name: str = "C", inbox: str = "in", **fields: object) -> list[Sent]:
        """A pull request and its turn; what came to its inbox."""
        self.take(inbox)
        self.ask(name, inbox, **fields)
        self.turn()
        return self.take(inbox)

    def pull_into(self, name: str = "C", inbox: str = "in", **fields: object) -> None:
        """A pull request and its turn; what comes stays in `sent`."""
        self.ask(name, inbox, **fields)
        self.turn()

    def take(self, inbox: str = "in") -> list[Sent]:
        """What has come to an inbox and was not looked at."""
        mine = [message for message in self.sent if message.inbox == inbox.encode()]
        self.sent = [message for message in self.sent if message.inbox != inbox.encode()]
        return mine

    def ack(self, message: Sent, payload: bytes = b"", reply: str = "", turn: bool = True) -> None:
        self.delivery.ack(message.reply, reply.encode(), 0, payload, "")
        if turn:
            self.turn()

    def events(self, kind: str) -> list[dict]:
        return [body for subject, body in self.advisories if f".{kind}." in subject]


class Responder(OpWaiter):
    """Waits for the outcome of an API request."""

    def __init__(self, proposal: Propose) -> None:
        super().__init__()
        self.proposal = proposal
        self.answer: bytes | None = None

    def applied(self, result: object) -> None:
        self.answer = self.proposal.respond(result)

    def abandoned(self) -> None:
        self.answer = None


def make_stream_config(**stream: object) -> StreamConfig:
    """A stream S on `s.>`, three replicas."""
    fields: dict[str, object] = {"name": "S", "subjects": ["s.>"], "num_replicas": 3, **stream}
    config = StreamConfig.from_json(fields)
    assert isinstance(config, StreamConfig), config
    refusal = complete_new(config, ServerLimits(clustered=True))
    assert refusal is None, refusal
    return config


def state_of(machine: ConsumerOwner) -> dict[str, dict]:
    """The replicated state of all consumers, comparable."""
    return {name: machine.consumers[name].snapshot() for name in sorted(machine.consumers)}
