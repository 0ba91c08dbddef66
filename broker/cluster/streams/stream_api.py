"""API requests for one stream, at its leader: the rules are in `jetstream.api_*`, the log is here.

Also answers what the meta group left to the stream's leader: the creation and the update of a stream, once the
stream is there or has its new configuration.
"""

from collections.abc import Callable
from typing import Final

from broker.cluster.groups.confirmed_reads import ReadWaiter
from broker.cluster.links.answers import Answers
from broker.cluster.links.transport import LinkTable
from broker.cluster.meta.assignments import Assignments
from broker.cluster.meta.consumer_peers import CONSUMER_PEERS, refuse_evacuation
from broker.cluster.streams.cluster_info import stream_cluster_info
from broker.cluster.streams.elections import Elections
from broker.cluster.streams.restores import RESTORE_PREFIX, Restores
from broker.cluster.streams.snapshots import ACK_PREFIX, Snapshots
from broker.cluster.streams.sourcing import Sourcing
from broker.cluster.streams.step_down import step_down
from broker.cluster.streams.stream_group import StreamGroup
from broker.cluster.streams.stream_list import unless_lone
from broker.cluster.turn_clock import TurnClock
from broker.jetstream.advisories import stream_action
from broker.jetstream.api.consumers import handle_consumer
from broker.jetstream.api.direct_get import handle_direct_get, may_answer
from broker.jetstream.api.messages import handle_message
from broker.jetstream.api.requests import ApiSubject, Propose, Replies, Reply
from broker.jetstream.api.streams import handle_stream, info_kind, stream_info
from broker.jetstream.api_errors import CLUSTER_NOT_AVAIL
from broker.jetstream.api_types import (
    ApiRequest,
    answer,
    error_answer,
    no_responders,
)
from broker.jetstream.config.server_limits import ServerLimits
from broker.jetstream.config.stream_config import RETENTION_LIMITS
from broker.jetstream.consumer_errors import CONSUMER_NOT_FOUND
from broker.jetstream.delivery.delivery import Delivery
from broker.jetstream.delivery.delivery_output import OpWaiter
from broker.jetstream.ops import OP_STREAM_CONFIG, encode_config
from broker.jetstream.stream import StreamMachine


class Leader:
    """`jetstream.api.StreamLeader`: the leader of a stream's group as the API sees it."""

    def __init__(
        self,
        group: StreamGroup,
        cluster: dict[str, object] | None,
        wall_ns: int,
        sourcing: Sourcing,
        limits: ServerLimits,
        find_alternates: "Callable[[StreamGroup], list[dict[str, object]]]",
    ) -> None:
        self.machine: Final[StreamMachine] = group.machine
        self.delivery: Final[Delivery] = group.delivery
        self.wall_ns: Final[int] = wall_ns
        self._cluster: Final = cluster
        self._group: Final = group
        self._sourcing: Final = sourcing
        self._limits: Final = limits
        self._find_alternates: Final = find_alternates

    def limits(self) -> ServerLimits:
        """Of this server."""
        return self._limits

    def cluster_info(self) -> dict[str, object] | None:
        """Leader and replicas."""
        return self._cluster

    def domain(self) -> str:
        """JetStream's."""
        return self._group.answers.domain

    def alternates(self) -> list[dict[str, object]]:
        return self._find_alternates(self._group)

    def sources_info(self) -> dict[str, object]:
        """`mirror` or `sources`."""
        return self._sourcing.info(self._group)


class ApiWaiter(OpWaiter):
    """Answers a request when its operation was applied."""

    def __init__(self, answers: Answers, request: ApiRequest, respond: Callable[[object], bytes]) -> None:
        self._answers: Final = answers
        self._request: Final = request
        self._respond: Final = respond

    def applied(self, result: object) -> None:
        request = self._request
        if request.reply:
            self._answers.say(request.origin, request.reply, self._respond(result))

    def abandoned(self) -> None:
        """The asker times out and asks again: the outcome is unknown."""


class MessageWaiter(ReadWaiter):
    """STREAM.MSG.GET, once nobody else can have acknowledged anything newer before it was asked."""

    def __init__(self, api: "StreamApi", group: StreamGroup, request: ApiRequest) -> None:
        self._api: Final = api
        self._group: Final = group
        self._request: Final = request

    def confirmed(self) -> None:
        found = handle_message("STREAM.MSG.GET", self._request, self._api.leader(self._group))
        if isinstance(found, Reply):
            self._api.answer(self._request, found)

    def refused(self) -> None:
        payload = error_answer("stream_msg_get_response", CLUSTER_NOT_AVAIL)
        self._api.answer(self._request, Reply(payload))


class InfoWaiter(OpWaiter):
    """STREAM.INFO, once what was acked before it was asked has left the stream."""

    def __init__(self, api: "StreamApi", group: StreamGroup, request: ApiRequest) -> None:
        self._api: Final = api
        self._group: Final = group
        self._request: Final = request

    def applied(self, result: object) -> None:
        found = handle_stream("STREAM.INFO", self._request, self._api.leader(self._group))
        assert isinstance(found, Reply)
        self._api.answer(self._request, found)

    def abandoned(self) -> None:
        payload = error_answer(info_kind(self._request), CLUSTER_NOT_AVAIL, "stream_info_response")
        self._api.answer(self._request, Reply(payload))


class ConfigWaiter(OpWaiter):
    """A new configuration reached the stream: the update is answered."""

    def __init__(self, api: "StreamApi", group: StreamGroup, kind: str) -> None:
        self._api: Final = api
        self._group: Final = group
        self._kind: Final = kind

    def applied(self, result: object) -> None:
        self._api.answer_change(self._group, self._kind)


class StreamApi:
    """Requests for streams that lead here."""

    def __init__(
        self,
        answers: Answers,
        links: LinkTable,
        assignments: Assignments,
        clock: TurnClock,
        sourcing: Sourcing,
        payload_max: int,
        limits: ServerLimits,
    ) -> None:
        self._answers: Final = answers
        self._links: Final = links
        self._assignments: Final = assignments
        self._names: Final[Callable[[str], str]] = assignments.name_of
        self._clock: Final = clock
        self._sourcing: Final = sourcing
        self._limits: Final = limits
        self.elections: Final = Elections(links, self._names, clock)
        self.snapshots: Final = Snapshots(answers, clock)
        self.restores: Final = Restores(answers, clock, assignments, payload_max)

    def transfer(self, group: StreamGroup, request: ApiRequest) -> None:
        """A message that belongs to a backup or a restore."""
        if request.subject.startswith(ACK_PREFIX):
            self.snapshots.acknowledged(request.subject)
        elif request.subject.startswith(RESTORE_PREFIX):
            self.restores.chunk(group, request)

    def leader(self, group: StreamGroup) -> Leader:
        """The view of a stream that API answers are made of."""
        info = stream_cluster_info(group, self._links, self._names, self._clock.now_ns)
        return Leader(group, info, self._clock.wall_ns, self._sourcing, self._limits, self._alternates)

    def _alternates(self, group: StreamGroup) -> list[dict[str, object]]:
        """The places where a stream can be read, in a cluster where it has mirrors."""
        meta, name = self._assignments.meta, group.machine.config.name
        mirrors = [] if meta is None or not self._links.cluster else meta.machine.mirrors.get(name, [])
        if not mirrors:
            return []
        domain: dict[str, object] = {"domain": self._answers.domain} if self._answers.domain else {}
        return [{"name": one, **domain, "cluster": self._links.cluster} for one in [name, *sorted(mirrors)]]

    def handle(self, group: StreamGroup, target: ApiSubject, request: ApiRequest) -> None:
        """One request."""
        leader = self.leader(group)
        verb = target.verb
        if verb == "CONSUMER.MSG.NEXT":
            if not group.delivery.pull_request(target.consumer, request):
                self._nobody(request)
            return
        if verb == "DIRECT.GET" and not may_answer(group.machine.config, target.stream):
            self._nobody(request)
            return
        if verb == "STREAM.SNAPSHOT":
            self.snapshots.begin(group, request)
            return
        if verb.endswith(".LEADER.STEPDOWN"):
            self._step_down(group, target, request)
            return
        if verb in CONSUMER_PEERS:
            self.answer(request, Reply(refuse_evacuation(group, target, request, self._links, self._names)))
            return
        if verb == "STREAM.MSG.GET":
            group.confirmed_reads.ask(MessageWaiter(self, group, request))
            group.touch()
            return
        if verb == "STREAM.INFO" and self._comes_behind_acks(group, request):
            return
        if verb.startswith("CONSUMER."):
            found = handle_consumer(verb, request, leader)
        elif verb == "DIRECT.GET":
            found = handle_direct_get(request, leader)
        elif verb == "STREAM.MSG.DELETE":
            found = handle_message(verb, request, leader)
        else:
            found = handle_stream(verb, request, leader)
        if isinstance(found, Reply):
            self.answer(request, found)
        elif isinstance(found, Replies):
            for reply in found.replies:
                self.answer(request, reply)
        elif isinstance(found, Propose):
            group.propose(found.kind, found.body, ApiWaiter(self._answers, request, found.respond), True)

    def _comes_behind_acks(self, group: StreamGroup, request: ApiRequest) -> bool:
        """Whether INFO waits for acks under way: where acks remove messages."""
        if group.machine.config.retention == RETENTION_LIMITS or group.disk_full:
            return False
        if not group.delivery.proposals.ask_behind_acks(InfoWaiter(self, group, request)):
            return False
        group.delivery.dirty = True
        group.touch()
        return True

    def answer(self, request: ApiRequest, reply: Reply) -> None:
        """Tell whoever asked."""
        if request.reply and not reply.headers:
            self._answers.say(request.origin, request.reply, reply.payload)
        elif request.reply:
            data = reply.headers + reply.payload
            self._answers.send(request.origin, request.reply, b"", b"", len(reply.headers), data)

    def _nobody(self, request: ApiRequest) -> None:
        """A consumer that is not there, or a stream that allows no direct gets, is as nobody who answers."""
        if request.reply:
            headers = no_responders(request.subject)
            self._answers.send(request.origin, request.reply, b"", b"", len(headers), headers)

    def _step_down(self, group: StreamGroup, target: ApiSubject, request: ApiRequest) -> None:
        kind = target.verb.lower().replace(".", "_") + "_response"
        if target.consumer and self._links.cluster and target.consumer not in group.machine.consumers:
            payload = error_answer(kind, CONSUMER_NOT_FOUND)
        else:
            payload = step_down(group, request, kind, self._links, self._names)
        if request.reply:
            self._answers.say(request.origin, request.reply, payload)

    # Creation and update, which the meta group decided.

    def settle(self, group: StreamGroup) -> None:
        """This node leads the stream: bring its configuration up to the assignment, answer who waits for that.

        What this node knows of the assignment may be older than what the stream was told by a leader before.
        """
        assignment = group.assignment
        machine = group.machine
        if not group.is_leader or assignment.revision < machine.config_revision:
            return
        if not group.is_current():
            body = encode_config(self._clock.wall_ns, assignment.revision, assignment.config_bytes())
            group.propose(OP_STREAM_CONFIG, body, ConfigWaiter(self, group, "stream_update_response"), True)
        elif group.reply_due:
            kind = "stream_create_response" if assignment.revision == assignment.created_revision else ""
            self.answer_change(group, kind or "stream_update_response")

    def answer_change(self, group: StreamGroup, kind: str) -> None:
        """Tell who asked for the stream, or for its new configuration."""
        assignment = group.assignment
        if not group.owes_reply():
            return
        group.reply_due = False
        if assignment.restoring:
            self.restores.begin(group)
            return
        kind = assignment.answer_kind or kind
        action = "create" if kind == "stream_create_response" else "modify"
        group.advise(*stream_action(assignment.config.name, action))
        fields = unless_lone(stream_info(self.leader(group)))
        if kind == "stream_create_response":
            fields.pop("domain", None)
            fields["did_create"] = True
        self._answers.say(assignment.origin_for(self._links.peer), assignment.reply, answer(kind, fields))
