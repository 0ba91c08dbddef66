"""Consumers that share by the rules of a priority group (ADR-42): pinned, overflow, prioritized.

The first client of an overflow consumer takes anything, the others only what the first leaves lying. A prioritized
client asks with its own number as its priority. A pinned one asks with the pin that it was told, until it is told that
the pin is another's. Read next: `checkers/groups`, `checkers/leaving`.
"""

from sim.client import Message
from sim.plan import ConsumerPlan, StreamPlan
from sim.workloads.consumers import Consumer

GROUP = "g"
AHEAD_MIN = 4
OUT_MIN = 12
WRONG_PIN = 423


class GroupMember(Consumer):
    """Names the group."""

    def wishes(self) -> dict[str, object]:
        return {"group": GROUP}


class Pinned(GroupMember):
    """`history.pins`: which client was told which pin."""

    pin = ""

    def wishes(self) -> dict[str, object]:
        return {"group": GROUP, "id": self.pin} if self.pin else {"group": GROUP}

    def _message(self, message: Message | None) -> None:
        assert message is not None
        if message.status == WRONG_PIN:
            self.pin = ""
        elif not message.status:
            pin = message.headers().get("Nats-Pin-Id", "")
            pins = self.history.pins.setdefault((self.stream, self.durable), {})
            owner = pins.setdefault(pin, self.client.name)
            if owner != self.client.name:
                self.history.conflict("groups", f"{self.stream}: pin {pin!r} was told {owner} and {self.client.name}")
            if not pin:
                self.history.conflict("groups", f"{self.stream}: {self.client.name} got a message without a pin")
            self.pin = pin
        super()._message(message)


class Overflow(GroupMember):
    """The first takes all it can; the others wait until enough is ahead, or enough is out."""

    def wishes(self) -> dict[str, object]:
        if self.number == 0:
            return {"group": GROUP}
        return {"group": GROUP, "min_pending": AHEAD_MIN} if self.number == 1 else {
            "group": GROUP, "min_ack_pending": OUT_MIN,
        }  # fmt: skip

    def _take(self, message: Message) -> None:
        ahead = int(message.reply.split(".")[8]) + 1
        if self.number == 1 and ahead < AHEAD_MIN:
            self.history.conflict("groups", f"{self.stream}: {self.client.name} got a message with {ahead} ahead")
        super()._take(message)


class Prioritized(GroupMember):
    """`history.ranks`: what its requests say."""

    def _begin(self, plan: StreamPlan, taker: ConsumerPlan) -> None:
        self.history.ranks[self.inbox] = self.number
        super()._begin(plan, taker)

    def wishes(self) -> dict[str, object]:
        return {"group": GROUP, "priority": self.number}
