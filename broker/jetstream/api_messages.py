"""Single messages of a stream: STREAM.MSG.GET, STREAM.MSG.DELETE and DIRECT.GET, as its leader answers them.

Not here: batches and multi-gets, which are refused.
"""

import base64
from typing import Final

from broker.core.subjects import SubjectMatcher, is_literal
from broker.jetstream.api import ApiAnswer, Propose, Reply, StreamLeader, parse
from broker.jetstream.api_errors import (
    BAD_REQUEST,
    MESSAGE_DELETE_FAILED,
    NO_MESSAGE_FOUND,
    SEQUENCE_NOT_FOUND,
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
    format_time,
    is_empty_payload,
    parse_time,
    read_fields,
)
from broker.jetstream.ops import OP_MESSAGE_DELETE, encode_delete
from broker.jetstream.store import MessageStore, StoredMessage
from broker.wire import headers

_GET_FIELDS: Final = {
    "seq": UNSIGNED,
    "last_by_subj": TEXT,
    "next_by_subj": TEXT,
    "start_time": TIME,
    "batch": INTEGER,
    "max_bytes": INTEGER,
    "multi_last": TEXTS,
    "up_to_seq": UNSIGNED,
    "up_to_time": TIME,
    "no_hdr": BOOLEAN,
}
_BATCH_FIELDS: Final = ("batch", "max_bytes", "multi_last", "up_to_seq", "up_to_time")


def handle_message(verb: str, request: ApiRequest, leader: StreamLeader) -> ApiAnswer:
    """One request about messages of a stream that leads here."""
    if verb == "STREAM.MSG.GET":
        return _get(request, leader)
    if verb == "STREAM.MSG.DELETE":
        return _delete(request, leader)
    assert verb == "DIRECT.GET", verb
    return _direct_get(request, leader)


def _get(request: ApiRequest, leader: StreamLeader) -> ApiAnswer:
    kind = "stream_msg_get_response"
    fields = read_fields(request.payload(), _GET_FIELDS, "JSApiMsgGetRequest")
    if isinstance(fields, ApiError):
        return Reply(error_answer(kind, fields))
    if is_empty_payload(request.payload()) or not _asks_for_one(fields):
        return Reply(error_answer(kind, BAD_REQUEST))
    message = find(leader.machine.store, fields)
    if message is None:
        return Reply(error_answer(kind, NO_MESSAGE_FOUND))
    shown: dict[str, object] = {"subject": message.subject.decode("utf-8", "replace"), "seq": message.sequence}
    block = message.data[: message.header_length]
    body = message.data[message.header_length :]
    if block and not fields.get("no_hdr"):
        shown["hdrs"] = base64.b64encode(block).decode()
    if body:
        shown["data"] = base64.b64encode(body).decode()
    shown["time"] = format_time(message.timestamp_ns)
    return Reply(answer(kind, {"message": shown}))


def _asks_for_one(fields: dict[str, object]) -> bool:
    """Exactly one way of saying which message."""
    if any(fields.get(name) for name in _BATCH_FIELDS):
        return False
    if fields.get("last_by_subj"):
        return not (fields.get("seq") or fields.get("next_by_subj") or fields.get("start_time"))
    if fields.get("start_time"):
        return not fields.get("seq")
    return bool(fields.get("seq") or fields.get("next_by_subj"))


def find(store: MessageStore, fields: dict[str, object]) -> StoredMessage | None:
    """The message that a checked request names."""
    last_by = fields.get("last_by_subj")
    if isinstance(last_by, str) and last_by:
        subject = last_by.encode()
        if is_literal(subject):
            sequence = store.last_sequence_for(subject)
        else:
            sequence = store.previous_sequence(store.last_sequence, SubjectMatcher([last_by]))
        return store.get(sequence) if sequence else None
    start = fields.get("seq", 0)
    assert isinstance(start, int)
    start_time = fields.get("start_time")
    if isinstance(start_time, str):
        start = store.sequence_at_time(parse_time(start_time) or 0)
    next_by = fields.get("next_by_subj")
    if isinstance(next_by, str) and next_by:
        sequence = store.next_sequence(max(start, 1), SubjectMatcher([next_by]))
        return store.get(sequence) if sequence else None
    if start_time is not None:
        sequence = store.next_sequence(max(start, 1), None)
        return store.get(sequence) if sequence else None
    return store.get(start)


def _delete(request: ApiRequest, leader: StreamLeader) -> ApiAnswer:
    kind = "stream_msg_delete_response"
    fields = read_fields(request.payload(), {"seq": UNSIGNED, "no_erase": BOOLEAN}, "JSApiMsgDeleteRequest")
    error: ApiError | None = None
    sequence = 0
    if isinstance(fields, ApiError):
        error = fields
    elif is_empty_payload(request.payload()):
        error = BAD_REQUEST
    else:
        found = fields.get("seq", 0)
        assert isinstance(found, int)
        sequence = found
        config = leader.machine.config
        if config.sealed:
            error = STREAM_SEALED
        elif config.deny_delete:
            error = MESSAGE_DELETE_FAILED.of(err="message delete not permitted")
        elif leader.machine.store.get(sequence) is None:
            error = SEQUENCE_NOT_FOUND.of(seq=sequence)
    if error is not None:
        return Reply(error_answer(kind, error))
    return Propose(OP_MESSAGE_DELETE, encode_delete(leader.wall_ns, sequence), _respond_deleted)


def _respond_deleted(result: object) -> bytes:
    kind = "stream_msg_delete_response"
    if isinstance(result, ApiError):
        return error_answer(kind, result)
    return answer(kind, {"success": True})


# Direct get: the message itself as the answer.


def _direct_get(request: ApiRequest, leader: StreamLeader) -> ApiAnswer:
    if not leader.machine.config.allow_direct:
        return None
    target = parse(request.subject)
    assert target is not None
    payload = request.payload()
    fields = read_fields(payload, _GET_FIELDS, "JSApiMsgGetRequest")
    if isinstance(fields, ApiError):
        return _status(408, b"Malformed Request")
    if target.rest:
        if fields.get("seq") or fields.get("last_by_subj") or fields.get("next_by_subj"):
            return _status(408, b"Bad Request")
        fields = {"last_by_subj": target.rest, "no_hdr": fields.get("no_hdr", False)}
    elif is_empty_payload(payload):
        return _status(408, b"Empty Request")
    if not _asks_for_one(fields):
        return _status(408, b"Bad Request")
    message = find(leader.machine.store, fields)
    if message is None:
        return _status(404, b"Message Not Found")
    body = message.data[message.header_length :]
    if fields.get("no_hdr"):
        return Reply(body)
    return Reply(body, direct_headers(leader.machine.config.name, message))


def direct_headers(stream: str, message: StoredMessage) -> bytes:
    """The message's own headers, then where it comes from."""
    block = message.data[: message.header_length]
    fields = headers.pairs(block) if block else []
    fields += [
        (b"Nats-Stream", stream.encode()),
        (b"Nats-Subject", message.subject),
        (b"Nats-Sequence", b"%d" % message.sequence),
        (b"Nats-Time-Stamp", format_time(message.timestamp_ns).encode()),
    ]
    return headers.build(fields)


def _status(code: int, text: bytes) -> Reply:
    return Reply(b"", headers.build([], code, text))
