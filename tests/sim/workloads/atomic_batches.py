"""Batchers send a few messages as one: `A<name>-<number>-<n>of<count>`, stored together or not at all (ADR-50).

Half of them give every message an id and try again, in a new batch, until the batch is stored or its messages are known
already; the others try once. Some batches are left without their end, some lack a message in the middle, and some ask
for what cannot be, so that all of them must come to nothing. Read next: `checkers/atomic_batches`.
"""

from sim.client import Message, error_code, fields_of
from sim.history import Batch
from sim.workloads.workload import REQUEST_NS, RETRY_NS, Workload

DUPLICATE = 10201
COUNT_MAX = 7


class Batcher(Workload):
    """One batch at a time."""

    number = 0
    tries = 0

    def next(self) -> None:
        if self.stopped:
            return
        self.number += 1
        count = self.rng.randrange(1, COUNT_MAX)
        kind = self.rng.choice(("again", "again", "again", "once", "once", "wrong", "open", "hole"))
        texts = [f"{self.name}-{self.number}-{at + 1}of{count}" for at in range(count)]
        batches = self.history.batches.setdefault(self.stream, {})
        batches[f"{self.name}-{self.number}"] = Batch(texts)
        for text in texts:
            self.history.attempts[text] = 0
        self.out = 1
        self._send(texts, kind)

    def _send(self, texts: list[str], kind: str) -> None:
        self.tries += 1
        batch_id = f"{self.name}-{self.tries}"
        count = len(texts)
        beside = kind == "again" and self.rng.random() < 0.2  # the end is a message of its own
        hole = self.rng.randrange(1, count - 1) if kind == "hole" and count > 2 else 0
        for at, text in enumerate(texts):
            self.history.attempts[text] += 1
            headers = {"Nats-Batch-Id": batch_id, "Nats-Batch-Sequence": str(at + 1)}
            if kind == "again":
                headers["Nats-Msg-Id"] = text
            if kind == "wrong" and at == count - 1:
                headers["Nats-Expected-Last-Subject-Sequence"] = "999999"
            if at == hole and hole:
                continue
            subject = f"{self.stream}.{self.name}.{at % 3}"
            if at < count - 1 or kind == "open" or beside:
                self.client.publish(subject, text.encode(), "", headers)
            else:
                self._commit(subject, text, headers | {"Nats-Batch-Commit": "1"}, texts, kind)
        if beside:
            headers = {"Nats-Batch-Id": batch_id, "Nats-Batch-Sequence": str(count + 1), "Nats-Batch-Commit": "eob"}
            self._commit(f"{self.stream}.{self.name}.end", "end", headers, texts, kind)
        if kind == "open":
            self._done()

    def _commit(self, subject: str, text: str, headers: dict[str, str], texts: list[str], kind: str) -> None:
        def answered(answer: Message | None) -> None:
            body = fields_of(answer)
            sequence = body.get("seq")
            if isinstance(sequence, int) and "error" not in body:
                self._acknowledged(texts, sequence, body.get("count"))
            elif error_code(body) != DUPLICATE and kind == "again":
                self.world.after(RETRY_NS, lambda: self._send(texts, kind))
                return
            self._done()

        self.client.request(subject, text.encode(), answered, REQUEST_NS, headers)

    def _acknowledged(self, texts: list[str], sequence: int, count: object) -> None:
        batch = self.history.batches[self.stream][texts[0].rpartition("-")[0]]
        batch.acked, batch.sequence, batch.count = len(texts), sequence, int(str(count))
        for at, text in enumerate(texts):
            self.history.note_ack(self.stream, text, sequence - len(texts) + 1 + at, self.world.now_ns)

    def _done(self) -> None:
        self.out = 0
        self.world.after(self.pause(), self.next)
