"""Fast publishers send long batches of messages and are told now and then how far they got (ADR-50, fast ingest).

`F<name>-<batch>-<n>`, n from 1 on without a hole. Half of the batches may have gaps where messages get lost on their
way, the others end before one. Now and then a message expects something that is not so, and is refused: in a batch
without gaps nothing behind it may be stored. Who hears nothing pings; who is told that its batch is unknown, or hears
nothing at all, begins another one. Read next: `checkers/fast_batches`.
"""

from sim.client import Message
from sim.history import Batch
from sim.plan import SECOND_NS
from sim.workloads.workload import Workload

START, APPEND, COMMIT, PING = 0, 1, 2, 4
FLOW = 8
AHEAD_MAX = 24  # messages that are not acknowledged yet
LENGTH_MAX = 60
SILENT_NS = SECOND_NS
GIVEN_UP = 3  # pings without an answer


class FastPublisher(Workload):
    """One batch at a time."""

    number = 0

    def begin(self) -> None:
        self.client.subscribe(f"_FAST.{self.name}.>", self._told)
        super().begin()

    def next(self) -> None:
        if self.stopped:
            return
        self.out = 1
        self.number += 1
        self.sent = 0
        self.silent = 0
        self.length = self.rng.randrange(1, LENGTH_MAX)
        self.batch = Batch([f"{self.name}-{self.number}-{at + 1}" for at in range(self.length)])
        self.batch.may_gap = self.rng.random() < 0.5
        self.history.batches.setdefault(self.stream, {})[f"{self.name}-{self.number}"] = self.batch
        self._more()
        self._watch(self.number)

    def _more(self) -> None:
        while self.sent < self.length and self.sent < self.batch.acked + AHEAD_MAX:
            self.sent += 1
            text = self.batch.texts[self.sent - 1]
            self.history.attempts[text] = 1
            operation = COMMIT if self.sent == self.length else START if self.sent == 1 else APPEND
            headers = {}
            if self.rng.random() < 0.03:
                headers["Nats-Expected-Last-Subject-Sequence"] = "999999"
            elif self.rng.random() < 0.1:
                headers["Nats-Msg-Id"] = text
            subject = f"{self.stream}.{self.name}"
            self.client.publish(subject, text.encode(), self._reply(self.sent, operation), headers or None)

    def _reply(self, sequence: int, operation: int) -> str:
        mode = "ok" if self.batch.may_gap else "fail"
        return f"_FAST.{self.name}.{self.name}-{self.number}.{FLOW}.{mode}.{sequence}.{operation}.$FI"

    def _watch(self, number: int) -> None:
        def look() -> None:
            if number != self.number or not self.out:
                return
            self.silent += 1
            if self.silent > GIVEN_UP:
                self._done()
                return
            self.client.publish(f"{self.stream}.{self.name}", b"", self._reply(max(self.sent, 1), PING))
            self.world.after(SILENT_NS, look)

        self.world.after(SILENT_NS, look)

    def _told(self, message: Message | None) -> None:
        assert message is not None
        if not self.out or message.subject.split(".")[2] != f"{self.name}-{self.number}" or not message.data:
            return
        self.silent = 0
        body = message.json()
        kind, sequence = body.get("type"), body.get("seq")
        if kind == "ack":
            assert isinstance(sequence, int)
            self.batch.acked = max(self.batch.acked, sequence)
            self._more()
        elif kind in ("gap", "err"):
            pass  # the end of the batch, if it is one, is told too
        elif "error" in body:
            self._done()
        elif isinstance(sequence, int):
            self.batch.sequence, self.batch.count = sequence, int(str(body["count"]))
            self.history.acked_ns[self.stream] = self.world.now_ns
            self._done()

    def _done(self) -> None:
        self.out = 0
        self.world.after(self.pause(), self.next)
