"""API requests, acks and flow-control answers of clients: to which group each belongs, and what its leader does
with it.

A request is for the meta group (the set of streams) or for one stream's group. `Forwarder` brings it to the leader's
node, where `perform` answers. A stream that this node has not heard of may be younger than our meta log: the meta
leader decides whether it exists.

Not here: what the answers say (`jetstream.api_*`, `api_meta`).
"""

from typing import TYPE_CHECKING, Final

from broker.cluster.contained import bug_text
from broker.cluster.groups.engine import Engine
from broker.cluster.links.answers import LOCAL, Answers
from broker.cluster.links.forward import ACK, PUBLISH, REQUEST, Forwarder, LeaderDirectory
from broker.cluster.links.transport import LinkTable
from broker.cluster.meta.api_meta import MetaApi
from broker.cluster.meta.assignments import Assignments
from broker.cluster.meta.identity import META_GROUP
from broker.cluster.meta.readmission import SETTLED_PREFIX
from broker.cluster.streams.audits import Audits
from broker.cluster.streams.dead_letters import REQUEST_PREFIX as DEAD_LETTERS_PREFIX
from broker.cluster.streams.origin_reads import REQUEST_PREFIX as ORIGIN_READS_PREFIX
from broker.cluster.streams.origin_reads import TRY_AGAIN
from broker.cluster.streams.restores import FAILED_PREFIX, RESTORE_PREFIX, RESTORED_PREFIX
from broker.cluster.streams.sourcing import Sourcing
from broker.cluster.streams.stream_api import StreamApi
from broker.cluster.turn_clock import TurnClock
from broker.config import Options
from broker.jetstream.api.requests import META, parse, response_kind
from broker.jetstream.api_errors import BAD_REQUEST, CLUSTER_NOT_AVAIL, STREAM_OFFLINE
from broker.jetstream.api_types import (
    ApiRequest,
    error_answer,
    no_responders,
    pub_ack_error,
)
from broker.jetstream.delivery.pull_request import signed
from storage.errors import StorageError

if TYPE_CHECKING:
    from broker.cluster.streams.stream_group import StreamGroup

ACK_PREFIX: Final = b"$JS.ACK."
FC_PREFIX: Final = b"$JS.FC."
TRANSFER_PREFIX: Final = b"$JS.SNAPSHOT."


class Dispatch(LeaderDirectory):
    """Where requests go, and the doing of what leads here."""

    def __init__(
        self,
        options: Options,
        assignments: Assignments,
        engine: Engine,
        answers: Answers,
        links: LinkTable,
        clock: TurnClock,
    ) -> None:
        self.forwarder: Forwarder | None = None
        self.audits: Audits | None = None
        self.events: list[tuple[str, str, dict[str, object]]] = []
        self._assignments: Final = assignments
        self._engine: Final = engine
        self._answers: Final = answers
        self._links: Final = links
        self._clock: Final = clock
        self._peer: Final = links.peer
        self.meta_api: Final = MetaApi(options, assignments, answers, links, clock, self.leader_of)
        self.sourcing: Final = Sourcing(assignments, answers, clock)
        assignments.sourcing = self.sourcing
        self.stream_api: Final = StreamApi(
            answers, links, assignments, clock, self.sourcing, options.max_payload, self.meta_api.limits
        )

    # From clients of this node.

    def request(self, subject: bytes, reply: bytes, header_length: int, data: bytes) -> None:
        """A message on `$JS.API.>`."""
        target = parse(subject)
        if target is None:
            if reply:
                self._answers.say(LOCAL, reply, error_answer("", BAD_REQUEST))
            return
        group = META_GROUP
        if target.place != META:
            assignment = self._assignments.by_name(target.stream)
            if assignment is None and target.verb == "DIRECT.GET":
                assignment = self._assignments.mirror_of(target.stream)
            if assignment is not None and not assignment.restoring:
                group = assignment.group
        assert self.forwarder is not None and self.audits is not None
        reply = self.audits.begin(target, subject, reply, header_length, data)
        if target.verb == "CONSUMER.MSG.NEXT":
            header_length, data = self._signed(header_length, data)
        elif target.verb == "STREAM.SNAPSHOT":
            header_length, data = self.audits.introduced(header_length, data)
        self.forwarder.submit(group, REQUEST, subject, reply, header_length, data, LOCAL, LOCAL)

    def _signed(self, header_length: int, data: bytes) -> tuple[int, bytes]:
        """A pull request says who asks, as a dead letter will; only here its client is known."""
        assert self.audits is not None
        name = self.audits.client_name()
        return signed(header_length, data, name) if name else (header_length, data)

    def ack(self, subject: bytes, reply: bytes, header_length: int, data: bytes) -> None:
        """A message on `$JS.ACK.>` or `$JS.FC.>`."""
        stream = stream_of_ack(subject)
        assignment = self._assignments.by_name(stream) if stream else None
        if assignment is None:
            if reply:
                headers = no_responders(subject)
                self._answers.send(LOCAL, reply, b"", b"", len(headers), headers)
            return
        group = self._assignments.groups.get(assignment.group)
        if group is not None and group.is_leader:
            self._take_ack(group, subject, reply, header_length, data, LOCAL)
            return
        assert self.forwarder is not None
        self.forwarder.submit(assignment.group, ACK, subject, reply, header_length, data, LOCAL, LOCAL)

    def transfer(self, subject: bytes, reply: bytes, header_length: int, data: bytes) -> None:
        """A message on `$JS.SNAPSHOT.>`, which belongs to a backup or a restore at the leader of the stream."""
        assert self.forwarder is not None
        group = self._transferred(subject)
        self.forwarder.submit(group, REQUEST, subject, reply, header_length, data, LOCAL, LOCAL)

    def _transferred(self, subject: bytes) -> int:
        """The group of the stream that a subject in `$JS.SNAPSHOT.` names; the meta group may know one that is unknown
        here."""
        words = subject.split(b".", 4)
        assignment = self._assignments.by_name(words[3].decode("utf-8", "replace")) if len(words) > 4 else None
        return META_GROUP if assignment is None else assignment.group

    def tick(self) -> None:
        """50 ms passed."""
        assert self.audits is not None
        self.audits.tick()
        self.meta_api.lists.tick()
        self.meta_api.healing.tick(self._clock.now_ns)
        self.stream_api.snapshots.tick()
        self.stream_api.restores.tick()

    # For the forwarder.

    def leader_of(self, group: int) -> str:
        host = self._assignments.host_of(group)
        local = self._engine.groups.get(host)
        if local is not None and not local.failed and not local.unassigned:
            if local.is_leader:
                # A dead-letter stream that has not begun yet has no leader.
                return self._peer if host == group or group in self._assignments.groups else ""
            leader = local.raft.leader
            return "" if leader == self._peer else leader
        meta = self._assignments.meta
        if meta is None:
            return ""
        assignment = meta.machine.by_group.get(group)
        if assignment is None:
            return ""
        if self._peer in assignment.peers and local is None and host not in self._assignments.damaged:
            return ""
        for peer in assignment.peers + assignment.leaving:  # any of them: they know
            if peer in self._links.links:
                return peer
        return ""

    def was_deleted(self, group: int) -> bool:
        meta = self._assignments.meta
        if meta is None or group == META_GROUP:
            return False
        return group not in meta.machine.by_group and group < meta.machine.next_group

    def perform(
        self, group: int, kind: int, subject: bytes, reply: bytes, header_length: int, data: bytes, origin: str
    ) -> None:
        try:
            self._perform(group, kind, subject, reply, header_length, data, origin)
        except StorageError as error:
            self._engine.fail_group(self._engine.groups[self._assignments.host_of(group)], error)
            self.refuse(kind, subject, reply, origin)
        except Exception as bug:
            what = subject.decode("utf-8", "replace")
            self.events.append(("error", "request_failed", {"subject": what, "error": bug_text(bug)}))
            self.refuse(kind, subject, reply, origin)

    def _perform(
        self, group: int, kind: int, subject: bytes, reply: bytes, header_length: int, data: bytes, origin: str
    ) -> None:
        if group == META_GROUP:
            self._meta_request(ApiRequest(subject, reply, header_length, data, origin, self._clock.wall_ns))
            return
        stream = self._assignments.groups[group]
        if kind == PUBLISH:
            stream.publish(subject, reply, header_length, data, origin)
        elif kind == ACK:
            self._take_ack(stream, subject, reply, header_length, data, origin)
        else:
            request = ApiRequest(subject, reply, header_length, data, origin, self._clock.wall_ns)
            self._stream_request(stream, request)

    def _stream_request(self, stream: "StreamGroup", request: ApiRequest) -> None:
        if request.subject.startswith(TRANSFER_PREFIX):
            self.stream_api.transfer(stream, request)
            stream.touch()
            return
        target = parse(request.subject)
        is_read = request.subject.startswith(ORIGIN_READS_PREFIX)
        if target is None and not is_read:
            return  # from a peer of another version
        if target is None:
            stream.reads.ask(request, self._clock.now_ns)
        else:
            self.stream_api.handle(stream, target, request)
        stream.touch()

    def _take_ack(
        self, stream: "StreamGroup", subject: bytes, reply: bytes, header_length: int, data: bytes, origin: str
    ) -> None:
        if subject.startswith(ACK_PREFIX):
            stream.delivery.ack(subject, reply, header_length, data, origin)
        else:
            stream.delivery.flow_control(subject)
        if stream.delivery.dirty and not stream.dirty:
            stream.touch()

    def _meta_request(self, request: ApiRequest) -> None:
        if request.subject.startswith(DEAD_LETTERS_PREFIX):
            self.meta_api.create_dead_letters(request.subject[len(DEAD_LETTERS_PREFIX) :].decode())
            return
        if request.subject.startswith(TRANSFER_PREFIX):
            group = self._transferred(request.subject)
            if group == META_GROUP and request.subject.startswith(RESTORE_PREFIX):
                self.stream_api.restores.refuse(request, "no restore is under way")
            else:
                self._pass_on(group, request)
            return
        if request.subject.startswith(RESTORED_PREFIX):
            self.meta_api.restores.restored(int(request.subject[len(RESTORED_PREFIX) :]), request.payload())
            return
        if request.subject.startswith(FAILED_PREFIX):
            self.meta_api.restores.failed(int(request.subject[len(FAILED_PREFIX) :]))
            return
        if request.subject.startswith(SETTLED_PREFIX):
            self.meta_api.settled(int(request.subject[len(SETTLED_PREFIX) :]), request.payload())
            return
        if request.subject.startswith(ORIGIN_READS_PREFIX):
            self._say(request.origin, request.reply, TRY_AGAIN)  # the stream was deleted
            return
        target = parse(request.subject)
        if target is None:
            return
        if target.place == META:
            self.meta_api.handle(target, request)
            return
        # A request for a stream that the node it came through does not know.
        assignment = self._assignments.by_name(target.stream)
        if assignment is None or assignment.restoring:
            self.meta_api.unknown_stream(response_kind(target.verb), request)
            return
        self._pass_on(assignment.group, request)

    def _pass_on(self, group: int, request: ApiRequest) -> None:
        """The meta leader knows a stream that the node did not which the request came through."""
        assert self.forwarder is not None
        if group != META_GROUP:
            subject, reply, origin = request.subject, request.reply, request.origin
            self.forwarder.submit(
                group, REQUEST, subject, reply, request.header_length, request.data, origin, origin
            )

    def is_offline(self, group: int) -> bool:
        return self._assignments.is_offline(self._assignments.host_of(group))

    def refuse(self, kind: int, subject: bytes, reply: bytes, origin: str, is_offline: bool = False) -> None:
        if not reply or kind == ACK:
            return
        error = STREAM_OFFLINE if is_offline else CLUSTER_NOT_AVAIL
        if kind == PUBLISH:
            self._say(origin, reply, pub_ack_error(self._stream_for(subject), error))
            return
        if subject.startswith(ORIGIN_READS_PREFIX):
            self._say(origin, reply, TRY_AGAIN)
            return
        target = parse(subject)
        type_name = "" if target is None else response_kind(target.verb)
        if type_name:
            self._answers.say(origin, reply, error_answer(type_name, error))

    def _stream_for(self, subject: bytes) -> str:
        return self._assignments.stream_capturing(subject)

    def _say(self, origin: str, reply: bytes, payload: bytes) -> None:
        if reply:
            self._answers.send(origin, reply, b"", b"", 0, payload)


def stream_of_ack(subject: bytes) -> str:
    """The stream named by an ack or flow-control subject, in either of its two forms; "" when there is none."""
    tokens = subject.split(b".")
    if len(tokens) == 9 or (len(tokens) == 5 and tokens[1] == b"FC"):
        return tokens[2].decode("utf-8", "replace")
    if len(tokens) >= 7:
        return tokens[4].decode("utf-8", "replace")
    return ""
