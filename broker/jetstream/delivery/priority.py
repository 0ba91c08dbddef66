"""Priority groups of pull consumers (ADR-42): which of the waiting requests may get the next message.

overflow: a request names how many messages must be ahead (`min_pending`) or out (`min_ack_pending`) before it wants
any. pinned_client: one client gets everything; its first request pins it, every message tells it the id by which it
asks again, and it loses the pin when it has not asked for `priority_timeout` or when an operator unpins it.
prioritized: requests of lower `priority` first, equal ones in turn.

The line of requests (`pull.PullQueue`) asks before each message; a line without a policy has none of this. Like the
line, a pin belongs to a term of the leader.

Not here: the line itself, reading requests (`pull`), delivering. Invariants: a request that may not be served stays in
the line, behind those that may; only a request with an outdated pin is ended (423).
"""

from collections import deque
from typing import Final

from broker.jetstream.advisories import group_pinned, group_unpinned
from broker.jetstream.config.consumer_config import (
    PRIORITY_NONE,
    PRIORITY_OVERFLOW,
    PRIORITY_PINNED_CLIENT,
    PRIORITY_PRIORITIZED,
    ConsumerConfig,
)
from broker.jetstream.consumers.consumer import Consumer
from broker.jetstream.delivery.lead_context import LeadContext
from broker.jetstream.delivery.pull_request import PullRequest, status
from broker.jetstream.names import fresh_id
from broker.jetstream.publishing.publish_headers import add_header

PIN_HEADER: Final = b"Nats-Pin-Id"
PRIORITY_MAX: Final = 9
_UNGROUPED: Final = PRIORITY_MAX + 1  # a request that says nothing of its priority comes last


def group_refusal(request: PullRequest, config: ConsumerConfig, pin: bytes) -> bytes:
    """The status that refuses a request for what it says of groups; b"" when it may wait. `pin`: who is pinned now."""
    if not request.grouped:
        return b""
    policy = config.priority_policy
    if (request.min_pending or request.min_ack_pending) and policy != PRIORITY_OVERFLOW:
        return status(400, "Bad Request - Not a Overflow Priority consumer")
    if request.pin and policy != PRIORITY_PINNED_CLIENT:
        return status(400, "Bad Request - Not a Pinned Client Priority consumer")
    if not 0 <= request.priority <= PRIORITY_MAX:
        return status(400, "Bad Request - Priority must be between 0 and 9")
    if policy == PRIORITY_NONE:
        return b""
    if not request.group:
        return status(400, "Bad Request - Priority Group missing")
    if request.group not in config.priority_groups:
        return status(400, "Bad Request - Invalid Priority Group")
    if pin and request.pin and request.pin != pin:
        return status(423, "Nats-Pin-Id mismatch")
    return b""


class PriorityGroup:
    """The policy of one consumer, and who is pinned."""

    def __init__(self, consumer: Consumer, context: LeadContext) -> None:
        self.pin: bytes = b""
        self.pinned_ns: int = 0  # Unix ns
        self.deadline_ns: int = 0  # when the pin is lost
        self.ahead: int = 0
        self.out: int = 0
        self._pinned_group: str = ""
        self._consumer: Final = consumer
        self._context: Final = context

    def measure(self, ahead: int, out: int) -> None:
        """Before a message is given away: messages ahead, it included, and messages that wait for their ack."""
        self.ahead = ahead
        self.out = out

    # The line.

    def insert(self, waiting: deque[PullRequest], request: PullRequest) -> None:
        """A request joins the line, or has had its turn."""
        if self._consumer.config.priority_policy != PRIORITY_PRIORITIZED:
            waiting.append(request)
            return
        rank = _rank(request)
        position = len(waiting)
        while position > 0 and _rank(waiting[position - 1]) > rank:
            position -= 1
        waiting.insert(position, request)

    def bring_forward(self, waiting: deque[PullRequest]) -> bool:
        """Let the head of the line be one that may be served; False when there is none."""
        policy = self._consumer.config.priority_policy
        if policy == PRIORITY_PRIORITIZED:
            return bool(waiting)
        for _ in range(len(waiting)):
            request = waiting[0]
            if policy == PRIORITY_PINNED_CLIENT and request.pin and request.pin != self.pin:
                waiting.popleft()
                self._tell_outdated(request)
            elif self._may_serve(policy, request):
                return True
            else:
                waiting.rotate(-1)
        return False

    def _may_serve(self, policy: str, request: PullRequest) -> bool:
        if policy == PRIORITY_PINNED_CLIENT:
            return request.pin == self.pin  # both may be empty: whoever comes first is pinned
        if request.min_pending <= 0 and request.min_ack_pending <= 0:
            return True
        return 0 < request.min_pending <= self.ahead or 0 < request.min_ack_pending <= self.out

    def _tell_outdated(self, request: PullRequest) -> None:
        header = b"NATS/1.0 423 Nats-Wrong-Pin-Id\r\nNats-Pending-Messages: %d\r\nNats-Pending-Bytes: %d\r\n\r\n" % (
            request.batch, request.max_bytes,
        )
        self._context.output.send(request.origin, request.inbox, request.inbox, b"", len(header), header)

    # Pins.

    def served(self, request: PullRequest) -> None:
        """A request gets a message."""
        if self.pin or self._consumer.config.priority_policy != PRIORITY_PINNED_CLIENT or not request.group:
            return
        context = self._context
        self.pin = fresh_id(context.rng).encode()
        self.pinned_ns = context.wall_ns
        self._pinned_group = request.group
        request.pin = self.pin
        self.asked(request)
        consumer = self._consumer
        context.publish(group_pinned(consumer.stream, consumer.name, request.group, self.pin.decode()))

    def asked(self, request: PullRequest) -> None:
        """A request came: the pinned client is alive if it is its own."""
        if self.pin and request.pin == self.pin:
            self.deadline_ns = self._context.now_ns + self._consumer.config.priority_timeout_ns

    def expire(self) -> None:
        """Who did not ask for too long loses the pin."""
        if self.pin and self._context.now_ns >= self.deadline_ns:
            self._release("timeout", self._pinned_group)

    def unpin(self, group: str) -> None:
        """An operator wants another client to have its turn."""
        self._release("admin", group)

    def _release(self, reason: str, group: str) -> None:
        self.pin = b""
        self.pinned_ns = 0
        self.deadline_ns = 0
        consumer = self._consumer
        self._context.publish(group_unpinned(consumer.stream, consumer.name, group, reason))

    def marked(self, header_length: int, data: bytes) -> tuple[int, bytes]:
        """A message for the pinned client, with its id."""
        if not self.pin:
            return header_length, data
        block = add_header(data[:header_length], PIN_HEADER, self.pin)
        return len(block), block + data[header_length:]


def _rank(request: PullRequest) -> int:
    return request.priority if request.grouped else _UNGROUPED
