"""The line in which pull requests wait at one consumer.

A request ends with its batch, its expiry (408), a status (4xx), or silently when its inbox, once seen to have
interest, has none any more. Messages go round the line one at a time; with a priority group, it says whose turn it is.
Times are monotonic ns.

Not here: reading requests (`pull_request`), which message is next and sending it (`consumer_lead`). The line dies with
the leader's term: clients ask again.

Invariants: at most `max_waiting` requests wait; `next_deadline_ns` is never later than the earliest expiry or
heartbeat.
"""

from collections import deque
from typing import Final

from broker.jetstream.config.consumer_config import ConsumerConfig
from broker.jetstream.delivery.delivery_output import DeliveryOutput
from broker.jetstream.delivery.priority import PriorityGroup, group_refusal
from broker.jetstream.delivery.pull_request import STATUS_NO_MESSAGES, PullRequest, exceeded_limit, status

SWEEP_PAUSE_NS: Final = 1_000_000_000
_REQUEST_TIMEOUT: Final = b"408 Request Timeout"
_BATCH_COMPLETED: Final = b"409 Batch Completed"
_SIZE_EXCEEDED: Final = b"409 Message Size Exceeds MaxBytes"


class PullQueue:
    """The requests waiting at one consumer."""

    def __init__(self, output: DeliveryOutput, group: PriorityGroup | None) -> None:
        self.output: Final = output
        self.group: PriorityGroup | None = group
        self.waiting: deque[PullRequest] = deque()
        self.next_deadline_ns: int = 0
        self.swept_ns: int = 0
        self.last_active_ns: int = 0
        self.one_shots: bool = False  # whether somebody waits who will not wait behind the end of the stream

    def tell(self, request: PullRequest, header: bytes) -> None:
        """Send a status to a request's inbox."""
        self.output.send(request.origin, request.inbox, request.inbox, b"", len(header), header)

    def _tell_pending(self, request: PullRequest, line: bytes) -> None:
        header = b"NATS/1.0 %s\r\nNats-Pending-Messages: %d\r\nNats-Pending-Bytes: %d\r\n\r\n" % (
            line, request.batch, request.max_bytes,
        )
        self.tell(request, header)

    def refusal(self, request: PullRequest, config: ConsumerConfig) -> bytes:
        """The status that answers a request which may not wait here; b"" when it may."""
        text = exceeded_limit(request, config)
        if text:
            return status(409, text)
        group = self.group
        refused = group_refusal(request, config, b"" if group is None else group.pin)
        if not refused and group is not None:
            group.asked(request)
        return refused

    def add(self, request: PullRequest, now_ns: int) -> None:
        """Let an accepted request wait; its times begin to run."""
        if request.expires:
            request.expires_ns = now_ns + request.expires
            self._arm(request.expires_ns)
        if request.heartbeat:
            request.heartbeat_ns = now_ns + request.heartbeat
            self._arm(request.heartbeat_ns)
        if request.no_wait:
            self.one_shots = True
        self.last_active_ns = now_ns
        if self.group is None:
            self.waiting.append(request)
        else:
            self.group.insert(self.waiting, request)

    def _arm(self, deadline_ns: int) -> None:
        if self.next_deadline_ns == 0 or deadline_ns < self.next_deadline_ns:
            self.next_deadline_ns = deadline_ns

    def interested(self, request: PullRequest, pump: int) -> bool:
        """Whether somebody still listens. Asked from another node, the request may have come before word of the
        interest."""
        if request.checked_in == pump:
            return True
        if self.output.has_interest(request.inbox, b""):
            request.interest_seen = True
        elif not request.origin or request.interest_seen:
            return False
        request.checked_in = pump
        return True

    def choose(self, size: int, pump: int) -> PullRequest | None:
        """The request that gets a message of `size` bytes now; it is counted against it."""
        waiting = self.waiting
        group = self.group
        while waiting:
            if group is not None and not group.bring_forward(waiting):
                return None
            request = waiting[0]
            if not self.interested(request, pump):
                waiting.popleft()
                continue
            if request.max_bytes > 0:
                if size > request.max_bytes:
                    self._tell_pending(request, _SIZE_EXCEEDED)
                    waiting.popleft()
                    continue
                request.max_bytes -= size
                if request.max_bytes == 0:
                    request.batch = 1
            request.delivered += 1
            request.batch -= 1
            if group is not None:
                group.served(request)
            if request.batch <= 0:
                waiting.popleft()
            elif len(waiting) > 1:
                if group is None:
                    waiting.rotate(-1)
                else:
                    group.insert(waiting, waiting.popleft())
            return request
        return None

    def sent(self, request: PullRequest, now_ns: int) -> None:
        """The message chosen for it has left."""
        if request.batch <= 0:
            if request.max_bytes > 0:
                self._tell_pending(request, _BATCH_COMPLETED)
        elif request.heartbeat:
            request.heartbeat_ns = now_ns + request.heartbeat

    def sweep(self, now_ns: int, end_of_stream: bool, heartbeat: bytes, pump: int) -> int:
        """Expire, drop, heartbeat; at the end of the stream answer those who will not wait. Returns the batches still
        open."""
        self.swept_ns = now_ns
        self.next_deadline_ns = 0
        self.one_shots = False
        if not self.waiting:
            return 0
        kept: deque[PullRequest] = deque()
        batches = 0
        for request in self.waiting:
            if request.expires_ns and now_ns >= request.expires_ns:
                self._tell_pending(request, _REQUEST_TIMEOUT)
                self.last_active_ns = max(self.last_active_ns, request.expires_ns)
                continue
            if end_of_stream and request.no_wait and (request.expires_ns == 0 or request.delivered > 0):
                self.tell(request, STATUS_NO_MESSAGES)
                self.last_active_ns = now_ns
                continue
            if not self.interested(request, pump):
                continue
            batches += request.batch
            if request.heartbeat_ns:
                if now_ns >= request.heartbeat_ns:
                    self.tell(request, heartbeat)
                    request.heartbeat_ns = now_ns + request.heartbeat
                self._arm(request.heartbeat_ns)
            if request.expires_ns:
                self._arm(request.expires_ns)
            if request.no_wait:
                self.one_shots = True
            kept.append(request)
        self.waiting = kept
        return batches

    def end(self, header: bytes) -> None:
        """Tell everybody the same and forget them."""
        for request in self.waiting:
            self.tell(request, header)
        self.waiting = deque()
        self.next_deadline_ns = 0
