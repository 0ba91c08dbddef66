"""`/routez` and `/subsz`: the routes to other nodes, and how subscriptions are looked up.

Read next: `jsz.py`.
"""

from __future__ import annotations

from typing import Any, Final

from broker.monitor.go_text import duration_text, time_text, uptime_text
from broker.monitor.query import Query
from broker.monitor.statistics import RouteStatistics, Statistics

LIMIT_DEFAULT: Final = 1024


def routez(statistics: Statistics, query: Query) -> dict[str, Any]:
    """The page. Errors: BadQuery."""
    subjects = query.text("subs") == "detail" or query.boolean("subs")
    now_ns = statistics["now_ns"]
    return {
        "server_id": statistics["server"]["server_id"],
        "server_name": statistics["server"]["server_name"],
        "now": time_text(now_ns),
        "num_routes": len(statistics["routes"]),
        "routes": [_route(route, now_ns, subjects) for route in statistics["routes"]],
    }


def subsz(statistics: Statistics, query: Query) -> dict[str, Any]:
    """The page's totals and, with `subs`, the clients' subscriptions. Errors: BadQuery."""
    wanted = query.boolean("subs")
    offset = max(0, query.integer("offset"))
    limit = query.integer("limit", LIMIT_DEFAULT) or LIMIT_DEFAULT
    sublist = statistics["sublist"]
    matches = sublist["num_matches"]
    page: dict[str, Any] = {
        "server_id": statistics["server"]["server_id"],
        "now": time_text(statistics["now_ns"]),
        "num_subscriptions": sublist["num_subscriptions"],
        "num_cache": sublist["num_cache"],
        "num_inserts": sublist["num_inserts"],
        "num_removes": sublist["num_removes"],
        "num_matches": matches,
        "cache_hit_rate": sublist["cache_hits"] / matches if matches else 0,
        "max_fanout": 0,
        "avg_fanout": 0,
        "total": 0,
        "offset": offset,
        "limit": limit,
    }
    if wanted:
        rows = [
            {
                "account": "$G",
                "subject": each["subject"],
                **({"qgroup": each["queue"]} if each["queue"] else {}),
                "sid": each["sid"],
                "msgs": each["msgs"],
                "cid": connection["cid"],
            }
            for connection in statistics["connections"]
            for each in connection["subscriptions"]
        ]
        page["total"] = len(rows)
        page["subscriptions_list"] = rows[offset : offset + limit]
    return page


def _route(route: RouteStatistics, now_ns: int, subjects: bool) -> dict[str, Any]:
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
        page["rtt"] = duration_text(route["rtt_ns"])
    page |= {
        "uptime": uptime_text(now_ns - route["start_ns"]),
        "idle": uptime_text(now_ns - route["last_activity_ns"]),
        "pending_size": route["pending_bytes"],
        "in_msgs": route["in_msgs"],
        "out_msgs": route["out_msgs"],
        "in_bytes": route["in_bytes"],
        "out_bytes": route["out_bytes"],
        "subscriptions": len(route["subscriptions"]),
    }
    if subjects and route["subscriptions"]:
        page["subscriptions_list"] = route["subscriptions"]
    return page | {"compression": "off"}
