"""Consumers fetch (or are sent) messages and confirm every one with a double ack or term; some they forget or refuse,
so that they come again. Those who need not acknowledge do not.

Read next: `checkers/deliveries`, `checkers/leaving`; `groups` has those that share by rules.
"""

import json
import random

from broker.jetstream.delivery import push
from sim.client import Message, SimClient
from sim.history import History
from sim.plan import ConsumerPlan, StreamPlan
from sim.workloads.workload import REQUEST_NS, RETRY_NS
from sim.world import World

FETCH_NS = 1_000_000_000
PING_NS = 1_000_000_000
SLOW_NS = 200_000_000
MESSAGE_BYTES = 200  # more than any has


class Consumer:
    """Fetches from a durable pull consumer and double-acks what it gets."""

    def __init__(
        self, world: World, history: History, name: str, plan: StreamPlan, taker: ConsumerPlan, number: int = 0
    ) -> None:
        self.world = world
        self.history = history
        self.stream = plan.name
        self.policy = taker.config(plan)["ack_policy"]
        self.durable = taker.name
        self.number = number
        self.forgotten = plan.forgotten
        self.careful = False  # True: forgets no ack any more
        self.pull = 0
        self.wanted = 0  # of the pull under way
        self.inbox = f"_FETCH.{name}"
        self.rng = random.Random(world.rng.getrandbits(64))
        self.client = SimClient(world, name, list(world.servers))
        self._begin(plan, taker)

    def _begin(self, plan: StreamPlan, taker: ConsumerPlan) -> None:
        self.client.subscribe(f"{self.inbox}.*", self._message)
        self.world.after(RETRY_NS, self._fetch)

    def _fetch(self) -> None:
        self.pull += 1
        pull = self.pull
        self.wanted = self.rng.choice((1, 5, 20))
        request = json.dumps({"batch": self.wanted, "expires": FETCH_NS, **self.wishes()}).encode()
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{self.durable}"
        self.client.publish(subject, request, f"{self.inbox}.{pull}")
        self.world.after(FETCH_NS + 300_000_000, lambda: self._again(pull))

    def wishes(self) -> dict[str, object]:
        """What else a request asks for."""
        return {}

    def silent_for_ns(self) -> int:
        """How long it has heard nothing though it should have; 0 where nobody promised anything."""
        return 0

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
        if self.policy == "none":
            return
        chance = self.rng.random()
        if not self.careful:
            if chance < self.forgotten:
                return
            if chance < self.forgotten + 0.06:
                self.client.publish(message.reply, self.rng.choice((b"-NAK", b'-NAK {"delay": 300000000}', b"+WPI")))
                return
        settle = b"+TERM" if chance > 0.95 and self.policy != "all" else b"+ACK"
        self.history.tried.add((self.stream, sequence))
        self.client.request(message.reply, settle, lambda answer: self._confirmed(sequence, answer), REQUEST_NS)

    def _confirmed(self, sequence: int, answer: Message | None) -> None:
        if answer is None or answer.status or answer.data:
            return
        self.history.confirmed.setdefault((self.stream, self.durable, sequence), self.world.now_ns)
        if self.policy == "all":
            up_to = self.history.confirmed_up_to
            key = (self.stream, self.durable)
            up_to[key] = max(up_to.get(key, 0), sequence)


class PushTaker(Consumer):
    """Is sent messages by a push consumer, in a queue group with others."""

    def _begin(self, plan: StreamPlan, taker: ConsumerPlan) -> None:
        self.client.subscribe(taker.deliver_subject(plan), self._pushed, "Q" if taker.kind == "queue" else "")
        self._ping()

    def _ping(self) -> None:
        self.client.ping()
        self.world.after(PING_NS, self._ping)

    def _pushed(self, message: Message | None) -> None:
        assert message is not None
        if not message.status:
            self._take(message)


class Listener(PushTaker):
    """Is sent messages by a push consumer of its own, with heartbeats and flow control, which it answers late."""

    heard_ns = 0
    heartbeat_ns = 0
    asked = 0  # answers that it still owes
    unanswered_bytes = 0

    def _begin(self, plan: StreamPlan, taker: ConsumerPlan) -> None:
        self.heartbeat_ns = int(str(taker.config(plan)["idle_heartbeat"]))
        super()._begin(plan, taker)

    def _pushed(self, message: Message | None) -> None:
        assert message is not None
        self.heard_ns = self.world.now_ns
        self._count(message)
        if message.status and message.reply:
            self._answer_late(message.reply)
        elif message.status:
            stalled = message.headers().get("Nats-Consumer-Stalled")
            if stalled:
                self.client.publish(stalled, b"")
        else:
            self._take(message)

    def _count(self, message: Message) -> None:
        """What comes while it has not answered is no more than two windows: a new leader begins another one."""
        if not message.status and self.asked:
            self.unanswered_bytes += len(message.subject) + len(message.reply) + len(message.data)
            if self.unanswered_bytes > 2 * push.WINDOW_BYTES_MAX + MESSAGE_BYTES:
                text = f"{self.client.name} got {self.unanswered_bytes} bytes without an answer"
                self.history.conflict("windows", f"{self.stream}: {text}")

    def _answer_late(self, reply: str) -> None:
        self.asked += 1

        def answer() -> None:
            self.asked -= 1
            self.unanswered_bytes = 0
            self.client.publish(reply, b"")

        self.world.after(self.rng.randrange(SLOW_NS), answer)

    def silent_for_ns(self) -> int:
        """Longer than three heartbeats is too long."""
        silent_ns = self.world.now_ns - self.heard_ns
        return silent_ns if silent_ns > 3 * self.heartbeat_ns else 0
