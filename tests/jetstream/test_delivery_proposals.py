"""The acks of one turn, however many consumers they are of, reach the log; who waits for them is answered last."""

import random
from typing import cast

from broker.jetstream.consumers.ack import SECTIONS_MAX, AckSection, decode_acks
from broker.jetstream.delivery.delivery_output import DeliveryOutput, OpWaiter
from broker.jetstream.delivery.delivery_proposals import Proposals
from broker.jetstream.delivery.lead_context import LeadContext
from broker.jetstream.ops import OP_ACKS
from broker.jetstream.store import MessageStore
from jetstream.consumer_world import World


class Log(DeliveryOutput):
    """Keeps what is proposed, and answers."""

    def __init__(self) -> None:
        self.proposed: list[tuple[int, bytes, bool, OpWaiter]] = []
        self.answered: list[bytes] = []

    def propose(self, kind: int, body: bytes, urgent: bool, waiter: OpWaiter) -> None:
        self.proposed.append((kind, body, urgent, waiter))

    def send(self, origin: str, inbox: bytes, subject: bytes, reply: bytes, header_length: int, data: bytes) -> None:
        self.answered.append(inbox)


def test_acks_of_more_consumers_than_one_operation_holds_are_several():
    log = Log()
    context = LeadContext(cast(MessageStore, None), log, random.Random(1))
    proposals = Proposals(context)
    names = [f"C{number}" for number in range(SECTIONS_MAX + 2)]
    for name in names:
        section = AckSection(name, 7)
        section.acks.append(1)
        context.sections.append(section)
    proposals.double_acks.append(("", b"sure"))
    proposals.propose_acks()

    assert [(kind, urgent) for kind, _, urgent, _ in log.proposed] == [(OP_ACKS, False), (OP_ACKS, True)]
    assert [section.consumer for _, body, _, _ in log.proposed for section in decode_acks(body)[1]] == names
    first, last = [waiter for _, _, _, waiter in log.proposed]
    first.applied(None)
    assert log.answered == []
    last.applied(None)
    assert log.answered == [b"sure"]
    assert proposals.counter.in_flight == 0


class Question(OpWaiter):
    """Somebody who asks behind acks."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def applied(self, result: object) -> None:
        self.heard.append("now")

    def abandoned(self) -> None:
        self.heard.append("nobody knows")


def waiting_on_acks() -> World:
    """Two messages are acked; that is proposed, and nothing of it applied."""
    world = World(commit_at_once=False)
    world.publish(2)
    world.create(ack_policy="explicit")
    world.commit()
    for message in world.pull(batch=2):
        world.ack(message)
    return world


def test_a_question_is_answered_when_the_acks_before_it_are_applied():
    world, question = waiting_on_acks(), Question()
    assert world.delivery.proposals.ask_behind_acks(question)
    world.turn()
    assert question.heard == []
    world.commit(len(world.proposed) - 1)
    assert (question.heard, world.consumer().ack_floor_stream) == ([], 2)
    world.commit()
    assert question.heard == ["now"]
    assert not world.delivery.proposals.ask_behind_acks(question)


def test_a_question_is_told_when_nobody_will_ever_know():
    for is_proposed in (False, True):
        world, question = waiting_on_acks(), Question()
        assert world.delivery.proposals.ask_behind_acks(question)
        if is_proposed:
            world.turn()
        world.change_leader()
        assert question.heard == ["nobody knows"]
