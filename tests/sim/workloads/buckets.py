"""Users of a key-value bucket, as clients write one (ADR-8): put, create, update by revision, delete, purge, get.

Values are `B<name>-<number>-<key>-<what>`; what follows an expectation ends in it: `-<revision>`. Some live for a few
seconds only and leave a marker. A get asks the leader, or, now and then, any replica. Read next: `checkers/reads`,
`checkers/conditions`; who watches a bucket is `ordered`.
"""

import json

from sim.client import Message, error_code, fields_of
from sim.workloads.keepers import NO_MESSAGE_FOUND, WRONG_LAST_SEQUENCE
from sim.workloads.workload import REQUEST_NS, Workload

KEYS = ("a", "b", "c")


class Read:
    """One get: asked and answered at these times; `sequence` 0: there was nothing."""

    def __init__(self, key: str, is_direct: bool, asked_ns: int, answered_ns: int, sequence: int) -> None:
        self.key = key
        self.is_direct = is_direct
        self.asked_ns = asked_ns
        self.answered_ns = answered_ns
        self.sequence = sequence


class Bucket(Workload):
    """One operation after the other; what it read last is what it updates."""

    number = 0
    kinds: tuple[str, ...] = (
        "get", "get", "direct", "put", "put", "create", "update", "update", "delete", "purge",
    )  # fmt: skip

    def begin(self) -> None:
        self.prefix = self.plan.config()["subjects"][0].removesuffix(">")  # type: ignore[index]
        self.revisions: dict[str, int] = {}
        super().begin()

    def next(self) -> None:
        if self.stopped:
            return
        key = self.rng.choice(KEYS)
        self.out = 1
        what = self.rng.choice(self.kinds)
        if what == "get":
            self._get(key)
        elif what == "direct":
            self._get_direct(key)
        else:
            self._write(what, key)

    def _get(self, key: str) -> None:
        asked_ns = self.world.now_ns
        body = json.dumps({"last_by_subj": f"{self.prefix}{key}"}).encode()

        def answered(answer: Message | None) -> None:
            fields = fields_of(answer)
            message = fields.get("message")
            if isinstance(message, dict):
                self._note_read(key, False, asked_ns, message["seq"])
            elif error_code(fields) == NO_MESSAGE_FOUND:
                self._note_read(key, False, asked_ns, 0)
            self._done()

        self.client.request(f"$JS.API.STREAM.MSG.GET.{self.stream}", body, answered, REQUEST_NS)

    def _get_direct(self, key: str) -> None:
        asked_ns = self.world.now_ns

        def answered(answer: Message | None) -> None:
            if answer is not None and not answer.status:
                sequence = int(answer.headers()["Nats-Sequence"])
                self.history.note_value(self.stream, sequence, answer.data.decode())
                self._note_read(key, True, asked_ns, sequence)
            self._done()

        subject = f"$JS.API.DIRECT.GET.{self.stream}.{self.prefix}{key}"
        self.client.request(subject, b"", answered, REQUEST_NS)

    def _note_read(self, key: str, is_direct: bool, asked_ns: int, sequence: int) -> None:
        read = Read(f"{self.prefix}{key}", is_direct, asked_ns, self.world.now_ns, sequence)
        self.history.reads.setdefault(self.stream, []).append(read)
        if not is_direct:
            self.revisions[key] = sequence

    def _write(self, what: str, key: str) -> None:
        self.number += 1
        text = f"{self.name}-{self.number}-{key}-{what}"
        headers: dict[str, str] = {}
        if what == "delete":
            headers["KV-Operation"] = "DEL"
        elif what == "purge":
            headers |= {"KV-Operation": "PURGE", "Nats-Rollup": "sub"}
        if what in ("create", "update"):
            expected = 0 if what == "create" else self.revisions.get(key, 0)
            headers["Nats-Expected-Last-Subject-Sequence"] = str(expected)
            text += f"-{expected}"
        if what in ("put", "purge", "create") and self.rng.random() < 0.3:
            headers["Nats-TTL"] = str(self.rng.randrange(1, 4))
        self.history.attempts[text] = 1
        asked_ns = self.history.asked_ns[text] = self.world.now_ns

        def answered(answer: Message | None) -> None:
            body = fields_of(answer)
            sequence = body.get("seq")
            if isinstance(sequence, int) and "error" not in body:
                self.history.note_ack(self.stream, text, sequence, self.world.now_ns)
                self.history.writes.setdefault(self.stream, []).append((asked_ns, self.world.now_ns, sequence))
                self.revisions[key] = sequence
            elif error_code(body) == WRONG_LAST_SEQUENCE:
                self.history.refused[text] = self.stream
            self._done()

        self.client.request(f"{self.prefix}{key}", text.encode(), answered, REQUEST_NS, headers or None)

    def _done(self) -> None:
        self.out = 0
        self.world.after(self.pause(), self.next)


class Getter(Bucket):
    """Only asks the leader: who writes to one that was cut off waits for an answer, and asks nothing meanwhile."""

    kinds = ("get",)
