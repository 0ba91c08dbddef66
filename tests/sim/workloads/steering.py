"""Who steers consumers that work: pauses and lets go on, begins again somewhere, lets another client be pinned.

What was confirmed of it stands in the history: a paused consumer delivers nothing (`checkers/leaving`). A reset makes
confirmed acks mean nothing, whether its answer came or not. Read next: `checkers/redeliveries`.
"""

import json
from datetime import UTC, datetime

from sim.client import Message, fields_of
from sim.plan import SECOND_NS
from sim.server import WALL_START_NS
from sim.workloads.workload import REQUEST_NS, RETRY_NS, Workload

STEER_NS = 2 * SECOND_NS
PAUSE_NS = 3 * SECOND_NS
LATE_NS = 6 * SECOND_NS


class Pauser(Workload):
    """Pauses every consumer of the stream in turn, for up to three seconds, and ends some of the pauses early."""

    doubtful_ns = 0  # until then a request that was not answered may still come to pass

    def begin(self) -> None:
        self.world.after(STEER_NS, self.next)

    def next(self) -> None:
        if self.stopped:
            return
        consumer = self.rng.choice(self.plan.takers()).name
        asked_ns = self.world.now_ns
        self.history.paused_ns.pop((self.stream, consumer), None)
        until_ns = 0 if self.rng.random() < 0.3 else self.world.now_ns + self.rng.randrange(SECOND_NS, PAUSE_NS)
        body = b"" if not until_ns else json.dumps({"pause_until": date(until_ns)}).encode()
        self.out = 1

        def answered(answer: Message | None) -> None:
            self.out = 0
            if answer is None:
                self.doubtful_ns = self.world.now_ns + LATE_NS
            if until_ns and fields_of(answer).get("paused") is True and asked_ns > self.doubtful_ns:
                self.history.paused_ns[(self.stream, consumer)] = (self.world.now_ns, until_ns)
            self.world.after(self.rng.randrange(STEER_NS), self.next)

        self.client.request(f"$JS.API.CONSUMER.PAUSE.{self.stream}.{consumer}", body, answered, REQUEST_NS)


class Resetter(Workload):
    """Sends consumers back to what follows their ack floor, or to a message they had before."""

    def begin(self) -> None:
        for taker in self.plan.takers():
            self.history.reset.add((self.stream, taker.name))
        self.world.after(STEER_NS, self.next)

    def next(self) -> None:
        if self.stopped:
            return
        consumer = self.rng.choice(self.plan.takers()).name
        sequences = sorted(self.history.received.get((self.stream, consumer), ()))[-30:]
        wanted = {"seq": self.rng.choice(sequences)} if sequences and self.rng.random() < 0.5 else {}
        self.out = 1

        def answered(answer: Message | None) -> None:
            self.out = 0
            self.world.after(self.rng.randrange(2 * STEER_NS), self.next)

        body = json.dumps(wanted).encode() if wanted else b""
        self.client.request(f"$JS.API.CONSUMER.RESET.{self.stream}.{consumer}", body, answered, REQUEST_NS)


class Unpinner(Workload):
    """Takes the pin from whoever has it."""

    def begin(self) -> None:
        self.world.after(STEER_NS, self.next)

    def next(self) -> None:
        if self.stopped:
            return
        consumer = self.rng.choice(self.plan.takers()).name
        self.client.publish(f"$JS.API.CONSUMER.UNPIN.{self.stream}.{consumer}", b'{"group": "g"}')
        self.world.after(self.rng.randrange(RETRY_NS, 2 * STEER_NS), self.next)


def date(now_ns: int) -> str:
    """A time of the world as the API wants it, to the microsecond."""
    wall_ns = WALL_START_NS + now_ns
    return datetime.fromtimestamp(wall_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
