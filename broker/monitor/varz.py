"""`/varz`: the server at a glance. prometheus-nats-exporter turns every number here into a metric named by its path.

Is: nats-server's keys for what exists here, in its order and types, plus `ternmq`.
Read next: `jsz.py` for what stands under `jetstream`.
"""

from __future__ import annotations

from typing import Any

from broker import config
from broker.monitor.go_text import time_text, uptime_text
from broker.monitor.jsz import jetstream_config, jetstream_limits, jetstream_stats, meta_cluster
from broker.monitor.statistics import ServerFacts, Statistics


def varz(statistics: Statistics, options: config.Options, facts: ServerFacts) -> dict[str, Any]:
    """The page. `options` carries the bound ports."""
    server, now_ns = statistics["server"], statistics["now_ns"]
    host, port = options.advertised()
    page: dict[str, Any] = {
        "server_id": server["server_id"],
        "server_name": server["server_name"],
        "version": config.VERSION,
        "proto": 1,
        "go": "",
        "host": host,
        "port": port,
    }
    if options.authorization.required():
        page["auth_required"] = True
    if server["connect_urls"]:
        page["connect_urls"] = server["connect_urls"]
    page["max_connections"] = options.max_connections
    if options.max_subscriptions:
        page["max_subscriptions"] = options.max_subscriptions
    page |= {
        "ping_interval": options.ping_interval_ns,
        "ping_max": options.ping_max,
        "http_host": options.http_host or options.host,
        "http_port": options.http_port,
        "http_base_path": "",
        "https_port": 0,
        "auth_timeout": _seconds(options.authorization.timeout_ns),
        "max_control_line": options.max_control_line,
        "max_payload": options.max_payload,
        "max_pending": options.max_pending,
        "cluster": _cluster(statistics, options),
        "gateway": {},
        "leaf": {},
        "mqtt": {},
        "websocket": {},
        "jetstream": _jetstream(statistics, options),
        "tls_timeout": 2,
        "write_deadline": options.write_deadline_ns,
        "start": time_text(facts["start_ns"]),
        "now": time_text(now_ns),
        "uptime": uptime_text(now_ns - facts["start_ns"]),
        "mem": facts["mem"],
        "cores": facts["cores"],
        "gomaxprocs": facts["cores"],
        "cpu": facts["cpu"],
    }
    page |= _totals(statistics)
    if options.server_tags:
        page["tags"] = options.server_tags
    page["http_req_stats"] = facts["http_requests"]
    page["config_load_time"] = time_text(facts["load_ns"])
    page["config_digest"] = options.config_digest
    page["slow_consumer_stats"] = _by_kind(server["slow_consumers_clients"], server["slow_consumers_routes"])
    page["stale_connection_stats"] = _by_kind(server["stale_connections_clients"], server["stale_connections_routes"])
    page["disk_io_wait_stats"] = dict.fromkeys(("waiters", "waits", "wait_time", "max_wait_time"), 0)  # nothing queues
    page["ternmq"] = config.OWN_VERSION
    return page


def _totals(statistics: Statistics) -> dict[str, Any]:
    server = statistics["server"]
    return {
        "connections": server["num_connections"],
        "total_connections": server["total_connections"],
        "routes": len(statistics["routes"]),
        "remotes": server["remotes"],
        "leafnodes": 0,
        "in_msgs": server["in_msgs"],
        "in_bytes": server["in_bytes"],
        "in_client_msgs": server["in_client_msgs"],
        "in_client_bytes": server["in_client_bytes"],
        "out_msgs": server["out_msgs"],
        "out_bytes": server["out_bytes"],
        "out_client_msgs": server["out_client_msgs"],
        "out_client_bytes": server["out_client_bytes"],
        "slow_consumers": server["slow_consumers_clients"] + server["slow_consumers_routes"],
        "stale_connections": server["stale_connections_clients"] + server["stale_connections_routes"],
        "stalled_clients": 0,
        "subscriptions": statistics["sublist"]["num_subscriptions"],
    }


def _cluster(statistics: Statistics, options: config.Options) -> dict[str, Any]:
    cluster = options.cluster
    if not cluster.configured():
        return {}
    page: dict[str, Any] = {
        "name": statistics["server"]["cluster_name"],
        "addr": cluster.host,
        "cluster_port": cluster.port,
        "auth_timeout": _seconds(cluster.authorization.timeout_ns),
    }
    urls = [route.address() for route in cluster.routes]
    if urls:
        page["urls"] = urls  # KEDA finds the other nodes by these
    return page | {"tls_timeout": 2, "pool_size": -1}  # one route a pair


def _jetstream(statistics: Statistics, options: config.Options) -> dict[str, Any]:
    jetstream = statistics["jetstream"]
    if jetstream is None:
        return {}
    page: dict[str, Any] = {"config": jetstream_config(options), "stats": jetstream_stats(jetstream)}
    if jetstream["meta"] is not None:
        page["meta"] = meta_cluster(jetstream["meta"])
    page["limits"] = jetstream_limits(options)
    return page


def _by_kind(clients: int, routes: int) -> dict[str, int]:
    return {"clients": clients, "routes": routes, "gateways": 0, "leafs": 0}


def _seconds(duration_ns: int) -> float:
    """A Go float as Go prints it: whole ones without a fraction."""
    return duration_ns // config.SECOND_NS if duration_ns % config.SECOND_NS == 0 else duration_ns / config.SECOND_NS
