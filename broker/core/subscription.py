"""Who wants what: subscriptions of clients, of services inside the node, of streams, and of other nodes.

Is: the nouns that `sublist` stores and `router` delivers to, and the two ends it speaks to: `Subscriber` (a client's
connection) and `RoutePeer` (another node).
Is not: matching or delivery.
Invariants: `subject` and `queue` never change; queue b"" means none.
Read next: `sublist.py`, `router.py`.
"""

from typing import Final

from mypy_extensions import i64, mypyc_attr

from broker.core.outbox import Outbox

KIND_CLIENT: Final = 0
KIND_SERVICE: Final = 1
KIND_STREAM: Final = 2
KIND_ROUTE: Final = 3


@mypyc_attr(allow_interpreted_subclasses=True)
class Subscription:
    def __init__(self, kind: int, subject: bytes, queue: bytes) -> None:
        self.kind: Final = kind
        self.subject: Final = subject
        self.queue: Final = queue


@mypyc_attr(allow_interpreted_subclasses=True)
class Subscriber:
    """A client's connection as the router sees it (`session.ClientSession`)."""

    def __init__(self, cid: int, outbox: Outbox) -> None:
        self.cid: Final = cid
        self.outbox: Final = outbox
        self.echo: bool = True
        self.headers: bool = False
        self.in_messages: i64 = 0
        self.in_bytes: i64 = 0
        self.out_messages: i64 = 0
        self.out_bytes: i64 = 0

    def subscription_ended(self, subscription: "ClientSubscription") -> None:
        """The last message that an UNSUB with a maximum allowed was delivered: take it back from the router."""
        raise NotImplementedError


class ClientSubscription(Subscription):
    def __init__(self, owner: Subscriber, subject: bytes, queue: bytes, sid: bytes) -> None:
        super().__init__(KIND_CLIENT, subject, queue)
        self.owner: Final = owner
        self.sid: Final = sid
        self.sid_part: Final = b" " + sid + b" "  # as it stands in the line of a message
        self.max: i64 = 0  # 0: no limit; otherwise the subscription ends with message number `max`
        self.delivered: i64 = 0


@mypyc_attr(allow_interpreted_subclasses=True)
class ServiceSubscription(Subscription):
    """Something inside this node that answers messages: the JetStream API, acks.

    `announced`: whether other nodes route messages to it. Off by default, as every node has its own API.
    """

    def __init__(self, subject: bytes, queue: bytes = b"", announced: bool = False) -> None:
        super().__init__(KIND_SERVICE, subject, queue)
        self.announced: Final = announced

    def on_message(self, subject: bytes, reply: bytes, header_length: int, data: bytes, origin: str) -> None:
        """`data` is headers (of `header_length` bytes), then payload; `origin` the peer it came from, "" = this
        node."""
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class StreamIngress:
    """Where messages enter a stream: called once per message that a client of this node, or the node itself,
    published."""

    def ingest(self, subject: bytes, reply: bytes, header_length: int, data: bytes) -> None:
        raise NotImplementedError


class StreamSubscription(Subscription):
    def __init__(self, subject: bytes, ingress: StreamIngress) -> None:
        super().__init__(KIND_STREAM, subject, b"")
        self.ingress: Final = ingress


@mypyc_attr(allow_interpreted_subclasses=True)
class RoutePeer:
    """Another node, as a place to send messages to. The route session (or its glue) implements `write`."""

    def __init__(self, name: str) -> None:
        self.name: Final = name  # as services see it in `origin`
        self.subscriptions: Final[dict[bytes, RouteSubscription]] = {}  # subject, space, queue
        self.out_messages: int = 0
        self.in_messages: int = 0

    def write(self, data: bytes) -> None:
        """One or more complete RMSG/HMSG of ours, to be sent in order."""
        raise NotImplementedError


class RouteSubscription(Subscription):
    """Interest of one peer; `weight` members stand behind a queue group."""

    def __init__(self, peer: RoutePeer, subject: bytes, queue: bytes, weight: int) -> None:
        super().__init__(KIND_ROUTE, subject, queue)
        self.peer: Final = peer
        self.weight: int = weight
