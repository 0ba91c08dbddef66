"""Deadlines of outstanding messages, in buckets of about a millisecond.

The leader's ack-wait, back-off and nak-delay timers. Setting one costs a dictionary look-up and a list append,
whatever the order of deadlines; nothing is ever removed: an entry counts only if the message's current deadline still
falls into the bucket.

Invariants: never fires early; fires at most one bucket width late. `entries` is compacted by the owner (see
`bloated`), so that acked messages do not pile up for the length of the ack wait. Times are monotonic ns.
"""

import heapq
from typing import Final

BUCKET_BITS: Final = 20
_SLACK: Final = 4096


class AckTimers:
    """Which sequences to look at when."""

    def __init__(self) -> None:
        self.buckets: dict[int, list[int]] = {}
        self.heap: list[int] = []
        self.entries: int = 0
        self.last_bucket: int = -1
        self.last_list: list[int] = []

    def add(self, sequence: int, deadline_ns: int) -> None:
        """Look at `sequence` once `deadline_ns` has passed."""
        bucket = deadline_ns >> BUCKET_BITS
        if bucket != self.last_bucket:
            entries = self.buckets.get(bucket)
            if entries is None:
                entries = []
                self.buckets[bucket] = entries
                heapq.heappush(self.heap, bucket)
            self.last_bucket = bucket
            self.last_list = entries
        self.last_list.append(sequence)
        self.entries += 1

    def take_due(self, now_ns: int) -> list[int]:
        """Sequences of all buckets that lie wholly in the past; the caller checks which of them are meant."""
        due: list[int] = []
        current = now_ns >> BUCKET_BITS
        heap = self.heap
        while heap and heap[0] < current:
            bucket = heapq.heappop(heap)
            due.extend(self.buckets.pop(bucket))
            if bucket == self.last_bucket:
                self.last_bucket = -1
        self.entries -= len(due)
        return due

    def next_deadline_ns(self) -> int:
        """When `take_due` may have something next; 0 = never."""
        if not self.heap:
            return 0
        return (self.heap[0] + 1) << BUCKET_BITS

    def bloated(self, live: int) -> bool:
        """Whether most entries are of messages long settled."""
        return self.entries > 4 * live + _SLACK

    def clear(self) -> None:
        """Forget everything."""
        self.buckets = {}
        self.heap = []
        self.entries = 0
        self.last_bucket = -1
        self.last_list = []
