"""Cleaners purge and delete what is stored: all, a subject, or up to a sequence; some keep a few."""

import json

from sim.client import Message
from sim.workloads.workload import REQUEST_NS, Workload

CLEAN_NS = 300_000_000


class Cleaner(Workload):
    """Purges all, a subject, or up to a sequence; keeps a few; deletes single messages."""

    def next(self) -> None:
        acked = self.history.acked.get(self.stream, {})
        if self.stopped:
            return
        self.world.after(self.rng.randrange(2 * CLEAN_NS), self.next)
        if self.out or not acked:
            return
        text = self.rng.choice(list(acked)[-50:])
        subject, sequence = f"{self.stream}.{text.split('-')[0]}", acked[text]
        self.out = 1
        choice = self.rng.randrange(8)
        if choice > 3:
            answer = f"$JS.API.STREAM.MSG.DELETE.{self.stream}"
            self._ask(answer, {"seq": sequence}, [sequence])
            return
        purge: dict[str, object] = [
            {"keep": self.rng.randrange(1, 30)},
            {"seq": sequence},
            {"filter": subject, "keep": self.rng.randrange(1, 5)},
            {"filter": subject, "seq": sequence},
        ][choice]  # fmt: skip
        gone = [seq for seq in acked.values() if seq < sequence] if choice == 1 else []
        self._ask(f"$JS.API.STREAM.PURGE.{self.stream}", purge, gone)

    def _ask(self, subject: str, body: dict[str, object], gone: list[int]) -> None:
        def answered(answer: Message | None) -> None:
            self.out = 0
            if answer is not None and answer.data and answer.json().get("success") is True:
                self.history.deleted.update((self.stream, sequence) for sequence in gone)

        self.client.request(subject, json.dumps(body).encode(), answered, REQUEST_NS)
