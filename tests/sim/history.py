"""What the clients of a story know: what was acknowledged, refused, delivered and confirmed, by stream.

Checkers compare it with what the cluster committed and kept (`checkers`). Nothing here knows how the cluster works.
"""

from typing import Any

from sim.complaint import Complaint


class History:
    """Everything, as noted by `workloads`."""

    def __init__(self) -> None:
        self.acked: dict[str, dict[str, int]] = {}
        self.acked_ns: dict[str, int] = {}  # of the last one
        self.sequences: dict[tuple[str, int], str] = {}
        self.attempts: dict[str, int] = {}
        self.refused: dict[str, str] = {}
        self.delivered: dict[str, dict[int, str]] = {}
        self.received: dict[tuple[str, str], set[int]] = {}  # by stream and consumer
        self.redelivered = 0
        self.tried: set[tuple[str, int]] = set()  # an ack was sent, whatever became of it
        self.confirmed: dict[tuple[str, str, int], int] = {}
        self.confirmed_up_to: dict[tuple[str, str], int] = {}
        self.deleted: set[tuple[str, int]] = set()  # confirmed
        self.key_acks: dict[tuple[str, str], list[tuple[int, int]]] = {}  # by stream and key: time, sequence
        self.conflicts: list[Complaint] = []
        # By who notes them; what is in them stands there.
        self.sums: dict[str, dict[str, tuple[int, int, int | None]]] = {}  # workloads/counters
        self.batches: dict[str, dict[str, Batch]] = {}  # workloads/atomic_batches, workloads/fast_batches
        self.reads: dict[str, list[Any]] = {}  # workloads/buckets
        self.asked_ns: dict[str, int] = {}  # the same: when a text was sent
        self.writes: dict[str, list[tuple[int, int, int]]] = {}  # the same: asked, answered, sequence
        self.orders: dict[tuple[str, str], list[list[int]]] = {}  # workloads/ordered
        self.watched: dict[tuple[str, str], dict[str, int]] = {}
        self.pins: dict[tuple[str, str], dict[str, str]] = {}  # workloads/groups: who was told which pin
        self.ranks: dict[str, int] = {}  # the same: the priority of a client's requests, by the client's inbox
        self.left: dict[tuple[int, int, str, str, int, int], int] = {}  # checkers/leaving: how often
        self.paused_ns: dict[tuple[str, str], tuple[int, int]] = {}  # workloads/steering
        self.reset: set[tuple[str, str]] = set()  # consumers that begin again: their confirmed acks mean nothing

    def total(self) -> int:
        """Acknowledged publishes."""
        return sum(len(messages) for messages in self.acked.values())

    def conflict(self, by: str, text: str) -> None:
        """Answers that do not go together; `text` begins with the stream."""
        self.conflicts.append(Complaint(by, text))

    def note_ack(self, stream: str, text: str, sequence: int, now_ns: int) -> None:
        """A publish was acknowledged under `sequence`."""
        acked = self.acked.setdefault(stream, {})
        before = acked.setdefault(text, sequence)
        if before != sequence:
            self.conflict("publishes", f"{stream}: {text} acknowledged as {before} and as {sequence}")
        other = self.sequences.setdefault((stream, sequence), text)
        if other != text:
            self.conflict("publishes", f"{stream}: sequence {sequence} acknowledged for {other} and for {text}")
        self.acked_ns[stream] = now_ns

    def note_value(self, stream: str, sequence: int, text: str) -> None:
        """A message was read."""
        before = self.delivered.setdefault(stream, {}).setdefault(sequence, text)
        if before != text:
            self.conflict("deliveries", f"{stream}: sequence {sequence} delivered as {before} and as {text}")

    def note_delivery(self, stream: str, durable: str, sequence: int, text: str) -> None:
        """A consumer got a message."""
        self.received.setdefault((stream, durable), set()).add(sequence)
        self.redelivered += sequence in self.delivered.get(stream, {})
        self.note_value(stream, sequence, text)


class Batch:
    """Messages that a client sent as one. `acked`: of a fast batch, how many it was told are stored; of an atomic one,
    all of them or none. `sequence`: of the last one in the stream, when the batch was acknowledged as a whole."""

    def __init__(self, texts: list[str], may_gap: bool = False) -> None:
        self.texts = texts
        self.may_gap = may_gap
        self.acked = 0
        self.sequence = 0
        self.count = 0  # in the PubAck
