"""The leader's side of a push consumer's wire: is anybody there, how much is unanswered, when is a heartbeat due.

Flow control as nats-server's: the window begins at 2 MiB and doubles to 32 MiB with every answer; above half of it the
client is asked (`100 FlowControl Request`, reply `$JS.FC.<stream>.<consumer>.<4 characters>`), above all of it
delivery stalls, and heartbeats then say so. Not here: which message is next (`consumer_lead`), subscriptions
(`broker/core`).

Invariants: at most one unanswered flow-control request; nothing is delivered while `active` is False. Times are
monotonic ns.
"""

import random
from typing import Final

from broker.jetstream.config.consumer_config import ConsumerConfig
from broker.jetstream.delivery.delivery_output import DeliveryOutput
from broker.jetstream.names import fresh_id

WINDOW_BYTES_MAX: Final = 32 * 1024 * 1024
WINDOW_BYTES_FIRST: Final = WINDOW_BYTES_MAX // 16
INTEREST_POLL_NS: Final = 1_000_000_000
_FLOW_CONTROL: Final = b"NATS/1.0 100 FlowControl Request\r\n\r\n"


class PushLink:
    """One push consumer towards its deliver subject."""

    def __init__(self, stream: str, consumer: str, config: ConsumerConfig, output: DeliveryOutput) -> None:
        self.output: Final = output
        self.flow_prefix: Final = f"$JS.FC.{stream}.{consumer}.".encode()
        self.subject: bytes = config.deliver_subject.encode()
        self.group: bytes = config.deliver_group.encode()
        self.heartbeat_every_ns: int = config.idle_heartbeat_ns
        self.heartbeat_ns: int = 0
        self.active: bool = False
        self.window_bytes: int = WINDOW_BYTES_FIRST if config.flow_control else 0
        self.unanswered_bytes: int = 0
        self.asked_bytes: int = 0
        self.asked: bytes = b""
        self.poll_ns: int = 0

    def follow(self, config: ConsumerConfig) -> None:
        """The configuration changed; the deliver subject may be another."""
        self.subject = config.deliver_subject.encode()
        self.group = config.deliver_group.encode()

    def check_interest(self, now_ns: int) -> bool:
        """See who is there; True when that changed."""
        interested = self.output.has_interest(self.subject, self.group)
        self.poll_ns = 0 if interested else now_ns + INTEREST_POLL_NS
        if interested == self.active:
            return False
        self.active = interested
        if interested and self.heartbeat_every_ns:
            self.heartbeat_ns = now_ns + self.heartbeat_every_ns
        return True

    def is_bound(self) -> bool:
        """Whether somebody is there, also where nobody has looked yet."""
        return self.active or self.output.has_interest(self.subject, self.group)

    def may_send(self) -> bool:
        """Whether the next message may leave."""
        return self.active and (self.window_bytes == 0 or self.unanswered_bytes <= self.window_bytes)

    def sent(self, size: int, rng: random.Random) -> None:
        """A message of `size` bytes left."""
        window = self.window_bytes
        if window == 0:
            return
        self.unanswered_bytes += size
        if not self.asked:
            if self.unanswered_bytes > window // 2:
                self._ask(rng)
        elif self.unanswered_bytes - self.asked_bytes >= window:
            self.asked_bytes += size

    def _ask(self, rng: random.Random) -> None:
        self.asked = self.flow_prefix + fresh_id(rng, 4).encode()
        self.asked_bytes = self.unanswered_bytes
        self.output.send("", self.subject, self.subject, self.asked, len(_FLOW_CONTROL), _FLOW_CONTROL)

    def answered(self, subject: bytes) -> bool:
        """The client answered a flow-control request; True if it was the one that is open."""
        if not self.asked or subject != self.asked:
            return False
        self.window_bytes = min(self.window_bytes * 2, WINDOW_BYTES_MAX)
        self.unanswered_bytes = max(self.unanswered_bytes - self.asked_bytes, 0)
        self.asked = b""
        self.asked_bytes = 0
        return True

    def busy(self, now_ns: int) -> None:
        """Something was sent: the heartbeat can wait."""
        if self.heartbeat_every_ns:
            self.heartbeat_ns = now_ns + self.heartbeat_every_ns

    def beat(self, now_ns: int, header: bytes) -> None:
        """Send a heartbeat when one is due."""
        if not self.heartbeat_every_ns or now_ns < self.heartbeat_ns:
            return
        self.heartbeat_ns = now_ns + self.heartbeat_every_ns
        if self.active:
            if self.asked:
                header = header[:-2] + b"Nats-Consumer-Stalled: " + self.asked + b"\r\n\r\n"
            self.output.send("", self.subject, self.subject, b"", len(header), header)

    def next_deadline_ns(self) -> int:
        """When to look again; 0 = never."""
        beat = self.heartbeat_ns if self.active else 0
        if beat and self.poll_ns:
            return min(beat, self.poll_ns)
        return beat or self.poll_ns


def idle_heartbeat(consumer_sequence: int, stream_sequence: int) -> bytes:
    """The header of a heartbeat, of push consumers and pull requests alike."""
    return b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: %d\r\nNats-Last-Stream: %d\r\n\r\n" % (
        consumer_sequence, stream_sequence,
    )


class PushSubjects:
    """Which consumers of a stream push to which deliver subject; `proposed`: those that are being created or changed,
    and where they will push."""

    def __init__(self) -> None:
        self.proposed: dict[str, str] = {}
        self._names: dict[bytes, list[str]] = {}
        self._changed: list[bytes] = []

    def add(self, subject: bytes, name: str) -> None:
        """The consumer pushes there."""
        self._names.setdefault(subject, []).append(name)
        self._changed.append(subject)

    def remove(self, subject: bytes, name: str) -> None:
        """It does no longer."""
        names = self._names[subject]
        names.remove(name)
        if not names:
            del self._names[subject]  # ephemeral consumers have a subject each
            self._changed.append(subject)

    def is_used(self, subject: bytes) -> bool:
        """Whether anybody pushes there."""
        return subject in self._names

    def take_changed(self) -> list[bytes]:
        """Subjects of which that may be another answer than at the last call."""
        changed, self._changed = self._changed, []
        return changed

    def concerned(self, subject: bytes) -> list[str]:
        """The consumers for which interest in `subject` may have changed: for a pattern, all of them."""
        names = self._names.get(subject)
        if names is None and (b"*" in subject or b">" in subject):
            return [name for names_of_one in self._names.values() for name in names_of_one]
        return names or []
