"""`BrokerNode`: a whole server without sockets, clock, threads or chance.

Bytes, ticks and finished disk jobs go in; a `Turn` says what is to be sent, closed, dialled, written and logged. One
turn takes everything that arrived, steps everything once, and answers. The same object runs behind real sockets
(`broker/net`), inside a program (`broker/testing`) and a thousand times faster in the simulation (`tests/sim`).

Not here: what anything means. This file only joins the parts: clients (`core`), routes, links between nodes and
JetStream (`cluster`), numbers for monitoring (`node_statistics`). Read next: `core/session.py`, `cluster/service.py`.
"""

import base64
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from broker.cluster.groups.group_store import GROUPS_DIRECTORY
from broker.cluster.groups.jobs import Job
from broker.cluster.groups.store_opening import WAL_DIRECTORY
from broker.cluster.links.link import PeerLink
from broker.cluster.links.transport import Dial, LinkTable
from broker.cluster.routes.route_bridge import open_routes
from broker.cluster.routes.route_session import HANDED_OVER
from broker.cluster.routes.route_traffic import RouteSession
from broker.cluster.routes.routes import RouteTable
from broker.cluster.service import JetStreamService
from broker.cluster.services import AckService, ApiService, DomainService, TransferService
from broker.cluster.turn_clock import TurnClock
from broker.cluster.user_info import UserInfoService
from broker.config import VERSION, Options
from broker.core.clients import Clients, first_info
from broker.core.router import Router
from storage.disk import Disk
from storage.errors import WrongIdentity
from storage.identity import stored_identity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from broker.monitor.statistics import Statistics, StreamStatistics

CLIENT: Final = 0
CLUSTER_IN: Final = 1
CLUSTER_OUT: Final = 2
TOKEN_PEER: Final = "peer"
TOKEN_ROUTE: Final = "route:"


class Turn:
    """What a turn wants done; see `broker/net/seam.py`."""

    def __init__(self) -> None:
        self.sends: list[int] = []
        self.closes: list[tuple[int, str]] = []
        self.dials: list[Dial] = []
        self.jobs: list[Job] = []
        self.events: list[tuple[str, str, dict[str, object]]] = []
        self.next_deadline_ns: int = 0


class BrokerNode:
    """One server. Every method is called by one thread; none of them blocks (but the constructor, which recovers)."""

    def __init__(self, options: Options, disk: Disk, rng: random.Random, boot: str = "") -> None:
        """Opens the store. `boot` is the id of the kernel's boot, "" when nobody knows. Raises storage errors:
        WrongIdentity, CorruptLog …"""
        self.clock: Final = TurnClock()
        self.server_id: Final = "N" + base64.b32encode(rng.getrandbits(55 * 5 + 5).to_bytes(35, "big")).decode()[:55]
        # A server without a configured name keeps the one under which its store began.
        has_jetstream = options.jetstream.enabled
        stored = stored_identity(disk, WAL_DIRECTORY) if has_jetstream else None
        store_id = f"{rng.getrandbits(64):016x}" if has_jetstream and stored is None else ""
        if store_id and disk.list(GROUPS_DIRECTORY):
            raise WrongIdentity(WAL_DIRECTORY, "", options.server_name)  # groups whose log is gone
        stored_name = ""
        if stored is not None:
            stored_name, store_id = stored.name, stored.store_id
        self.name: Final = options.server_name or stored_name or self.server_id
        options = replace(options, server_name=self.name)
        self.options: Final = options
        self.events: list[tuple[str, str, dict[str, object]]] = []
        self.router: Final = Router(rng)
        self.clients: Final = Clients(
            options, self.router, first_info(options, self.server_id, self.name, VERSION), rng
        )
        self.router.subscribe(UserInfoService(self.router, self.server_id, options, self.clock))
        self.stopping: bool = False
        self._rng: Final = rng
        self._closes: list[tuple[int, str]] = []
        self._dials: list[Dial] = []
        self._links: dict[int, PeerLink] = {}
        self._sessions: dict[int, RouteSession] = {}
        self._writing: dict[int, bool] = {}
        cluster = options.cluster
        self.routes: RouteTable | None = None
        if cluster.configured():
            self.routes = open_routes(options, self.server_id, self.router, rng)
            self.routes.on_connect_urls = self.clients.connect_urls_changed
            self.routes.on_cluster_name = self.clients.cluster_named
            self.clients.cluster_named(self.routes.cluster_name, self.routes.cluster_dynamic)
        addresses = [(route.host, route.port) for route in cluster.routes]
        authorization = cluster.authorization
        self.links: Final = LinkTable(
            self.name,
            cluster.name,
            cluster.port,
            authorization.user,
            authorization.password,
            addresses,
            rng,
            store_id,
            has_jetstream,
            options.server_tags,
        )
        self.jetstream: JetStreamService | None = None
        if options.jetstream.enabled:
            self.jetstream = JetStreamService(options, disk, self.links, self.router, self.clock, rng, boot)
            dispatch = self.jetstream.dispatch
            self.router.subscribe(ApiService(dispatch))
            if options.jetstream.domain:
                self.router.subscribe(DomainService(options.jetstream.domain, dispatch, self.router))
            self.router.subscribe(AckService(b"$JS.ACK.>", dispatch))
            self.router.subscribe(AckService(b"$JS.FC.>", dispatch))
            self.router.subscribe(TransferService(dispatch))

    # Connections.

    def arrive(self, now_ns: int, wall_ns: int) -> None:
        """The time at which what is told next arrived: how long a client took to answer is measured with it."""
        self.clock.set(now_ns, wall_ns)
        self.clients.services.now_ns = now_ns
        if self.routes is not None:
            self.routes.now_ns = now_ns

    def connection_opened(self, cid: int, kind: int, remote: tuple[str, int], token: str = "") -> None:
        """A socket is connected. `token` is that of the dial."""
        now_ns = self.clock.now_ns
        if kind == CLIENT:
            self.clients.opened(cid, remote, now_ns)
            return
        if token == TOKEN_PEER:
            self._links[cid] = self.links.dialled(cid, remote[0], remote[1], now_ns)
            self._writing[cid] = True
            return
        routes = self.routes
        if routes is None:
            self._closes.append((cid, "not clustered"))
        elif kind == CLUSTER_OUT:
            self._sessions[cid] = routes.dialled(cid, int(token[len(TOKEN_ROUTE) :]), now_ns)
        else:
            self._sessions[cid] = routes.accepted(cid, remote, now_ns)

    def connection_bytes(self, cid: int, data: bytes) -> None:
        """Bytes arrived."""
        if self.clients.received(cid, data):
            return
        link = self._links.get(cid)
        if link is not None:
            self._link_bytes(link, data)
            return
        session = self._sessions.get(cid)
        if session is not None:
            session.on_bytes(data)
            if session.state == HANDED_OVER:
                self._hand_over(session)

    def _hand_over(self, session: RouteSession) -> None:
        """What looked like a route is a peer's link."""
        cid = session.cid
        del self._sessions[cid]
        assert self.routes is not None
        self.routes.handed_over(cid)
        link = self._links[cid] = self.links.accepted(cid, session.remote[0], self.clock.now_ns)
        self._link_bytes(link, session.handover)

    def _link_bytes(self, link: PeerLink, data: bytes) -> None:
        bodies = self.links.on_bytes(link, data, self.clock.now_ns)
        if link.has_output():
            self._writing[link.cid] = True
        self._peers_changed()
        jetstream = self.jetstream
        if jetstream is not None and link.peer:
            for body in bodies:
                jetstream.frames.received(link, body)
                if link.close_reason:
                    self._closes.append((link.cid, link.close_reason))
                    return

    def _peers_changed(self) -> None:
        if self.jetstream is None:
            self.links.arrived = []
            self.links.lost = []
            self.links.silent = []
        elif self.links.arrived or self.links.lost or self.links.silent:
            self.jetstream.peers_changed()

    def connection_closed(self, cid: int, reason: str) -> None:
        """The socket is gone, whoever closed it."""
        now_ns = self.clock.now_ns
        if self.clients.closed(cid, reason, now_ns):
            return
        self._writing.pop(cid, None)
        if self._links.pop(cid, None) is not None:
            self.links.closed(cid, now_ns)
            self._peers_changed()
        elif self._sessions.pop(cid, None) is not None and self.routes is not None:
            self.routes.closed(cid, now_ns, reason)

    def dial_failed(self, address: tuple[str, int], token: str = "", reason: str = "") -> None:
        """Nobody answered; `reason` is for the log."""
        if token == TOKEN_PEER:
            self.links.dial_failed(address[0], address[1], self.clock.now_ns)
        elif self.routes is not None:
            self.routes.dial_failed(int(token[len(TOKEN_ROUTE) :]), self.clock.now_ns, reason)

    def take_output(self, cid: int) -> bytes:
        """Bytes to send on a connection, b"" when there are none."""
        link = self._links.get(cid)
        if link is not None:
            return link.take_output()
        session = self._sessions.get(cid)
        if session is not None:
            return session.take_output()
        return self.clients.take_output(cid)

    # Time and turns.

    def tick(self, now_ns: int, wall_ns: int) -> None:
        """50 ms passed."""
        self.clock.set(now_ns, wall_ns)
        self.clients.tick(now_ns)
        if self.routes is not None and not self.stopping:
            for dial in self.routes.tick(now_ns):
                self._dials.append(Dial(dial.host, dial.port, f"{TOKEN_ROUTE}{dial.token}"))
            self._dials.extend(self.links.tick(now_ns))
        self.links.watch()
        self._peers_changed()
        if self.jetstream is not None:
            self.jetstream.tick()

    def turn(self, now_ns: int, wall_ns: int) -> Turn:
        """Step everything that input made possible; what the rim should do now."""
        self.clock.set(now_ns, wall_ns)
        self.clients.services.now_ns = now_ns
        turn = Turn()
        jetstream = self.jetstream
        if jetstream is not None:
            jetstream.turn()
            turn.jobs = jetstream.take_jobs()
            turn.next_deadline_ns = jetstream.next_deadline_ns()
            jetstream.take_events(turn.events)
        for link in self.links.links.values():
            if link.dirty:
                link.flush()
                self._writing[link.cid] = True
        self._collect(turn)
        return turn

    def _collect(self, turn: Turn) -> None:
        """What all parts want done. Most of it is nothing in most turns, and looking costs less than taking."""
        self.clients.collect(turn.sends, turn.closes)
        if self._writing:
            turn.sends.extend(self._writing)
            self._writing.clear()
        if self._closes:
            turn.closes.extend(self._closes)
            self._closes = []
        if self._dials:
            turn.dials = self._dials
            self._dials = []
        links = self.links
        if links.closing:
            turn.closes.extend(links.take_closing())
        if links.events:
            turn.events.extend(links.take_events())
        routes = self.routes
        if routes is not None and routes.has_output():
            turn.sends.extend(routes.take_dirty())
            turn.closes.extend(routes.take_closing())
            turn.events.extend(routes.take_events())
        if self.clients.services.events:
            turn.events.extend(self.clients.take_events())

    def job_done(self, job: Job, error: Exception | None) -> None:
        """A disk job came back."""
        if self.jetstream is not None:
            self.jetstream.job_done(job, error)

    def disk_stalled(self, stalled_ns: int) -> None:
        """A sync does not come back: somebody else should lead."""
        if self.jetstream is not None:
            self.jetstream.disk_stalled(stalled_ns)

    def reload(self, options: Options) -> None:
        """The configuration changed, in what `config_reload` lets change."""
        self.clients.reload(options)
        if self.routes is not None:
            self.routes.reload(options)
            cluster = options.cluster
            addresses = [(route.host, route.port) for route in cluster.routes]
            self.links.reload(cluster.authorization.user, cluster.authorization.password, addresses)

    def advertise(self, client_urls: list[str]) -> None:
        """Where clients of the whole cluster find this node, as host:port."""
        if self.routes is not None:
            self.routes.set_client_urls(client_urls)

    # The end.

    def lame_duck(self) -> None:
        """Tell clients and peers to go elsewhere; hand leaderships over."""
        self.stopping = True
        self.clients.lame_duck()
        if self.routes is not None:
            self.routes.lame_duck()
        if self.jetstream is not None:
            self.jetstream.hand_over.begin()

    def hand_over(self) -> None:
        """The end is near: peers are to lead what this node leads."""
        if self.jetstream is not None:
            self.jetstream.hand_over.begin()

    def is_handed_over(self) -> bool:
        """Whether they do, as far as they can."""
        return self.jetstream is None or self.jetstream.hand_over.is_done()

    def shutdown(self) -> None:
        """A clean stop: the jobs of the turns that follow are the last ones."""
        self.stopping = True
        if self.jetstream is not None:
            self.jetstream.shutdown()

    def stream_rows(self, detail: str) -> "Iterator[StreamStatistics | None]":
        """The streams of that tree one by one; None now and then, where something else may be done first."""
        from broker.node_statistics import stream_rows

        return stream_rows(self, detail)

    def statistics(self, detail: str = "") -> "Statistics":
        """The tree of `broker.monitor.statistics`; `detail` names the list that is wanted whole."""
        from broker.node_statistics import statistics

        return statistics(self, detail)
