"""Ordered consumers (ADR-17): who reads a stream from its beginning, in order and without a gap, whatever happens.

Its consumer is ephemeral, lives on one server and is never acknowledged to. Where a message is missing, or nothing is
heard for too long, the client makes another one behind the last message it had. A watcher does so with the last value
of every subject first, as key-value clients do. Read next: `checkers/ordered`.
"""

import json
from collections.abc import Callable

from sim.client import Message
from sim.plan import SECOND_NS
from sim.workloads.workload import REQUEST_NS, RETRY_NS, Workload

HEARTBEAT_NS = SECOND_NS // 2
SILENT_MAX = 3  # heartbeats


class Ordered(Workload):
    """`history.orders`: the sequences that every consumer in turn brought."""

    policy = "all"

    def begin(self) -> None:
        wanted = self.plan.config().get("subjects", [">"])
        assert isinstance(wanted, list)
        self.subjects = wanted[0]
        self.made = 0
        self.sequence = 0  # of the stream, of the last message
        self.count = 0  # of this consumer's messages
        self.heard_ns = 0
        self.is_waiting = False
        self.client.subscribe(f"_ORDERED.{self.name}.*", self._message)
        self.world.after(RETRY_NS, self._make)
        self.world.after(SECOND_NS, self._look)

    def next(self) -> None:
        """Nothing is asked for."""

    def unfinished(self, last: Callable[[str], int]) -> str:
        """Until it has the last message."""
        return "" if self.sequence >= last(self.stream) else f"{self.name} has {self.sequence}"

    def _make(self) -> None:
        if self.made:
            self.client.publish(f"$JS.API.CONSUMER.DELETE.{self.stream}.{self.name}_{self.made}", b"")
        self.made += 1
        self.count = 0
        self.is_waiting = True
        self.heard_ns = self.world.now_ns
        name = f"{self.name}_{self.made}"
        config: dict[str, object] = {
            "name": name, "filter_subject": self.subjects, "deliver_policy": self.policy, "ack_policy": "none",
            "max_deliver": 1, "mem_storage": True,
            "num_replicas": 1, "deliver_subject": f"_ORDERED.{self.name}.{self.made}", "flow_control": True,
            "idle_heartbeat": HEARTBEAT_NS, "inactive_threshold": 2 * SECOND_NS,
        }  # fmt: skip
        if self.sequence:
            config |= {"deliver_policy": "by_start_sequence", "opt_start_seq": self.sequence + 1}
        made = self.made
        body = json.dumps({"stream_name": self.stream, "config": config, "action": "create"}).encode()

        def answered(answer: Message | None) -> None:
            if made != self.made:
                return
            self.is_waiting = False
            if answer is None or not answer.data or "error" in answer.json():
                self.heard_ns = 0  # the next look makes another one

        self.history.orders.setdefault((self.stream, self.name), []).append([])
        self.client.request(f"$JS.API.CONSUMER.CREATE.{self.stream}.{name}", body, answered, REQUEST_NS)

    def _look(self) -> None:
        if not self.is_waiting and self.world.now_ns - self.heard_ns > SILENT_MAX * HEARTBEAT_NS:
            self._make()
        self.world.after(HEARTBEAT_NS, self._look)

    def _message(self, message: Message | None) -> None:
        assert message is not None
        if message.subject.startswith("_ORDERED.") and message.subject.rpartition(".")[2] != str(self.made):
            return
        if message.status:
            self._status(message)
            return
        words = message.reply.split(".")
        if words[3] != f"{self.name}_{self.made}":
            return
        self.heard_ns = self.world.now_ns
        if int(words[6]) != self.count + 1:
            self._make()
            return
        self.count += 1
        self.sequence = int(words[5])
        self.history.orders[(self.stream, self.name)][-1].append(self.sequence)
        self.history.note_value(self.stream, self.sequence, message.data.decode())
        self.seen(message)

    def seen(self, message: Message) -> None:
        """One more."""

    def _status(self, message: Message) -> None:
        self.heard_ns = self.world.now_ns
        if message.reply:
            self.client.publish(message.reply, b"")
            return
        headers = message.headers()
        if "Nats-Consumer-Stalled" in headers:
            self.client.publish(headers["Nats-Consumer-Stalled"], b"")
        if int(headers.get("Nats-Last-Consumer", self.count)) != self.count:
            self._make()


class Watcher(Ordered):
    """`history.watched`: the sequence of the last message on every subject that it saw."""

    policy = "last_per_subject"

    def seen(self, message: Message) -> None:
        self.history.watched.setdefault((self.stream, self.name), {})[message.subject] = self.sequence
