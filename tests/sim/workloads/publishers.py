"""Publishers: of kind D send `D<name>-<number>` under a message id and try again until they have an answer; those of
kind P do neither.

Read next: `consumers`, `checkers/publishes`.
"""

from sim.client import Message, error_code, fields_of
from sim.workloads.workload import REQUEST_NS, RETRY_NS, Workload

STORE_FAILED = 10077


class Publisher(Workload):
    """Publishes one message after the other, now and then a few at once."""

    with_ids = True
    number = 0

    def next(self) -> None:
        if self.stopped:
            return
        for _ in range(self.rng.choice((1, 1, 1, 1, 8))):
            if self.out < 32:
                self.number += 1
                self.out += 1
                self._send(f"{self.name}-{self.number}")
        self.world.after(self.pause(), self.next)

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


class Plain(Publisher):
    """Asks once, and does not know what becomes of it."""

    with_ids = False
