"""The one table of API errors: code, err_code and text as nats-server gives them.

`{name}` in a text is filled by `ApiError.of`. An ApiError is a value, not an exception: `apply` returns it,
deterministically. Not here: which rule raises which error. Clients look at `err_code`; the odd `code` numbers are
nats-server's.
"""

import json
from typing import Final


class ApiError:
    """One refusal."""

    def __init__(self, code: int, err_code: int, description: str) -> None:
        self.code: Final = code
        self.err_code: Final = err_code
        self.description: Final = description

    def of(self, **values: object) -> "ApiError":
        """The same error with the blanks of its text filled."""
        text = self.description
        for name, value in values.items():
            text = text.replace("{" + name + "}", str(value))
        return ApiError(self.code, self.err_code, text)

    def to_json(self) -> dict[str, object]:
        """As the value of `error`."""
        return {"code": self.code, "err_code": self.err_code, "description": self.description}

    def description_json(self) -> bytes:
        """The text as a JSON string."""
        return json.dumps(self.description, ensure_ascii=False).encode()

    def __repr__(self) -> str:
        return f"ApiError({self.code}, {self.err_code}, {self.description!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ApiError) and self.err_code == other.err_code and self.description == other.description

    def __hash__(self) -> int:
        return self.err_code


RESOURCE_LIMITS_EXCEEDED: Final = ApiError(400, 10002, "resource limits exceeded for account")
BAD_REQUEST: Final = ApiError(400, 10003, "bad request")
NO_SUITABLE_PEERS: Final = ApiError(400, 10005, "{err}")
CLUSTER_NOT_AVAIL: Final = ApiError(503, 10008, "JetStream system temporarily unavailable")
CLUSTERING_REQUIRED: Final = ApiError(503, 10010, "JetStream clustering support required")
SNAPSHOT_SUBJECT_INVALID: Final = ApiError(400, 10015, "deliver subject not valid")
EXTERNAL_API_OVERLAPS: Final = ApiError(
    400, 10021, "stream external api prefix {prefix} must not overlap with {subject}"
)
EXTERNAL_DELIVERY_OVERLAPS: Final = ApiError(
    400, 10022, "stream external delivery prefix {prefix} overlaps with stream subject {subject}"
)
INSUFFICIENT_RESOURCES: Final = ApiError(503, 10023, "insufficient resources")
EXTERNAL_DELIVERY_WILDCARDS: Final = ApiError(
    400, 10024, "stream external delivery prefix {prefix} must not contain wildcards"
)
INVALID_JSON: Final = ApiError(400, 10025, "invalid JSON: {err}")
MAXIMUM_STREAMS: Final = ApiError(400, 10027, "maximum number of streams reached")
MEMORY_RESOURCES_EXCEEDED: Final = ApiError(500, 10028, "insufficient memory resources available")
MIRROR_MAX_MESSAGE_SIZE: Final = ApiError(400, 10030, "stream mirror must have max message size >= source")
MIRROR_WITH_SOURCES: Final = ApiError(400, 10031, "stream mirrors can not also contain other sources")
MIRROR_WITH_SUBJECT_FILTERS: Final = ApiError(400, 10033, "stream mirrors can not contain filtered subjects")
MIRROR_WITH_SUBJECTS: Final = ApiError(400, 10034, "stream mirrors can not contain subjects")
NO_MESSAGE_FOUND: Final = ApiError(404, 10037, "no message found")
NOT_EMPTY_REQUEST: Final = ApiError(400, 10038, "expected an empty request payload")
NOT_ENABLED_FOR_ACCOUNT: Final = ApiError(503, 10039, "JetStream not enabled for account")
NO_ACCOUNT: Final = ApiError(503, 10035, "account not found")
PEER_NOT_MEMBER: Final = ApiError(400, 10040, "peer not a member")
RAFT_GENERAL: Final = ApiError(500, 10041, "{err}")
SEQUENCE_NOT_FOUND: Final = ApiError(400, 10043, "sequence {seq} not found")
SOURCE_MAX_MESSAGE_SIZE: Final = ApiError(400, 10046, "stream source must have max message size >= target")
SERVER_NOT_MEMBER: Final = ApiError(400, 10044, "server is not a member of the cluster")
STORAGE_RESOURCES_EXCEEDED: Final = ApiError(500, 10047, "insufficient storage resources available")
STREAM_CREATE_FAILED: Final = ApiError(500, 10049, "{err}")
INVALID_CONFIG: Final = ApiError(500, 10052, "{err}")
MESSAGE_TOO_LARGE: Final = ApiError(400, 10054, "message size exceeds maximum allowed")
MIRROR_NOT_UPDATABLE: Final = ApiError(400, 10055, "stream mirror configuration can not be updated")
STREAM_MISMATCH: Final = ApiError(400, 10056, "stream name in subject does not match request")
MESSAGE_DELETE_FAILED: Final = ApiError(500, 10057, "{err}")
STREAM_NAME_EXIST: Final = ApiError(400, 10058, "stream name already in use with a different configuration")
STREAM_NOT_FOUND: Final = ApiError(404, 10059, "stream not found")
EXPECTED_STREAM_MISMATCH: Final = ApiError(400, 10060, "expected stream does not match")
STREAM_RESTORE_FAILED: Final = ApiError(500, 10062, "restore failed: {err}")
STREAM_SUBJECT_OVERLAP: Final = ApiError(400, 10065, "subjects overlap with an existing stream")
STREAM_UPDATE_FAILED: Final = ApiError(500, 10069, "{err}")
WRONG_LAST_MESSAGE_ID: Final = ApiError(400, 10070, "wrong last msg ID: {id}")
WRONG_LAST_SEQUENCE: Final = ApiError(400, 10071, "wrong last sequence: {seq}")
WRONG_LAST_SEQUENCE_IN_BATCH: Final = ApiError(400, 10164, "wrong last sequence")
REPLICAS_NOT_SUPPORTED: Final = ApiError(500, 10074, "replicas > 1 not supported in non-clustered mode")
PEER_REMAP_FAILED: Final = ApiError(503, 10075, "peer remap failed")
NOT_ENABLED: Final = ApiError(503, 10076, "JetStream not enabled")
STORE_FAILED: Final = ApiError(503, 10077, "{err}")
HEADERS_TOO_LARGE: Final = ApiError(400, 10097, "header size exceeds maximum allowed of 64k")
STREAM_SEALED: Final = ApiError(400, 10109, "invalid operation on sealed stream")
PURGE_FAILED: Final = ApiError(500, 10110, "{err}")
ROLLUP_FAILED: Final = ApiError(500, 10111, "{err}")
MAX_BYTES_REQUIRED: Final = ApiError(400, 10113, "account requires a stream config to have max bytes set")
STREAM_OFFLINE: Final = ApiError(500, 10118, "stream is offline")
MAX_BYTES_EXCEEDED: Final = ApiError(400, 10122, "stream max bytes exceeds account limit max stream bytes")
NAME_WITH_PATH_SEPARATORS: Final = ApiError(400, 10128, "Stream name can not contain path separators")
STREAM_MOVE_AND_SCALE: Final = ApiError(400, 10123, "can not move and scale a stream in a single update")
STREAM_MOVE_IN_PROGRESS: Final = ApiError(400, 10124, "stream move already in progress")
RECONFIGURE_NOT_IN_PROGRESS: Final = ApiError(400, 10129, "stream reconfiguration not in progress")
MEMBER_CHANGE_IN_PROGRESS: Final = ApiError(400, 10202, "cluster member change is in progress")
RESCUE_NOT_APPLIED: Final = ApiError(400, 10224, "JetStream system rescue not applied: {err}")
STREAM_RECONFIGURE_IN_PROGRESS: Final = ApiError(400, 10226, "stream reconfiguration already in progress")
NAME_EXISTS_RESTORE_FAILED: Final = ApiError(400, 10130, "stream name already in use, cannot restore")
REPLICAS_NEGATIVE: Final = ApiError(400, 10133, "replicas count cannot be negative")
SOURCE_DUPLICATE: Final = ApiError(400, 10140, "duplicate source configuration detected")
SOURCE_NAME_INVALID: Final = ApiError(400, 10141, "sourced stream name is invalid")
MIRROR_NAME_INVALID: Final = ApiError(400, 10142, "mirrored stream name is invalid")
MIRROR_WITH_FIRST_SEQUENCE: Final = ApiError(400, 10143, "stream mirrors can not have first sequence configured")
SOURCE_MULTIPLE_FILTERS: Final = ApiError(
    400, 10144, "source with multiple subject transforms cannot also have a single subject filter"
)
SOURCE_TRANSFORM_SOURCE: Final = ApiError(400, 10145, "source transform source: {err}")
SOURCE_TRANSFORM_DESTINATION: Final = ApiError(400, 10146, "source transform: {err}")
SOURCE_FILTERS_OVERLAP: Final = ApiError(400, 10147, "source filters can not overlap")
MIRROR_MULTIPLE_FILTERS: Final = ApiError(
    400, 10150, "mirror with multiple subject transforms cannot also have a single subject filter"
)
MIRROR_TRANSFORM_SOURCE: Final = ApiError(400, 10151, "mirror transform source: {err}")
MIRROR_FILTERS_OVERLAP: Final = ApiError(400, 10152, "mirror subject filters can not overlap")
MIRROR_TRANSFORM_DESTINATION: Final = ApiError(400, 10154, "mirror transform: {err}")
STREAM_TRANSFORM_SOURCE: Final = ApiError(400, 10155, "stream transform source: {err}")
STREAM_TRANSFORM_DESTINATION: Final = ApiError(400, 10156, "stream transform: {err}")
PEDANTIC: Final = ApiError(400, 10157, "pedantic mode: {err}")
DUPLICATE_IN_PROCESS: Final = ApiError(409, 10158, "duplicate message id is in process")
MESSAGE_TTL_INVALID: Final = ApiError(400, 10165, "invalid per-message TTL")
MESSAGE_TTL_DISABLED: Final = ApiError(400, 10166, "per-message TTL is disabled")
STREAM_TOO_MANY_REQUESTS: Final = ApiError(429, 10167, "too many requests")
COUNTERS_DISABLED: Final = ApiError(400, 10168, "message counters is disabled")
COUNTER_INCREMENT_MISSING: Final = ApiError(400, 10169, "message counter increment is missing")
COUNTER_WITH_PAYLOAD: Final = ApiError(400, 10170, "message counter has payload")
COUNTER_INCREMENT_INVALID: Final = ApiError(400, 10171, "message counter increment is invalid")
COUNTER_BROKEN: Final = ApiError(400, 10172, "message counter is broken")
MIRROR_WITH_COUNTERS: Final = ApiError(400, 10173, "stream mirrors can not also calculate counters")
ATOMIC_BATCH_DISABLED: Final = ApiError(400, 10174, "atomic publish is disabled")
BATCH_SEQUENCE_MISSING: Final = ApiError(400, 10175, "atomic publish sequence is missing")
BATCH_INCOMPLETE: Final = ApiError(400, 10176, "atomic publish batch is incomplete")
BATCH_HEADER_UNSUPPORTED: Final = ApiError(400, 10177, "atomic publish unsupported header used: {header}")
BATCH_ID_INVALID: Final = ApiError(400, 10179, "atomic publish batch ID is invalid")
API_LEVEL_REQUIRED: Final = ApiError(412, 10185, "JetStream minimum api level required")
MIRROR_WITH_SCHEDULES: Final = ApiError(400, 10186, "stream mirrors can not also schedule messages")
SOURCE_WITH_SCHEDULES: Final = ApiError(400, 10187, "stream source can not also schedule messages")
SCHEDULES_DISABLED: Final = ApiError(400, 10188, "message schedules is disabled")
SCHEDULE_PATTERN_INVALID: Final = ApiError(400, 10189, "message schedules pattern is invalid")
SCHEDULE_TARGET_INVALID: Final = ApiError(400, 10190, "message schedules target is invalid")
SCHEDULE_TTL_INVALID: Final = ApiError(400, 10191, "message schedules invalid per-message TTL")
SCHEDULE_ROLLUP_INVALID: Final = ApiError(400, 10192, "message schedules invalid rollup")
EXPECTED_SUBJECT_WITHOUT_SEQUENCE: Final = ApiError(
    400, 10193, "missing sequence for expected last sequence per subject"
)
MIRROR_WITH_ATOMIC: Final = ApiError(400, 10198, "stream mirrors can not also use atomic publishing")
BATCH_TOO_LARGE: Final = ApiError(400, 10199, "atomic publish batch is too large: {size}")
BATCH_COMMIT_INVALID: Final = ApiError(400, 10200, "atomic publish batch commit is invalid")
BATCH_DUPLICATE: Final = ApiError(400, 10201, "atomic publish batch contains duplicate message id")
SCHEDULE_SOURCE_INVALID: Final = ApiError(400, 10203, "message schedules source is invalid")
FAST_BATCH_DISABLED: Final = ApiError(400, 10205, "batch publish is disabled")
TOO_MANY_BATCHES: Final = ApiError(429, 10210, "atomic publish too many inflight")
FAST_BATCH_PATTERN_INVALID: Final = ApiError(400, 10206, "batch publish pattern is invalid")
FAST_BATCH_ID_INVALID: Final = ApiError(400, 10207, "batch publish ID is invalid")
FAST_BATCH_ID_UNKNOWN: Final = ApiError(400, 10208, "batch publish ID unknown")
TOO_MANY_FAST_BATCHES: Final = ApiError(429, 10211, "batch publish too many inflight")
MIRROR_WITH_BATCHED: Final = ApiError(400, 10209, "stream mirrors can not also use batch publishing")
SCHEDULE_SCHEDULER_INVALID: Final = ApiError(400, 10212, "message schedules invalid scheduler")
MIRROR_CONSUMER_INVALID: Final = ApiError(400, 10213, "stream mirror consumer config is invalid")
SOURCE_CONSUMER_INVALID: Final = ApiError(400, 10215, "stream source consumer config is invalid")
SOURCE_CONSUMER_DUPLICATE: Final = ApiError(400, 10216, "duplicate stream source consumer detected")
SCHEDULE_TIME_ZONE_INVALID: Final = ApiError(400, 10223, "message schedules time zone is invalid")
SOURCE_HEADER_NOT_ALLOWED: Final = ApiError(400, 10227, "message stream source header is not allowed")
