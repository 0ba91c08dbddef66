"""Pull requests: reading them, and the line in which they wait at one consumer.

A request ends with its batch, its expiry (408), a status (4xx), or silently when its inbox, once seen to have
interest, has none any more. Messages go round the line one at a time. Times are monotonic ns.

Not here: which message is next and sending it (`consumer_lead`). The line dies with the leader's term: clients ask
again.

Invariants: at most `max_waiting` requests wait; `next_deadline_ns` is never later than the earliest expiry or
heartbeat.
"""

from collections import deque
from typing import Final

from broker.jetstream.api_errors import ApiError
from broker.jetstream.api_types import go_kind, read_object
from broker.jetstream.consumer_config import ConsumerConfig
from broker.jetstream.delivery_output import DeliveryOutput
from broker.jetstream.durations import format_duration

STATUS_NO_MESSAGES: Final = b"NATS/1.0 404 No Messages\r\n\r\n"
STATUS_REQUESTS_PENDING: Final = b"NATS/1.0 408 Requests Pending\r\n\r\n"
STATUS_PUSH_BASED: Final = b"NATS/1.0 409 Consumer is push based\r\n\r\n"
STATUS_CONSUMER_DELETED: Final = b"NATS/1.0 409 Consumer Deleted\r\n\r\n"
STATUS_LEADERSHIP_CHANGE: Final = b"NATS/1.0 409 Leadership Change\r\n\r\n"
STATUS_MAX_WAITING: Final = b"NATS/1.0 409 Exceeded MaxWaiting\r\n\r\n"
STATUS_API_LEVEL: Final = b"NATS/1.0 412 Required Api Level\r\n\r\n"
_REQUEST_TIMEOUT: Final = b"408 Request Timeout"
_BATCH_COMPLETED: Final = b"409 Batch Completed"
_SIZE_EXCEEDED: Final = b"409 Message Size Exceeds MaxBytes"
SWEEP_PAUSE_NS: Final = 1_000_000_000
_FIELDS: Final = {
    "batch": "int",
    "expires": "time.Duration",
    "no_wait": "bool",
    "max_bytes": "int",
    "idle_heartbeat": "time.Duration",
    "group": "string",
    "min_pending": "int64",
    "min_ack_pending": "int64",
    "id": "string",
    "priority": "int",
}


class PullRequest:
    """One request, as long as it waits."""

    def __init__(self, inbox: bytes, origin: str) -> None:
        self.inbox: Final = inbox
        self.origin: Final = origin
        self.batch: int = 1
        self.delivered: int = 0
        self.max_bytes: int = 0
        self.expires: int = 0  # as asked for: ns from its arrival
        self.expires_ns: int = 0
        self.heartbeat: int = 0
        self.heartbeat_ns: int = 0
        self.no_wait: bool = False
        self.interest_seen: bool = False
        self.checked_in: int = 0
        self.grouped: bool = False
        self.refusal: str = ""


def read_request(inbox: bytes, origin: str, payload: bytes) -> PullRequest:
    """A request from its payload; `refusal` is the text of a 400 where it cannot be accepted."""
    request = PullRequest(inbox, origin)
    text = payload.strip()
    if not text:
        return request
    if text[:1] != b"{":
        try:
            request.batch = int(text)
        except ValueError:
            request.batch = 1
        return request
    fields = read_object(text)
    if isinstance(fields, ApiError):
        request.refusal = "Bad Request - " + fields.description.removeprefix("invalid JSON: ")
        return request
    values: dict[str, object] = {}
    for key in fields:
        kind = _FIELDS.get(key.lower())
        value = fields[key]
        if kind is None or value is None:
            continue
        fits = isinstance(value, bool) if kind == "bool" else isinstance(value, str) if kind == "string" else (
            isinstance(value, int) and not isinstance(value, bool)
        )
        if not fits:
            field = f".{key.lower()} of type {kind}"
            request.refusal = f"Bad Request - json: cannot unmarshal {go_kind(value)} into Go struct field {field}"
            return request
        values[key.lower()] = value
    _fill(request, values)
    return request


def _number(values: dict[str, object], name: str) -> int:
    value = values.get(name, 0)
    assert isinstance(value, int)
    return value


def _fill(request: PullRequest, values: dict[str, object]) -> None:
    request.batch = _number(values, "batch")
    request.max_bytes = _number(values, "max_bytes")
    request.expires = _number(values, "expires")
    request.heartbeat = max(_number(values, "idle_heartbeat"), 0)
    request.no_wait = bool(values.get("no_wait", False))
    if request.heartbeat * 2 > request.expires and request.heartbeat:
        request.refusal = "Bad Request - heartbeat value too large"
    elif _number(values, "min_pending") or _number(values, "min_ack_pending"):
        request.refusal = "Bad Request - Not a Overflow Priority consumer"
    elif values.get("id", ""):
        request.refusal = "Bad Request - Not a Pinned Client Priority consumer"
    elif not 0 <= _number(values, "priority") <= 9:
        request.refusal = "Bad Request - Priority must be between 0 and 9"


def exceeded_limit(request: PullRequest, config: ConsumerConfig) -> str:
    """The text of a 409 where the request asks for more than the consumer allows; "" when it does not."""
    if 0 < config.max_batch < request.batch:
        return f"Exceeded MaxRequestBatch of {config.max_batch}"
    if request.expires and 0 < config.max_expires_ns < request.expires:
        return f"Exceeded MaxRequestExpires of {format_duration(config.max_expires_ns)}"
    if request.max_bytes > 0 and 0 < config.max_bytes < request.max_bytes:
        return f"Exceeded MaxRequestMaxBytes of {config.max_bytes}"
    return ""


def status(code: int, text: str) -> bytes:
    """A header block that is only a status line."""
    return b"NATS/1.0 %d %s\r\n\r\n" % (code, text.encode())


class PullQueue:
    """The requests waiting at one consumer."""

    def __init__(self, output: DeliveryOutput) -> None:
        self.output: Final = output
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
        self.waiting.append(request)

    def _arm(self, deadline_ns: int) -> None:
        if self.next_deadline_ns == 0 or deadline_ns < self.next_deadline_ns:
            self.next_deadline_ns = deadline_ns

    def interested(self, request: PullRequest, pump: int) -> bool:
        """Whether somebody still listens. Asked from another node, the request may have come before word of the
        interest."""
        if request.checked_in == pump:
            return True
        request.checked_in = pump
        if self.output.has_interest(request.inbox, b""):
            request.interest_seen = True
            return True
        return bool(request.origin) and not request.interest_seen

    def choose(self, size: int, pump: int) -> PullRequest | None:
        """The request that gets a message of `size` bytes now; it is counted against it."""
        waiting = self.waiting
        while waiting:
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
            if request.batch <= 0:
                waiting.popleft()
            elif len(waiting) > 1:
                waiting.rotate(-1)
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
