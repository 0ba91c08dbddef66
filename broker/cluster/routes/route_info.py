"""What two servers say of themselves when a route opens: the JSON of INFO and CONNECT on port 6222.

Is: parsing (any field of a wrong type counts as absent) and rendering. Is not: when they are said (`route_session`).
Invariants: our INFO names neither a pool size nor a compression, so that a nats-server of any version uses exactly one
plain connection with us; it does not say `jetstream`, because a nats-server must not count us among its own Raft peers.
Read next: `route_session.py`.
"""

import json
from typing import Final

ROUTE_PROTO: Final = 2  # accounts in protocol lines, several INFOs; no message tracing
CONNECT_URLS_MAX: Final = 4096
GOSSIP_DISABLED: Final = 1  # nats-server's gossip_mode: "do not tell others about me"


class RouteDocumentError(ValueError):
    """Not a JSON object."""


class RouteInfo:
    """A server's INFO, as far as we use it."""

    def __init__(self, server_id: str, server_name: str) -> None:
        self.server_id = server_id
        self.server_name = server_name
        self.version = ""
        self.host = ""
        self.port = 0
        self.auth_required = False
        self.headers = True
        self.max_payload = 0
        self.cluster = ""
        self.cluster_dynamic = False
        self.connect_urls: list[str] = []
        self.ip = ""  # nats-route://host:port/, where others can reach it
        self.gossip_mode = 0
        self.ldm = False
        self.ternmq = ""  # our own version, when the other side is one of us
        self.route_account = ""  # a nats-server's connection for one account only
        self.says_info_late = False  # this nats-server says INFO only on a connection that it has chosen

    def passed_on(self) -> "RouteInfo":
        """What a third server needs to know: who it is and where, not the marks of our connection with it."""
        info = RouteInfo(self.server_id, self.server_name)
        info.version = self.version
        info.host = self.host
        info.port = self.port
        info.auth_required = self.auth_required
        info.max_payload = self.max_payload
        info.cluster = self.cluster
        info.ip = self.ip
        info.ternmq = self.ternmq
        return info


class RouteConnect:
    """The CONNECT of the side that dialled."""

    def __init__(self) -> None:
        self.user = ""
        self.password = ""
        self.name = ""  # its server id
        self.cluster = ""
        self.cluster_dynamic = False
        self.headers = False
        self.lang = ""  # only clients say one
        self.gateway = ""


def _object(data: bytes) -> dict[str, object]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise RouteDocumentError("not JSON") from None
    if not isinstance(document, dict):
        raise RouteDocumentError("not a JSON object")
    return document


def _text(document: dict[str, object], key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else ""


def _integer(document: dict[str, object], key: str) -> int:
    value = document.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**62 else 0


def _texts(document: dict[str, object], key: str) -> list[str]:
    value = document.get(key)
    texts: list[str] = []
    if isinstance(value, list):
        for entry in value[:CONNECT_URLS_MAX]:
            if isinstance(entry, str):
                texts.append(entry)
    return texts


def parse_info(data: bytes) -> RouteInfo:
    """Errors: RouteDocumentError."""
    document = _object(data)
    info = RouteInfo(_text(document, "server_id"), _text(document, "server_name"))
    info.version = _text(document, "version")
    info.host = _text(document, "host")
    info.port = _integer(document, "port")
    info.auth_required = document.get("auth_required") is True
    info.headers = document.get("headers") is True
    info.max_payload = _integer(document, "max_payload")
    info.cluster = _text(document, "cluster")
    info.cluster_dynamic = document.get("cluster_dynamic") is True
    info.connect_urls = _texts(document, "connect_urls")
    info.ip = _text(document, "ip")
    info.gossip_mode = _integer(document, "gossip_mode")
    info.ldm = document.get("ldm") is True
    info.ternmq = _text(document, "ternmq")
    info.route_account = _text(document, "route_account")
    info.says_info_late = _integer(document, "route_pool_size") > 0
    return info


def parse_connect(data: bytes) -> RouteConnect:
    """Errors: RouteDocumentError."""
    document = _object(data)
    connect = RouteConnect()
    connect.user = _text(document, "user")
    connect.password = _text(document, "pass")
    connect.name = _text(document, "name")
    connect.cluster = _text(document, "cluster")
    connect.cluster_dynamic = document.get("cluster_dynamic") is True
    connect.headers = document.get("headers") is True
    connect.lang = _text(document, "lang")
    connect.gateway = _text(document, "gateway")
    return connect


def _line(verb: bytes, document: dict[str, object]) -> bytes:
    return verb + b" " + json.dumps(document, separators=(",", ":")).encode() + b"\r\n"


def render_info(info: RouteInfo) -> bytes:
    """The INFO line; also of a third server, when we pass it on."""
    document: dict[str, object] = {
        "server_id": info.server_id,
        "server_name": info.server_name,
        "version": info.version,
        "proto": ROUTE_PROTO,
        "host": info.host,
        "port": info.port,
        "headers": info.headers,
        "max_payload": info.max_payload,
        "cluster": info.cluster,
    }
    if info.auth_required:
        document["auth_required"] = True
    if info.cluster_dynamic:
        document["cluster_dynamic"] = True
    if info.connect_urls:
        document["connect_urls"] = info.connect_urls
    if info.ip:
        document["ip"] = info.ip
    if info.gossip_mode:
        document["gossip_mode"] = info.gossip_mode
    if info.ldm:
        document["ldm"] = True
    if info.ternmq:
        document["ternmq"] = info.ternmq
    return _line(b"INFO", document)


def render_connect(server_id: str, cluster: str, dynamic: bool, user: str, password: str) -> bytes:
    """The CONNECT line."""
    document: dict[str, object] = {
        "echo": True,
        "verbose": False,
        "pedantic": False,
        "tls_required": False,
        "headers": True,
        "name": server_id,
        "cluster": cluster,
    }
    if user or password:
        document["user"] = user
        document["pass"] = password
    if dynamic:
        document["cluster_dynamic"] = True
    return _line(b"CONNECT", document)
