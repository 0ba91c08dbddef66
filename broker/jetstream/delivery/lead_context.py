"""What the leader's sides of all consumers of a stream share: the world, the time of this pump, the acks of this
turn."""

import random
from typing import Final

from broker.jetstream.advisories import Advisory, render
from broker.jetstream.consumers.ack import AckSection
from broker.jetstream.consumers.dead_letter import DeadSection, encode_dead_letters
from broker.jetstream.delivery.delivery_output import DeliveryOutput
from broker.jetstream.store import MessageStore


class LeadContext:
    """Passed to every part of a `Delivery`; times are of the pump that is running or was the last."""

    def __init__(self, store: MessageStore, output: DeliveryOutput, rng: random.Random) -> None:
        self.store: MessageStore = store
        self.output: Final = output
        self.rng: Final = rng
        self.now_ns: int = 0
        self.wall_ns: int = 0
        self.pump: int = 1
        self.sections: list[AckSection] = []
        self.dead_sections: list[DeadSection] = []
        self.domain: str = ""  # of JetStream, which advisories name
        self.dead_letters: bool = False  # whether consumers of this stream may have any

    def interested(self, subject: str) -> bool:
        """Whether anybody wants an advisory."""
        return self.output.has_interest(subject.encode(), b"")

    def publish(self, advisory: Advisory) -> None:
        """Send an advisory."""
        subject = advisory[0].encode()
        body = render(advisory[1], self.rng, self.wall_ns, self.domain)
        self.output.send("", subject, subject, b"", 0, body)

    def take_acks(self) -> list[AckSection]:
        """The sections of this turn's OP_ACKS; what is acked from now on is in the next one."""
        sections = self.sections
        self.sections = []
        for section in sections:
            section.proposed = True
        return sections

    def take_dead_letters(self) -> bytes:
        """The body of this turn's OP_DEAD_LETTERS; what is given up from now on is in the next one."""
        sections = self.dead_sections
        self.dead_sections = []
        for section in sections:
            section.proposed = True
        return encode_dead_letters(self.wall_ns, sections)
