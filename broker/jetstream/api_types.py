"""The shapes of API requests and answers, and what every JSON of the API is made of: times, strict reading, PubAcks.

Answers carry `type`; errors are answers too. Not here: what a stream's INFO contains (`api_streams`), errors' texts
(`api_errors`). Invariant: reading is as strict as Go's decoder with unknown fields disallowed; names in any case,
null means absent.
"""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Final

from broker.jetstream.api_errors import API_LEVEL_REQUIRED, INVALID_JSON, ApiError
from broker.jetstream.publish_headers import header_value

TYPE_PREFIX: Final = "io.nats.jetstream.api.v1."
ZERO_TIME: Final = "0001-01-01T00:00:00Z"
API_LEVEL: Final = 5
SERVER_VERSION: Final = "2.15.1"

_SECOND_NS: Final = 1_000_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIME: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))")


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


def error_answer(kind: str, error: ApiError) -> bytes:
    """The JSON of a refusal; some answers keep the rest of their shape."""
    fields: dict[str, object] = {"type": TYPE_PREFIX + kind, "error": error.to_json()}
    if kind in ("stream_info_response", "stream_names_response", "stream_list_response"):
        fields.update({"total": 0, "offset": 0, "limit": 0})
        if kind != "stream_info_response":
            fields["streams"] = [] if kind == "stream_list_response" else None
    elif kind == "stream_purge_response":
        fields["purged"] = 0
    return json_bytes(fields)


def json_bytes(value: object) -> bytes:
    """Compact JSON, not escaping what needs no escape."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


# PubAck.


def pub_ack_prefix(stream: str) -> bytes:
    """What precedes the sequence."""
    return b'{"stream":"%s","seq":' % stream.encode()


def pub_ack(stream: str, sequence: int) -> bytes:
    """The message is stored under `sequence`."""
    return pub_ack_prefix(stream) + b"%d}" % sequence


def pub_ack_duplicate(stream: str, sequence: int) -> bytes:
    """The message was stored before."""
    return pub_ack_prefix(stream) + b'%d,"duplicate": true}' % sequence


def pub_ack_error(stream: str, error: ApiError) -> bytes:
    """The message is not stored."""
    return json_bytes({"error": error.to_json(), "stream": stream, "seq": 0})


# Times.


def format_time(timestamp_ns: int) -> str:
    """RFC3339 with up to nine fractional digits, UTC, as Go prints it."""
    seconds, fraction = divmod(timestamp_ns, _SECOND_NS)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    if fraction:
        text += "." + f"{fraction:09d}".rstrip("0")
    return text + "Z"


def format_time_or_zero(timestamp_ns: int) -> str:
    """Go's zero time where there is none."""
    return format_time(timestamp_ns) if timestamp_ns else ZERO_TIME


def parse_time(text: str) -> int | None:
    """Unix ns of an RFC3339 time; None when it is none. Go's zero time is 0."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, off_hours, off_minutes = found.groups()
    try:
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    except ValueError:
        return None
    if moment.year == 1 and text == ZERO_TIME:
        return 0
    whole = moment - _EPOCH
    seconds = whole.days * 86400 + whole.seconds
    if sign is not None:
        offset = int(off_hours) * 3600 + int(off_minutes) * 60
        seconds -= offset if sign == "+" else -offset
    return seconds * _SECOND_NS + int(((fraction or "") + "000000000")[:9])


# Strict reading.

INTEGER: Final = "int"
INTEGER_64: Final = "int64"
INTEGER_32: Final = "int32"
UNSIGNED: Final = "uint64"
DURATION: Final = "time.Duration"
BOOLEAN: Final = "bool"
TEXT: Final = "string"
TEXTS: Final = "[]string"
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
        value = json.loads(payload)
    except (ValueError, RecursionError):
        return False
    return value is None or value == {}


def read_object(payload: bytes, struct: str = "StreamConfigRequest") -> dict[str, object] | ApiError:
    """A JSON object; absent counts as an empty one. `struct` is what Go calls it (in its errors)."""
    if not payload.strip():
        return {}
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError) as error:
        return INVALID_JSON.of(err=_syntax_error(payload, error))
    if value is None:
        return {}
    if not isinstance(value, dict):
        return INVALID_JSON.of(err=f"json: cannot unmarshal {go_kind(value)} into Go value of type server.{struct}")
    return value


def _syntax_error(payload: bytes, error: Exception) -> str:
    """Go's words for what is no JSON, roughly."""
    if not isinstance(error, json.JSONDecodeError):
        return "invalid UTF-8" if isinstance(error, UnicodeDecodeError) else "exceeded max depth"
    if error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated"):
        return "unexpected EOF"
    found = "'" + error.doc[error.pos] + "'"
    where = "object key string" if error.msg.startswith("Expecting property name") else "value"
    return f"invalid character {found} looking for beginning of {where} at offset {error.pos + 1}"


def required_level_error(request: ApiRequest) -> ApiError | None:
    """`Nats-Required-Api-Level` asks for more than this server has."""
    if not request.header_length:
        return None
    value = header_value(request.headers(), b"Nats-Required-Api-Level")
    if not value or (value.isdigit() and len(value) < 10 and int(value) <= API_LEVEL):
        return None
    return API_LEVEL_REQUIRED


def read_fields(payload: bytes, kinds: dict[str, str], struct: str) -> dict[str, object] | ApiError:
    """The fields of a request, by their exact names; `struct` is what Go calls the whole (in its errors)."""
    value = read_object(payload, struct)
    if isinstance(value, ApiError):
        return value
    fields: dict[str, object] = {}
    for key, item in value.items():
        name = key if key in kinds else key.lower()
        kind = kinds.get(name)
        if kind is None:
            return INVALID_JSON.of(err=f'json: unknown field "{key}"')
        if item is None:
            continue
        if not fits(item, kind):
            return INVALID_JSON.of(err=unmarshal_error(item, f"{struct}.{name}", kind))
        fields[name] = item
    return fields


def fits(item: object, kind: str) -> bool:
    """Whether a JSON value is of a Go type."""
    if kind in _RANGES:
        low, high = _RANGES[kind]
        return isinstance(item, int) and not isinstance(item, bool) and low <= item < high
    if kind == BOOLEAN:
        return isinstance(item, bool)
    if kind == TEXTS:
        return isinstance(item, list) and all(isinstance(entry, str) for entry in item)
    if kind == STRING_MAP:
        return isinstance(item, dict) and all(isinstance(entry, str) for entry in item.values())
    return isinstance(item, str) and (kind != TIME or parse_time(item) is not None)


def unmarshal_error(item: object, field: str, kind: str) -> str:
    """Go's words for a value of the wrong type."""
    if kind == TIME and isinstance(item, str):
        return f'parsing time "{item}" as "2006-01-02T15:04:05Z07:00": cannot parse "{item}" as "2006"'
    if kind == TEXTS and isinstance(item, list):
        wrong = [index for index in range(len(item)) if not isinstance(item[index], str)]
        return f"json: cannot unmarshal {go_kind(item[wrong[0]])} into {field}.{wrong[0]} of type string"
    if kind == STRING_MAP and isinstance(item, dict):
        key = next(key for key in item if not isinstance(item[key], str))
        item, field, kind = item[key], f"{field}.{key}", TEXT
    found = go_kind(item)
    if found == "number" and kind in _RANGES:
        found = f"number {item}"
    return f"json: cannot unmarshal {found} into Go struct field {field} of type {kind}"


def go_kind(value: object) -> str:
    """What Go's decoder calls a JSON value in its errors."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | float):
        return "number"
    return "array" if isinstance(value, list) else "object"
