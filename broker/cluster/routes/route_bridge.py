"""Routes on the real router: the glue between `RouteTable` and `core.router`.

Is: `open_routes`, which makes a table whose sessions are the router's peers and which hears of local interest.
Is not: a protocol (`route_session`, `route_traffic`) or matching (`core.router`).
Invariants: a session has at most one peer in the router, from its first interest or message until it ends.
Read next: `routes.py`, `core/router.py`.
"""

import random
from typing import Final

from broker.cluster.meta.identity import peer_id
from broker.cluster.routes.route_traffic import Interest, RouteSession, RouteTraffic
from broker.cluster.routes.routes import RouteTable
from broker.config import Options
from broker.core.interest import InterestListener
from broker.core.router import Router
from broker.core.subscription import RoutePeer


class SessionPeer(RoutePeer):
    """A registered session, as a place for the router to send messages to."""

    def __init__(self, session: RouteSession, name: str) -> None:
        super().__init__(name)
        self.session: Final = session

    def write(self, data: bytes) -> None:
        self.session.out_bytes += len(data)
        self.session.write(data)


class RouterTraffic(RouteTraffic):
    def __init__(self, router: Router) -> None:
        self._router: Final = router
        self._peers: Final[dict[int, SessionPeer]] = {}

    def local_interest(self) -> list[Interest]:
        return [Interest(subject, queue, weight) for subject, queue, weight in self._router.local_interest()]

    def _peer(self, session: RouteSession) -> SessionPeer:
        peer = self._peers.get(session.cid)
        if peer is None:
            assert session.info is not None, "a registered session knows who is there"
            peer = self._peers[session.cid] = SessionPeer(session, peer_id(session.info.server_name))
        return peer

    def remote_interest(self, session: RouteSession, subject: bytes, queue: bytes, weight: int) -> None:
        self._router.remote_interest(self._peer(session), subject, queue, weight)

    def remote_message(
        self,
        session: RouteSession,
        subject: bytes,
        reply: bytes,
        queues: list[bytes],
        header_length: int,
        data: bytes,
    ) -> None:
        self._router.route_message(self._peer(session), subject, reply, queues, header_length, data)

    def interest_of(self, session: RouteSession) -> list[tuple[bytes, bytes]]:
        peer = self._peers.get(session.cid)
        return [] if peer is None else [(each.subject, each.queue) for each in peer.subscriptions.values()]

    def interest_count(self, session: RouteSession) -> int:
        peer = self._peers.get(session.cid)
        return 0 if peer is None else len(peer.subscriptions)

    def messages_out(self, session: RouteSession) -> int:
        peer = self._peers.get(session.cid)
        return 0 if peer is None else peer.out_messages

    def session_ended(self, session: RouteSession) -> None:
        peer = self._peers.pop(session.cid, None)
        if peer is not None:
            self._router.remove_peer(peer)


class Announcer(InterestListener):
    """What begins and ends to be wanted on this node is told to every route."""

    def __init__(self, table: RouteTable) -> None:
        self._table: Final = table

    def interest_changed(self, subject: bytes, queue: bytes, weight: int) -> None:
        self._table.interest_changed(subject, queue, weight)


def open_routes(options: Options, server_id: str, router: Router, rng: random.Random) -> RouteTable:
    """The routes of a node, joined to its router."""
    table = RouteTable(options, server_id, RouterTraffic(router), rng)
    router.add_listener(Announcer(table))
    return table
