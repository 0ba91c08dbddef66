"""Which groups want to be looked at when, so that nobody asks all of them: one heap for all groups of a node.

A group is in the heap once, for its earliest known deadline (`armed_ns`). One whose deadline moved back is found too
early: it is then processed for nothing and armed again. Not here: what a deadline is (`RaftGroup.next_deadline_ns`).

Invariants: a group with a deadline is armed at or before it. Times are monotonic ns; 0 is none.
"""

import heapq

from broker.cluster.group import RaftGroup


class Deadlines:
    """See the module's text."""

    def __init__(self) -> None:
        self.heap: list[tuple[int, int]] = []

    def arm(self, group: RaftGroup, deadline_ns: int) -> None:
        """Look at the group once `deadline_ns` has passed (0 = no need)."""
        if deadline_ns and (group.armed_ns == 0 or deadline_ns < group.armed_ns):
            group.armed_ns = deadline_ns
            heapq.heappush(self.heap, (deadline_ns, group.id))

    def touch_due(self, groups: dict[int, RaftGroup], now_ns: int) -> None:
        """Groups whose time has come are to be processed."""
        heap = self.heap
        while heap and heap[0][0] <= now_ns:
            deadline_ns, group_id = heapq.heappop(heap)
            group = groups.get(group_id)
            if group is not None and group.armed_ns == deadline_ns:
                group.armed_ns = 0
                group.touch()

    def next_ns(self) -> int:
        """The earliest deadline."""
        return self.heap[0][0] if self.heap else 0
