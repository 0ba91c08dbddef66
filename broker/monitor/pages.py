"""Which path answers with which page.

Is: pure: a request's target and the facts in, status, media type and body out; also counts requests by path for /varz.
Read next: `varz.py`, `connz.py`, `routez.py`, `jsz.py`, `healthz.py`, `metrics.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from broker import config
from broker.monitor.accountz import accountz, accstatz, gatewayz, leafz
from broker.monitor.connz import connz
from broker.monitor.go_text import json_text
from broker.monitor.healthz import complaint, healthz
from broker.monitor.jsz import jsz
from broker.monitor.query import BadQuery, Query
from broker.monitor.routez import routez
from broker.monitor.statistics import ServerFacts, Statistics
from broker.monitor.subsz import subsz
from broker.monitor.varz import varz

JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"
METRICS: Final = "text/plain; version=0.0.4; charset=utf-8"
INDEX: Final = (
    ("General", "varz"),
    ("JetStream", "jsz"),
    ("Connections", "connz"),
    ("Accounts", "accountz"),
    ("Account Stats", "accstatz"),
    ("Subscriptions", "subsz"),
    ("Routes", "routez"),
    ("LeafNodes", "leafz"),
    ("Gateways", "gatewayz"),
    ("Health Probe", "healthz"),
    ("Metrics", "metrics"),
)


Maker = Callable[[Statistics, config.Options, ServerFacts, Query], dict[str, Any]]
TREES: Final[dict[str, Maker]] = {
    "/varz": lambda statistics, options, facts, _query: varz(statistics, options, facts),
    "/connz": lambda statistics, _options, _facts, query: connz(statistics, query),
    "/routez": lambda statistics, _options, _facts, query: routez(statistics, query),
    "/subsz": lambda statistics, _options, _facts, query: subsz(statistics, query),
    "/jsz": lambda statistics, options, _facts, query: jsz(statistics, options, query),
    "/accountz": lambda statistics, _options, facts, query: accountz(statistics, facts, query),
    "/accstatz": lambda statistics, _options, _facts, query: accstatz(statistics, query),
    "/leafz": lambda statistics, _options, _facts, _query: leafz(statistics),
    "/gatewayz": lambda statistics, _options, _facts, _query: gatewayz(statistics),
}


class Answer(NamedTuple):
    """`is_public`: scripts of any origin may read it."""

    status: int
    media_type: str
    body: bytes
    is_public: bool
    complaint: str = ""  # for the log: what makes this server unhealthy


# What a page wants filled in of the statistics beyond the totals; `node.statistics(detail)` may leave the rest empty.
DETAILS: Final = {
    "/connz": "connections",
    "/subsz": "connections",
    "/accountz": "sublist",
    "/routez": "routes",
    "/metrics": "metrics",
}
LONG: Final = ("streams", "consumers", "metrics")
"""Lists of all streams. `node.stream_rows` has them piece by piece, and the page may be made in a thread."""
ALIASES: Final = {"/subscriptionsz": "/subsz"}
PATHS: Final = ("/", "/healthz", "/metrics", *TREES)


def detail(path: str, query: Query) -> str:
    """Which list of `BrokerNode.statistics` a page shows; "consumers" are those of all streams, and these."""
    if path == "/healthz":
        return "consumers" if query.text("stream") else ""
    if path == "/jsz" and query.is_true("consumers"):
        return "consumers"
    if path == "/jsz":
        return "streams" if query.is_true("streams") else ""
    return DETAILS.get(path, "")


def split_target(target: str) -> tuple[str, Query]:
    """Path and parameters of a request; the path is "" when it is nonsense."""
    if target.startswith("//"):
        return "", Query({})  # not the name of a host
    try:
        parts = urlsplit(target)
        values: dict[str, str] = {}
        for name, value in parse_qsl(parts.query, keep_blank_values=True, max_num_fields=64):
            values.setdefault(name, value)
    except ValueError:
        return "", Query({})
    return ALIASES.get(parts.path, parts.path or "/"), Query(values)


def page(path: str, query: Query, statistics: Statistics, options: config.Options, facts: ServerFacts) -> Answer:
    """The answer to a GET of `path`, which is one of PATHS."""
    if path == "/":
        return Answer(200, "text/html; charset=utf-8", _index(), False)
    if path == "/metrics":
        from broker.monitor.metrics import metrics  # late: prometheus_client takes 60 ms, and few servers need it

        return Answer(200, METRICS, metrics(statistics, facts), False)
    try:
        if path == "/healthz":
            status, tree = healthz(statistics, options.jetstream.enabled, query)
            return Answer(status, JSON, json_text(tree, indent=None).encode(), True, complaint(tree))
        return Answer(200, JSON, json_text(TREES[path](statistics, options, facts, query)).encode(), True)
    except BadQuery as error:
        return Answer(400, TEXT, str(error).encode(), False)


def not_found() -> Answer:
    return Answer(404, TEXT, b"404 page not found\n", False)


def _index() -> bytes:
    links = "".join(f'    <a href="./{path}">{title}</a><br/>\n' for title, path in INDEX)
    return f'<html lang="en">\n  <body>\n    <h3>v{config.VERSION}</h3>\n{links}  </body>\n</html>\n'.encode()
