"""The message ids of the duplicate window.

Grouped by the time of the operation that brought them, so that forgetting is a matter of whole groups. Not here: what
counts as a duplicate's answer (`publish`). Invariants: a pure function of the calls; ids leave in the order in which
they came; the size is bounded by the window only, as in nats-server.
"""

from typing import Final

from broker.jetstream.snapshot_columns import pack_column, unpack_column

_COMPACT_MIN: Final = 4096


class DedupeTable:
    """Which id is stored where."""

    def __init__(self, window_ns: int) -> None:
        self.window_ns: int = window_ns
        self.sequences: dict[bytes, int] = {}
        self._ids: list[bytes] = []  # in order of arrival, from `_head` on
        self._head: int = 0
        self._times: list[int] = []  # one per group
        self._counts: list[int] = []  # ids of that group

    def __len__(self) -> int:
        return len(self.sequences)

    def add(self, message_id: bytes, sequence: int, timestamp_ns: int) -> None:
        """Remember an id that is not known; times never go back. Without a window nothing is remembered."""
        if self.window_ns <= 0:
            return
        self.sequences[message_id] = sequence
        self._ids.append(message_id)
        times = self._times
        if times and times[-1] == timestamp_ns:
            self._counts[-1] += 1
        else:
            times.append(timestamp_ns)
            self._counts.append(1)

    def expire(self, now_ns: int) -> None:
        """Forget what is older than the window."""
        times = self._times
        oldest = now_ns - self.window_ns
        if not times or times[0] > oldest:
            return
        groups = 0
        head = self._head
        while groups < len(times) and times[groups] <= oldest:
            end = head + self._counts[groups]
            while head < end:
                del self.sequences[self._ids[head]]
                head += 1
            groups += 1
        del times[:groups]
        del self._counts[:groups]
        if (head > _COMPACT_MIN and head * 2 > len(self._ids)) or head == len(self._ids):
            del self._ids[:head]
            head = 0
        self._head = head

    def next_expiry_ns(self) -> int:
        """When the oldest id leaves the window; 0 when there is none."""
        return self._times[0] + self.window_ns if self._times else 0

    # Snapshot.

    def snapshot(self) -> dict[str, object]:
        """Columns, as plain values for CBOR."""
        ids = self._ids[self._head :]
        return {
            "ids": b"".join(ids),
            "lengths": pack_column("I", [len(message_id) for message_id in ids]),
            "sequences": pack_column("Q", [self.sequences[message_id] for message_id in ids]),
            "times": pack_column("q", self._times),
            "counts": pack_column("Q", self._counts),
        }

    def restore(self, state: dict[str, bytes]) -> None:
        """Inverse of `snapshot`; replaces everything but the window."""
        joined = state["ids"]
        sequences = unpack_column("Q", state["sequences"])
        self.sequences = {}
        self._ids = []
        self._head = 0
        self._times = unpack_column("q", state["times"])
        self._counts = unpack_column("Q", state["counts"])
        position = 0
        for index, length in enumerate(unpack_column("I", state["lengths"])):
            message_id = joined[position : position + length]
            self._ids.append(message_id)
            self.sequences[message_id] = sequences[index]
            position += length
