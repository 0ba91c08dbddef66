"""`/subsz`: how subscriptions are looked up, and with `subs` those of the clients.

Read next: `accountz.py`.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

from broker.core.subjects import is_valid_literal, matches
from broker.monitor.connz import ACCOUNT, LIMIT_DEFAULT, subscription_detail
from broker.monitor.go_text import time_text
from broker.monitor.query import BadQuery, Query
from broker.monitor.statistics import Statistics, SublistStatistics


def subsz(statistics: Statistics, query: Query) -> dict[str, Any]:
    """The page. Errors: BadQuery."""
    wanted = query.boolean("subs")
    offset, limit = max(0, query.integer("offset")), query.integer("limit")
    limit = limit if limit > 0 else LIMIT_DEFAULT
    test = query.text("test")
    if test and not is_valid_literal(test.encode()):
        raise BadQuery(f"invalid test subject, must be valid publish subject: {test}")
    page: dict[str, Any] = {
        "server_id": statistics["server"]["server_id"],
        "now": time_text(statistics["now_ns"]),
        **sublist_stats(statistics["sublist"]),
        "total": 0,
        "offset": offset,
        "limit": limit,
    }
    if query.text("acc") not in ("", ACCOUNT):
        return page | dict.fromkeys(sublist_stats(statistics["sublist"]), 0)
    if wanted:
        rows = (
            (connection["cid"], each)
            for connection in statistics["connections"]
            for each in connection["subscriptions"]
            if not test or matches(each["subject"].encode(), test.encode())
        )
        if test:
            found = list(rows)
            total, shown = len(found), found[offset : offset + limit]
        else:  # as many as are shown are looked at, and no more
            total = sum(connection["num_subscriptions"] for connection in statistics["connections"])
            shown = list(islice(rows, offset, offset + limit))
        page["total"] = total
        if shown:
            account = {"account": ACCOUNT, "account_tag": ACCOUNT}
            page["subscriptions_list"] = [account | subscription_detail(each, cid) for cid, each in shown]
    return page


def sublist_stats(sublist: SublistStatistics) -> dict[str, Any]:
    """The numbers of the look-up, as /accountz shows them too."""
    lookups, fanouts = sublist["num_matches"], sublist["fanouts"]
    return {
        "num_subscriptions": sublist["num_subscriptions"],
        "num_cache": sublist["num_cache"],
        "num_inserts": sublist["num_inserts"],
        "num_removes": sublist["num_removes"],
        "num_matches": lookups,
        "cache_hit_rate": sublist["cache_hits"] / lookups if lookups else 0,
        "max_fanout": max(fanouts, default=0),
        "avg_fanout": sum(fanouts) / len(fanouts) if fanouts else 0,
    }
