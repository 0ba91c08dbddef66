"""Statistics trees for tests: a quiet standalone server, a busy cluster node, and a connection; change what matters."""

from __future__ import annotations

from typing import Any

from broker.monitor.statistics import ServerFacts, Statistics

NOW_NS = 1_790_000_000_123_456_000


def facts(**changes: Any) -> ServerFacts:
    tree: ServerFacts = {
        "start_ns": NOW_NS - 65_000_000_000,
        "load_ns": NOW_NS - 65_000_000_000,
        "mem": 42_000_000,
        "cpu": 1.5,
        "cores": 2,
        "http_requests": {"/varz": 1},
        "events": {("info", "server_ready"): 1},
    }
    return {**tree, **changes}  # type: ignore[typeddict-item,return-value]


def connection(**changes: Any) -> Any:
    return {
        "cid": 1,
        "ip": "127.0.0.1",
        "port": 40_000,
        "start_ns": NOW_NS - 5_000_000_000,
        "last_activity_ns": NOW_NS - 1_000_000_000,
        "stop_ns": 0,
        "reason": "",
        "rtt_ns": 664_000,
        "pending_bytes": 0,
        "in_msgs": 0,
        "in_bytes": 0,
        "out_msgs": 0,
        "out_bytes": 0,
        "name": "",
        "lang": "python3",
        "version": "2.16.0",
        "user": "",
        "num_subscriptions": len(changes.get("subscriptions", [])),
        "subscriptions": [],
    } | changes


def standalone(**changes: Any) -> Statistics:
    server = {
        "server_id": "NAHS63PMTSCJOMCO37AB7TFQCCK23XUGXQ4TNNCYWPOVEETEIDWZCHIA",
        "server_name": "n1",
        "cluster_name": "",
        "connect_urls": [],
        "num_connections": 0,
        "total_connections": 0,
        "slow_consumers_clients": 0,
        "slow_consumers_routes": 0,
        "stale_connections_clients": 0,
        "stale_connections_routes": 0,
        "remotes": 0,
    }
    for direction in ("in", "out"):
        for what in ("msgs", "bytes"):
            server |= {f"{direction}_{what}": 0, f"{direction}_client_{what}": 0}
    sublist = ("num_subscriptions", "num_cache", "num_inserts", "num_removes", "num_matches", "cache_hits")
    tree: Any = {
        "now_ns": NOW_NS,
        "server": server,
        "connections": [],
        "closed_connections": [],
        "routes": [],
        "sublist": dict.fromkeys(sublist, 0) | {"fanouts": []},
        "jetstream": None,
        "health": {"ready": True, "stopped": "", "meta_error": "", "faults": []},
    }
    return tree | changes  # type: ignore[no-any-return]


def stream(name: str, **changes: Any) -> Any:
    info = {
        "config": {"name": name, "subjects": [f"{name}.>"], "max_bytes": -1, "max_msgs": -1, "metadata": {"a": "b"}},
        "created": "2026-11-24T04:18:29.943870876Z",
        "state": {"messages": 1, "bytes": 43, "first_seq": 1, "last_seq": 1, "num_subjects": 1, "consumer_count": 1},
        "cluster": {"name": "c", "leader": "n1", "replicas": []},
    }
    row = {"info": info, "raft_group": "S-R3F-MZ2dDMUo", "is_leader": True}
    return row | {"consumers": [consumer(name, "D")]} | changes


def consumer(stream_name: str, name: str) -> Any:
    position = {"consumer_seq": 1, "stream_seq": 1, "last_active": "2026-11-24T04:18:30.087306375Z"}
    info = {
        "stream_name": stream_name,
        "name": name,
        "created": "2026-11-24T04:18:30.01711635Z",
        "config": {"durable_name": name},
        "delivered": position,
        "ack_floor": position,
        "num_ack_pending": 0,
        "num_redelivered": 0,
        "num_waiting": 0,
        "num_pending": 0,
        "cluster": {"name": "c", "leader": "n1", "replicas": []},
        "ts": "2026-11-24T04:18:30.612708676Z",
    }
    return {"info": info, "is_leader": True}


def clustered(**changes: Any) -> Statistics:
    replica = {"name": "n3", "current": False, "offline": True, "active_ns": 9, "lag": 4, "peer": "BXScrY9i"}
    meta = {
        "name": "c",
        "leader": "n2",
        "leader_peer": "44jzkV9D",
        "replicas": [replica | {"name": "n2", "current": True, "offline": False, "lag": 0}, replica],
        "cluster_size": 3,
        "pending": 0,
    }
    jetstream = {
        "memory": 0,
        "storage": 43,
        "reserved_memory": 0,
        "reserved_storage": 0,
        "api_total": 3,
        "api_errors": 1,
        "ha_assets": 2,
        "totals": {
            "streams": 2,
            "streams_leader": 1,
            "consumers": 1,
            "consumers_leader": 1,
            "messages": 2,
            "bytes": 86,
        },
        "meta": meta,
        "streams": [stream("S"), stream("T", is_leader=False, consumers=[])],
    }
    return standalone(jetstream=jetstream, **changes)
