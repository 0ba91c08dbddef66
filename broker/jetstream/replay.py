"""Replay at the original pace: new messages leave as far apart as they were stored, until the consumer has caught up.

One consumer's leader has one of these where its `replay_policy` asks for it. A new leader begins the pace anew.
Redeliveries are not slowed. Times are monotonic ns but for those of messages, of which only differences count.
"""

from typing import Final

from broker.jetstream.durations import MILLISECOND_NS

_SHORTEST_NS: Final = MILLISECOND_NS


class ReplayPace:
    """Holds messages back."""

    def __init__(self, last_sequence: int) -> None:
        self.until: Final = last_sequence
        self.previous: int = 0
        self.previous_ns: int = 0
        self.due_ns: int = 0

    def holds_back(self, sequence: int, timestamp_ns: int, now_ns: int) -> bool:
        """Whether the message's time has not come; otherwise it is taken to leave now."""
        if self.previous > self.until:
            return False
        if self.previous and self.previous != sequence:
            gap_ns = timestamp_ns - self.previous_ns
            if gap_ns > _SHORTEST_NS:
                if self.due_ns == 0:
                    self.due_ns = now_ns + gap_ns
                if now_ns < self.due_ns:
                    return True
        self.due_ns = 0
        self.previous = sequence if sequence < self.until else self.until + 1
        self.previous_ns = timestamp_ns
        return False
