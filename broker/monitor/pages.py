"""Which path answers with which page.

Is: pure: a request's target and the facts in, status, media type and body out; also counts requests by path for /varz.
Read next: `varz.py`, `connz.py`, `routez.py`, `jsz.py`, `healthz.py`, `metrics.py`.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from broker import config
from broker.monitor.connz import connz
from broker.monitor.go_text import json_text
from broker.monitor.healthz import healthz
from broker.monitor.jsz import jsz
from broker.monitor.query import BadQuery, Query
from broker.monitor.routez import routez, subsz
from broker.monitor.statistics import ServerFacts, Statistics
from broker.monitor.varz import varz

JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"
METRICS: Final = "text/plain; version=0.0.4; charset=utf-8"
INDEX: Final = (
    ("General", "varz"),
    ("JetStream", "jsz"),
    ("Connections", "connz"),
    ("Subscriptions", "subsz"),
    ("Routes", "routez"),
    ("Health Probe", "healthz"),
    ("Metrics", "metrics"),
)


class Answer(NamedTuple):
    """`is_public`: scripts of any origin may read it."""

    status: int
    media_type: str
    body: bytes
    is_public: bool


# What a page wants filled in of the statistics beyond the totals; `node.statistics(detail)` may leave the rest empty.
DETAILS: Final = {
    "/connz": "connections",
    "/subsz": "connections",
    "/subscriptionsz": "connections",
    "/routez": "routes",
    "/jsz": "streams",
    "/healthz": "streams",
    "/metrics": "streams",
}
PATHS: Final = ("/", "/varz", "/connz", "/routez", "/jsz", "/healthz", "/subsz", "/subscriptionsz", "/metrics")


def detail(path: str, query: Query) -> str:
    """Which list of `BrokerNode.statistics` a page shows; a probe of /healthz that names no stream shows none."""
    if path == "/healthz" and not query.text("stream"):
        return ""
    return DETAILS.get(path, "")


def split_target(target: str) -> tuple[str, Query]:
    """Path and parameters of a request; the path is "" when it is nonsense."""
    try:
        parts = urlsplit(target)
        values: dict[str, str] = {}
        for name, value in parse_qsl(parts.query, keep_blank_values=True, max_num_fields=64):
            values.setdefault(name, value)
    except ValueError:
        return "", Query({})
    return parts.path or "/", Query(values)


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
            return Answer(status, JSON, json_text(tree, indent=None).encode(), True)
        return Answer(200, JSON, json_text(_tree(path, query, statistics, options, facts)).encode(), True)
    except BadQuery as error:
        return Answer(400, TEXT, str(error).encode(), False)


def not_found() -> Answer:
    return Answer(404, TEXT, b"404 page not found\n", False)


def _tree(
    path: str, query: Query, statistics: Statistics, options: config.Options, facts: ServerFacts
) -> dict[str, Any]:
    if path == "/varz":
        return varz(statistics, options, facts)
    if path == "/connz":
        return connz(statistics, query)
    if path == "/routez":
        return routez(statistics, query)
    if path == "/jsz":
        return jsz(statistics, options, query)
    return subsz(statistics, query)


def _index() -> bytes:
    links = "".join(f'    <a href="./{path}">{title}</a><br/>\n' for title, path in INDEX)
    return f'<html lang="en">\n  <body>\n    <h3>v{config.VERSION}</h3>\n{links}  </body>\n</html>\n'.encode()
