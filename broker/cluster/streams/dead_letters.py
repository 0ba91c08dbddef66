"""When a dead-letter stream is made, where it is reached, and when it ends.

A stream's leader that gave a message up asks the meta leader for `DLQ_<stream>`. The meta group assigns it, as any
stream, but with a `host`: the group it lives in. The host's leader then lets it begin by an entry of the host's log,
and end by one when the meta group has deleted it. `tend` repeats what was lost on the way.

Not here: the move (`jetstream.dead_letter_apply`), the stream itself (`hosted_stream`). Invariant: a dead-letter stream
ends only when the meta log says, or has said, that it was deleted.
"""

from typing import TYPE_CHECKING, Final

from broker.cluster.links.forward import REQUEST
from broker.cluster.meta.assignment import Assignment
from broker.cluster.meta.identity import META_GROUP
from broker.cluster.streams.hosted_stream import HostedStream
from broker.cluster.streams.stream_group import StreamGroup
from broker.cluster.streams.stream_leader import DeadLetterListener
from broker.cluster.turn_clock import TurnClock
from broker.jetstream.consumers.dead_letter import dead_letter_stream, encode_stream, encode_stream_end
from broker.jetstream.consumers.dead_letter_apply import has_waiting
from broker.jetstream.ops import OP_DEAD_STREAM, OP_DEAD_STREAM_END

if TYPE_CHECKING:
    from broker.cluster.meta.assignments import Assignments

RETRY_NS: Final = 1_000_000_000
REQUEST_PREFIX: Final = b"$TMQ.DLQ."


class DeadLetters(DeadLetterListener):
    """The dead-letter streams of this node's groups."""

    def __init__(self, clock: TurnClock) -> None:
        self.assignments: Assignments | None = None
        self._clock: Final = clock
        self._due: dict[int, int] = {}  # group → when to look at it next

    # What the groups say.

    def wanted(self, group: StreamGroup) -> None:
        self._due.setdefault(group.id, 0)

    def changed(self, group: StreamGroup) -> None:
        assignments = self._assignments()
        machine = group.machine
        beside = group.beside
        if beside is not None and machine.dead is not beside.machine:
            assignments.unbind(beside)
            beside.delivery.stream_deleted()
            group.beside = None
        if machine.dead is not None and assignments.meta is not None:
            assignment = assignments.meta.machine.by_group.get(machine.dead_group)
            if assignment is not None:
                self._bind(group, assignment)

    def led(self, group: StreamGroup) -> None:
        """This node leads the group now."""
        if group.machine.dead is not None or has_waiting(group.machine) or self._assigned(group) is not None:
            self._due[group.id] = 0

    # What the meta group says.

    def assigned(self, assignment: Assignment) -> None:
        """A dead-letter stream exists: reach it where it has begun, let it begin where this node leads."""
        group = self._assignments().groups.get(assignment.host)
        if group is None:
            return
        if group.machine.dead is not None and group.machine.dead_group == assignment.group:
            self._bind(group, assignment)
        self._due[group.id] = 0

    def ended(self, host: int) -> None:
        """A dead-letter stream was deleted."""
        group = self._assignments().groups.get(host)
        if group is not None:
            group.beside = None
            self._due[host] = 0

    # Reaching it.

    def _assignments(self) -> "Assignments":
        assert self.assignments is not None
        return self.assignments

    def _bind(self, group: StreamGroup, assignment: Assignment) -> None:
        dead = group.machine.dead
        assert dead is not None
        beside = group.beside
        if beside is None or beside.machine is not dead:
            beside = HostedStream(group, assignment, dead)
            group.beside = beside
            if group.is_leader:
                beside.is_leader = True
                beside.became_leader()
        self._assignments().bind(beside)

    # The leader's part.

    def tick(self) -> None:
        """Look at the groups where something is to be done."""
        if not self._due:
            return
        now_ns = self._clock.now_ns
        for group_id in [each for each, due_ns in self._due.items() if due_ns <= now_ns]:
            group = self._assignments().groups.get(group_id)
            if group is None or not group.is_leader or self._tend(group):
                del self._due[group_id]
            else:
                self._due[group_id] = now_ns + RETRY_NS

    def _tend(self, group: StreamGroup) -> bool:
        """Bring the group's dead-letter stream up to what the meta group decided; True when nothing is left to do."""
        machine = group.machine
        assignment = self._assigned(group)
        wall_ns = self._clock.wall_ns
        meta = self._assignments().meta
        if meta is None:
            return False
        if machine.dead is not None:
            if assignment is not None and assignment.group == machine.dead_group:
                return True
            if machine.dead_group not in meta.machine.by_group and machine.dead_group < meta.machine.next_group:
                group.propose(OP_DEAD_STREAM_END, encode_stream_end(wall_ns, machine.dead_group), None, True)
            return False
        if assignment is not None:
            body = encode_stream(
                wall_ns, assignment.group, assignment.created_ns, assignment.revision, assignment.config_bytes()
            )
            group.propose(OP_DEAD_STREAM, body, None, True)
            return False
        if not has_waiting(machine):
            return True
        forwarder = self._assignments().forwarder
        assert forwarder is not None
        subject = REQUEST_PREFIX + machine.config.name.encode()
        forwarder.submit(META_GROUP, REQUEST, subject, b"", 0, b"", "", "")
        return False

    def _assigned(self, group: StreamGroup) -> Assignment | None:
        assignment = self._assignments().by_name(dead_letter_stream(group.machine.config.name))
        return assignment if assignment is not None and assignment.host == group.id else None
