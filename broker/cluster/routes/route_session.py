"""One connection on the cluster port, as the NATS route protocol speaks it, sans-IO.

Is: the greeting (INFO, CONNECT), the pings, who may stay and what an error costs.
Is not: interest and messages (`route_traffic`); the choice between two connections to one server, gossip, dials
(`routes`).
Invariants: nothing but the greeting is accepted before the session is registered; its output is bounded; what is wrong
with the bytes closes the connection, with the -ERR that nats-server sends.
Read next: `route_traffic.py`, `routes.py`.
"""

import hmac
from typing import Final

from mypy_extensions import mypyc_attr

from broker.cluster.routes.gossip import Address
from broker.cluster.routes.route_info import (
    RouteDocumentError,
    RouteInfo,
    parse_connect,
    parse_info,
    render_connect,
    render_info,
)
from broker.cluster.routes.route_log import sent_lines
from broker.config import SECOND_NS, ClusterOptions, Options
from broker.core.pings import Pings

GREETING: Final = b"TERNMQ/1 "  # our own links between nodes share the port
PING_FIRST_NS: Final = SECOND_NS
GREETING_TIMEOUT_NS: Final = 2 * SECOND_NS

WAIT_CONNECT: Final = 0  # accepted; the dialler speaks first
WAIT_INFO: Final = 1
REGISTERED: Final = 2
CLOSED: Final = 3
HANDED_OVER: Final = 4


@mypyc_attr(allow_interpreted_subclasses=True)
class RouteOwner:
    """What a session needs of the table that holds it."""

    def __init__(self, options: Options, server_id: str, server_name: str) -> None:
        self.options: Options = options
        self.server_id: Final = server_id
        self.server_name: Final = server_name
        self.cluster_name: str = options.cluster.name
        self.cluster_dynamic: bool = False
        self.now_ns: int = 0  # of what arrives

    def mark_dirty(self, cid: int) -> None:
        raise NotImplementedError

    def mark_closing(self, cid: int, reason: str) -> None:
        raise NotImplementedError

    def event(self, level: str, name: str, session: "RouteLink", fields: dict[str, object]) -> None:
        raise NotImplementedError

    def own_info(self, gossip_mode: int) -> RouteInfo:
        raise NotImplementedError

    def accepts_cluster(self, name: str, dynamic: bool) -> bool:
        raise NotImplementedError

    def wants(self, session: "RouteLink", info: RouteInfo) -> bool:
        raise NotImplementedError

    def register(self, session: "RouteLink", info: RouteInfo) -> bool:
        raise NotImplementedError

    def learned(self, info: RouteInfo) -> None:
        raise NotImplementedError

    def updated(self) -> None:
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class RouteLink:
    """The greeting half of a route; `RouteSession` adds the traffic."""

    def __init__(
        self, owner: RouteOwner, cid: int, remote: tuple[str, int], address: Address | None, now_ns: int
    ) -> None:
        self.owner: Final = owner
        self.cid: Final = cid
        self.remote: Final = remote
        self.address: Final = address
        self.is_dialled: Final = address is not None
        self.state: int = WAIT_INFO if address is not None else WAIT_CONNECT
        self.info: RouteInfo | None = None  # the other side's, once it has said it
        self.close_reason: str = ""
        self.is_duplicate: bool = False  # closed because another connection to the same server stays
        self.handover: bytes = b""  # with state HANDED_OVER: every byte seen so far
        self.in_messages: int = 0
        self.in_bytes: int = 0  # of messages, headers and payload
        self.out_bytes: int = 0  # of messages, lines included
        self.last_activity_ns: int = now_ns  # as ticks saw it
        self._activity: int = 0  # grows with everything that crosses
        self._activity_seen: int = 0
        self._output: list[bytes] = []
        self._output_bytes: int = 0
        self.opened_ns: Final = now_ns
        self.pings: Final = Pings(now_ns + PING_FIRST_NS)

    # Output

    def write(self, data: bytes) -> None:
        if self.state >= CLOSED:
            return
        if not self._output:
            self.owner.mark_dirty(self.cid)
        self._output.append(data)
        self._output_bytes += len(data)
        self._activity += 1
        if self._output_bytes > self.owner.options.max_pending:
            self._output = []
            self.close("Slow Consumer (Pending Bytes)", "")

    def pending_bytes(self) -> int:
        return self._output_bytes

    def saw_bytes(self) -> None:
        self._activity += 1

    def take_output(self) -> bytes:
        output = self._output
        self._output = []
        self._output_bytes = 0
        sent = output[0] if len(output) == 1 else b"".join(output)
        if self.owner.options.trace:
            self.trace(sent_lines(sent, self.owner.options))
        return sent

    def trace(self, told: list[str]) -> None:
        for line in told:
            self.owner.event("trace", "route_trace", self, {"line": line})

    def close(self, reason: str, error: str, complaint: str = "") -> None:
        """Asks for the connection to be closed, after an -ERR when there is something to say; the log gets the
        complaint."""
        if self.state >= CLOSED:
            return
        if error:
            self.write(f"-ERR '{error}'\r\n".encode())
            self.owner.event("error", "route_error", self, {"error": complaint or error})
        self.state = CLOSED
        self.close_reason = reason
        self.owner.mark_closing(self.cid, reason)

    def duplicate(self) -> None:
        self.is_duplicate = True
        self.close("Duplicate Route", "")

    # The greeting

    def open(self) -> None:
        """The side that accepts says INFO at once, the side that dialled says CONNECT."""
        address = self.address
        if address is None:
            self.write(render_info(self.owner.own_info(0)))
            return
        owner = self.owner
        user, password = address.user, address.password
        if not user and not password:
            own = owner.options.cluster.authorization  # members of one cluster share their credentials
            user, password = own.user, own.password
        self.write(render_connect(owner.server_id, owner.cluster_name, owner.cluster_dynamic, user, password))

    def on_connect(self, document: bytes) -> None:
        if self.state != WAIT_CONNECT:
            self.close("Protocol Violation", "Unknown Protocol Operation")
            return
        try:
            connect = parse_connect(document)
        except RouteDocumentError:
            self.close("Protocol Violation", "Unknown Protocol Operation")
            return
        if connect.lang:
            self.close("Incorrect Port", "attempted to connect to route port")
            return
        if connect.gateway:
            self.close("Wrong Gateway", f'Rejecting connection from gateway "{connect.gateway}" on the Route port')
            return
        if not authorized(self.owner.options.cluster, connect.user, connect.password):
            self.close("Authentication Failure", "Authorization Violation", "authentication error")
            return
        if not self.owner.accepts_cluster(connect.cluster, connect.cluster_dynamic):
            ours = self.owner.cluster_name
            reason = f'Rejecting connection, cluster name "{connect.cluster}" does not match "{ours}"'
            self.close("Cluster Name Conflict", reason)
            return
        self.state = WAIT_INFO

    def on_info(self, document: bytes) -> None:
        if self.state == WAIT_CONNECT:
            self.refuse_before_connect()
            return
        try:
            info = parse_info(document)
        except RouteDocumentError:
            self.close("Protocol Violation", "Unknown Protocol Operation")
            return
        if self.state == REGISTERED:
            self._on_later_info(info)
            return
        if not info.server_id:
            self.close("Protocol Violation", "Unknown Protocol Operation")
        elif info.server_id == self.owner.server_id:
            self.info = info
            if self.is_dialled:
                self.owner.wants(self, info)  # it learns that the address is our own
            self.duplicate()
        elif info.cluster and not self.owner.accepts_cluster(info.cluster, info.cluster_dynamic):
            self.close("Cluster Name Conflict", "")
        elif info.server_name == self.owner.server_name and not self.is_dialled:
            self.close("Duplicate Server Name", f'Remote server has a duplicate name: "{info.server_name}"')
        elif info.route_account:
            error = f'Not possible to have a dedicated route for account "{info.route_account}" between those servers'
            self.close("Protocol Violation", error)
        else:
            self._settle(info)

    def _settle(self, info: RouteInfo) -> None:
        """The other side is known; it becomes the route to its server unless there is one that stays."""
        if self.is_dialled and not self.owner.wants(self, info):
            self.info = info
            self.duplicate()
            return
        self.info = info
        if not self.owner.register(self, info):
            self.duplicate()
            return
        self.state = REGISTERED
        if self.is_dialled:
            self.write(render_info(self.owner.own_info(0)))
        self.on_registered()

    def on_registered(self) -> None:
        """For the traffic half: tell the other side what is wanted here."""

    def _on_later_info(self, info: RouteInfo) -> None:
        known = self.info
        assert known is not None, "registered without INFO"
        if info.server_id != known.server_id:
            self.owner.learned(info)
            return
        known.connect_urls = info.connect_urls
        known.ldm = info.ldm
        self.owner.updated()

    def refuse_before_connect(self) -> None:
        """Something else came where CONNECT was due: whoever this is has not said so."""
        self.close("Authentication Failure", "Authorization Violation", "authentication error")

    def on_ping(self) -> None:
        if self.state == WAIT_CONNECT:
            self.refuse_before_connect()
        else:
            self.write(b"PONG\r\n")

    def on_pong(self) -> None:
        self.pings.answered(self.owner.now_ns)

    def on_error(self, text: str) -> None:
        """The other side says what it minds, and will close."""
        self.owner.event("error", "route_error", self, {"error": f"Route Error {text}"})
        self.close("Parse Error", "")

    def tick(self, now_ns: int) -> None:
        if self.state >= CLOSED:
            return
        if self._activity != self._activity_seen:
            self._activity_seen = self._activity
            self.last_activity_ns = now_ns
        if self.state != REGISTERED:
            limit_ns = max(GREETING_TIMEOUT_NS, self.owner.options.cluster.authorization.timeout_ns)
            if now_ns - self.opened_ns > limit_ns:
                self.close("Authentication Timeout", "Authentication Timeout")
            return
        if now_ns < self.pings.due_ns:
            return
        cluster = self.owner.options.cluster
        self.pings.due_ns = now_ns + cluster.ping_interval_ns
        if self.pings.send(now_ns, cluster.ping_max):
            self.write(b"PING\r\n")
        else:
            self.close("Stale Connection", "Stale Connection")


def authorized(cluster: ClusterOptions, user: str, password: str) -> bool:
    """Whether these are the cluster's credentials; takes the same time for any wrong ones."""
    wanted = cluster.authorization
    if not wanted.required():
        return True
    right_user = hmac.compare_digest(user.encode("utf-8", "replace"), wanted.user.encode("utf-8", "replace"))
    right_password = hmac.compare_digest(
        password.encode("utf-8", "replace"), wanted.password.encode("utf-8", "replace")
    )
    return right_user and right_password
