"""The tree that `node.statistics()` returns: plain data, counted by the node, rendered by the pages of this package.

Is: its shape, exactly. All times are Unix nanoseconds, all durations nanoseconds, 0 = never.
Is not: anything that the process knows rather than the node (memory, CPU, bound ports, requests served): `ServerFacts`.
Trees named `…_info` are what the JetStream API answers for the same thing (STREAM.INFO, CONSUMER.INFO), JSON-ready.
Read next: `varz.py`, the widest user.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypedDict


class TrafficStatistics(TypedDict):
    in_msgs: int
    in_bytes: int
    out_msgs: int
    out_bytes: int


class ServerStatistics(TrafficStatistics):
    """Totals; `*_client_*` without what came from or went to other nodes."""

    server_id: str
    server_name: str
    cluster_name: str
    connect_urls: list[str]
    in_client_msgs: int
    in_client_bytes: int
    out_client_msgs: int
    out_client_bytes: int
    num_connections: int  # now; the list of them is made for the pages that show it
    total_connections: int  # since the start
    slow_consumers_clients: int
    slow_consumers_routes: int
    stale_connections_clients: int
    stale_connections_routes: int
    remotes: int  # nodes we have a route to


class SubscriptionStatistics(TypedDict):
    subject: str
    queue: str
    sid: str
    msgs: int
    max: int  # ends with so many messages; 0: never


class ConnectionStatistics(TrafficStatistics):
    cid: int
    ip: str
    port: int
    start_ns: int
    last_activity_ns: int
    stop_ns: int  # closed ones only
    reason: str  # closed ones only
    rtt_ns: int
    pending_bytes: int
    name: str
    lang: str
    version: str
    user: str
    num_subscriptions: int
    subscriptions: Iterable[SubscriptionStatistics]  # of closed ones, the first few of those they had


class RouteStatistics(TrafficStatistics):
    rid: int
    remote_id: str
    remote_name: str
    did_solicit: bool
    is_configured: bool
    ip: str
    port: int
    start_ns: int
    last_activity_ns: int
    rtt_ns: int
    pending_bytes: int
    num_subscriptions: int
    subscriptions: list[SubscriptionStatistics]


class SublistStatistics(TypedDict):
    num_subscriptions: int
    num_cache: int  # subjects whose result is remembered
    num_inserts: int
    num_removes: int
    num_matches: int  # look-ups; messages of a run share one
    cache_hits: int
    fanouts: list[int]  # receivers of each remembered result


class ReplicaStatistics(TypedDict):
    name: str
    current: bool
    offline: bool
    active_ns: int  # since it was last heard
    lag: int
    peer: str


class MetaStatistics(TypedDict):
    name: str  # of the cluster
    leader: str  # server name; "" while there is none
    leader_peer: str
    replicas: list[ReplicaStatistics]  # the other voters
    cluster_size: int
    pending: int


class ConsumerStatistics(TypedDict):
    info: dict[str, Any]  # as CONSUMER.INFO, `ts` included; for metrics the name and the numbers
    is_leader: bool


class StreamStatistics(TypedDict):
    info: dict[str, Any]  # as STREAM.INFO: config, created, state, cluster; for metrics the name and the numbers
    raft_group: str
    is_leader: bool  # this node leads it
    consumers: list[ConsumerStatistics]


class StreamTotals(TypedDict):
    """Over all replicas here, and of those that lead."""

    streams: int
    streams_leader: int
    consumers: int
    consumers_leader: int
    messages: int
    bytes: int


def no_streams() -> StreamTotals:
    return {
        "streams": 0,
        "streams_leader": 0,
        "consumers": 0,
        "consumers_leader": 0,
        "messages": 0,
        "bytes": 0,
    }


class JetStreamStatistics(TypedDict):
    memory: int  # bytes in use here
    storage: int
    reserved_memory: int
    reserved_storage: int
    api_total: int
    api_errors: int
    ha_assets: int  # replicated groups here
    totals: StreamTotals
    meta: MetaStatistics | None  # None: not clustered
    streams: list[StreamStatistics]  # those with a replica here


class AssetFault(TypedDict):
    stream: str
    consumer: str  # "": the stream itself
    error: str


class HealthStatistics(TypedDict):
    ready: bool  # clients are served
    stopped: str  # why the log cannot be written any more; only a restart helps. "": it can
    meta_error: str  # "": the meta group has a leader and we are current with it, or there is none
    faults: list[AssetFault]  # assigned here and not well


class Statistics(TypedDict):
    now_ns: int
    server: ServerStatistics
    connections: list[ConnectionStatistics]
    closed_connections: list[ConnectionStatistics]  # newest last, bounded by max_closed_clients
    routes: list[RouteStatistics]
    sublist: SublistStatistics
    jetstream: JetStreamStatistics | None  # None: not enabled
    health: HealthStatistics


class ServerFacts(TypedDict):
    """What the rim knows of the process."""

    start_ns: int
    load_ns: int  # when the configuration was last loaded
    mem: int
    cpu: float
    cores: int
    http_requests: dict[str, int]  # by path
    events: dict[tuple[str, str], int]  # (level, name) → how often
