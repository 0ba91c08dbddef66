"""What all client sessions of a node share: limits, INFO, the router, who may connect, and what they report.

Is: plain attributes that the owner (`clients`) sets and changes; sessions read them at each use.
Is not: a table of sessions. Invariants: `now_ns` is the time of the present turn; `events` and `checks` are taken
by the owner once a turn, and at most EVENTS_MAX events are kept between.
Read next: `session.py`, `clients.py`.
"""

import random
from typing import Final

from broker.core.auth import Authenticator, PasswordCheck
from broker.core.router import Router
from broker.wire.trace import TraceOptions

SECOND_NS: Final = 1_000_000_000
FIRST_PING_NS: Final = 2 * SECOND_NS
RTT_INTERVAL_NS: Final = 3600 * SECOND_NS
EVENTS_MAX: Final = 200  # of a turn: whoever is refused a thousand times a second must not keep the node writing
TRACED_EVENTS_MAX: Final = 4000

Event = tuple[str, str, dict[str, object]]


class SessionServices:
    """Defaults are nats-server's."""

    def __init__(self, router: Router, authenticator: Authenticator, rng: random.Random) -> None:
        self.router: Final = router
        self.authenticator: Authenticator = authenticator
        self.info: dict[str, object] = {}  # what every INFO says; the session adds what is its own
        self.now_ns: int = 0
        self.max_control_line: int = 4096
        self.max_payload: int = 1024 * 1024
        self.max_pending: int = 64 * 1024 * 1024
        self.max_subscriptions: int = 0  # 0: unlimited
        self.max_subscription_tokens: int = 0
        self.ping_interval_ns: int = 120 * SECOND_NS
        self.ping_max: int = 2
        self.auth_timeout_ns: int = 2 * SECOND_NS
        self.traces: bool = False  # every line of the protocol is an event
        self.trace_options: TraceOptions = TraceOptions(False, 0)
        # Slow comparisons (bcrypt) are left in `checks` for the owner, who runs them elsewhere and then calls
        # `on_password_checked`; otherwise they are made at once.
        self.defers_slow_checks: bool = False
        self.checks: list[tuple[int, PasswordCheck]] = []  # cid, what to run
        self.events: list[Event] = []
        self.events_lost: int = 0
        self._rng: Final = rng

    def event(self, level: str, name: str, fields: dict[str, object]) -> None:
        if len(self.events) < (TRACED_EVENTS_MAX if self.traces else EVENTS_MAX):
            self.events.append((level, name, fields))
        else:
            self.events_lost += 1

    def take_events(self) -> list[Event]:
        """What was reported since the last call, and how much had no room."""
        events = self.events
        self.events = []
        if self.events_lost:
            events.append(("warning", "events_lost", {"count": self.events_lost}))
            self.events_lost = 0
        return events

    def first_ping_after_ns(self) -> int:
        """The first ping measures the round trip: two seconds (or the interval) and up to a fifth more."""
        after = min(self.ping_interval_ns, FIRST_PING_NS)
        return after + self._rng.randrange(max(after // 5, 1))
