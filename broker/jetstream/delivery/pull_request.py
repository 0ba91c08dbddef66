"""Pull requests (`CONSUMER.MSG.NEXT`) and the statuses that answer them.

Not here: the line in which they wait (`pull`), what they say of priority groups (`priority`).
"""

from typing import Final

from broker.jetstream.api_types import INTEGER, fits, unmarshal_error
from broker.jetstream.config.consumer_config import ConsumerConfig
from broker.jetstream.consumers.dead_letter import CLIENT_MAX
from broker.jetstream.durations import format_duration
from broker.jetstream.go_json import JsonError, decode_one
from broker.wire import headers

STATUS_NO_MESSAGES: Final = b"NATS/1.0 404 No Messages\r\n\r\n"
STATUS_REQUESTS_PENDING: Final = b"NATS/1.0 408 Requests Pending\r\n\r\n"
STATUS_PUSH_BASED: Final = b"NATS/1.0 409 Consumer is push based\r\n\r\n"
STATUS_CONSUMER_DELETED: Final = b"NATS/1.0 409 Consumer Deleted\r\n\r\n"
STATUS_LEADERSHIP_CHANGE: Final = b"NATS/1.0 409 Leadership Change\r\n\r\n"
STATUS_MAX_WAITING: Final = b"NATS/1.0 409 Exceeded MaxWaiting\r\n\r\n"
STATUS_API_LEVEL: Final = b"NATS/1.0 412 Required Api Level\r\n\r\n"
CLIENT: Final = b"Ternmq-Client"
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

    def __init__(self, inbox: bytes, origin: str, client: bytes = b"") -> None:
        self.inbox: Final = inbox
        self.origin: Final = origin
        self.client: Final = client  # the name it gave itself, for dead letters
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
        self.refusal: str = ""
        # Of priority groups; `grouped`: the request could say something of them.
        self.grouped: bool = False
        self.group: str = ""
        self.min_pending: int = 0
        self.min_ack_pending: int = 0
        self.pin: bytes = b""
        self.priority: int = 0


def signed(header_length: int, data: bytes, client: str) -> tuple[int, bytes]:
    """A request with its client's name among its headers, as the node at which the client is sends it on."""
    name = "".join(character if character.isprintable() else " " for character in client[:CLIENT_MAX])
    return headers.put(header_length, data, CLIENT, name.encode("utf-8", "replace"))


def signature(header_length: int, data: bytes) -> bytes:
    """The name that `signed` put there."""
    return (headers.get(data[:header_length], CLIENT) or b"") if header_length else b""


def read_request(inbox: bytes, origin: str, payload: bytes, client: bytes = b"") -> PullRequest:
    """A request from its payload; `refusal` is the text of a 400 where it cannot be accepted."""
    request = PullRequest(inbox, origin, client)
    text = payload.strip()
    if not text:
        return request
    if text[:1] != b"{":
        digits = text[1:] if text[:1] in (b"+", b"-") else text
        if digits.isdigit() and len(digits) < 20 and fits(int(text), INTEGER):
            request.batch = int(text)
        return request
    try:
        fields = decode_one(text)
    except JsonError as error:
        request.refusal = f"Bad Request - {error}"
        return request
    assert isinstance(fields, dict)
    values: dict[str, object] = {}
    for key in fields:
        kind = _FIELDS.get(key.lower())
        value = fields[key]
        if kind is None or value is None:
            continue
        if not fits(value, kind):
            request.refusal = f"Bad Request - {unmarshal_error(value, '.' + key.lower(), kind)}"
            return request
        values[key.lower()] = value
    _fill(request, values)
    return request


def _number(values: dict[str, object], name: str) -> int:
    value = values.get(name, 0)
    assert isinstance(value, int)
    return value


def _text(values: dict[str, object], name: str) -> str:
    value = values.get(name, "")
    assert isinstance(value, str)
    return value


def _fill(request: PullRequest, values: dict[str, object]) -> None:
    request.batch = _number(values, "batch")
    request.max_bytes = _number(values, "max_bytes")
    request.expires = _number(values, "expires")
    request.heartbeat = max(_number(values, "idle_heartbeat"), 0)
    request.no_wait = bool(values.get("no_wait", False))
    request.grouped = True
    request.group = _text(values, "group")
    request.min_pending = _number(values, "min_pending")
    request.min_ack_pending = _number(values, "min_ack_pending")
    request.pin = _text(values, "id").encode()
    request.priority = _number(values, "priority")
    if request.heartbeat * 2 > request.expires and request.heartbeat:
        request.refusal = "Bad Request - heartbeat value too large"


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
