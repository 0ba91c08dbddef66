"""Scalers change where a stream is kept: how many replicas, and on which servers."""

import json

from sim.client import Message, fields_of
from sim.workloads.workload import REQUEST_NS, RETRY_NS, Workload

SCALE_NS = 1_000_000_000


class Scaler(Workload):
    """Changes the number of replicas again and again; leaves as many as were planned."""

    def begin(self) -> None:
        self.out = 1
        self.world.after(SCALE_NS, self.next)

    def next(self) -> None:
        replicas = self.plan.replicas if self.stopped else self.rng.choice((1, 1, 2, 3))
        if not self.stopped and self.rng.random() < 0.3:
            self._move()
            return
        config = self.plan.config() | {"num_replicas": replicas}

        def answered(answer: Message | None) -> None:
            body = fields_of(answer)
            if self.stopped and body.get("config", {}).get("num_replicas") == self.plan.replicas:
                self.out = 0
            else:
                self.world.after(RETRY_NS if self.stopped else self.rng.randrange(2 * SCALE_NS), self.next)

        subject = f"$JS.API.STREAM.UPDATE.{self.plan.name}"
        self.client.request(subject, json.dumps(config).encode(), answered, REQUEST_NS)

    def _move(self) -> None:
        """Take the stream off a server, if another one is free, or take the last change back."""
        verb = self.rng.choice(("STREAM.PEER.REMOVE", "STREAM.PEER.EVACUATE", "STREAM.CANCEL_MOVE"))
        body = b"" if verb == "STREAM.CANCEL_MOVE" else json.dumps(self._somebody()).encode()

        def answered(answer: Message | None) -> None:
            self.world.after(self.rng.randrange(SCALE_NS), self.next)

        self.client.request(f"$JS.API.{verb}.{self.plan.name}", body, answered, REQUEST_NS)

    def _somebody(self) -> dict[str, str]:
        return {"peer": self.rng.choice(list(self.world.servers))}
