"""STREAM.INFO and STREAM.PURGE, as the leader of the stream answers them; the StreamInfo that other answers share.

Not here: create, update, delete, names and list (the meta group's, `broker/cluster`), messages (`api/messages`).
"""

from typing import Final

from broker.core.subjects import SubjectMatcher
from broker.jetstream.api.requests import ApiAnswer, Propose, Reply, StreamLeader
from broker.jetstream.api_errors import BAD_REQUEST, PURGE_FAILED, STREAM_SEALED, ApiError
from broker.jetstream.api_types import (
    BOOLEAN,
    INTEGER,
    TEXT,
    UNSIGNED,
    ApiRequest,
    answer,
    error_answer,
    is_container,
    read_fields,
    required_level_error,
)
from broker.jetstream.go_time import ZERO_TIME, format_time, format_time_or_zero
from broker.jetstream.ops import OP_PURGE, PurgeOp, encode_purge
from broker.jetstream.publishing.admission import SUBJECT_MAX
from broker.jetstream.publishing.publish_headers import header_value
from broker.jetstream.store import SEQUENCE_MAX
from broker.jetstream.stream_state import StreamState

SUBJECT_DETAILS_MAX: Final = 100_000

_STATE_ORDER: Final = (
    "messages", "bytes", "first_seq", "first_ts", "last_seq", "last_ts", "num_subjects", "subjects", "num_deleted",
    "deleted", "consumer_count",
)  # fmt: skip
_INFO: Final = "stream_info_response"
_PURGE: Final = "stream_purge_response"
_INFO_FIELDS: Final = {"offset": INTEGER, "deleted_details": BOOLEAN, "subjects_filter": TEXT}
_PURGE_FIELDS: Final = {"seq": UNSIGNED, "filter": TEXT, "keep": UNSIGNED}


def handle_stream(verb: str, request: ApiRequest, leader: StreamLeader) -> ApiAnswer:
    """One request about the stream itself; `verb` is STREAM.INFO or STREAM.PURGE."""
    kind = _INFO if verb == "STREAM.INFO" else _PURGE
    error = required_level_error(request)
    if error is not None:
        return Reply(error_answer(info_kind(request) if kind == _INFO else kind, error, kind))
    if verb == "STREAM.INFO":
        return _info(request, leader)
    assert verb == "STREAM.PURGE", verb
    return _purge(request, leader)


# Info.


def info_kind(request: ApiRequest) -> str:
    """The type of the answer to INFO: the asker may want that of a creation."""
    created = header_value(request.headers(), b"Nats-Response-Type") == b"create"
    return "stream_create_response" if created else _INFO


def stream_info(leader: StreamLeader) -> dict[str, object]:
    """The StreamInfo of answers to create, update and info, without `type`."""
    machine = leader.machine
    info: dict[str, object] = {
        "config": machine.config.to_answer(),
        "created": format_time(machine.created_ns),
        "state": stream_state(machine),
    }
    if leader.domain():
        info["domain"] = leader.domain()
    cluster = leader.cluster_info()
    if cluster is not None:
        info["cluster"] = cluster
    info.update(leader.sources_info())
    alternates = leader.alternates()
    if alternates:
        info["alternates"] = alternates
    info["ts"] = format_time(leader.wall_ns)
    return info


def stream_state(state: StreamState) -> dict[str, object]:
    """`state` of a StreamInfo, without details of subjects and deletes."""
    store = state.store
    fields: dict[str, object] = {
        "messages": store.messages,
        "bytes": store.bytes,
        "first_seq": store.first_sequence if store.last_sequence or state.config.first_sequence else 0,
        "first_ts": format_time_or_zero(store.first_timestamp_ns) if store.messages else ZERO_TIME,
        "last_seq": store.last_sequence,
        "last_ts": format_time_or_zero(store.last_timestamp_ns),
    }
    subjects = store.num_subjects
    if subjects:
        fields["num_subjects"] = subjects
    deleted = store.num_deleted
    if deleted:
        fields["num_deleted"] = deleted
    fields["consumer_count"] = len(state.consumers)
    return fields


def _info(request: ApiRequest, leader: StreamLeader) -> ApiAnswer:
    payload = request.payload()
    fields: dict[str, object] = {}
    if is_container(payload):  # anything else is no request, and ignored
        read = read_fields(payload, _INFO_FIELDS, "JSApiStreamInfoRequest")
        if isinstance(read, ApiError):
            return Reply(error_answer(info_kind(request), read, _INFO))
        fields = read
    paging: dict[str, object] = {"total": 0, "offset": 0, "limit": 0}
    info = stream_info(leader)
    state = info["state"]
    assert isinstance(state, dict)
    if fields.get("deleted_details"):
        deleted = leader.machine.store.deleted_sequences()
        if deleted:
            state["deleted"] = deleted
    subject = fields.get("subjects_filter")
    if subject:
        offset = fields.get("offset", 0)
        assert isinstance(offset, int) and isinstance(subject, str)
        paging.update(_add_subjects(state, leader.machine, subject, max(offset, 0)))
    info["state"] = {name: state[name] for name in _STATE_ORDER if name in state}
    return Reply(answer(info_kind(request), {**paging, **info}))


def _add_subjects(state: dict[str, object], machine: StreamState, subject: str, offset: int) -> dict[str, object]:
    """Add one page of subjects with their counts; returns the paging fields."""
    store = machine.store
    found = store.subjects_in_order(SubjectMatcher([subject]))
    if not found:
        return {}
    page = found[offset : offset + SUBJECT_DETAILS_MAX]
    if page:
        state["subjects"] = {name.decode(errors="replace"): store.count_for(name) for name in page}
    return {"total": len(found), "offset": offset, "limit": SUBJECT_DETAILS_MAX}


# Purge.


def _purge(request: ApiRequest, leader: StreamLeader) -> ApiAnswer:
    config = leader.machine.config
    fields: dict[str, object] = {}
    if is_container(request.payload()):
        read = read_fields(request.payload(), _PURGE_FIELDS, "JSApiStreamPurgeRequest")
        if isinstance(read, ApiError):
            return Reply(error_answer(_PURGE, read))
        fields = read
    subject, sequence, keep = fields.get("filter", ""), fields.get("seq", 0), fields.get("keep", 0)
    assert isinstance(subject, str) and isinstance(sequence, int) and isinstance(keep, int)
    if sequence and keep:
        return Reply(error_answer(_PURGE, BAD_REQUEST))
    if config.sealed:
        return Reply(error_answer(_PURGE, STREAM_SEALED))
    if config.deny_purge:
        return Reply(error_answer(_PURGE, PURGE_FAILED.of(err="stream purge not permitted")))
    if sequence > SEQUENCE_MAX:
        return Reply(error_answer(_PURGE, PURGE_FAILED.of(err=f"sequence can not be larger than {SEQUENCE_MAX}")))
    purge = PurgeOp(subject.encode(), sequence, keep)
    if len(purge.subject) > SUBJECT_MAX:
        return Reply(respond_purged(0))  # longer than any subject that could match
    return Propose(OP_PURGE, encode_purge(leader.wall_ns, purge), respond_purged)


def respond_purged(result: object) -> bytes:
    """The answer once the purge was applied."""
    if isinstance(result, ApiError):
        return error_answer(_PURGE, result)
    return answer(_PURGE, {"success": True, "purged": result})
