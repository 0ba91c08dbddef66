"""API requests that the meta leader answers: streams created, updated, deleted, named and listed; account info.

Checks that need the whole set of streams happen here, early, and again when the entry is applied. What only the
stream's own leader knows it adds itself: a creation is answered by the new stream's first leader (`stream_api`).

Not here: the rules of a configuration (`jetstream.stream_rules`), lists of streams (`stream_list`), consumers.
"""

from collections.abc import Callable
from typing import Final

import cbor2

from broker.cluster.links.answers import Answers
from broker.cluster.links.transport import LinkTable
from broker.cluster.meta.api_peers import PeersApi, refuse_move
from broker.cluster.meta.api_restore import RestoreApi
from broker.cluster.meta.assignment import Assignment
from broker.cluster.meta.assignments import Assignments
from broker.cluster.meta.candidates import Candidates
from broker.cluster.meta.healing import Healing
from broker.cluster.meta.identity import META_GROUP
from broker.cluster.meta.meta_group import MetaGroup, MetaWaiter
from broker.cluster.meta.meta_ops import create_op, delete_op, settled_op, update_op
from broker.cluster.meta.meta_request import MetaRequestWaiter
from broker.cluster.meta.resources import Resources
from broker.cluster.streams.step_down import step_down
from broker.cluster.streams.stream_list import StreamLists, matching_streams, page_offset
from broker.cluster.turn_clock import TurnClock
from broker.config import Options
from broker.jetstream.api.requests import ApiSubject, response_kind
from broker.jetstream.api.streams import info_kind
from broker.jetstream.api_errors import (
    INVALID_CONFIG,
    INVALID_JSON,
    NOT_EMPTY_REQUEST,
    STREAM_MISMATCH,
    STREAM_MOVE_AND_SCALE,
    STREAM_MOVE_IN_PROGRESS,
    STREAM_NAME_EXIST,
    STREAM_NOT_FOUND,
    STREAM_SUBJECT_OVERLAP,
    ApiError,
)
from broker.jetstream.api_types import (
    BOOLEAN,
    INTEGER,
    TEXT,
    ApiRequest,
    answer,
    error_answer,
    is_container,
    is_empty_request,
    no_responders,
    read_fields,
    read_object,
    required_level_error,
    unmarshal_error,
)
from broker.jetstream.config.server_limits import ServerLimits
from broker.jetstream.config.source_rules import check_new_filters, complete_sources
from broker.jetstream.config.stream_config import StreamConfig
from broker.jetstream.config.stream_rules import complete, complete_new, complete_update
from broker.jetstream.consumers.dead_letter import dead_letter_config, dead_letter_stream

NAMES_PAGE: Final = 1024


def stream_deleted() -> bytes:
    """The answer to a deletion."""
    return answer("stream_delete_response", {"success": True})


class MetaApi:
    """The meta leader's answers."""

    def __init__(
        self,
        options: Options,
        assignments: Assignments,
        answers: Answers,
        links: LinkTable,
        clock: TurnClock,
        leader_of: Callable[[int], str],
    ) -> None:
        self._leader_of: Final = leader_of
        self.lists: Final = StreamLists(assignments, answers, links, clock)
        self._assignments: Final = assignments
        self._answers: Final = answers
        self._links: Final = links
        self._clock: Final = clock
        configured = options.jetstream.limits
        self.limits: Final = ServerLimits(
            options.cluster.configured(),
            configured.duplicate_window_ns,
            configured.max_ack_pending,
            configured.max_request_batch,
            configured.max_ha_assets,
            configured.default_max_consumers,
        )
        self.resources: Final = Resources(options.jetstream, self.limits, lambda: self.meta().machine)
        self.candidates: Final = Candidates(self, links, self.resources, options.jetstream.unique_tag)
        self.restores: Final = RestoreApi(self)
        self._peers: Final = PeersApi(self)
        self.healing: Final = Healing(self, self._peers)
        self.cluster: Final = links.cluster
        self.peer: Final = links.peer

    def say(self, request: ApiRequest, payload: bytes) -> None:
        """Answer a request."""
        if request.reply:
            self._answers.say(request.origin, request.reply, payload)

    def refuse(self, request: ApiRequest, kind: str, error: ApiError) -> None:
        """Answer with an error."""
        self.say(request, error_answer(kind, error))

    def handle(self, target: ApiSubject, request: ApiRequest) -> None:
        """One request; this node leads the meta group."""
        verb = target.verb
        error = required_level_error(request)
        if error is not None:
            self.refuse(request, response_kind(verb), error)
        elif verb == "STREAM.CREATE":
            self._create(target, request)
        elif verb == "STREAM.RESTORE":
            self.restores.begin(target, request)
        elif verb == "STREAM.UPDATE":
            self._update(target, request)
        elif verb == "STREAM.DELETE":
            self._delete(target, request)
        elif verb == "STREAM.NAMES":
            self._names(request)
        elif verb == "STREAM.LIST":
            self.lists.begin(request)
        elif verb == "META.LEADER.STEPDOWN":
            kind = "meta_leader_stepdown_response"
            self.say(request, step_down(self.meta(), request, kind, self._links, self._assignments.name_of))
        elif verb == "INFO":
            self._info(request)
        else:
            self._peers.handle(target, request)

    def unknown_stream(self, kind: str, request: ApiRequest) -> None:
        """A request for a stream that does not exist."""
        if kind == "stream_info_response":
            self.say(request, error_answer(info_kind(request), STREAM_NOT_FOUND, kind))
        elif kind:
            self.refuse(request, kind, STREAM_NOT_FOUND)
        elif request.reply:
            headers = no_responders(request.subject)
            self._answers.send(request.origin, request.reply, b"", b"", len(headers), headers)

    def meta(self) -> MetaGroup:
        """The group that this node leads."""
        meta = self._assignments.meta
        assert meta is not None and meta.id == META_GROUP
        return meta

    def leads(self) -> bool:
        """Whether this node leads the meta group, and has applied all that was decided before."""
        meta = self._assignments.meta
        return meta is not None and meta.is_leader and meta.raft.last_index == meta.raft.applied

    def is_here(self, peer: str) -> bool:
        """Whether there is a connection to the peer."""
        return peer == self.peer or peer in self._links.links

    # Create, update, delete.

    def _read_config(self, target: ApiSubject, request: ApiRequest) -> "tuple[StreamConfig, bool] | ApiError":
        fields = read_object(request.payload())
        if isinstance(fields, ApiError):
            return fields
        pedantic = fields.pop("pedantic", None)
        if pedantic is not None and not isinstance(pedantic, bool):
            return INVALID_JSON.of(err=unmarshal_error(pedantic, "StreamConfigRequest.pedantic", BOOLEAN))
        config = StreamConfig.from_json(fields)
        if isinstance(config, ApiError):
            return config
        return config, bool(pedantic)

    def _create(self, target: ApiSubject, request: ApiRequest) -> None:
        kind = "stream_create_response"
        read = self._read_config(target, request)
        if isinstance(read, ApiError):
            self.refuse(request, kind, read)
            return
        config, pedantic = read
        machine = self.meta().machine
        error = STREAM_MISMATCH if config.name != target.stream else None
        error = (
            error
            or complete_sources(config, machine.config_of, pedantic)
            or complete_new(config, self.limits, pedantic)
            or check_new_filters(config)
            or self.resources.beyond(config, False)
        )
        if error is None:
            known = machine.streams.get(config.name)
            if known is not None:
                if known.config.same_as(config) and not known.restoring:
                    self._answer_known(known, request)
                    return
                error = STREAM_NAME_EXIST
            elif machine.is_taken(config, ""):
                error = STREAM_SUBJECT_OVERLAP
        if error is not None:
            self.refuse(request, kind, error)
            return
        self.propose_created(config, request, kind, False)

    def propose_created(self, config: StreamConfig, request: ApiRequest, kind: str, restoring: bool) -> None:
        """A stream that may exist: give it its place."""
        origin = request.origin or self._links.peer
        peers = self.candidates.place(config, origin)
        if isinstance(peers, ApiError):
            self.refuse(request, kind, peers)
            return
        op = create_op(config, peers, self._clock.wall_ns, request.reply, origin, 0, restoring)
        self.meta().propose(op, MetaRequestWaiter(self, request, kind, False))

    def _new_peers(self, known: Assignment, config: StreamConfig) -> list[str] | ApiError | None:
        """The peers of a stream that gets another number of replicas or another place; None = as it is."""
        scales = config.num_replicas != known.config.num_replicas
        moves = config.placement is not None and config.placement != known.config.placement
        if not scales and not moves:
            return None
        if known.host:
            return INVALID_CONFIG.of(err="dead letters are where their stream is")
        if scales and moves:
            return STREAM_MOVE_AND_SCALE
        refused = refuse_move(known) if moves else None
        if refused is not None or known.moving:
            return refused or STREAM_MOVE_IN_PROGRESS
        peers = self.candidates.rescale(known, config, moves, self._leader_of(known.group))
        return None if isinstance(peers, list) and sorted(peers) == sorted(known.peers) else peers

    def change_waiter(self, request: ApiRequest, kind: str) -> MetaWaiter:
        """Who answers a change that everybody refuses."""
        return MetaRequestWaiter(self, request, kind, False)

    def settled(self, group: int, body: bytes) -> None:
        """The leader of a stream's group says that its members are those that were assigned."""
        revision, peers, log = cbor2.loads(body)
        assignment = self.meta().machine.by_group.get(group)
        if assignment is not None and assignment.is_changing() and assignment.revision == revision:
            self.meta().propose(settled_op(group, revision, peers, log), None)

    def create_dead_letters(self, stream: str) -> None:
        """A stream's leader has a message to put aside. It asks again when nothing comes of it."""
        machine = self.meta().machine
        host = machine.streams.get(stream)
        if host is None or host.host or dead_letter_stream(stream) in machine.streams:
            return
        config = dead_letter_config(host.config)
        if complete_new(config, self.limits) is None and not machine.is_taken(config, ""):
            op = create_op(config, host.peers, self._clock.wall_ns, b"", self._links.peer, host.group)
            self.meta().propose(op, None)

    def _answer_known(self, known: Assignment, request: ApiRequest) -> None:
        """The stream exists just so: its leader tells how it is."""
        self.lists.info_for(known, request, "stream_create_response")

    def _update(self, target: ApiSubject, request: ApiRequest) -> None:
        kind = "stream_update_response"
        read = self._read_config(target, request)
        if isinstance(read, ApiError):
            self.refuse(request, kind, read)
            return
        config, pedantic = read
        machine = self.meta().machine
        known = machine.shown(target.stream)
        refusal = complete(config, self.limits, pedantic)
        if refusal is None and config.name != target.stream:
            refusal = STREAM_MISMATCH
        if known is None or refusal is not None:
            self.refuse(request, kind, refusal or STREAM_NOT_FOUND)
            return
        error = (
            complete_sources(config, machine.config_of, pedantic)
            or complete_update(known.config, config, self.limits, pedantic)
            or self.resources.beyond(config, True)
            or self.resources.outgrown(known, config)
        )
        if error is None and machine.is_taken(config, config.name):
            error = STREAM_SUBJECT_OVERLAP
        peers = self._new_peers(known, config) if error is None else error
        if isinstance(peers, ApiError):
            self.refuse(request, kind, peers)
            return
        moving = peers is not None and config.num_replicas == known.config.num_replicas
        op = update_op(config, request.reply, request.origin or self._links.peer, peers, moving)
        self.meta().propose(op, MetaRequestWaiter(self, request, kind, False))

    def _delete(self, target: ApiSubject, request: ApiRequest) -> None:
        kind = "stream_delete_response"
        if not is_empty_request(request.payload()):
            self.refuse(request, kind, NOT_EMPTY_REQUEST)
        elif self.meta().machine.shown(target.stream) is None:
            self.refuse(request, kind, STREAM_NOT_FOUND)
        else:
            group = self.meta().machine.streams[target.stream].group
            leader = self._leader_of(group)
            told_by_leader = leader == self._links.peer or leader in self._links.links
            reply = request.reply if told_by_leader else b""
            op = delete_op(target.stream, reply, request.origin or self._links.peer, leader)
            self.meta().propose(op, MetaRequestWaiter(self, request, "stream_delete_response", not told_by_leader))

    # Names and account.

    def _names(self, request: ApiRequest) -> None:
        kind = "stream_names_response"
        payload = request.payload() if is_container(request.payload()) else b""
        fields = read_fields(payload, {"offset": INTEGER, "subject": TEXT}, "JSApiStreamNamesRequest")
        if isinstance(fields, ApiError):
            self.refuse(request, kind, fields)
            return
        names = self.matching(fields)
        offset = page_offset(fields, len(names))
        page = names[offset : offset + NAMES_PAGE]
        body: dict[str, object] = {"total": len(names), "offset": offset, "limit": NAMES_PAGE, "streams": page or None}
        self.say(request, answer(kind, body))

    def matching(self, fields: dict[str, object]) -> list[str]:
        """Names of the streams that capture a subject, or of all; sorted."""
        return matching_streams(self._assignments, fields)

    def _info(self, request: ApiRequest) -> None:
        self.lists.account_info(request)
