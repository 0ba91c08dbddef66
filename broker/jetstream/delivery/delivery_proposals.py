"""What a `Delivery` proposes, and what it hears of the fate of that.

Acks of a turn of all consumers are one operation (of a great many consumers: a few); double acks, and questions that
came behind acks, are answered when the last one is applied. Every operation is counted until its waiter is told.

Not here: what is in an operation (`delivered`, `ack`, `dead_letter`), and what follows when one is lost though
leadership goes on (`Delivery.pump` waits until `are_over` and rebuilds).
"""

from typing import Final

from broker.jetstream.consumers.ack import SECTIONS_MAX, encode_acks
from broker.jetstream.delivery.delivery_output import DeliveryOutput, OpWaiter
from broker.jetstream.delivery.lead_context import LeadContext
from broker.jetstream.durations import MILLISECOND_NS
from broker.jetstream.ops import OP_ACKS, OP_DEAD_LETTERS

RETRY_NS: Final = 100 * MILLISECOND_NS


class CountingWaiter(OpWaiter):
    """Counts operations under way; one a term (or rebuild) is enough."""

    def __init__(self) -> None:
        self.in_flight: int = 0
        self.broken: bool = False

    def applied(self, result: object) -> None:
        self.in_flight -= 1

    def abandoned(self) -> None:
        self.in_flight -= 1
        self.broken = True


class DoubleAckWaiter(OpWaiter):
    """Answers the double acks of one turn, and the questions behind its acks, once they are applied."""

    def __init__(self, counter: CountingWaiter, output: DeliveryOutput, replies: list[tuple[str, bytes]]) -> None:
        self.counter: Final = counter
        self.output: Final = output
        self.replies: Final = replies
        self.questions: list[OpWaiter] = []

    def applied(self, result: object) -> None:
        for origin, reply in self.replies:
            self.output.send(origin, reply, reply, b"", 0, b"")
        self.counter.applied(result)
        for question in self.questions:
            question.applied(None)

    def abandoned(self) -> None:
        self.counter.abandoned()
        for question in self.questions:
            question.abandoned()


class Proposals:
    """Those of one term, or since the last rebuild."""

    def __init__(self, context: LeadContext) -> None:
        self.counter: Final = CountingWaiter()
        self.double_acks: list[tuple[str, bytes]] = []  # node and inbox of who waits for the acks of this turn
        self._questions: list[OpWaiter] = []
        self._context: Final = context
        self._retry_ns: int = 0

    def are_over(self) -> bool:
        """When one was abandoned: all others are told, and the log had a while to take more. What is dropped as too
        much waits to be committed would else be delivered and dropped again in every turn."""
        if self.counter.in_flight > 0:
            return False
        if self._retry_ns == 0:
            self._retry_ns = self._context.now_ns + RETRY_NS
        return self._context.now_ns >= self._retry_ns

    def retry_at_ns(self) -> int:
        """When to ask that again."""
        return self._retry_ns or self._context.now_ns + MILLISECOND_NS

    def ask_behind_acks(self, question: OpWaiter) -> bool:
        """Tell `question` when everything that was acked before is applied; False when nothing is under way.
        nats-server removes what is acked at once, so its clients ask for the stream right behind their acks."""
        if not self._context.sections and not self.counter.in_flight:
            return False
        self._questions.append(question)
        return True

    def drop(self) -> None:
        """Others lead, or all begins anew: nobody will tell."""
        questions, self._questions = self._questions, []
        for question in questions:
            question.abandoned()

    def propose(self, kind: int, body: bytes) -> None:
        """An operation for which nobody waits."""
        self.counter.in_flight += 1
        self._context.output.propose(kind, body, False, self.counter)

    def propose_acks(self) -> None:
        """What was acked and given up in this turn; urgent only when somebody waits for it. Without acks an operation
        that says nothing comes behind those under way."""
        context = self._context
        if context.dead_sections:
            self.propose(OP_DEAD_LETTERS, context.take_dead_letters())
        sections = context.take_acks()
        if not sections and not self._questions:
            assert not self.double_acks
            return
        while len(sections) > SECTIONS_MAX:
            self.propose(OP_ACKS, encode_acks(context.wall_ns, sections[:SECTIONS_MAX]))
            sections = sections[SECTIONS_MAX:]
        body = encode_acks(context.wall_ns, sections)
        if not self.double_acks and not self._questions:
            self.propose(OP_ACKS, body)
            return
        waiter = DoubleAckWaiter(self.counter, context.output, self.double_acks)
        waiter.questions = self._questions
        self.double_acks = []
        self._questions = []
        self.counter.in_flight += 1
        context.output.propose(OP_ACKS, body, True, waiter)
