"""LEADER.STEPDOWN of a stream, a consumer or the meta group: the leader hands over, to whom the request prefers.

Consumers ride in their stream's group, so a consumer's step-down is its stream's. The answer comes from the old leader
once the transfer has begun, as nats-server's. Not here: the transfer itself (`raft.leader`), who may ask: nats-server
takes META.LEADER.STEPDOWN from the system account only, and there are no accounts here yet.
"""

from collections.abc import Callable
from typing import Final

from broker.cluster.groups.group import RaftGroup
from broker.cluster.links.transport import LinkTable
from broker.jetstream.api_errors import CLUSTERING_REQUIRED, INVALID_JSON, NO_SUITABLE_PEERS, RAFT_GENERAL, ApiError
from broker.jetstream.api_types import ApiRequest, answer, error_answer, read_object, required_level_error
from broker.jetstream.config.stream_config import check_struct
from raft.errors import RaftError

STRUCT: Final = "JSApiLeaderStepdownRequest"


def step_down(
    group: RaftGroup, request: ApiRequest, kind: str, links: LinkTable, names: Callable[[str], str]
) -> bytes:
    """Begin the transfer; the answer of type `kind`."""
    error = _begin(group, request, links, names)
    return answer(kind, {"success": True}) if error is None else error_answer(kind, error)


def _begin(
    group: RaftGroup, request: ApiRequest, links: LinkTable, names: Callable[[str], str]
) -> ApiError | None:
    if not links.cluster:
        return CLUSTERING_REQUIRED
    error = required_level_error(request)
    if error is not None:
        return error
    if len(group.membership().voters) < 2:
        return None
    to = _preferred(group, request, links, names)
    if isinstance(to, ApiError):
        return to
    try:
        group.raft.transfer_leadership(to)
    except RaftError as refusal:
        return RAFT_GENERAL.of(err=str(refusal))
    group.touch()
    return None


def _preferred(
    group: RaftGroup, request: ApiRequest, links: LinkTable, names: Callable[[str], str]
) -> str | ApiError:
    """The peer to hand over to; "" = whoever is furthest."""
    payload = request.payload()
    if payload.lstrip()[:1] not in (b"{", b"["):
        return ""
    fields = read_object(payload, STRUCT)
    if isinstance(fields, ApiError):
        return fields
    for key in fields:
        if key.lower() != "placement":
            return INVALID_JSON.of(err=f'json: unknown field "{key}"')
    placement = fields.get("placement")
    if placement is None:
        return ""
    text = check_struct(placement, "placement", "placement")
    if text:
        return INVALID_JSON.of(err=text)
    assert isinstance(placement, dict)
    wanted = placement.get("preferred")
    if wanted:
        if wanted == links.name:
            return NO_SUITABLE_PEERS.of(err=f'preferred server "{wanted}" is already leader')
        for peer in group.membership().voters:
            if names(peer) == wanted:
                return peer
        return NO_SUITABLE_PEERS.of(err=f'preferred server "{wanted}" not known')
    others = [peer for peer in group.membership().voters if peer in links.links]
    cluster = placement.get("cluster")
    tags = [str(tag).lower() for tag in placement.get("tags") or []]
    if tags:
        others = [peer for peer in others if all(tag in links.tags_of(peer) for tag in tags)]
    if not others or (cluster and cluster != links.cluster):
        return NO_SUITABLE_PEERS.of(err="no replacement peer connected")
    return others[0] if tags else ""
