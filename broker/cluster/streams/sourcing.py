"""Mirrors and sources of the streams that this node leads: who reads which origin, how far, and what came of it.

A `SourceReader` asks the origin's leader, wherever it is, for what is behind its place (`jetstream.source_read`),
proposes what it gets to its own stream's group (OP_SOURCED), and asks again while that is on its way: one question
and at most `IN_FLIGHT_MAX` operations at a time. Where it stands is in the machine; a new leader begins there. What
went wrong is tried again later: an origin that is not there (yet), a full stream.

Not here: the origin's side (`origin_reads`), storing (`jetstream.sourced_apply`). Invariant: nothing of a reader but
its place in the machine outlives the leadership. Times are monotonic ns.
"""

from typing import TYPE_CHECKING, Final

from broker.cluster.links.answers import Answers, InnerCaller
from broker.cluster.links.forward import REQUEST
from broker.cluster.streams.origin_reads import REQUEST_PREFIX, TRY_AGAIN
from broker.cluster.turn_clock import TurnClock
from broker.jetstream.api_errors import STREAM_NOT_FOUND, ApiError
from broker.jetstream.config.source_config import Source, sources_of
from broker.jetstream.deadlines import Deadlines
from broker.jetstream.delivery.delivery_output import OpWaiter
from broker.jetstream.names import short_hash
from broker.jetstream.ops import OP_SOURCED
from broker.jetstream.sources.source_read import OriginQuery, decode_answer, sourced_body

if TYPE_CHECKING:
    from broker.cluster.meta.assignments import Assignments
    from broker.cluster.streams.stream_group import StreamGroup

IN_FLIGHT_MAX: Final = 2
ANSWER_NS: Final = 10_000_000_000  # longer than an origin holds a question
RETRY_NS: Final = 250_000_000
RETRY_MAX_NS: Final = 4_000_000_000


class SourceReader(InnerCaller):
    """One entry of `mirror` or `sources` of one stream."""

    def __init__(self, sourcing: "Sourcing", group: "StreamGroup", source: Source, number: int) -> None:
        self.source: Final = source
        self.number: Final = number
        self.term: Final = group.raft.term
        self.lag: int = 0
        self.heard_ns: int = 0
        self.error: ApiError | None = None
        self.ended: bool = False
        self._sourcing: Final = sourcing
        self._group: Final = group
        self._after: int = 0  # the last message that was proposed
        self._place: int = 0  # nothing else that is wanted stands before or at it
        self._identity: str = ""
        self._in_flight: int = 0
        self._lost: bool = False  # something proposed was not stored: begin again when nothing is in flight
        self._inbox: bytes = b""
        self._wait_until_ns: int = 0  # for the answer, or before asking again
        self._retry_ns: int = RETRY_NS
        self._rewind()

    def _rewind(self) -> None:
        """Where the machine stands."""
        machine = self._group.machine
        if self.source.is_mirror:
            self._after = machine.store.last_sequence
        else:
            position = machine.sources.of(self.source.key)
            self._after = position.sequence
            self._identity = position.identity
        self._place = self._after

    def reads(self, group: "StreamGroup", source: Source) -> bool:
        """Whether it does so for this very entry, in this term."""
        return self._group is group and self.term == group.raft.term and self.source.entry == source.entry

    def stored_sequence(self) -> int:
        """The origin's sequence of the last message that was stored here."""
        return self._group.machine.sources.of(self.source.key).sequence

    # Asking.

    def pump(self) -> None:
        """Ask, if it is time to."""
        now_ns = self._sourcing.clock.now_ns
        if self.ended:
            return
        if not self._group.is_leader:
            self._sourcing.forget(self._group.id)
            return
        if now_ns < self._wait_until_ns:
            self._sourcing.arm(self, self._wait_until_ns)
            return
        if self._inbox:
            self._forget_question()  # nobody answered
        if self._lost:
            if self._in_flight:
                return
            self._lost = False
            self._rewind()
        if self._in_flight < IN_FLIGHT_MAX:
            self._ask()

    def _ask(self) -> None:
        source = self.source
        sourcing = self._sourcing
        group_id = sourcing.origin_of(source)
        if group_id == 0:
            if sourcing.is_ours(source):
                self.error = STREAM_NOT_FOUND
            self._later()
            return
        self._inbox = sourcing.answers.inner_inbox(self)
        self._wait(ANSWER_NS)
        query = self._query(False)
        sourcing.submit(group_id, source.name, self._inbox, query.encode())

    def _query(self, ends: bool) -> OriginQuery:
        source = self.source
        stream = self._group.machine.config.name
        name = "JS_MIRROR_" + short_hash(stream)
        taken = self._group.machine.store.last_sequence
        if not source.is_mirror:
            name = "JS_SRC_" + short_hash(f"{stream} {source.index_name}")
            taken = self.stored_sequence()
        identity = "" if source.is_mirror else self._identity
        return OriginQuery(
            self._place, source.start_sequence, source.start_ns, source.filters(), identity, name, taken, ends
        )

    def _wait(self, duration_ns: int) -> None:
        self._wait_until_ns = self._sourcing.clock.now_ns + duration_ns
        self._sourcing.arm(self, self._wait_until_ns)

    def _later(self) -> None:
        """Something is not as it should be; it may be so after a while."""
        self._wait(self._retry_ns)
        self._retry_ns = min(2 * self._retry_ns, RETRY_MAX_NS)

    def _forget_question(self) -> None:
        self._sourcing.answers.forget_inner(self._inbox)
        self._inbox = b""

    def end(self, for_good: bool) -> None:
        """The leadership, or (`for_good`) the entry, is gone."""
        self.ended = True
        group_id = self._sourcing.origin_of(self.source) if for_good else 0
        if group_id:
            self._sourcing.submit(group_id, self.source.name, b"", self._query(True).encode())
        if self._inbox:
            self._forget_question()

    # Answers.

    def answered(self, inbox: bytes, data: bytes) -> None:
        if self.ended or inbox != self._inbox:
            return
        self._inbox = b""
        if data == TRY_AGAIN:
            self._later()
            return
        answer = decode_answer(data)
        self.heard_ns = self._sourcing.clock.now_ns
        if answer.refusal:
            code, err_code, description = answer.refusal
            self.error = ApiError(code, err_code, description)
            self._later()
            return
        self.error = None
        self.lag = answer.lag
        self._wait_until_ns = 0
        if not self._lost and self._group.is_leader:
            if answer.was_recreated:
                self._after = self._place = 0
                self._identity = answer.identity
            elif answer.sequences:
                clock = self._sourcing.clock
                body = sourced_body(self.source, answer, self._after, clock.wall_ns)
                self._identity = answer.identity
                self._after = answer.sequences[-1]
                self._place = answer.upto
                self._in_flight += 1
                self._group.propose(OP_SOURCED, body, SourcedWaiter(self), True)
            else:
                self._retry_ns = RETRY_NS
                self._place = max(self._place, answer.upto)
        self._sourcing.ready(self)

    def settled(self, is_stored: bool) -> None:
        """An operation was applied, or lost."""
        self._in_flight -= 1
        if self.ended:
            return
        if is_stored:
            self._retry_ns = RETRY_NS
        elif not self._lost:
            self._lost = True
            if self._inbox:
                self._forget_question()
            self._later()
        self._sourcing.ready(self)


class SourcedWaiter(OpWaiter):
    """Tells a reader what became of an operation."""

    def __init__(self, reader: SourceReader) -> None:
        self._reader: Final = reader

    def applied(self, result: object) -> None:
        self._reader.settled(result is True)

    def abandoned(self) -> None:
        self._reader.settled(False)


class Sourcing:
    """All readers of this node."""

    def __init__(self, assignments: "Assignments", answers: Answers, clock: TurnClock) -> None:
        self.answers: Final = answers
        self.clock: Final = clock
        self._assignments: Final = assignments
        self._readers: dict[int, list[SourceReader]] = {}  # by the group they read for
        self._by_number: dict[int, SourceReader] = {}
        self._numbers: int = 0
        self._ready: list[SourceReader] = []
        self._deadlines: Final[Deadlines[int]] = Deadlines()

    def follow(self, group: "StreamGroup") -> None:
        """This node leads the stream, or its configuration changed."""
        before = self._readers.pop(group.id, [])
        readers: list[SourceReader] = []
        for source in [] if group.assignment.restoring else sources_of(group.machine.config):
            known = [reader for reader in before if reader.reads(group, source)]
            if known:
                readers.append(known[0])
                before.remove(known[0])
            else:
                self._numbers += 1
                readers.append(SourceReader(self, group, source, self._numbers))
                self._by_number[self._numbers] = readers[-1]
                self._ready.append(readers[-1])
        self._end(before, [source.entry for source in sources_of(group.machine.config)])
        if readers:
            self._readers[group.id] = readers

    def forget(self, group_id: int, is_deleted: bool = False) -> None:
        """This node no longer leads the stream, or there is none any more."""
        readers = self._readers.pop(group_id, [])
        self._end(readers, [] if is_deleted else [reader.source.entry for reader in readers])

    def _end(self, readers: list[SourceReader], wanted: list[dict[str, object]]) -> None:
        for reader in readers:
            reader.end(reader.source.entry not in wanted)
            del self._by_number[reader.number]

    def ready(self, reader: SourceReader) -> None:
        """It may have something to ask."""
        self._ready.append(reader)

    def arm(self, reader: SourceReader, deadline_ns: int) -> None:
        """It wants to be looked at then."""
        self._deadlines.arm(reader.number, deadline_ns)

    def pump(self) -> None:
        """Once a turn: ask what is to be asked."""
        for number in self._deadlines.take_due(self.clock.now_ns):
            reader = self._by_number.get(number)
            if reader is not None:
                self._ready.append(reader)
        ready, self._ready = self._ready, []
        for reader in ready:
            reader.pump()

    def next_deadline_ns(self) -> int:
        """When `pump` is to be called without input; 0 = never."""
        return 1 if self._ready else self._deadlines.next_deadline_ns()

    def origin_of(self, source: Source) -> int:
        """The group of the stream that is read; 0 when there is none that this node can reach."""
        assignment = self._assignments.by_name(source.name) if self.is_ours(source) else None
        return 0 if assignment is None else assignment.group

    def is_ours(self, source: Source) -> bool:
        """Whether the origin is in this cluster. Nobody answers for an API prefix that is not our domain's."""
        return source.external is None or source.external[0] == f"$JS.{self.answers.domain}.API"

    def submit(self, group_id: int, stream: str, inbox: bytes, data: bytes) -> None:
        """A question, on its way to whoever leads the origin."""
        forwarder = self._assignments.forwarder
        assert forwarder is not None
        forwarder.submit(group_id, REQUEST, REQUEST_PREFIX + stream.encode(), inbox, 0, data, "", "")

    def info(self, group: "StreamGroup") -> dict[str, object]:
        """`mirror` or `sources` of a StreamInfo, as far as its leader knows."""
        config = group.machine.config
        if config.mirror is None and not config.sources:
            return {}
        readers = self._readers.get(group.id, [])
        entries = [self._entry(reader) for reader in readers]
        if not entries:
            return {}
        return {"mirror": entries[0]} if readers[0].source.is_mirror else {"sources": entries}

    def _entry(self, reader: SourceReader) -> dict[str, object]:
        source = reader.source
        fields: dict[str, object] = {"name": source.name}
        if source.external is not None:
            fields["external"] = {"api": source.external[0], "deliver": source.external[1]}
        fields["lag"] = reader.lag
        sequence = 0 if source.is_mirror else reader.stored_sequence()
        if sequence:
            fields["seq"] = sequence
        fields["active"] = self.clock.now_ns - reader.heard_ns if reader.heard_ns else -1
        if reader.error is not None:
            fields["error"] = reader.error.to_json()
        begun = bool(reader.heard_ns) or reader.error is not None
        if source.filter_subject and (begun or not source.is_mirror):
            fields["filter_subject"] = source.filter_subject
        if source.transforms:
            fields["subject_transforms"] = [{"src": each[0], "dest": each[1]} for each in source.transforms]
        return fields
