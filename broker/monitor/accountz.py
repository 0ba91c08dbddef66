"""`/accountz`, `/accstatz`, `/leafz`, `/gatewayz`: what exporters ask of every server, as far as it exists here.

Is: the one account that everybody is in; and that there are no leaf nodes and no gateways.
Read next: `jsz.py`.
"""

from __future__ import annotations

from typing import Any

from broker.monitor.connz import ACCOUNT
from broker.monitor.go_text import time_text
from broker.monitor.query import BadQuery, Query
from broker.monitor.statistics import ServerFacts, Statistics
from broker.monitor.subsz import sublist_stats


def accountz(statistics: Statistics, facts: ServerFacts, query: Query) -> dict[str, Any]:
    """The names of the accounts, or one in detail. Errors: BadQuery."""
    account = query.text("acc")
    if not account:
        return _head(statistics) | {"accounts": [ACCOUNT]}
    if account != ACCOUNT:
        raise BadQuery(f"Account {account} does not exist")
    detail = {
        "account_name": ACCOUNT,
        "update_time": time_text(facts["load_ns"]),
        "expired": False,
        "complete": True,
        "jetstream_enabled": statistics["jetstream"] is not None,
        "leafnode_connections": 0,
        "client_connections": statistics["server"]["num_connections"],
        "subscriptions": statistics["sublist"]["num_subscriptions"],
        "name_tag": ACCOUNT,
        "sublist_stats": sublist_stats(statistics["sublist"]),
    }
    return _head(statistics) | {"account_detail": detail}


def accstatz(statistics: Statistics, query: Query) -> dict[str, Any]:
    """The traffic of the accounts that somebody uses; with `unused` of all. Errors: BadQuery."""
    server = statistics["server"]
    connections = server["num_connections"]
    row = {
        "acc": ACCOUNT,
        "name": ACCOUNT,
        "conns": connections,
        "leafnodes": 0,
        "total_conns": connections,
        "num_subscriptions": statistics["sublist"]["num_subscriptions"],
        "sent": _traffic(
            server["out_msgs"], server["out_bytes"], server["out_client_msgs"], server["out_client_bytes"]
        ),
        "received": _traffic(
            server["in_msgs"], server["in_bytes"], server["in_client_msgs"], server["in_client_bytes"]
        ),
        "slow_consumers": server["slow_consumers_clients"],
    }
    is_shown = query.boolean("unused") or connections > 0
    return _head(statistics) | {"account_statz": [row] if is_shown else []}


def leafz(statistics: Statistics) -> dict[str, Any]:
    return _head(statistics) | {"leafnodes": 0, "leafs": []}


def gatewayz(statistics: Statistics) -> dict[str, Any]:
    return _head(statistics) | {"outbound_gateways": {}, "inbound_gateways": {}}


def _head(statistics: Statistics) -> dict[str, Any]:
    return {"server_id": statistics["server"]["server_id"], "now": time_text(statistics["now_ns"])}


def _traffic(msgs: int, size: int, client_msgs: int, client_bytes: int) -> dict[str, Any]:
    none = {"msgs": 0, "bytes": 0}
    routes = {"msgs": msgs - client_msgs, "bytes": size - client_bytes}
    return {"msgs": msgs, "bytes": size, "gateways": none, "routes": routes, "leafs": none}
