"""`/jsz`: JetStream here. The exporter and KEDA decode it into Go structs: one wrong type drops the whole scrape.

Is: the envelope; streams and consumers are what the JetStream API says of them, under nats-server's `_detail` names.
Read next: `healthz.py`.
"""

from __future__ import annotations

import os
from typing import Any, Final

from broker import config
from broker.monitor.go_text import ZERO_TIME, time_text
from broker.monitor.query import BadQuery, Query
from broker.monitor.statistics import (
    JetStreamStatistics,
    MetaStatistics,
    Statistics,
    StreamStatistics,
    StreamTotals,
    no_streams,
)

ACCOUNT: Final = "$G"
API_LEVEL: Final = 5
ADDED_METADATA: Final = ("_nats.ver", "_nats.level")
UNLIMITED: Final = 18_446_744_073_709_551_615  # uint64(-1), which is how nats-server says "nothing reserved"


def jsz(statistics: Statistics, options: config.Options, query: Query) -> dict[str, Any]:
    """The page. Errors: BadQuery."""
    account = query.text("acc")
    wants_consumers = query.boolean("consumers")
    wants_streams = query.boolean("streams") or wants_consumers
    wants_accounts = query.boolean("accounts") or wants_streams or account != ""
    wants_config, wants_raft = query.boolean("config"), query.boolean("raft")
    leaders_only = query.boolean("stream-leader-only")
    offset = max(0, query.integer("offset"))
    query.integer("limit")  # of accounts, of which there is one; refused when it is no number
    jetstream = statistics["jetstream"]
    head = {"server_id": statistics["server"]["server_id"], "now": time_text(statistics["now_ns"])}
    if jetstream is None:
        return {
            **_stats_disabled(),
            **head,
            "disabled": True,
            "config": _config_disabled(),
            **_counts(no_streams()),
            "total": 0,
        }
    if query.boolean("leader-only") and not _leads_meta(statistics):
        raise BadQuery("filtered response: not leader")
    page: dict[str, Any] = {**jetstream_stats(jetstream), **head, "config": jetstream_config(options)}
    page["limits"] = jetstream_limits(options)
    page |= _counts(jetstream["totals"])
    if jetstream["meta"] is not None:
        page["meta_cluster"] = meta_cluster(jetstream["meta"])
    if wants_accounts and offset == 0 and account in ("", ACCOUNT):
        detail = _account(jetstream)
        if wants_streams:
            streams = [each for each in jetstream["streams"] if each["is_leader"] or not leaders_only]
            wants_raft = wants_raft and jetstream["meta"] is not None
            detail["stream_detail"] = [_stream(each, wants_consumers, wants_config, wants_raft) for each in streams]
        page["account_details"] = [detail]
    page["total"] = 1
    return page


def jetstream_stats(jetstream: JetStreamStatistics) -> dict[str, Any]:
    """What the server uses, as under `jetstream.stats` of /varz."""
    return {
        "memory": jetstream["memory"],
        "storage": jetstream["storage"],
        "reserved_memory": jetstream["reserved_memory"],
        "reserved_storage": jetstream["reserved_storage"],
        "accounts": 1,
        "ha_assets": jetstream["ha_assets"],
        "api": {"level": API_LEVEL, "total": jetstream["api_total"], "errors": jetstream["api_errors"]},
    }


def jetstream_config(options: config.Options) -> dict[str, Any]:
    """What the server may use. `sync_interval` is nanoseconds; 0 with `sync_always`, our default."""
    page: dict[str, Any] = {
        "max_memory": options.jetstream.max_memory,
        "max_storage": options.jetstream.max_file,
        "store_dir": os.path.join(options.jetstream.store_dir, "jetstream"),
        "sync_interval": options.jetstream.sync_interval_ns,
    }
    if not options.jetstream.sync_interval_ns:
        page["sync_always"] = True
    if options.jetstream.domain:
        page["domain"] = options.jetstream.domain
    if options.jetstream.unique_tag:
        page["unique_tag"] = options.jetstream.unique_tag
    return page | {"strict": True}


def jetstream_limits(options: config.Options) -> dict[str, Any]:
    """What the server allows streams and consumers; what is not limited is left out."""
    limits = options.jetstream.limits
    page: dict[str, Any] = {
        "max_request_batch": limits.max_request_batch,
        "max_ack_pending": limits.max_ack_pending,
        "max_ha_assets": limits.max_ha_assets,
        "max_duplicate_window": limits.duplicate_window_ns,
        "default_max_consumers": limits.default_max_consumers,
    }
    return {key: value for key, value in page.items() if value}


def meta_cluster(meta: MetaStatistics) -> dict[str, Any]:
    """The meta group as this node sees it."""
    page: dict[str, Any] = {"name": meta["name"]}
    if meta["leader"]:
        page |= {"leader": meta["leader"], "peer": meta["leader_peer"]}
    replicas: list[dict[str, Any]] = []
    for replica in meta["replicas"]:
        row: dict[str, Any] = {"name": replica["name"], "current": replica["current"]}
        if replica["offline"]:
            row["offline"] = True
        row["active"] = replica["active_ns"]
        if replica["lag"]:
            row["lag"] = replica["lag"]
        row["peer"] = replica["peer"]
        replicas.append(row)
    if replicas:
        page["replicas"] = replicas
    return page | {
        "cluster_size": meta["cluster_size"],
        "quorum_needed": meta["cluster_size"] // 2 + 1,
        "pending": meta["pending"],
        "pending_requests": 0,
        "pending_infos": 0,
        "snapshot": {"pending_entries": 0, "pending_size": 0, "last_time": ZERO_TIME},
    }


def _leads_meta(statistics: Statistics) -> bool:
    meta = statistics["jetstream"]["meta"] if statistics["jetstream"] else None
    return meta is None or meta["leader"] == statistics["server"]["server_name"]


def _counts(totals: StreamTotals) -> dict[str, Any]:
    page: dict[str, Any] = {"streams": totals["streams"]}
    if totals["streams_leader"]:
        page["streams_leader"] = totals["streams_leader"]
    page["consumers"] = totals["consumers"]
    if totals["consumers_leader"]:
        page["consumers_leader"] = totals["consumers_leader"]
    return page | {"messages": totals["messages"], "bytes": totals["bytes"]}


def _account(jetstream: JetStreamStatistics) -> dict[str, Any]:
    page: dict[str, Any] = {"name": ACCOUNT, "id": ACCOUNT, **jetstream_stats(jetstream)}
    page |= {"reserved_memory": UNLIMITED, "reserved_storage": UNLIMITED, "accounts": 0, "ha_assets": 0}
    page["api"] = {"level": 0, "total": jetstream["api_total"], "errors": jetstream["api_errors"]}
    return page


def _stream(stream: StreamStatistics, consumers: bool, configs: bool, raft: bool) -> dict[str, Any]:
    info = stream["info"]
    page: dict[str, Any] = {"name": info["config"]["name"], "created": info["created"]}
    if info.get("cluster"):
        page["cluster"] = info["cluster"]
    if configs:
        page["config"] = _config(info["config"])
    page["state"] = info["state"]
    if consumers:
        page["consumer_detail"] = [_consumer(each["info"], configs) for each in stream["consumers"]]
    if raft:
        page["stream_raft_group"] = stream["raft_group"]
        if consumers and stream["consumers"]:  # they ride in their stream's group
            names = [each["info"]["name"] for each in stream["consumers"]]
            page["consumer_raft_groups"] = [{"name": name, "raft_group": stream["raft_group"]} for name in names]
    return page


def _consumer(info: dict[str, Any], configs: bool) -> dict[str, Any]:
    page = {key: value for key, value in info.items() if configs or key != "config"}
    if configs:
        page["config"] = _config(info["config"])
    return page


def _config(config: dict[str, Any]) -> dict[str, Any]:
    """As it was asked for, without what API answers add to the metadata."""
    if "metadata" not in config:
        return config
    metadata = {key: value for key, value in config["metadata"].items() if key not in ADDED_METADATA}
    return {**config, "metadata": metadata}


def _stats_disabled() -> dict[str, Any]:
    return {
        "memory": 0,
        "storage": 0,
        "reserved_memory": 0,
        "reserved_storage": 0,
        "accounts": 0,
        "ha_assets": 0,
        "api": {"level": 0, "total": 0, "errors": 0},
    }


def _config_disabled() -> dict[str, Any]:
    return {"max_memory": 0, "max_storage": 0, "store_dir": ""}
