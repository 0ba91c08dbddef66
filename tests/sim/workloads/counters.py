"""Counters add to a few numbers, up and down: `Nats-Incr` under a message id, again until there is an answer.

Every answer says what the number is then. Read next: `checkers/sums`.
"""

from sim.client import Message, fields_of
from sim.workloads.workload import REQUEST_NS, RETRY_NS, Workload

NUMBERS = ("a", "b")
AT_ONCE_MAX = 16


class Counter(Workload):
    """`history.sums`: text → sequence, increment, sum that was told (none to a repetition)."""

    number = 0

    def next(self) -> None:
        if self.stopped:
            return
        for _ in range(self.rng.choice((1, 1, 4))):
            if self.out < AT_ONCE_MAX:
                self.number += 1
                self.out += 1
                self._add(f"{self.name}-{self.number}", self.rng.randrange(-3, 10), self.rng.choice(NUMBERS))
        self.world.after(self.pause(), self.next)

    def _add(self, text: str, increment: int, number: str) -> None:
        self.history.attempts[text] = self.history.attempts.get(text, 0) + 1
        headers = {"Nats-Msg-Id": text, "Nats-Incr": f"{increment:+}"}

        def answered(answer: Message | None) -> None:
            body = fields_of(answer)
            sequence = body.get("seq")
            if not isinstance(sequence, int) or "error" in body:
                self.world.after(RETRY_NS, lambda: self._add(text, increment, number))
                return
            self.history.note_ack(self.stream, text, sequence, self.world.now_ns)
            told = int(str(body["val"])) if "val" in body else None
            self.history.sums.setdefault(self.stream, {})[text] = (sequence, increment, told)
            self.out -= 1

        self.client.request(f"{self.stream}.{number}", b"", answered, REQUEST_NS, headers)
