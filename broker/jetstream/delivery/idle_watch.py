"""When a consumer that nobody uses will be deleted (`inactive_threshold`); the leader's view of one consumer.

Pull consumers get up to a second more, so that the consumers of a client that went away do not all end at once. Not
here: who uses it (`consumer_lead`), deleting (`delivery`). Times are monotonic ns.
"""

import random

from broker.jetstream.durations import MILLISECOND_NS


class IdleWatch:
    """Since when nobody has used the consumer."""

    def __init__(self) -> None:
        self.since_ns: int = 0
        self._grace_ns: int = 0

    def start(self, now_ns: int, threshold_ns: int, is_pull: bool, rng: random.Random) -> None:
        """A term begins."""
        self.since_ns = now_ns
        if threshold_ns > 0 and is_pull:
            self._grace_ns = MILLISECOND_NS * (100 + rng.randrange(900))

    def deadline_ns(self, threshold_ns: int, last_active_ns: int) -> int:
        """When it will have been unused for long enough; `last_active_ns`: something more that counts as use."""
        return max(self.since_ns, last_active_ns) + threshold_ns + self._grace_ns
