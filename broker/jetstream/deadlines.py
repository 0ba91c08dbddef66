"""Who wants to be looked at when, so that nobody asks all of them: the groups of a node, the consumers of a stream.

Each is in the heap once, for its earliest known deadline. One whose deadline moved back is found too early: its owner
looks, finds nothing to do, and arms it again. Whoever is gone by then is for the owner to pass over.

Not here: what a deadline is (`RaftGroup.next_deadline_ns`, `ConsumerLead.next_deadline_ns`), acks (`ack_timers`).
Invariant: whoever has a deadline is armed at or before it. Times are monotonic ns; 0 is none.
"""

import heapq
from typing import Generic, TypeVar

Key = TypeVar("Key")


class Deadlines(Generic[Key]):
    """See the module's text. Keys are group ids or consumer names."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, Key]] = []
        self._armed: dict[Key, int] = {}

    def arm(self, key: Key, deadline_ns: int) -> None:
        """Look at `key` once `deadline_ns` has passed (0 = no need), or earlier if that was asked for before."""
        if deadline_ns == 0:
            return
        known_ns = self._armed.get(key, 0)
        if known_ns == 0 or deadline_ns < known_ns:
            self._armed[key] = deadline_ns
            heapq.heappush(self._heap, (deadline_ns, key))

    def take_due(self, now_ns: int) -> list[Key]:
        """Those whose time has come, in the order of their deadlines."""
        due: list[Key] = []
        heap = self._heap
        while heap and heap[0][0] <= now_ns:
            deadline_ns, key = heapq.heappop(heap)
            if self._armed.get(key, 0) == deadline_ns:
                del self._armed[key]
                due.append(key)
        return due

    def next_deadline_ns(self) -> int:
        """The earliest deadline; 0 = none."""
        return self._heap[0][0] if self._heap else 0


def earlier(one_ns: int, other_ns: int) -> int:
    """The earlier of two deadlines, 0 meaning never."""
    if one_ns == 0 or (0 < other_ns < one_ns):
        return other_ns
    return one_ns
