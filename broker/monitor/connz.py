"""`/connz`: who is connected, or was.

Read next: `routez.py`.
"""

from __future__ import annotations

from typing import Any, Final

from broker.monitor.go_text import duration_text, time_text, uptime_text
from broker.monitor.query import BadQuery, Query
from broker.monitor.statistics import ConnectionStatistics, Statistics, SubscriptionStatistics

LIMIT_DEFAULT: Final = 1024
ACCOUNT: Final = "$G"
MICROSECOND_NS: Final = 1_000
STATES: Final = {"": "open", "open": "open", "closed": "closed", "any": "any", "all": "any"}
SORTS: Final = (
    *("cid", "start", "subs", "pending", "msgs_to", "msgs_from", "bytes_to", "bytes_from"),
    *("last", "idle", "uptime", "stop", "reason", "rtt"),
)


def connz(statistics: Statistics, query: Query) -> dict[str, Any]:
    """The page. Errors: BadQuery."""
    sort = query.text("sort") or "cid"
    with_user = query.boolean("auth")
    with_detail = query.text("subs").lower() == "detail"
    with_subjects = not with_detail and query.boolean("subs")
    offset, limit, cid = max(0, query.integer("offset")), query.integer("limit"), query.unsigned("cid")
    state = STATES.get(query.text("state").lower())
    if state is None:
        raise BadQuery(f"Error decoding state for {query.text('state')}")
    if sort not in SORTS:
        raise BadQuery(f"invalid sorting option: {sort}")
    if sort in ("stop", "reason") and state != "closed":
        raise BadQuery(f"sort by {sort} only valid on closed connections")
    limit = limit if limit > 0 else LIMIT_DEFAULT
    if cid:
        limit = 1
    rows: list[ConnectionStatistics] = []
    if state != "closed":
        rows += statistics["connections"]
    if state != "open":
        rows += statistics["closed_connections"]
    rows = rows if query.text("acc") in ("", ACCOUNT) else []
    total = len(rows)
    rows = [row for row in rows if _is_wanted(row, cid, query.text("user"), query.text("mqtt_client"))]
    _sort(rows, sort)
    now_ns = statistics["now_ns"]
    shown = rows[offset : offset + limit]
    return {
        "server_id": statistics["server"]["server_id"],
        "now": time_text(now_ns),
        "num_connections": len(shown),
        "total": total,
        "offset": offset,
        "limit": limit,
        "connections": [_row(row, now_ns, with_user, with_subjects, with_detail) for row in shown],
    }


def _is_wanted(row: ConnectionStatistics, cid: int, user: str, mqtt_client: str) -> bool:
    if cid and row["cid"] != cid:
        return False
    return (not user or row["user"] == user) and not mqtt_client


def _sort(rows: list[ConnectionStatistics], sort: str) -> None:
    """Counts: most first. Names and beginnings: ascending; by uptime, which is no count, the youngest first."""
    rows.sort(key=lambda row: row["cid"])
    if sort == "reason":
        rows.sort(key=lambda row: row["reason"])
    elif sort in ("start", "uptime"):
        rows.sort(key=lambda row: row["start_ns"], reverse=sort == "uptime")
    elif sort == "idle":
        rows.sort(key=lambda row: row["last_activity_ns"])
    elif sort != "cid":
        rows.sort(key=lambda row: _measure(row, sort), reverse=True)


def _measure(row: ConnectionStatistics, sort: str) -> int:
    measures = {
        "subs": row["num_subscriptions"],
        "pending": row["pending_bytes"],
        "msgs_to": row["out_msgs"],
        "msgs_from": row["in_msgs"],
        "bytes_to": row["out_bytes"],
        "bytes_from": row["in_bytes"],
        "last": row["last_activity_ns"],
        "stop": row["stop_ns"],
        "rtt": row["rtt_ns"],
    }
    return measures[sort]


def _row(row: ConnectionStatistics, now_ns: int, user: bool, subjects: bool, detail: bool) -> dict[str, Any]:
    page: dict[str, Any] = {
        "cid": row["cid"],
        "kind": "Client",
        "type": "nats",
        "ip": row["ip"],
        "port": row["port"],
        "start": time_text(row["start_ns"]),
        "last_activity": time_text(row["last_activity_ns"]),
    }
    end_ns = now_ns
    if row["stop_ns"]:
        end_ns = row["stop_ns"]
        page |= {"stop": time_text(end_ns), "reason": row["reason"]}
    if row["rtt_ns"] or row["stop_ns"]:
        page["rtt"] = duration_text(row["rtt_ns"] // MICROSECOND_NS * MICROSECOND_NS)
    page |= {
        "uptime": uptime_text(end_ns - row["start_ns"]),
        "idle": uptime_text(end_ns - row["last_activity_ns"]),
        "pending_bytes": row["pending_bytes"],
        "in_msgs": row["in_msgs"],
        "out_msgs": row["out_msgs"],
        "in_bytes": row["in_bytes"],
        "out_bytes": row["out_bytes"],
        "subscriptions": row["num_subscriptions"],
    }
    for key, value in (("name", row["name"]), ("lang", row["lang"]), ("version", row["version"])):
        if value:
            page[key] = value
    if user and row["user"]:
        page["authorized_user"] = row["user"]
    if subjects and row["num_subscriptions"]:
        page["subscriptions_list"] = [each["subject"] for each in row["subscriptions"]]
    if detail and row["num_subscriptions"]:
        page["subscriptions_list_detail"] = [subscription_detail(each, row["cid"]) for each in row["subscriptions"]]
    if user and not row["stop_ns"]:
        page["name_tag"] = ACCOUNT
    return page


def subscription_detail(subscription: SubscriptionStatistics, cid: int) -> dict[str, Any]:
    """One subscription as /connz, /routez and /subsz show it."""
    page: dict[str, Any] = {"subject": subscription["subject"]}
    if subscription["queue"]:
        page["qgroup"] = subscription["queue"]
    page |= {"sid": subscription["sid"], "msgs": subscription["msgs"]}
    if subscription["max"]:
        page["max"] = subscription["max"]
    return page | {"cid": cid}
