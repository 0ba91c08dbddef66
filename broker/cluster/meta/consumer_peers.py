"""CONSUMER.PEER.REMOVE and .EVACUATE: a consumer is to leave a peer.

It never can: consumers ride in their stream's group, so that only the stream leaves (STREAM.PEER.…, `api_peers`).
Whoever asks is told what nats-server says of a consumer for which there is no other place.
"""

from collections.abc import Callable
from typing import Final

from broker.cluster.links.transport import LinkTable
from broker.cluster.meta.identity import peer_id
from broker.cluster.streams.stream_group import StreamGroup
from broker.jetstream.api.requests import ApiSubject, response_kind
from broker.jetstream.api_errors import (
    BAD_REQUEST,
    CLUSTERING_REQUIRED,
    PEER_NOT_MEMBER,
    PEER_REMAP_FAILED,
    ApiError,
)
from broker.jetstream.api_types import (
    TEXT,
    ApiRequest,
    error_answer,
    is_empty_payload,
    read_fields,
    required_level_error,
)
from broker.jetstream.consumer_errors import CONSUMER_NOT_FOUND

CONSUMER_PEERS: Final = {
    "CONSUMER.PEER.REMOVE": "JSApiConsumerRemovePeerRequest",
    "CONSUMER.PEER.EVACUATE": "JSApiConsumerEvacuatePeerRequest",
}


def refuse_evacuation(
    group: StreamGroup, target: ApiSubject, request: ApiRequest, links: LinkTable, names: Callable[[str], str]
) -> bytes:
    """The answer, at the stream's leader."""
    return error_answer(response_kind(target.verb), _refusal(group, target, request, links, names))


def _refusal(
    group: StreamGroup, target: ApiSubject, request: ApiRequest, links: LinkTable, names: Callable[[str], str]
) -> ApiError:
    if not links.cluster:
        return CLUSTERING_REQUIRED
    error = required_level_error(request)
    if error is not None:
        return error
    if is_empty_payload(request.payload()):
        return BAD_REQUEST
    fields = read_fields(request.payload(), {"peer": TEXT}, CONSUMER_PEERS[target.verb])
    if isinstance(fields, ApiError):
        return fields
    wanted = fields.get("peer")
    if not wanted:
        return BAD_REQUEST
    if target.consumer not in group.machine.consumers:
        return CONSUMER_NOT_FOUND
    members = [names(peer) for peer in group.membership().peers()]
    if not any(wanted in (name, peer_id(name)) for name in members):
        return PEER_NOT_MEMBER
    return PEER_REMAP_FAILED
