"""Keepers compare and set: they read the last message of a key from the stream's leader and publish the next one on
condition that nobody was faster. Their texts say what they expected.

A read is answered by who leads, and never with less than was acknowledged before it was asked (`broker/README.md`).
Read next: `checkers/conditions`, `checkers/publishes`.
"""

import json

from sim.client import Message, error_code, fields_of
from sim.workloads.workload import REQUEST_NS, Workload

KEYS = ("a", "b", "c")
WRONG_LAST_SEQUENCE = 10071
NO_MESSAGE_FOUND = 10037


class Keeper(Workload):
    """Sends `K<name>-<number>-<key>-<expected sequence>`."""

    number = 0

    def next(self) -> None:
        if self.stopped:
            return
        key = self.rng.choice(KEYS)
        self.out = 1
        asked_ns = self.world.now_ns
        body = json.dumps({"last_by_subj": f"{self.stream}.{key}"}).encode()
        subject = f"$JS.API.STREAM.MSG.GET.{self.stream}"
        self.client.request(subject, body, lambda answer: self._found(key, asked_ns, answer), REQUEST_NS)

    def _found(self, key: str, asked_ns: int, answer: Message | None) -> None:
        body = fields_of(answer)
        message = body.get("message")
        if isinstance(message, dict):
            sequence = message["seq"]
        elif error_code(body) == NO_MESSAGE_FOUND:
            sequence = 0
        else:
            self._again()
            return
        self._check_fresh(key, asked_ns, sequence)
        self._write(key, sequence)

    def _check_fresh(self, key: str, asked_ns: int, sequence: int) -> None:
        for acked_ns, newer in self.history.key_acks.get((self.stream, key), []):
            if newer > sequence and acked_ns < asked_ns:
                age_s = (asked_ns - acked_ns) / 1e9
                text = f"a read of {key} found {sequence}, {newer} was acknowledged {age_s:.1f} s before"
                self.history.conflict("reads", f"{self.stream}: {text}")
                return

    def _write(self, key: str, expected: int) -> None:
        self.number += 1
        text = f"{self.name}-{self.number}-{key}-{expected}"
        self.history.attempts[text] = 1
        headers = {"Nats-Expected-Last-Subject-Sequence": str(expected)}
        if self.rng.random() < 0.1:
            headers["Nats-Rollup"] = "sub"
        subject = f"{self.stream}.{key}"
        self.client.request(
            subject, text.encode(), lambda answer: self._written(text, key, answer), REQUEST_NS, headers
        )

    def _written(self, text: str, key: str, answer: Message | None) -> None:
        body = fields_of(answer)
        sequence = body.get("seq")
        if isinstance(sequence, int) and "error" not in body:
            self.history.note_ack(self.stream, text, sequence, self.world.now_ns)
            acks = self.history.key_acks.setdefault((self.stream, key), [])
            acks.append((self.world.now_ns, sequence))
        elif error_code(body) == WRONG_LAST_SEQUENCE:
            self.history.refused[text] = self.stream
        self._again()

    def _again(self) -> None:
        self.out = 0
        self.world.after(self.pause(), self.next)
