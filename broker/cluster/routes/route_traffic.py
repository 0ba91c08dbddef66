"""A whole route: greeting, interest and messages of one connection.

Is: `RouteSession`, which reads the operations of a connection and acts on them; and `RouteTraffic`, what it asks of the
router.
Is not: matching (`core.router`, joined by `route_bridge`) or the table of routes (`routes`).
Invariants: interest and messages count only while the session is registered; a session that ends takes its interest
with it; only account $G is ours; interest of one peer is bounded.
Read next: `routes.py`.
"""

from typing import Final

from mypy_extensions import mypyc_attr

from broker.cluster.routes import route_lines as lines
from broker.cluster.routes.gossip import Address
from broker.cluster.routes.route_log import input_lines
from broker.cluster.routes.route_session import (
    CLOSED,
    GREETING,
    HANDED_OVER,
    REGISTERED,
    WAIT_CONNECT,
    RouteLink,
    RouteOwner,
)

INTEREST_MAX: Final = 10_000_000  # of one peer; a bound, not a quota
INTEREST_BATCH_BYTES: Final = 64 * 1024


class Interest:
    """One line of interest: subject, queue (b"" = none) and how many members stand behind it."""

    def __init__(self, subject: bytes, queue: bytes, weight: int) -> None:
        self.subject: Final = subject
        self.queue: Final = queue
        self.weight: int = weight


@mypyc_attr(allow_interpreted_subclasses=True)
class RouteTraffic:
    """What routes ask of the router of this node."""

    def local_interest(self) -> list[Interest]:
        """Everything that is wanted on this node itself."""
        raise NotImplementedError

    def remote_interest(self, session: "RouteSession", subject: bytes, queue: bytes, weight: int) -> None:
        """A peer wants (weight above zero, again for a changed weight) or no longer wants (zero) a subject."""
        raise NotImplementedError

    def interest_of(self, session: "RouteSession") -> list[tuple[bytes, bytes]]:
        """The subjects that a peer wants, each with its queue, for people."""
        raise NotImplementedError

    def interest_count(self, session: "RouteSession") -> int:
        raise NotImplementedError

    def messages_out(self, session: "RouteSession") -> int:
        """How many messages went to a peer."""
        raise NotImplementedError

    def session_ended(self, session: "RouteSession") -> None:
        """Whatever the peer wanted over this session counts no more; nothing is sent to it any more."""
        raise NotImplementedError

    def remote_message(
        self,
        session: "RouteSession",
        subject: bytes,
        reply: bytes,
        queues: list[bytes],
        header_length: int,
        data: bytes,
    ) -> None:
        """A message from a peer: for the local plain subscriptions and one member of each queue group named."""
        raise NotImplementedError


class RouteSession(RouteLink):
    def __init__(
        self,
        owner: RouteOwner,
        traffic: RouteTraffic,
        cid: int,
        remote: tuple[str, int],
        address: Address | None,
        now_ns: int,
    ) -> None:
        super().__init__(owner, cid, remote, address, now_ns)
        self.traffic: Final = traffic
        self._reader = lines.RouteReader()
        self.is_created: bool = False  # the first bytes were a route's

    # Bytes in

    def on_bytes(self, data: bytes) -> None:
        """Everything that arrived. In state HANDED_OVER afterwards, `handover` holds all bytes so far."""
        if self.state >= CLOSED:
            return
        self.saw_bytes()
        self._reader.feed(data)
        if not self.is_created and not self._sniff():
            return
        while self.state < CLOSED:
            operation = self._reader.next()
            if operation == lines.OP_NONE:
                return
            if self.owner.options.trace:
                self.trace(input_lines(operation, self._reader, self.owner.options))
            self._step(operation)

    def _sniff(self) -> bool:
        """Whether the first bytes are a route's. A greeting of our own links is handed over."""
        if self.state == WAIT_CONNECT:
            first = self._reader.rest()
            if len(first) < len(GREETING) and GREETING.startswith(first):
                return False  # may still become either
            if first.startswith(GREETING):
                self.handover = first
                self.state = HANDED_OVER
                return False
        self.is_created = True
        self.owner.event("info", "route_created", self, {})
        return True

    def _step(self, operation: int) -> None:
        reader = self._reader
        if operation == lines.OP_MESSAGE and self.state == REGISTERED:
            self._on_message()
        elif operation == lines.OP_INTEREST and self.state == REGISTERED:
            if reader.account == lines.ACCOUNT:
                self._on_interest(reader.subject, reader.queue, reader.weight)
        elif operation == lines.OP_INTEREST_END and self.state == REGISTERED:
            if reader.account == lines.ACCOUNT:
                self._on_interest(reader.subject, reader.queue, 0)
        elif operation == lines.OP_PING:
            self.on_ping()
        elif operation == lines.OP_PONG:
            self.on_pong()
        elif operation == lines.OP_INFO:
            self.on_info(reader.document)
        elif operation == lines.OP_CONNECT:
            self.on_connect(reader.document)
        elif operation == lines.OP_ERR:
            self.on_error(reader.document.decode("utf-8", "replace").strip("'"))
        elif self.state == WAIT_CONNECT:
            self.refuse_before_connect()
        elif operation == lines.OP_BAD or self.state != REGISTERED:
            self.close("Protocol Violation", "Unknown Protocol Operation")

    # Interest

    def on_registered(self) -> None:
        """The other side hears everything that is wanted here."""
        batch: list[bytes] = []
        size = 0
        for interest in self.traffic.local_interest():
            line = lines.interest_line(interest.subject, interest.queue, interest.weight)
            batch.append(line)
            size += len(line)
            if size > INTEREST_BATCH_BYTES:
                self.write(b"".join(batch))
                batch = []
                size = 0
        if batch:
            self.write(b"".join(batch))

    def send_interest(self, subject: bytes, queue: bytes, weight: int) -> None:
        """What is wanted here changed; weight 0: no longer wanted."""
        if self.state == REGISTERED:
            self.write(lines.interest_line(subject, queue, weight))

    def _on_interest(self, subject: bytes, queue: bytes, weight: int) -> None:
        if weight > 0 and self.traffic.interest_count(self) >= INTEREST_MAX:
            self.close("Maximum Subscriptions Exceeded", "maximum subscriptions exceeded")
            return
        self.traffic.remote_interest(self, subject, queue, weight)

    def end(self) -> None:
        """The connection is gone, or another one takes its place."""
        self.traffic.session_ended(self)

    # Messages

    def _on_message(self) -> None:
        reader = self._reader
        if reader.account != lines.ACCOUNT:
            return
        self.in_messages += 1
        self.in_bytes += len(reader.data)
        self.traffic.remote_message(
            self, reader.subject, reader.reply, reader.queues, reader.header_length, reader.data
        )
