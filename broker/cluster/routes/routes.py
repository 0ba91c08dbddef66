"""The routes of a node: who is connected, which of two connections stays, whom to tell, whom to dial.

Is: the table of all route connections (`RouteSession`) and of the addresses to dial (`gossip`). Pure: bytes and ticks
in, bytes, dials and closes out.
Is not: the protocol of one connection (`route_session`), the matching of messages (`core.router`).
Invariants, together one route a pair and no loops:
* at most one registered session per server id; a session is registered before it carries interest or messages;
* a side that dialled says INFO only after it has the other side's and wants this connection, so the side that accepted
  registers exactly what the dialler has registered;
* two that dial each other at the same moment both keep the connection dialled by the smaller server id;
* what came over a route never leaves over a route (the router's part).
Read next: `route_session.py`, `gossip.py`.
"""

import random
from collections.abc import Callable
from typing import Final

from broker.cluster.routes.gossip import AddressBook, RouteDial, split_route_url
from broker.cluster.routes.route_info import GOSSIP_DISABLED, RouteInfo, render_info
from broker.cluster.routes.route_session import REGISTERED, RouteLink, RouteOwner
from broker.cluster.routes.route_traffic import RouteSession, RouteTraffic
from broker.config import OWN_VERSION, SECOND_NS, VERSION, Options
from broker.jetstream.names import fresh_id

LIVED_NS: Final = 5 * SECOND_NS
EVENTS_MAX: Final = 4000  # of a turn, beyond which lines of the protocol are left out


class RouteTable(RouteOwner):
    """All routes of this node.

    After each input the caller takes what it caused: `take_dirty()` (connections with output), `take_closing()`,
    `take_events()`; and sets `on_connect_urls` to hear of new addresses for clients.
    """

    def __init__(self, options: Options, server_id: str, traffic: RouteTraffic, rng: random.Random) -> None:
        super().__init__(options, server_id, options.server_name or server_id)
        cluster = options.cluster
        self.traffic: Final = traffic
        if not cluster.name:
            self.cluster_dynamic = True
            self.cluster_name = fresh_id(rng)
        self.slow_consumers: int = 0  # since the start
        self.stale_connections: int = 0
        self.sessions: dict[int, RouteSession] = {}
        self.routes: dict[str, RouteSession] = {}  # server id -> the registered session
        self.connect_urls: list[str] = []  # for clients: our own first, then the peers'
        self.on_connect_urls: Callable[[list[str]], None] | None = None
        self.on_cluster_name: Callable[[str, bool], None] | None = None
        self._client_urls: list[str] = []
        self._host: str = cluster.host
        self._port: int = cluster.port
        self._lame_duck: bool = False
        self._book = AddressBook(rng)
        self._dirty: list[int] = []
        self._closing: list[tuple[int, str]] = []
        self._events: list[tuple[str, str, dict[str, object]]] = []
        self._book.configure(cluster.routes)

    # What the node says

    def listening(self, host: str, port: int) -> None:
        """Where the route listener is bound."""
        self._host = host
        self._port = port

    def set_client_urls(self, urls: list[str]) -> None:
        """`host:port` of our own client listener, as clients elsewhere can reach it."""
        if urls == self._client_urls:
            return
        self._client_urls = urls
        self._connect_urls_may_have_changed()
        line = render_info(self.own_info(0))
        for session in self.routes.values():
            session.write(line)

    def reload(self, options: Options) -> None:
        """The configuration changed: routes that stand there no more end, new ones are dialled with the next tick."""
        self.options = options
        removed = self._book.configure(options.cluster.routes)
        for session in self.sessions.values():
            if session.address in removed:
                session.close("Route Removed", "")
        self._connect_urls_may_have_changed()

    def accepted(self, cid: int, remote: tuple[str, int], now_ns: int) -> RouteSession:
        """A connection on the route listener. It may turn out to be none: see `RouteSession.handover`."""
        session = RouteSession(self, self.traffic, cid, remote, None, now_ns)
        self.sessions[cid] = session
        session.open()
        return session

    def dialled(self, cid: int, token: int, now_ns: int) -> RouteSession:
        """A connection that `tick` had asked for."""
        address = self._book.find(token)
        assert address is not None, "dialled without a dial"
        session = RouteSession(self, self.traffic, cid, (address.host, address.port), address, now_ns)
        self.sessions[cid] = session
        session.open()
        if address.is_removed:
            session.close("Route Removed", "")
        return session

    def dial_failed(self, token: int, now_ns: int, reason: str) -> None:
        address = self._book.find(token)
        if address is None:
            return
        self._book.failed(address, now_ns)
        attempt = address.failures
        if attempt & (attempt - 1) == 0:  # the first one, and then less and less often
            where = {"host": _shown(address.host), "port": address.port}
            self._events.append(("error", "route_dial_failed", {**where, "attempt": attempt, "error": reason}))

    def handed_over(self, cid: int) -> None:
        """The caller has taken the connection for another protocol."""
        self.sessions.pop(cid, None)

    def closed(self, cid: int, now_ns: int, reason: str = "") -> None:
        """The connection is gone, whoever closed it."""
        session = self.sessions.pop(cid, None)
        if session is None:
            return
        session.end()
        why = session.close_reason or reason or "Client Closed"
        self.slow_consumers += int(why.startswith("Slow Consumer"))
        self.stale_connections += int(why == "Stale Connection")
        address = session.address
        info = session.info
        if session.is_created:
            fields: dict[str, object] = {"reason": why}
            if info is not None:
                fields["peer"] = info.server_name
            self.event("info", "route_closed", session, fields)
        if info is not None and self.routes.get(info.server_id) is session:
            del self.routes[info.server_id]
            self._connect_urls_may_have_changed()
        if address is not None and not address.is_self:
            # A server that throws us out at once (a wrong password, another cluster) is tried less and less often.
            if info is not None and (session.is_duplicate or now_ns - session.opened_ns > LIVED_NS):
                self._book.lost(address, now_ns)
            else:
                self._book.failed(address, now_ns)

    def tick(self, now_ns: int) -> list[RouteDial]:
        """Timers: pings, handshakes that take too long, dials that are due."""
        for session in list(self.sessions.values()):
            session.tick(now_ns)
        if self._lame_duck:
            return []
        connected = dict.fromkeys(self.routes, True)
        dials = self._book.due(now_ns, connected)
        for dial in dials:
            self._events.append(("debug", "route_dial", {"host": _shown(dial.host), "port": dial.port}))
        return dials

    def lame_duck(self) -> None:
        """Tells the peers that our clients should go elsewhere; nobody is dialled any more."""
        self._lame_duck = True
        self._client_urls = []
        self._connect_urls_may_have_changed()
        line = render_info(self.own_info(0))
        for session in self.routes.values():
            session.write(line)

    def has_output(self) -> bool:
        """Whether one of the three below has anything to give."""
        return bool(self._dirty or self._closing or self._events)

    def take_dirty(self) -> list[int]:
        dirty = self._dirty
        self._dirty = []
        return dirty

    def take_closing(self) -> list[tuple[int, str]]:
        """Connections to close once their output has left, with the reason."""
        closing = self._closing
        self._closing = []
        for cid, _reason in closing:
            session = self.sessions.get(cid)
            if session is not None:
                session.end()  # not earlier: the router may have been in the middle of a delivery
        return closing

    def take_events(self) -> list[tuple[str, str, dict[str, object]]]:
        events = self._events
        self._events = []
        return events

    def unreached(self) -> list[str]:
        """Configured addresses where nobody has been met yet, for the log."""
        return [
            f"{address.host}:{address.port}"
            for address in self._book.addresses()
            if address.configured and not address.is_self and address.server_id not in self.routes
        ]

    def statistics(self, with_subjects: bool) -> list[dict[str, object]]:
        """One row a route, in the order of server ids, for the monitoring pages."""
        rows: list[dict[str, object]] = []
        for server_id in sorted(self.routes):
            session = self.routes[server_id]
            info = session.info
            address = session.address
            row: dict[str, object] = {
                "rid": session.cid,
                "remote_id": server_id,
                "remote_name": info.server_name if info is not None else "",
                "did_solicit": session.is_dialled,
                "is_configured": address is not None and address.configured,
                "ip": session.remote[0],
                "port": session.remote[1],
                "opened_ns": session.opened_ns,
                "last_activity_ns": session.last_activity_ns,
                "rtt_ns": session.pings.rtt_ns,
                "pending_bytes": session.pending_bytes(),
                "in_msgs": session.in_messages,
                "in_bytes": session.in_bytes,
                "out_msgs": self.traffic.messages_out(session),
                "out_bytes": session.out_bytes,
                "num_subscriptions": self.traffic.interest_count(session),
                "subscriptions": [],
            }
            if with_subjects:
                row["subscriptions"] = [
                    _subscription_row(subject, queue) for subject, queue in self.traffic.interest_of(session)
                ]
            rows.append(row)
        return rows

    # What sessions say

    def mark_dirty(self, cid: int) -> None:
        self._dirty.append(cid)

    def mark_closing(self, cid: int, reason: str) -> None:
        self._closing.append((cid, reason))

    def event(self, level: str, name: str, session: RouteLink, fields: dict[str, object]) -> None:
        host, port = session.remote
        known: dict[str, object] = {"remote": f"{_shown(host)}:{port}", "rid": session.cid}
        known.update(fields)
        if len(self._events) < EVENTS_MAX or level != "trace":
            self._events.append((level, name, known))

    def own_info(self, gossip_mode: int) -> RouteInfo:
        info = RouteInfo(self.server_id, self.server_name)
        cluster = self.options.cluster
        info.version = VERSION
        info.host = self._host
        info.port = self._port
        info.auth_required = cluster.authorization.required()
        info.max_payload = self.options.max_payload
        info.cluster = self.cluster_name
        info.cluster_dynamic = self.cluster_dynamic
        if not cluster.no_advertise:
            info.connect_urls = self._client_urls
        if cluster.advertise:
            advertised = cluster.advertise if ":" in cluster.advertise else f"{cluster.advertise}:{self._port}"
            info.ip = f"nats-route://{advertised}/"
        info.gossip_mode = gossip_mode
        info.ldm = self._lame_duck
        info.ternmq = OWN_VERSION
        return info

    def accepts_cluster(self, name: str, dynamic: bool) -> bool:
        """Whether a server of that cluster may join; a generated name gives way to one that somebody configured."""
        if name == self.cluster_name:
            return True
        if not self.cluster_dynamic or (dynamic and name < self.cluster_name) or name == "":
            return False
        self.cluster_name = name
        self.cluster_dynamic = dynamic
        if self.on_cluster_name is not None:
            self.on_cluster_name(name, dynamic)
        for session in list(self.routes.values()):
            session.close("Cluster Name Conflict", "")
        return True

    def wants(self, session: RouteLink, info: RouteInfo) -> bool:
        """Whether a connection that we dialled should become a route: not when there is one already."""
        address = session.address
        assert address is not None
        if info.server_id == self.server_id:
            self._book.is_self(address)
            return False
        self._book.settled(address, info.server_id)
        return self._open_route(info.server_id) is None

    def _open_route(self, server_id: str) -> RouteSession | None:
        session = self.routes.get(server_id)
        return session if session is not None and session.state == REGISTERED else None

    def register(self, session: RouteLink, info: RouteInfo) -> bool:
        """Makes a session the route to its server. False: another one stays, and this one is a duplicate."""
        existing = self._open_route(info.server_id)
        if existing is not None:
            if not self._replaces(existing, info):
                return False
            existing.duplicate()
        gone = self.routes.get(info.server_id)
        if gone is not None:
            gone.end()
        full = self.sessions[session.cid]
        self.routes[info.server_id] = full
        fields: dict[str, object] = {"name": info.server_name, "server_id": info.server_id}
        self.event("info", "route_connected", session, fields)
        self._tell_others(session, info)
        self._connect_urls_may_have_changed()
        return True

    def _replaces(self, existing: RouteSession, info: RouteInfo) -> bool:
        """Whether a connection that the other side dialled takes the place of the one we have."""
        if info.ternmq:
            # It would not have dialled again if it still had the one that it dialled first.
            return not existing.is_dialled or info.server_id < self.server_id
        # A nats-server that speaks INFO late has made its choice; another one keeps what it has, as we do.
        return info.says_info_late

    def _tell_others(self, session: RouteLink, info: RouteInfo) -> None:
        """Gossip: the others should know the new one, also where gossip told us of it (nats-server stops there): who
        told us may not have known all of them, and then nobody else would tell."""
        if info.gossip_mode == GOSSIP_DISABLED:
            return
        if not info.ip:
            host = session.remote[0]
            info.ip = f"nats-route://[{host}]:{info.port}/" if ":" in host else f"nats-route://{host}:{info.port}/"
        passed_on = info.passed_on()
        line = render_info(passed_on)
        for server_id, other in self.routes.items():
            if server_id != info.server_id:
                other.write(line)

    def learned(self, info: RouteInfo) -> None:
        """A peer told us of a third server."""
        if info.server_id == self.server_id or info.server_id in self.routes or not info.server_id:
            return
        host, port = split_route_url(info.ip)
        if not host:
            return
        credentials = self.options.cluster.authorization
        user = credentials.user if info.auth_required else ""
        password = credentials.password if info.auth_required else ""
        address = self._book.add(host, port, user, password, False)
        if address is not None and not address.dialling and not address.is_self:
            address.server_id = info.server_id

    def updated(self) -> None:
        """A peer changed what it says of itself."""
        self._connect_urls_may_have_changed()

    def _connect_urls_may_have_changed(self) -> None:
        urls: list[str] = []
        if not self.options.cluster.no_advertise:
            urls.extend(self._client_urls)
            for server_id in sorted(self.routes):
                info = self.routes[server_id].info
                if info is not None and not info.ldm:
                    for url in info.connect_urls:
                        if url not in urls:
                            urls.append(url)
        if urls == self.connect_urls:
            return
        self.connect_urls = urls
        if self.on_connect_urls is not None:
            self.on_connect_urls(urls)

    # What the router says

    def interest_changed(self, subject: bytes, queue: bytes, weight: int) -> None:
        """The local interest in a subject began (or its weight changed), or ended (weight 0)."""
        for session in self.routes.values():
            session.send_interest(subject, queue, weight)


def _shown(host: str) -> str:
    """As it stands before a colon and a port."""
    return f"[{host}]" if ":" in host else host


def _subscription_row(subject: bytes, queue: bytes) -> dict[str, object]:
    """As the monitoring pages have it; everything is in the one account."""
    key = b" ".join([b"R $G", subject, queue]) if queue else b"R $G " + subject
    return {
        "subject": subject.decode("utf-8", "replace"),
        "queue": queue.decode("utf-8", "replace"),
        "sid": key.decode("utf-8", "replace"),
        "msgs": 0,
        "max": 0,
    }
