"""Per-message TTL: what `Nats-TTL` says, and which stored messages have one.

The table knows deadlines by sequence, nothing of messages: entries of messages that left the stream otherwise stay
until they are due or `compact` finds them. Not here: removal and markers (`aging`), whether a stream allows a TTL
(`publish_checks`). Invariants: a pure function of the calls; what is due comes in ascending sequence; deadlines are
Unix ns. Source: ADR-43.
"""

from heapq import heapify, heappop, heappush
from typing import Final

from broker.jetstream.durations import SECOND_NS, parse_duration
from broker.jetstream.snapshot_columns import pack_column, unpack_column
from broker.jetstream.store import MessageStore

NO_TTL: Final = 0
NEVER: Final = -1
INVALID_TTL: Final = -2

DEADLINE_NS_MAX: Final = (1 << 63) - 1  # the year 2262; a snapshot keeps it as a signed number of 64 bits
_COMPACT_MIN: Final = 4096
_SECONDS_MAX: Final = (1 << 63) - 1


def parse_ttl(value: bytes) -> int:
    """Whole seconds, NO_TTL, NEVER or INVALID_TTL: digits are seconds, anything else a Go duration of at least 1 s."""
    if not value:
        return NO_TTL
    if value.lower() == b"never":
        return NEVER
    if value == b"0":  # a duration to Go, and too short a one
        return INVALID_TTL
    if value.isdigit():
        seconds = int(value) if len(value) < 20 else _SECONDS_MAX + 1
        return seconds if seconds <= _SECONDS_MAX else INVALID_TTL
    duration_ns = parse_duration(value.decode("utf-8", "replace"))
    if duration_ns is None or duration_ns < SECOND_NS:
        return INVALID_TTL
    return duration_ns // SECOND_NS


class TtlTable:
    """Deadlines of messages, and the messages that no age removes."""

    def __init__(self) -> None:
        self.next_ns: int = 0  # the earliest deadline; 0 = none
        self.never: dict[int, bool] = {}
        self._deadlines: list[tuple[int, int]] = []  # a heap of (deadline, sequence)

    def add(self, sequence: int, timestamp_ns: int, seconds: int, store: MessageStore) -> None:
        """A message was stored; `seconds` is NEVER or positive."""
        if seconds == NEVER:
            self.never[sequence] = True
            if len(self.never) > _COMPACT_MIN + 2 * store.messages:
                self.never = {known: True for known in self.never if store.get(known) is not None}
            return
        deadlines = self._deadlines
        heappush(deadlines, (min(timestamp_ns + seconds * SECOND_NS, DEADLINE_NS_MAX), sequence))
        self.next_ns = deadlines[0][0]
        if len(deadlines) > _COMPACT_MIN + 2 * store.messages:
            self._compact(store)

    def _compact(self, store: MessageStore) -> None:
        self._deadlines = [entry for entry in self._deadlines if store.get(entry[1]) is not None]
        heapify(self._deadlines)
        self.next_ns = self._deadlines[0][0] if self._deadlines else 0

    def take_due(self, now_ns: int) -> list[int]:
        """Forget the deadlines that have come; their sequences, ascending. Some may have left the stream before."""
        deadlines = self._deadlines
        due: list[int] = []
        while deadlines and deadlines[0][0] <= now_ns:
            due.append(heappop(deadlines)[1])
        self.next_ns = deadlines[0][0] if deadlines else 0
        due.sort()
        return due

    # Snapshot.

    def snapshot(self) -> dict[str, object]:
        """Columns, as plain values for CBOR; the heap as it lies."""
        return {
            "deadlines": pack_column("q", [entry[0] for entry in self._deadlines]),
            "sequences": pack_column("Q", [entry[1] for entry in self._deadlines]),
            "never": pack_column("Q", sorted(self.never)),
        }

    def restore(self, state: dict[str, bytes]) -> None:
        """Inverse of `snapshot`; replaces everything."""
        deadlines = unpack_column("q", state["deadlines"])
        sequences = unpack_column("Q", state["sequences"])
        self._deadlines = [(deadlines[at], sequences[at]) for at in range(len(deadlines))]
        self.next_ns = deadlines[0] if deadlines else 0
        self.never = dict.fromkeys(unpack_column("Q", state["never"]), True)
