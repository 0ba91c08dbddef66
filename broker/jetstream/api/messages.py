"""STREAM.MSG.GET and STREAM.MSG.DELETE: one message, asked of the stream's leader and answered in JSON.

Not here: direct gets, which any replica answers (`direct_get`).
"""

import base64
from typing import Final

from broker.jetstream.api.message_query import QUERY_FIELDS, MessageQuery
from broker.jetstream.api.requests import ApiAnswer, Propose, Reply, StreamLeader
from broker.jetstream.api_errors import (
    BAD_REQUEST,
    MESSAGE_DELETE_FAILED,
    NO_MESSAGE_FOUND,
    STREAM_SEALED,
    ApiError,
)
from broker.jetstream.api_types import (
    BOOLEAN,
    UNSIGNED,
    ApiRequest,
    answer,
    error_answer,
    is_empty_payload,
    read_fields,
    required_level_error,
)
from broker.jetstream.config.stream_config import FILE_STORAGE
from broker.jetstream.go_time import format_time
from broker.jetstream.ops import OP_MESSAGE_DELETE, encode_delete

_GET: Final = "stream_msg_get_response"
_DELETE: Final = "stream_msg_delete_response"
_DELETE_FIELDS: Final[dict[str, str]] = {"seq": UNSIGNED, "no_erase": BOOLEAN}
_REFUSED_FIELDS: Final = ("batch", "max_bytes")  # by STREAM.MSG.GET, which ignores the other three


def handle_message(verb: str, request: ApiRequest, leader: StreamLeader) -> ApiAnswer:
    """One request for a message; `verb` is STREAM.MSG.GET or STREAM.MSG.DELETE."""
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
    fields = read_fields(request.payload(), QUERY_FIELDS, "JSApiMsgGetRequest")
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
    is_file = config.storage == FILE_STORAGE  # nats-server's two stores differ in words
    if is_file and sequence > store.last_sequence:
        return Reply(error_answer(_DELETE, MESSAGE_DELETE_FAILED.of(err="stream store EOF")))
    if is_file and sequence < store.first_sequence:
        return Reply(error_answer(_DELETE, MESSAGE_DELETE_FAILED.of(err="no message found")))
    return Propose(OP_MESSAGE_DELETE, encode_delete(leader.wall_ns, sequence), respond_deleted)


def respond_deleted(result: object) -> bytes:
    """The answer once the delete was applied."""
    if isinstance(result, ApiError):
        return error_answer(_DELETE, result)
    return answer(_DELETE, {"success": True})
