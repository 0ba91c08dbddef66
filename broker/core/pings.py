"""The pings of one connection: whether the other side is still there, and how long it takes to answer.

Is: the counting, the same for clients and routes. Is not: sending them, or when one may be left out (the sessions).
Times are monotonic ns. Read next: `session.py`.
"""


class Pings:
    """See the module's text."""

    def __init__(self, due_ns: int) -> None:
        self.due_ns: int = due_ns  # when the next one is to be thought of
        self.sent_ns: int = 0  # the last one; 0: never
        self.rtt_ns: int = 0  # 0: not known yet
        self._unanswered: int = 0

    def send(self, now_ns: int, unanswered_max: int) -> bool:
        """Count one that is sent now; False when too many were not answered: the connection is stale."""
        if self._unanswered >= unanswered_max:
            return False
        self._unanswered += 1
        self.sent_ns = now_ns
        return True

    def answered(self, now_ns: int) -> None:
        """A PONG came."""
        self._unanswered = 0
        if self.sent_ns:
            self.rtt_ns = max(now_ns - self.sent_ns, 1)
