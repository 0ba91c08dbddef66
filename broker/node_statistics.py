"""The numbers of a node as one plain tree, for monitoring pages and metrics: `broker.monitor.statistics` states it.

Reads the parts, changes nothing. Lists that are long are only made when a page asks for them (`detail`).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, cast

from broker.cluster.groups.group import RaftGroup
from broker.cluster.meta.identity import META_GROUP, peer_id
from broker.cluster.service import JetStreamService
from broker.cluster.streams.cluster_info import raft_group_name, stream_cluster_info
from broker.cluster.streams.stream_group import StreamGroup
from broker.core.session import ClientSession
from broker.core.subscription import ClientSubscription
from broker.jetstream.api.consumer_info import consumer_info, consumer_numbers
from broker.jetstream.api.streams import stream_info
from broker.jetstream.config.stream_config import MEMORY_STORAGE
from broker.monitor.statistics import (
    AssetFault,
    ConnectionStatistics,
    HealthStatistics,
    JetStreamStatistics,
    MetaStatistics,
    ReplicaStatistics,
    RouteStatistics,
    ServerStatistics,
    Statistics,
    StreamStatistics,
    StreamTotals,
    SubscriptionStatistics,
    no_streams,
)

if TYPE_CHECKING:
    from broker.node import BrokerNode

_GLOBAL: Final = "$G"
_NOT_CURRENT: Final = "is not current"
DETAIL_CONNECTIONS: Final = "connections"
DETAIL_STREAMS: Final = "streams"
DETAIL_CONSUMERS: Final = "consumers"
DETAIL_METRICS: Final = "metrics"  # of streams and consumers only what is a number
DETAIL_SUBLIST: Final = "sublist"
ROWS_BETWEEN_PAUSES: Final = 64


def statistics(node: "BrokerNode", detail: str) -> Statistics:
    """The whole tree."""
    clients = node.clients
    routes = node.routes
    wants_connections = detail == DETAIL_CONNECTIONS
    route_rows = [] if routes is None else cast(list[RouteStatistics], routes.statistics(detail == "routes"))
    jetstream = node.jetstream
    offset_ns = node.clock.wall_ns - node.clock.now_ns
    for row in route_rows:
        _date(cast(dict[str, object], row), offset_ns)
    return {
        "now_ns": node.clock.wall_ns,
        "server": _server(node, route_rows),
        "connections": [_connection(session, offset_ns, 0, "") for session in clients.sessions.values()]
        if wants_connections
        else [],
        "closed_connections": [
            _connection(ended.session, offset_ns, ended.stop_ns + offset_ns, ended.reason) for ended in clients.ended
        ]
        if wants_connections
        else [],
        "routes": route_rows,
        "sublist": {
            "num_subscriptions": node.router.count(),
            "num_cache": node.router.remembered(),
            "num_inserts": node.router.inserts,
            "num_removes": node.router.generation - node.router.inserts,
            "num_matches": int(node.router.lookups),
            "cache_hits": int(node.router.lookups - node.router.misses),
            "fanouts": node.router.fanouts() if detail in (DETAIL_CONNECTIONS, DETAIL_SUBLIST) else [],
        },
        "jetstream": None if jetstream is None else _jetstream(node, jetstream, detail),
        "health": _health(jetstream),
    }


def _connection(session: ClientSession, offset_ns: int, stop_ns: int, reason: str) -> ConnectionStatistics:
    options = session.options
    return {
        "cid": session.cid,
        "ip": session.host,
        "port": session.port,
        "start_ns": session.started_ns + offset_ns,
        "last_activity_ns": max(session.last_activity_ns, session.last_delivery_ns) + offset_ns,
        "stop_ns": stop_ns,
        "reason": reason,
        "rtt_ns": session.pings.rtt_ns,
        "pending_bytes": int(session.outbox.pending_bytes),
        "in_msgs": int(session.in_messages),
        "in_bytes": int(session.in_bytes),
        "out_msgs": int(session.out_messages),
        "out_bytes": int(session.out_bytes),
        "name": options.name,
        "lang": options.lang,
        "version": options.version,
        "user": options.user,
        "subscriptions": SubscriptionRows(session),
        "num_subscriptions": session.num_left or len(session.subscriptions),
    }


class SubscriptionRows:
    """The subscriptions of a connection, made when a page shows them: a thousand connections may have a million."""

    def __init__(self, session: ClientSession) -> None:
        self._session: Final = session

    def __iter__(self) -> Iterator[SubscriptionStatistics]:
        for each in self._session.left or self._session.subscriptions.values():
            yield _subscription(each)


def _subscription(subscription: ClientSubscription) -> SubscriptionStatistics:
    return {
        "subject": subscription.subject.decode("utf-8", "replace"),
        "queue": subscription.queue.decode("utf-8", "replace"),
        "sid": subscription.sid.decode("utf-8", "replace"),
        "msgs": int(subscription.delivered),
        "max": int(subscription.max),
    }


def _date(row: dict[str, object], offset_ns: int) -> None:
    """Routes tell monotonic times; pages want dates."""
    opened_ns, active_ns = row.pop("opened_ns", 0), row["last_activity_ns"]
    assert isinstance(opened_ns, int) and isinstance(active_ns, int)
    row["start_ns"] = opened_ns + offset_ns
    row["last_activity_ns"] = active_ns + offset_ns


def _server(node: "BrokerNode", routes: list[RouteStatistics]) -> ServerStatistics:
    totals = node.clients.totals()
    in_msgs = sum(route["in_msgs"] for route in routes)
    in_bytes = sum(route["in_bytes"] for route in routes)
    out_msgs = sum(route["out_msgs"] for route in routes)
    out_bytes = sum(route["out_bytes"] for route in routes)
    table = node.routes
    return {
        "server_id": node.server_id,
        "server_name": node.name,
        "cluster_name": "" if table is None else table.cluster_name,
        "connect_urls": [] if table is None else list(table.connect_urls),
        "in_client_msgs": totals.in_messages,
        "in_client_bytes": totals.in_bytes,
        "out_client_msgs": totals.out_messages,
        "out_client_bytes": totals.out_bytes,
        "in_msgs": totals.in_messages + in_msgs,
        "in_bytes": totals.in_bytes + in_bytes,
        "out_msgs": totals.out_messages + out_msgs,
        "out_bytes": totals.out_bytes + out_bytes,
        "num_connections": len(node.clients.sessions),
        "total_connections": totals.connections,
        "slow_consumers_clients": totals.slow,
        "slow_consumers_routes": 0 if table is None else table.slow_consumers,
        "stale_connections_clients": totals.stale,
        "stale_connections_routes": 0 if table is None else table.stale_connections,
        "remotes": len(routes),
    }


def _jetstream(node: "BrokerNode", service: JetStreamService, detail: str) -> JetStreamStatistics:
    memory = storage = reserved_memory = reserved_storage = replicated = 0
    totals = no_streams()
    for group in service.assignments.groups.values():
        config = group.machine.config
        reserved = max(config.max_bytes, 0)
        if config.storage == MEMORY_STORAGE:
            memory += group.store.bytes
            reserved_memory += reserved
        else:
            storage += group.store.bytes
            reserved_storage += reserved
        if len(group.membership().voters) > 1:
            replicated += 1
        _count(group, totals)
    return {
        "memory": memory,
        "storage": storage,
        "reserved_memory": reserved_memory,
        "reserved_storage": reserved_storage,
        "api_total": service.answers.api_total,
        "api_errors": service.answers.api_errors,
        "ha_assets": replicated + (1 if service.clustered else 0),
        "totals": totals,
        "meta": _meta(node, service) if service.clustered else None,
        "streams": [row for row in stream_rows(node, detail) if row is not None],
    }


def stream_rows(node: "BrokerNode", detail: str) -> Iterator[StreamStatistics | None]:
    """Every stream with what `detail` wants, and None after every few rows."""
    service = node.jetstream
    if service is None or detail not in (DETAIL_STREAMS, DETAIL_CONSUMERS, DETAIL_METRICS):
        return
    made = 0
    for group in list(service.assignments.groups.values()):
        row = _numbers(group) if detail == DETAIL_METRICS else _stream(service, group)
        for consumer in list(group.machine.consumers.values()) if detail != DETAIL_STREAMS else []:
            made += 1
            if made % ROWS_BETWEEN_PAUSES == 0:
                yield None
            if detail == DETAIL_CONSUMERS:
                info = consumer_info(consumer, service.dispatch.stream_api.leader(group))
                row["consumers"].append({"info": info, "is_leader": group.is_leader})
            elif group.is_leader:  # the others do not know what waits
                row["consumers"].append({"info": consumer_numbers(consumer, group.delivery), "is_leader": True})
        made += 1
        if made % ROWS_BETWEEN_PAUSES == 0:
            yield None
        yield row


def _count(group: StreamGroup, totals: StreamTotals) -> None:
    leads, consumers = int(group.is_leader), len(group.machine.consumers)
    totals["streams"] += 1
    totals["streams_leader"] += leads
    totals["consumers"] += consumers
    totals["consumers_leader"] += leads * consumers  # they ride in their stream's group
    totals["messages"] += group.store.messages
    totals["bytes"] += group.store.bytes


def _stream(service: JetStreamService, group: StreamGroup) -> StreamStatistics:
    return {
        "info": stream_info(service.dispatch.stream_api.leader(group)),
        "raft_group": raft_group_name(group.id, len(group.membership().voters)),
        "is_leader": group.is_leader,
        "consumers": [],
    }


def _numbers(group: StreamGroup) -> StreamStatistics:
    store = group.store
    state = {
        "messages": store.messages,
        "bytes": store.bytes,
        "first_seq": store.first_sequence if store.last_sequence else 0,
        "last_seq": store.last_sequence,
    }
    info: dict[str, object] = {"config": {"name": group.machine.config.name}, "state": state}
    return {"info": info, "raft_group": "", "is_leader": group.is_leader, "consumers": []}


def _meta(node: "BrokerNode", service: JetStreamService) -> MetaStatistics | None:
    meta = service.assignments.meta
    if meta is None:
        return {
            "name": node.options.cluster.name,
            "leader": "",
            "leader_peer": "",
            "replicas": [],
            "cluster_size": 0,
            "pending": 0,
        }
    leader = meta.raft.leader
    info = stream_cluster_info(meta, node.links, service.assignments.name_of, service.clock.now_ns)
    replicas = cast(list[dict[str, object]], info.get("replicas", []))
    return {
        "name": node.options.cluster.name,
        "leader": service.assignments.name_of(leader) if leader else "",
        "leader_peer": peer_id(service.assignments.name_of(leader)) if leader else "",
        "replicas": [_replica(replica) for replica in replicas],
        "cluster_size": len(meta.membership().voters),
        "pending": meta.raft.last_index - meta.raft.applied,
    }


def _replica(replica: dict[str, object]) -> ReplicaStatistics:
    return {
        "name": str(replica["name"]),
        "current": replica["current"] is True,
        "offline": replica.get("offline") is True,
        "active_ns": cast(int, replica["active"]),
        "lag": cast(int, replica.get("lag", 0)),
        "peer": str(replica["peer"]),
    }


def _health(service: JetStreamService | None) -> HealthStatistics:
    if service is None:
        return {"ready": True, "stopped": "", "meta_error": "", "faults": []}
    meta = service.assignments.meta
    meta_error = ""
    damaged = service.assignments.damaged
    if META_GROUP in damaged:
        meta_error = f"JetStream meta group is damaged here: {damaged[META_GROUP].error}"
    elif meta is None or not meta.raft.is_member():
        meta_error = "JetStream has not established contact with a meta leader"
    elif not meta.raft.leader:
        meta_error = "JetStream has no meta leader"
    elif meta.raft.is_learner():
        meta_error = "JetStream is not current with the meta leader"
    faults: list[AssetFault] = []
    for group in service.assignments.groups.values():
        name = group.machine.config.name
        trouble = _trouble(group)
        if trouble:
            faults.append({"stream": name, "consumer": "", "error": f"JetStream stream '{_GLOBAL} > {name}' {trouble}"})
    faults.extend(_missing(service))
    return {"ready": True, "stopped": service.engine.failed, "meta_error": meta_error, "faults": faults}


def _missing(service: JetStreamService) -> list[AssetFault]:
    """Streams that this node is to hold, or held before its store was lost, and has not begun to hold yet."""
    meta = service.assignments.meta
    if meta is None:
        return []
    names = meta.machine.names
    mine = [peer for peer, name in names.items() if name == service.links.name]
    damaged = service.assignments.damaged
    return [
        {
            "stream": assignment.config.name,
            "consumer": "",
            "error": f"JetStream stream '{_GLOBAL} > {assignment.config.name}' "
            + (f"is damaged here: {damaged[assignment.group].error}" if assignment.group in damaged else _NOT_CURRENT),
        }
        for assignment in meta.machine.by_group.values()
        if not assignment.host
        and assignment.group not in service.assignments.groups
        and not set(mine).isdisjoint(assignment.peers)
    ]


def _trouble(group: RaftGroup) -> str:
    """What is wrong with a stream, as it follows its name; "" when nothing is."""
    if group.failed:
        return f"stopped: {group.failed}"
    if not group.raft.leader:
        return "has no leader"
    if group.frozen or not group.raft.is_member() or group.raft.is_learner():
        return _NOT_CURRENT
    return ""
