"""The `cluster` part of INFO answers: who leads, who follows and how far behind."""

from collections.abc import Callable

from broker.cluster.groups.group import RaftGroup
from broker.cluster.links.transport import LinkTable
from broker.cluster.meta.identity import peer_id
from broker.jetstream.go_time import format_time


def raft_group_name(group: int, replicas: int) -> str:
    """What operators see in place of NATS's random group names."""
    return f"S-R{replicas}F-{group:08d}"


def stream_cluster_info(
    group: RaftGroup, links: LinkTable, names: Callable[[str], str], now_ns: int
) -> dict[str, object]:
    """As nats-server's `cluster` object; replicas are those besides the leader, sorted by name. A single replica has no
    group to speak of. Which account Raft's messages travel in is not said: they have connections of their own."""
    membership = group.membership()
    leader = group.raft.leader
    info: dict[str, object] = {"leader": names(leader) if leader else ""}
    if not links.cluster:
        info["leader"] = links.name
        return info
    name = names(leader) if leader else ""
    if len(membership.peers()) < 2:
        return {"name": links.cluster, "leader": name}
    info = {
        "name": links.cluster,
        "raft_group": raft_group_name(group.id, len(membership.voters)),
        "leader": name,
    }
    if leader and group.leader_since_ns:
        info["leader_since"] = format_time(group.leader_since_ns)
    replicas = [_replica(group, peer, links, names, now_ns) for peer in membership.peers() if peer != leader]
    if replicas:
        info["replicas"] = sorted(replicas, key=lambda replica: str(replica["name"]))
    return info


def members_info(group: RaftGroup, links: LinkTable, names: Callable[[str], str], now_ns: int) -> list[object]:
    """Every member as a replica is told, the leader too, sorted by name."""
    rows = {names(peer): _replica(group, peer, links, names, now_ns) for peer in group.membership().peers()}
    return [rows[name] for name in sorted(rows)]


def _replica(
    group: RaftGroup, peer: str, links: LinkTable, names: Callable[[str], str], now_ns: int
) -> dict[str, object]:
    offline = peer != links.peer and peer not in links.links
    name = names(peer)
    active = 0 if peer == links.peer else links.unheard_ns(peer, now_ns)
    found: dict[str, object] = {"name": name, "current": not offline, "active": active, "peer": peer_id(name)}
    if offline:
        found["offline"] = True
    for progress in group.raft.peers:
        if progress.peer == peer:
            lag = max(0, group.raft.commit - progress.match)
            found["current"] = not offline and lag == 0
            if lag:
                found["lag"] = lag
    return found
