"""The origin's side of mirrors and sources: questions for the leader of a stream, answered at once or held for a while.

A question for which there is nothing new waits until something is stored, the hold time is over, or the leadership is
lost. Nothing else is kept about readers. Not here: what an answer holds (`jetstream.source_read`), who asks
(`sourcing`). Invariant: every question is answered, `TRY_AGAIN` when nothing better is known; at most `HELD_MAX` wait.
"""

from typing import TYPE_CHECKING, Final

from broker.cluster.meta.assignment import Assignment
from broker.cluster.streams.origin_consumers import OriginConsumers
from broker.jetstream.api_errors import ApiError
from broker.jetstream.api_types import ApiRequest
from broker.jetstream.names import short_hash
from broker.jetstream.sources.source_read import OriginAnswer, OriginQuery, decode_query, read_origin

if TYPE_CHECKING:
    from broker.cluster.streams.stream_group import StreamGroup

REQUEST_PREFIX: Final = b"$TMQ.SRC."  # then the stream's name
TRY_AGAIN: Final = b""
HOLD_NS: Final = 5_000_000_000
FORGETFUL_HOLD_NS: Final = 1_000_000_000  # of a stream that waits for readers: they say how far they are
HELD_MAX: Final = 4096


def identity_of(assignment: Assignment) -> str:
    """What tells this stream from an earlier one of the same name; a stream that begins again is another one too."""
    founders = ",".join(assignment.founders) if assignment.is_refounded else ""
    return short_hash(f"{assignment.group} {assignment.created_ns} {founders}")


class _Held:
    def __init__(self, request: ApiRequest, query: OriginQuery, until_ns: int) -> None:
        self.request: Final = request
        self.query: Final = query
        self.until_ns: Final = until_ns


class OriginReads:
    """The readers of one stream that this node leads."""

    def __init__(self, group: "StreamGroup") -> None:
        self.due: bool = False  # something was stored since the last look
        self._group: Final = group
        self._consumers: Final = OriginConsumers(group)
        self._held: list[_Held] = []

    def ask(self, request: ApiRequest, now_ns: int) -> None:
        """A reader's question. Raises what reading bytes that no peer of ours writes may raise, and CorruptBlock."""
        query = decode_query(request.payload())
        hold_ns = FORGETFUL_HOLD_NS if self._consumers.needed() else HOLD_NS
        until_ns = 0 if len(self._held) >= HELD_MAX or query.ends else now_ns + hold_ns
        if query.ends:
            self._held = [held for held in self._held if held.query.consumer != query.consumer]
        held = _Held(request, query, until_ns)
        if not self._try(held, now_ns):
            self._held.append(held)

    def _try(self, held: _Held, now_ns: int) -> bool:
        """Answer if there is something to say. Raises CorruptBlock."""
        identity = identity_of(self._group.assignment)
        prepared = self._consumers.prepare(held.query)
        if isinstance(prepared, ApiError):
            answer = OriginAnswer(identity, 0, 0)
            answer.refusal = [prepared.code, prepared.err_code, prepared.description]
            self._say(held.request, answer.encode())
            return True
        if not prepared:
            if now_ns < held.until_ns:
                return False
            self._say(held.request, TRY_AGAIN)
            return True
        answer = read_origin(self._group.machine.store, identity, held.query)
        if not answer.sequences and not answer.was_recreated and now_ns < held.until_ns:
            return False
        self._say(held.request, answer.encode())
        return True

    def _say(self, request: ApiRequest, data: bytes) -> None:
        if request.reply:
            self._group.answers.send(request.origin, request.reply, b"", b"", 0, data)

    def next_deadline_ns(self) -> int:
        """When the oldest question has waited for long enough; 0 = none."""
        return self._held[0].until_ns if self._held else 0

    def pump(self, now_ns: int) -> None:
        """Look again at what waits. Raises CorruptBlock."""
        if self._held and (self.due or self._held[0].until_ns <= now_ns):
            self.due = False
            self._held = [held for held in self._held if not self._try(held, now_ns)]

    def stored(self) -> None:
        """There is more to read."""
        if self._held:
            self.due = True

    def drop(self) -> None:
        """This node no longer leads the stream."""
        self._consumers.drop()
        held, self._held = self._held, []
        for each in held:
            self._say(each.request, TRY_AGAIN)
