"""The acks of one turn, however many consumers they are of, reach the log; who waits for them is answered last."""

import random
from typing import cast

from broker.jetstream.consumers.ack import SECTIONS_MAX, AckSection, decode_acks
from broker.jetstream.delivery.delivery_output import DeliveryOutput, OpWaiter
from broker.jetstream.delivery.delivery_proposals import Proposals
from broker.jetstream.delivery.lead_context import LeadContext
from broker.jetstream.ops import OP_ACKS
from broker.jetstream.store import MessageStore


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
