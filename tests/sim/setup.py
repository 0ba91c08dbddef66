"""Streams and consumers are made before a story begins, by a client that tries until it worked."""

import json

from sim.client import Message, SimClient
from sim.workloads.publishers import REQUEST_NS, RETRY_NS
from sim.world import World


class Setup:
    """Creates streams and consumers, trying until it worked."""

    def __init__(self, world: World, requests: list[tuple[str, dict[str, object]]]) -> None:
        self.world = world
        self.requests = requests
        self.client = SimClient(world, "setup", list(world.servers))
        self.done = False
        self.errors: list[object] = []
        world.after(RETRY_NS, self._next)

    def _next(self) -> None:
        if not self.requests:
            self.done = True
            return
        subject, body = self.requests[0]
        self.client.request(subject, json.dumps(body).encode(), self._answered, REQUEST_NS)

    def _answered(self, answer: Message | None) -> None:
        if answer is not None and not answer.status and "error" not in answer.json():
            self.requests.pop(0)
            self._next()
            return
        if answer is not None and answer.data:
            self.errors.append(answer.json().get("error"))
        self.world.after(RETRY_NS, self._next)
