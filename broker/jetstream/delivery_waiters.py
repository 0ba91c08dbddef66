"""Waiters of the operations a `Delivery` proposes: counting them, and answering double acks.

Not here: what follows when an operation is lost (`Delivery.pump` rebuilds).
"""

from typing import Final

from broker.jetstream.delivery_output import DeliveryOutput, OpWaiter


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
    """Answers the double acks of one operation once it is applied."""

    def __init__(self, counter: CountingWaiter, output: DeliveryOutput, replies: list[tuple[str, bytes]]) -> None:
        self.counter: Final = counter
        self.output: Final = output
        self.replies: Final = replies

    def applied(self, result: object) -> None:
        for origin, reply in self.replies:
            self.output.send(origin, reply, reply, b"", 0, b"")
        self.counter.applied(result)

    def abandoned(self) -> None:
        self.counter.abandoned()
