"""`/routez`: the routes to other nodes.

Read next: `subsz.py`.
"""

from __future__ import annotations

from typing import Any

from broker.monitor.connz import MICROSECOND_NS, subscription_detail
from broker.monitor.go_text import duration_text, time_text, uptime_text
from broker.monitor.query import Query
from broker.monitor.statistics import RouteStatistics, Statistics


def routez(statistics: Statistics, query: Query) -> dict[str, Any]:
    """The page. Errors: BadQuery."""
    with_detail = query.text("subs").lower() == "detail"
    with_subjects = not with_detail and query.boolean("subs")
    now_ns = statistics["now_ns"]
    return {
        "server_id": statistics["server"]["server_id"],
        "server_name": statistics["server"]["server_name"],
        "now": time_text(now_ns),
        "num_routes": len(statistics["routes"]),
        "routes": [_route(route, now_ns, with_subjects, with_detail) for route in statistics["routes"]],
    }


def _route(route: RouteStatistics, now_ns: int, subjects: bool, detail: bool) -> dict[str, Any]:
    page: dict[str, Any] = {
        "rid": route["rid"],
        "remote_id": route["remote_id"],
        "remote_name": route["remote_name"],
        "did_solicit": route["did_solicit"],
        "is_configured": route["is_configured"],
        "ip": route["ip"],
        "port": route["port"],
        "start": time_text(route["start_ns"]),
        "last_activity": time_text(route["last_activity_ns"]),
    }
    if route["rtt_ns"]:
        page["rtt"] = duration_text(route["rtt_ns"] // MICROSECOND_NS * MICROSECOND_NS)
    page |= {
        "uptime": uptime_text(now_ns - route["start_ns"]),
        "idle": uptime_text(now_ns - route["last_activity_ns"]),
        "pending_size": route["pending_bytes"],
        "in_msgs": route["in_msgs"],
        "out_msgs": route["out_msgs"],
        "in_bytes": route["in_bytes"],
        "out_bytes": route["out_bytes"],
        "subscriptions": route["num_subscriptions"],
    }
    if subjects and route["subscriptions"]:
        page["subscriptions_list"] = [each["subject"] for each in route["subscriptions"]]
    if detail and route["subscriptions"]:
        page["subscriptions_list_detail"] = [subscription_detail(each, route["rid"]) for each in route["subscriptions"]]
    return page | {"compression": "off"}
