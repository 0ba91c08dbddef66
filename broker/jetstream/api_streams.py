"""STREAM.INFO and STREAM.PURGE, as the leader of a stream answers them; and the INFO that other answers contain.

Not here: creation, update, deletion and lists (the meta leader's: `broker/cluster/api_meta`), messages
(`api_messages`), consumers (`api_consumers`).
"""

from typing import Final

from broker.core.subjects import SubjectMatcher, is_valid
from broker.jetstream.api import ApiAnswer, Propose, Reply, StreamLeader
from broker.jetstream.api_errors import BAD_REQUEST, PURGE_FAILED, STREAM_SEALED, ApiError
from broker.jetstream.api_types import (
    BOOLEAN,
    INTEGER,
    TEXT,
    UNSIGNED,
    ApiRequest,
    answer,
    error_answer,
    format_time,
    format_time_or_zero,
    read_fields,
)
from broker.jetstream.ops import OP_PURGE, PurgeOp, encode_purge

SUBJECTS_PAGE: Final = 100_000
_INFO_FIELDS: Final = {"offset": INTEGER, "deleted_details": BOOLEAN, "subjects_filter": TEXT}
_PURGE_FIELDS: Final = {"seq": UNSIGNED, "filter": TEXT, "keep": UNSIGNED}


def handle_stream(verb: str, request: ApiRequest, leader: StreamLeader) -> ApiAnswer:
    """One request for a stream that leads here."""
    if verb == "STREAM.INFO":
        return _info(request, leader)
    assert verb == "STREAM.PURGE", verb
    return _purge(request, leader)


def _info(request: ApiRequest, leader: StreamLeader) -> ApiAnswer:
    kind = "stream_info_response"
    fields = read_fields(request.payload(), _INFO_FIELDS, "JSApiStreamInfoRequest")
    if isinstance(fields, ApiError):
        return Reply(error_answer(kind, fields))
    info = stream_info(leader)
    state = info["state"]
    assert isinstance(state, dict)
    if fields.get("deleted_details"):
        deleted = leader.machine.store.deleted_sequences()
        if deleted:
            state["deleted"] = deleted
    page = {"total": 0, "offset": 0, "limit": 0}
    subjects_filter = fields.get("subjects_filter")
    if subjects_filter:
        page = _subjects_page(leader, str(subjects_filter), fields, state)
    return Reply(answer(kind, {**page, **info}))


def _subjects_page(
    leader: StreamLeader, subjects_filter: str, fields: dict[str, object], state: dict[str, object]
) -> dict[str, int]:
    """Put one page of subjects with their counts into `state`; what the answer says of the page."""
    found = sorted(leader.machine.store.subjects(SubjectMatcher([subjects_filter])))
    offset = fields.get("offset", 0)
    assert isinstance(offset, int)
    offset = min(max(offset, 0), len(found))
    page = found[offset : offset + SUBJECTS_PAGE]
    if page:
        state["subjects"] = {subject.decode("utf-8", "replace"): count for subject, count in page}
    return {"total": len(found), "offset": offset, "limit": SUBJECTS_PAGE}


def _purge(request: ApiRequest, leader: StreamLeader) -> ApiAnswer:
    kind = "stream_purge_response"
    fields = read_fields(request.payload(), _PURGE_FIELDS, "JSApiStreamPurgeRequest")
    if isinstance(fields, ApiError):
        return Reply(error_answer(kind, fields))
    sequence, keep, subject = fields.get("seq", 0), fields.get("keep", 0), fields.get("filter", "")
    assert isinstance(sequence, int) and isinstance(keep, int) and isinstance(subject, str)
    config = leader.machine.config
    error: ApiError | None = None
    if (sequence and keep) or (subject and not is_valid(subject.encode())):
        error = BAD_REQUEST
    elif config.sealed:
        error = STREAM_SEALED
    elif config.deny_purge:
        error = PURGE_FAILED.of(err="stream purge not permitted")
    if error is not None:
        return Reply(error_answer(kind, error))
    return Propose(OP_PURGE, encode_purge(leader.wall_ns, PurgeOp(subject, sequence, keep)), _respond_purged)


def _respond_purged(result: object) -> bytes:
    kind = "stream_purge_response"
    if isinstance(result, ApiError):
        return error_answer(kind, result)
    return answer(kind, {"success": True, "purged": result})


def stream_info(leader: StreamLeader) -> dict[str, object]:
    """A StreamInfo as of now."""
    machine = leader.machine
    info: dict[str, object] = {
        "config": machine.config.to_answer(),
        "created": format_time(machine.created_ns),
        "state": stream_state(leader),
    }
    cluster = leader.cluster_info()
    if cluster is not None:
        info["cluster"] = cluster
    info["ts"] = format_time(leader.wall_ns)
    return info


def stream_state(leader: StreamLeader) -> dict[str, object]:
    """The `state` of a StreamInfo. An empty stream shows zero times, and no first sequence before its first message."""
    machine = leader.machine
    store = machine.store
    first = store.first_sequence if store.messages or store.last_sequence else 0
    state: dict[str, object] = {
        "messages": store.messages,
        "bytes": store.bytes,
        "first_seq": first,
        "first_ts": format_time_or_zero(store.first_timestamp_ns if store.messages else 0),
        "last_seq": store.last_sequence,
        "last_ts": format_time_or_zero(store.last_timestamp_ns if store.last_sequence else 0),
        "consumer_count": len(machine.consumers),
    }
    if store.num_subjects:
        state["num_subjects"] = store.num_subjects
    if store.num_deleted:
        state["num_deleted"] = store.num_deleted
    return state
