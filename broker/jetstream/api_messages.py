"""STREAM.MSG.GET, STREAM.MSG.DELETE and DIRECT.GET.

The first two answer JSON and belong to the stream's leader; a direct get answers the message itself, with headers
that say where it was found, or a status. Not here: batches of direct gets (`batch`, `multi_last`), which are refused
with 408.
"""

import base64
import json
from typing import Final

from broker.core.subjects import SubjectMatcher, is_literal
from broker.jetstream.api import ApiAnswer, Propose, Reply, StreamLeader, parse
from broker.jetstream.api_errors import (
    BAD_REQUEST,
    MESSAGE_DELETE_FAILED,
    NO_MESSAGE_FOUND,
    STREAM_SEALED,
    ApiError,
)
from broker.jetstream.api_types import (
    BOOLEAN,
    INTEGER,
    TEXT,
    TEXTS,
    TIME,
    UNSIGNED,
    ApiRequest,
    answer,
    error_answer,
    fits,
    is_empty_payload,
    read_fields,
    required_level_error,
)
from broker.jetstream.go_time import format_time, parse_time
from broker.jetstream.ops import OP_MESSAGE_DELETE, encode_delete
from broker.jetstream.store import MessageStore, StoredMessage

_GET: Final = "stream_msg_get_response"
_DELETE: Final = "stream_msg_delete_response"
_GET_FIELDS: Final[dict[str, str]] = {
    "seq": UNSIGNED,
    "last_by_subj": TEXT,
    "next_by_subj": TEXT,
    "batch": INTEGER,
    "max_bytes": INTEGER,
    "start_time": TIME,
    "multi_last": TEXTS,
    "up_to_seq": UNSIGNED,
    "up_to_time": TIME,
    "no_hdr": BOOLEAN,
}
_DELETE_FIELDS: Final[dict[str, str]] = {"seq": UNSIGNED, "no_erase": BOOLEAN}
_BATCH_FIELDS: Final = ("batch", "max_bytes", "multi_last", "up_to_seq", "up_to_time")
_REFUSED_FIELDS: Final = ("batch", "max_bytes")  # by STREAM.MSG.GET, which ignores the other three

_EMPTY_REQUEST: Final = b"NATS/1.0 408 Empty Request\r\n\r\n"
_MALFORMED_REQUEST: Final = b"NATS/1.0 408 Malformed Request\r\n\r\n"
_BAD_REQUEST: Final = b"NATS/1.0 408 Bad Request\r\n\r\n"
_NOT_FOUND: Final = b"NATS/1.0 404 Message Not Found\r\n\r\n"
_API_LEVEL: Final = b"NATS/1.0 412 Required Api Level\r\n\r\n"


class MessageQuery:
    """Which message is wanted; times in Unix ns, 0 and "" = not said."""

    def __init__(self, fields: dict[str, object]) -> None:
        sequence, last, following = fields.get("seq", 0), fields.get("last_by_subj", ""), fields.get("next_by_subj", "")
        start = fields.get("start_time", "")
        assert isinstance(sequence, int) and isinstance(last, str)
        assert isinstance(following, str) and isinstance(start, str)
        self.sequence: int = sequence
        self.last_subject: str = last
        self.next_subject: str = following
        self.has_start: bool = bool(start)
        self.start_ns: int = (parse_time(start) or 0) if start else 0
        self.without_headers: bool = bool(fields.get("no_hdr"))

    def is_empty(self) -> bool:
        """Nothing is asked for."""
        return not (self.sequence or self.last_subject or self.next_subject or self.has_start)

    def is_contradictory(self) -> bool:
        """More than one message is meant."""
        if self.last_subject:
            return bool(self.sequence or self.next_subject or self.has_start)
        return bool(self.has_start and self.sequence)

    def find(self, store: MessageStore) -> StoredMessage | None:
        """The message. Raises CorruptBlock."""
        if self.last_subject:
            return _last_for(store, self.last_subject)
        sequence = store.sequence_at_time(self.start_ns) if self.has_start else self.sequence
        if self.next_subject:
            matcher = SubjectMatcher([self.next_subject])
            sequence = store.next_sequence(max(sequence, store.first_sequence), matcher)
        return store.get(sequence) if sequence else None


def _last_for(store: MessageStore, subject: str) -> StoredMessage | None:
    name = subject.encode()
    if is_literal(name):
        sequence = store.last_sequence_for(name)
    else:
        sequence = store.previous_sequence(store.last_sequence, SubjectMatcher([subject]))
    return store.get(sequence) if sequence else None


def handle_message(verb: str, request: ApiRequest, leader: StreamLeader) -> ApiAnswer:
    """One request for a message; `verb` is STREAM.MSG.GET, STREAM.MSG.DELETE or DIRECT.GET."""
    if verb == "DIRECT.GET":
        return _direct_get(request, leader)
    kind = _GET if verb == "STREAM.MSG.GET" else _DELETE
    error = required_level_error(request)
    if error is not None:
        return Reply(error_answer(kind, error))
    if is_empty_payload(request.payload()):
        return Reply(error_answer(kind, BAD_REQUEST))
    if verb == "STREAM.MSG.GET":
        return _get(request, leader)
    assert verb == "STREAM.MSG.DELETE", verb
    return _delete(request, leader)


def _get(request: ApiRequest, leader: StreamLeader) -> Reply:
    fields = read_fields(request.payload(), _GET_FIELDS, "JSApiMsgGetRequest")
    if isinstance(fields, ApiError):
        return Reply(error_answer(_GET, fields))
    query = MessageQuery(fields)
    if query.is_empty() or query.is_contradictory() or any(bool(fields.get(name)) for name in _REFUSED_FIELDS):
        return Reply(error_answer(_GET, BAD_REQUEST))
    found = query.find(leader.machine.store)
    if found is None:
        return Reply(error_answer(_GET, NO_MESSAGE_FOUND))
    message: dict[str, object] = {"subject": found.subject.decode(errors="replace"), "seq": found.sequence}
    headers = found.data[: found.header_length]
    payload = found.data[found.header_length :]
    if headers and not query.without_headers:
        message["hdrs"] = base64.b64encode(headers).decode()
    if payload:
        message["data"] = base64.b64encode(payload).decode()
    message["time"] = format_time(found.timestamp_ns)
    return Reply(answer(_GET, {"message": message}))


def _asks_for_batch(fields: dict[str, object]) -> bool:
    return any(bool(fields.get(name)) for name in _BATCH_FIELDS)


# Delete.


def _delete(request: ApiRequest, leader: StreamLeader) -> ApiAnswer:
    config = leader.machine.config
    fields = read_fields(request.payload(), _DELETE_FIELDS, "JSApiMsgDeleteRequest")
    if isinstance(fields, ApiError):
        return Reply(error_answer(_DELETE, fields))
    if config.sealed:
        return Reply(error_answer(_DELETE, STREAM_SEALED))
    if config.deny_delete:
        return Reply(error_answer(_DELETE, MESSAGE_DELETE_FAILED.of(err="message delete not permitted")))
    sequence = fields.get("seq", 0)
    assert isinstance(sequence, int)
    store = leader.machine.store
    if sequence > store.last_sequence:
        return Reply(error_answer(_DELETE, MESSAGE_DELETE_FAILED.of(err="stream store EOF")))
    if sequence < store.first_sequence:
        return Reply(error_answer(_DELETE, MESSAGE_DELETE_FAILED.of(err="no message found")))
    return Propose(OP_MESSAGE_DELETE, encode_delete(leader.wall_ns, sequence), respond_deleted)


def respond_deleted(result: object) -> bytes:
    """The answer once the delete was applied."""
    if isinstance(result, ApiError):
        return error_answer(_DELETE, result)
    return answer(_DELETE, {"success": True})


# Direct get.


def _direct_get(request: ApiRequest, leader: StreamLeader) -> ApiAnswer:
    """None (no answer) when the stream does not allow it."""
    machine = leader.machine
    target = parse(request.subject)
    if not machine.config.allow_direct or target is None:
        return None
    if required_level_error(request) is not None:
        return Reply(b"", _API_LEVEL)
    payload = request.payload()
    fields = _read_leniently(payload)
    if fields is None:
        return Reply(b"", _MALFORMED_REQUEST)
    if target.rest:
        if fields.get("last_by_subj") or fields.get("seq") or fields.get("next_by_subj") or fields.get("start_time"):
            return Reply(b"", _BAD_REQUEST)
        fields["last_by_subj"] = target.rest
    query = MessageQuery(fields)
    if query.is_empty() and not fields.get("multi_last"):
        return Reply(b"", _EMPTY_REQUEST)
    if query.is_contradictory() or _asks_for_batch(fields):
        return Reply(b"", _BAD_REQUEST)
    found = query.find(machine.store)
    if found is None:
        return Reply(b"", _NOT_FOUND)
    message = found.data[found.header_length :]
    if query.without_headers:
        return Reply(message)
    return Reply(message, direct_headers(machine.config.name, found))


def _read_leniently(payload: bytes) -> dict[str, object] | None:
    """The fields of a direct get; unknown ones are ignored there. None when it is no request."""
    if not payload.strip():
        return {}
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if value is None:
        return {}
    if not isinstance(value, dict):
        return None
    fields: dict[str, object] = {}
    for key, item in value.items():
        kind = _GET_FIELDS.get(key)
        if kind is None or item is None:
            continue
        if not fits(item, kind):
            return None
        fields[key] = item
    return fields


def direct_headers(stream: str, message: StoredMessage) -> bytes:
    """The message's own headers, then where it was found."""
    own = message.data[: message.header_length]
    head = own[:-2] if own else b"NATS/1.0\r\n"
    return head + (
        b"Nats-Stream: %s\r\nNats-Subject: %s\r\nNats-Sequence: %d\r\nNats-Time-Stamp: %s\r\n\r\n"
        % (stream.encode(), message.subject, message.sequence, format_time(message.timestamp_ns).encode())
    )
