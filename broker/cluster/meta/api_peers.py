"""Requests to the meta leader that change who holds a stream, or who is in the cluster.

STREAM.PEER.REMOVE and .EVACUATE, SERVER.EVACUATE take streams off a peer, ACCOUNT.STREAM.MOVE (and a new placement)
puts them elsewhere, STREAM.CANCEL_MOVE takes that back while it is under way. All of them only assign other peers; the
streams' leaders do the rest (`replicas`), and nobody who is online loses what he has before others have it. What
nats-server takes from its system account only is open to every client, as there are no accounts yet.

Not here: carrying SERVER.REMOVE out (`readmission`, `healing`), who is a good place (`placement`).
"""

from typing import TYPE_CHECKING, Final

from broker.cluster.meta.assignment import Assignment, config_of
from broker.cluster.meta.identity import peer_id
from broker.cluster.meta.meta_ops import delete_op, removed_op, update_op
from broker.cluster.meta.meta_request import MetaRequestWaiter
from broker.cluster.meta.placement import Reasons, rescale
from broker.jetstream.api.requests import ApiSubject, response_kind
from broker.jetstream.api_errors import (
    BAD_REQUEST,
    CLUSTERING_REQUIRED,
    MEMBER_CHANGE_IN_PROGRESS,
    NO_ACCOUNT,
    NO_SUITABLE_PEERS,
    PEER_NOT_MEMBER,
    PEER_REMAP_FAILED,
    RAFT_GENERAL,
    RECONFIGURE_NOT_IN_PROGRESS,
    RESCUE_NOT_APPLIED,
    SERVER_NOT_MEMBER,
    STREAM_MOVE_IN_PROGRESS,
    STREAM_NOT_FOUND,
    STREAM_RECONFIGURE_IN_PROGRESS,
    ApiError,
)
from broker.jetstream.api_types import INTEGER, TEXT, TEXTS, ApiRequest, answer, is_empty_payload, read_fields
from broker.jetstream.config.stream_config import StreamConfig

if TYPE_CHECKING:
    from broker.cluster.meta.api_meta import MetaApi

ACCOUNT: Final = "$G"
_FIELDS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "STREAM.PEER.REMOVE": ("JSApiStreamRemovePeerRequest", {"peer": TEXT}),
    "STREAM.PEER.EVACUATE": ("JSApiStreamRemovePeerRequest", {"peer": TEXT}),
    "SERVER.EVACUATE": ("JSApiMetaServerRemoveRequest", {"peer": TEXT, "peer_id": TEXT}),
    "SERVER.REMOVE": ("JSApiMetaServerRemoveRequest", {"peer": TEXT, "peer_id": TEXT}),
    "META.RESCUE": ("JSApiMetaRescueRequest", {"quorum_needed": INTEGER}),
    "ACCOUNT.STREAM.MOVE": (
        "JSApiMetaServerStreamMoveRequest",
        {"server": TEXT, "cluster": TEXT, "domain": TEXT, "tags": TEXTS},
    ),
}
_MAY_BE_EMPTY: Final = ("ACCOUNT.STREAM.MOVE",)


class PeersApi:
    """See the module's text."""

    def __init__(self, api: "MetaApi") -> None:
        self._api: Final = api

    def handle(self, target: ApiSubject, request: ApiRequest) -> None:
        """One of these requests."""
        verb = target.verb
        error = self._perform(verb, target, request)
        if error is not None:
            self._api.refuse(request, response_kind(verb), error)

    def _perform(self, verb: str, target: ApiSubject, request: ApiRequest) -> ApiError | None:
        api = self._api
        if verb == "ACCOUNT.PURGE":
            self._purge(target.stream, request)
            return None
        if not api.limits.clustered:
            return CLUSTERING_REQUIRED if verb.startswith("STREAM.") else None  # the others are not even answered
        fields: dict[str, object] = {}
        if verb in _FIELDS:
            struct, kinds = _FIELDS[verb]
            if is_empty_payload(request.payload()) and verb not in _MAY_BE_EMPTY:
                return BAD_REQUEST
            read = read_fields(request.payload(), kinds, struct)
            if isinstance(read, ApiError):
                return read
            fields = read
        if verb == "META.RESCUE":
            return RESCUE_NOT_APPLIED.of(err="raft: leader is known")
        if verb.startswith("SERVER."):
            members = api.meta().membership().peers()
            peer = self.find(str(fields.get("peer_id") or fields.get("peer") or ""), members)
            if not peer:
                return SERVER_NOT_MEMBER
            return self._remove(peer, request) if verb == "SERVER.REMOVE" else self._evacuate(peer, request)
        if verb.startswith("ACCOUNT.") and target.stream != ACCOUNT:
            return NO_ACCOUNT
        stream = target.consumer if verb.startswith("ACCOUNT.") else target.stream
        assignment = api.meta().machine.shown(stream)
        if verb.startswith("STREAM.PEER.") and not fields.get("peer"):
            return BAD_REQUEST
        if assignment is None or assignment.host:
            return STREAM_NOT_FOUND
        if verb.endswith("CANCEL_MOVE"):
            return self._cancel(assignment, request, response_kind(verb))
        if verb == "ACCOUNT.STREAM.MOVE":
            return self._move(assignment, fields, request)
        return self._take_off(assignment, str(fields["peer"]), request, response_kind(verb))

    def find(self, text: str, peers: list[str]) -> str:
        """The peer of these that is called so, by its name or by the id that people are shown; "" when none is."""
        names = self._api.meta().machine.names
        for peer in peers:
            name = names.get(peer, "")
            if text and text in (peer, name, peer_id(name)):
                return peer
        return ""

    def without(self, assignment: Assignment, gone: str, config: StreamConfig | None = None) -> tuple[list[str], bool]:
        """Who holds the stream when `gone` does not, and whether somebody takes its place, who is to be as `config`
        (the stream's own) asks for."""
        api = self._api
        kept = [peer for peer in assignment.peers if peer != gone]
        wanted = max(len(assignment.peers), assignment.config.num_replicas)
        excluded = [gone, *assignment.excluded, *self._api.meta().machine.removed]
        wished = config or assignment.config
        others = [peer for peer in api.candidates.suitable(wished, Reasons()) if peer not in excluded]
        zones = api.candidates.zones(wished)
        machine = api.meta().machine
        kept = [peer for peer in kept if peer not in machine.removed]
        for replicas in range(wanted, len(kept), -1):
            found = rescale(kept, replicas, "", others, machine.shares.held(), machine.shares.led(), zones)
            if found:
                return found, True
        return kept, False

    def _take_off(self, assignment: Assignment, text: str, request: ApiRequest, kind: str) -> ApiError | None:
        peer = self.find(text, assignment.peers)
        if not peer:
            return PEER_NOT_MEMBER
        peers, is_replaced = self.without(assignment, peer)
        if not is_replaced:
            return PEER_REMAP_FAILED
        op = update_op(assignment.config, b"", "", peers, excluded=peer)
        self._api.meta().propose(op, MetaRequestWaiter(self._api, request, kind, True))
        return None

    def _remove(self, peer: str, request: ApiRequest) -> ApiError | None:
        """Answered when it is decided; `readmission` and `healing` carry it out."""
        meta = self._api.meta()
        membership = meta.membership()
        if any(membership.contains(other) for other in meta.machine.removed):
            return MEMBER_CHANGE_IN_PROGRESS
        if len(membership.voters) < 2:
            return RAFT_GENERAL.of(err="raft: cannot remove the last server")
        meta.propose(removed_op(peer), MetaRequestWaiter(self._api, request, response_kind("SERVER.REMOVE"), True))
        return None

    def _evacuate(self, peer: str, request: ApiRequest) -> ApiError | None:
        for assignment in list(self._api.meta().machine.streams.values()):
            if peer in assignment.peers and not assignment.host:
                peers, _ = self.without(assignment, peer)
                if peers:
                    op = update_op(assignment.config, b"", "", peers, excluded=peer)
                    self._api.meta().propose(op, None)
        self._api.say(request, answer(response_kind("SERVER.EVACUATE"), {"success": True}))
        return None

    # Moves.

    def _move(self, assignment: Assignment, fields: dict[str, object], request: ApiRequest) -> ApiError | None:
        server = str(fields.get("server") or "")
        gone = assignment.peers[0]
        if server:
            if not self.find(server, list(self._api.meta().membership().voters)):
                return SERVER_NOT_MEMBER
            gone = self.find(server, assignment.peers)
            if not gone:
                return PEER_NOT_MEMBER
        error = refuse_move(assignment)
        if error is not None:
            return error
        config = assignment.config.copy()
        config.placement = {"cluster": fields.get("cluster"), "tags": fields.get("tags")}
        reasons = Reasons()
        self._api.candidates.suitable(config, reasons)
        peers, is_replaced = self.without(assignment, gone, config)
        if not is_replaced:
            return NO_SUITABLE_PEERS.of(err=reasons.text())
        self._assign(assignment, assignment.config, peers, request, "stream_update_response", False)
        return None

    def _cancel(self, assignment: Assignment, request: ApiRequest, kind: str) -> ApiError | None:
        before = assignment.before
        if before is None:
            return RECONFIGURE_NOT_IN_PROGRESS
        self._assign(assignment, config_of(before[1]), before[0], request, kind, True)
        return None

    def _assign(
        self, assignment: Assignment, config: StreamConfig, peers: list[str], request: ApiRequest, kind: str,
        is_cancel: bool,
    ) -> None:  # fmt: skip
        origin = request.origin or self._api.peer
        moving = assignment.moving if is_cancel else True
        op = update_op(config, request.reply, origin, peers, moving=moving, kind=kind)
        self._api.meta().propose(op, self._api.change_waiter(request, kind))

    # The account.

    def _purge(self, account: str, request: ApiRequest) -> None:
        machine = self._api.meta().machine
        for assignment in list(machine.streams.values()) if account == ACCOUNT else []:
            if not assignment.host:
                self._api.meta().propose(delete_op(assignment.config.name, b"", "", ""), None)
        self._api.say(request, answer("account_purge_response", {"initiated": True}))


def refuse_move(assignment: Assignment) -> ApiError | None:
    """A stream moves only when nothing else is under way with its peers."""
    if assignment.moving:
        return STREAM_MOVE_IN_PROGRESS
    return STREAM_RECONFIGURE_IN_PROGRESS if assignment.before is not None else None
