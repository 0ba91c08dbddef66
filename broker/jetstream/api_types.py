"""The shapes of API requests and answers, and what every JSON of the API is made of: times, strict reading, PubAcks.

Answers carry `type`; errors are answers too. Not here: what a stream's INFO contains (`api/streams`), errors' texts
(`api_errors`). Invariant: reading is as strict as Go's decoder with unknown fields disallowed; names in any case,
null means absent.
"""

import json
from typing import Final

from broker.jetstream.api_errors import API_LEVEL_REQUIRED, INVALID_JSON, ApiError
from broker.jetstream.go_json import JsonError, RawNumber, decode, quoted
from broker.jetstream.go_time import ZERO_TIME, complaint, parse_time
from broker.jetstream.publishing.publish_headers import header_value

TYPE_PREFIX: Final = "io.nats.jetstream.api.v1."
API_LEVEL: Final = 5
SERVER_VERSION: Final = "2.15.1"



class ApiRequest:
    """A message on an API subject; `origin` is the node the asker is on ("" = this one)."""

    def __init__(
        self, subject: bytes, reply: bytes, header_length: int, data: bytes, origin: str, wall_ns: int
    ) -> None:
        self.subject: Final = subject
        self.reply: Final = reply
        self.header_length: Final = header_length
        self.data: Final = data
        self.origin: Final = origin
        self.wall_ns: Final = wall_ns

    def headers(self) -> bytes:
        """The header block, b"" without one."""
        return self.data[: self.header_length]

    def payload(self) -> bytes:
        """What follows the headers."""
        return self.data[self.header_length :]


def answer(kind: str, fields: dict[str, object]) -> bytes:
    """The JSON of a successful answer of type `kind` (such as "stream_info_response")."""
    return json_bytes({"type": TYPE_PREFIX + kind, **fields})


def error_answer(kind: str, error: ApiError, request: str = "") -> bytes:
    """The JSON of a refusal; some answers keep the rest of their shape (that of `request` where it is given)."""
    fields: dict[str, object] = {"type": TYPE_PREFIX + kind, "error": error.to_json()}
    kind = request or kind
    if kind in ("stream_info_response", "stream_names_response", "stream_list_response"):
        fields.update({"total": 0, "offset": 0, "limit": 0})
        if kind != "stream_info_response":
            fields["streams"] = [] if kind == "stream_list_response" else None
    elif kind in ("consumer_names_response", "consumer_list_response"):
        fields.update({"total": 0, "offset": 0, "limit": 0, "consumers": []})
    elif kind == "stream_purge_response":
        fields["purged"] = 0
    elif kind == "consumer_pause_response":
        fields.update({"paused": False, "pause_until": ZERO_TIME})
    elif kind == "consumer_reset_response":
        fields["reset_seq"] = 0
    return json_bytes(fields)


def json_bytes(value: object) -> bytes:
    """Compact JSON, not escaping what needs no escape."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def no_responders(subject: bytes) -> bytes:
    """The header block of the answer of nobody, as the router gives it for a subject without subscribers."""
    return b"NATS/1.0 503\r\nNats-Subject: %s\r\n\r\n" % subject


# PubAck.


def pub_ack_prefix(stream: str, domain: str) -> bytes:
    """What precedes the sequence in every PubAck of a stream."""
    where = b',"domain":%s' % json_bytes(domain) if domain else b""
    return b'{"stream":"%s"%s,"seq":' % (stream.encode(), where)


def pub_ack_duplicate(prefix: bytes, sequence: int) -> bytes:
    """The message was stored before."""
    return prefix + b'%d,"duplicate": true}' % sequence


def pub_ack_batch(prefix: bytes, sequence: int, batch_id: bytes, count: int) -> bytes:
    """An atomic batch is stored; `sequence` is its last one."""
    name = json_bytes(batch_id.decode(errors="replace"))
    return prefix + b'%d,"batch":%b,"count":%d}' % (sequence, name, count)


def pub_ack_duplicate_batch(prefix: bytes, sequence: int, batch_id: bytes, count: int) -> bytes:
    """A fast batch of one message that was stored before."""
    name = json_bytes(batch_id.decode(errors="replace"))
    return prefix + b'%d,"duplicate": true,"batch":%b,"count":%d}' % (sequence, name, count)


def pub_ack_error(stream: str, error: ApiError) -> bytes:
    """The message is not stored."""
    return json_bytes({"error": error.to_json(), "stream": stream, "seq": 0})


# Strict reading.

INTEGER: Final = "int"
INTEGER_64: Final = "int64"
INTEGER_32: Final = "int32"
UNSIGNED: Final = "uint64"
DURATION: Final = "time.Duration"
BOOLEAN: Final = "bool"
TEXT: Final = "string"
TEXTS: Final = "[]string"
DURATIONS: Final = "[]time.Duration"
TIME: Final = "time.Time"
STRING_MAP: Final = "map[string]string"

_RANGES: Final[dict[str, tuple[int, int]]] = {
    INTEGER: (-(1 << 63), 1 << 63),
    INTEGER_64: (-(1 << 63), 1 << 63),
    INTEGER_32: (-(1 << 31), 1 << 31),
    DURATION: (-(1 << 63), 1 << 63),
    UNSIGNED: (0, 1 << 64),
}


def is_empty_payload(payload: bytes) -> bool:
    """Whether a body counts as no request at all."""
    if not payload.strip():
        return True
    try:
        values = decode(payload)
    except JsonError:
        return False
    return len(values) == 1 and (values[0] is None or values[0] == {})


def is_empty_request(payload: bytes) -> bool:
    """Whether a request that takes no body has none: nothing at all, or an object without members. Unlike elsewhere
    neither `null` nor spaces are nothing."""
    return not payload or (is_container(payload) and is_empty_payload(payload))


def is_container(payload: bytes) -> bool:
    """Whether a body looks like an object or an array; some requests ignore any other."""
    return payload.lstrip()[:1] in (b"{", b"[")


def read_object(payload: bytes, struct: str = "StreamConfigRequest") -> dict[str, object] | ApiError:
    """A JSON object; absent counts as an empty one. `struct` is what Go calls it (in its errors).

    Of several values one after another each adds to those before, as Go decodes them into one struct.
    """
    fields: dict[str, object] = {}
    try:
        values = decode(payload)
    except JsonError as error:
        return INVALID_JSON.of(err=error)
    for value in values:
        if isinstance(value, dict):
            fields.update(value)
        elif value is not None:
            return INVALID_JSON.of(err=f"json: cannot unmarshal {go_kind(value)} into Go value of type server.{struct}")
    return fields


def unknown_field(name: str) -> str:
    """Go's words for a field that no struct has."""
    return f"json: unknown field {quoted(name)}"


def required_level_error(request: ApiRequest) -> ApiError | None:
    """`Nats-Required-Api-Level` asks for more than this server has."""
    if not request.header_length:
        return None
    value = header_value(request.headers(), b"Nats-Required-Api-Level")
    digits = value[1:] if value[:1] in (b"+", b"-") else value
    if not value or (digits.isdigit() and len(digits) < 19 and int(value) <= API_LEVEL):
        return None
    return API_LEVEL_REQUIRED


def read_fields(
    payload: bytes, kinds: dict[str, str], struct: str, strict: bool = True
) -> dict[str, object] | ApiError:
    """The fields of a request, by their exact names; `struct` is what Go calls the whole (in its errors). Unknown ones
    are refused, or passed over where nats-server does."""
    value = read_object(payload, struct)
    if isinstance(value, ApiError):
        cut = not strict and value.description.endswith("unexpected EOF")
        return INVALID_JSON.of(err="unexpected end of JSON input") if cut else value
    fields: dict[str, object] = {}
    for key, item in value.items():
        name = key if key in kinds else key.lower()
        kind = kinds.get(name)
        if kind is None and strict:
            return INVALID_JSON.of(err=unknown_field(key))
        if kind is None or item is None:
            continue
        if not fits(item, kind):
            return INVALID_JSON.of(err=unmarshal_error(item, f"{struct}.{name}", kind))
        fields[name] = without_nulls(item)
    return fields


def fits(item: object, kind: str) -> bool:
    """Whether a JSON value is of a Go type."""
    if kind in _RANGES:
        low, high = _RANGES[kind]
        return isinstance(item, int) and not isinstance(item, bool) and low <= item < high
    if kind == BOOLEAN:
        return isinstance(item, bool)
    if kind == TEXTS:
        return isinstance(item, list) and all(entry is None or isinstance(entry, str) for entry in item)
    if kind == STRING_MAP:
        return isinstance(item, dict) and all(entry is None or isinstance(entry, str) for entry in item.values())
    return isinstance(item, str) and (kind != TIME or parse_time(item) is not None)


def without_nulls(item: object) -> object:
    """A value that `fits`, with Go's empty text in place of null in lists and maps of texts."""
    if isinstance(item, list):
        return ["" if entry is None else entry for entry in item]
    if isinstance(item, dict):
        return {key: "" if entry is None else entry for key, entry in item.items()}
    return item


def unmarshal_error(item: object, field: str, kind: str) -> str:
    """Go's words for a value of the wrong type; `field` is the path to it from its struct."""
    if kind == TIME and isinstance(item, str):
        return complaint(item)
    if kind in (TEXTS, DURATIONS) and isinstance(item, list):
        kind = kind[2:]
        index = next(index for index in range(len(item)) if item[index] is not None and not fits(item[index], kind))
        item, field = item[index], f"{field}.{index}"
    if kind == STRING_MAP and isinstance(item, dict):
        key = next(key for key in item if item[key] is not None and not isinstance(item[key], str))
        item, field, kind = item[key], f"{field}.{key.replace('~', '~0').replace('/', '~1')}", TEXT
    found = go_kind(item)
    if found == "number" and kind in _RANGES:
        found = f"number {item.text if isinstance(item, RawNumber) else item}"
    where = field if field.rsplit(".", 1)[-1].isdigit() else f"Go struct field {field}"
    return f"json: cannot unmarshal {found} into {where} of type {kind}"


def go_kind(value: object) -> str:
    """What Go's decoder calls a JSON value in its errors."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | RawNumber):
        return "number"
    return "array" if isinstance(value, list) else "object"


def go_json_text(value: object) -> str:
    """A value as its JSON again."""
    return value.text if isinstance(value, RawNumber) else json_bytes(value).decode()
