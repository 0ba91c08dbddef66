"""Schedulers ask for messages at a time to come.

One sends `S<name>-<number>` as a schedule of its own subject, due within a few seconds by the right clock, under a
message id, again until it is answered. What becomes of a schedule has the same text, on `<stream>.made`. A repeater has
one schedule, every second, which it replaces now and then, and takes back at the end.
Read next: `checkers/schedules`.
"""

from datetime import UTC, datetime

from sim.client import Message, fields_of
from sim.plan import SECOND_NS
from sim.server import WALL_START_NS
from sim.workloads.publishers import Publisher
from sim.workloads.workload import REQUEST_NS, RETRY_NS, Workload

SOONEST_NS, LATEST_NS = -SECOND_NS, 4 * SECOND_NS
REPLACE_NS = 4 * SECOND_NS


class Scheduler(Publisher):
    """Asks for one message after the other."""

    def _send(self, text: str) -> None:
        self.history.attempts[text] = self.history.attempts.get(text, 0) + 1
        due_ns = WALL_START_NS + self.world.now_ns + self.rng.randrange(SOONEST_NS, LATEST_NS)
        due = datetime.fromtimestamp(due_ns // SECOND_NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        headers = {
            "Nats-Msg-Id": text, "Nats-Schedule": f"@at {due}", "Nats-Schedule-Target": f"{self.stream}.made",
        }  # fmt: skip
        subject = f"{self.stream}.{text}"
        self.client.request(subject, text.encode(), lambda answer: self._answered(text, answer), REQUEST_NS, headers)


class Repeater(Workload):
    """`E<name>-<number>`, every second or at every second second of the minute, until the next one takes its place."""

    number = 0

    def next(self) -> None:
        if self.stopped:
            if self.number >= 0:
                self._end()
            return
        self.number += 1
        text = f"{self.name}-{self.number}"
        self.history.attempts[text] = 1
        pattern = self.rng.choice(("@every 1s", "*/2 * * * * *"))
        headers = {"Nats-Msg-Id": text, "Nats-Schedule": pattern, "Nats-Schedule-Target": f"{self.stream}.every"}
        self.out = 1

        def answered(answer: Message | None) -> None:
            body = fields_of(answer)
            sequence = body.get("seq")
            if isinstance(sequence, int) and "error" not in body:
                self.history.note_ack(self.stream, text, sequence, self.world.now_ns)
            self.world.after(self.rng.randrange(REPLACE_NS), self.next)

        self.client.request(f"{self.stream}.{self.name}", text.encode(), answered, REQUEST_NS, headers)

    def _end(self) -> None:
        """Take the schedule back: whatever is published on its subject ends it, and so does a purge."""
        body = f'{{"filter": "{self.stream}.{self.name}"}}'.encode()

        def answered(answer: Message | None) -> None:
            if fields_of(answer).get("success") is True:
                self.out, self.number = 0, -1
            else:
                self.world.after(RETRY_NS, self._end)

        self.client.request(f"$JS.API.STREAM.PURGE.{self.stream}", body, answered, REQUEST_NS)
