"""A stream's configuration: its 38 fields and their JSON.

`StreamConfig` is what the log, the snapshot and every INFO carry. Reading is strict, as Go's decoder with unknown
fields disallowed, and sets no defaults: that and all checks are `stream_rules`. `from_json(config.to_json())` equals
`config`.

Not here: what is allowed (`stream_rules`), API requests (`stream_requests`).
Invariant: a configuration in a machine has passed `stream_rules.complete`.
"""

from typing import Final

from broker.jetstream.api_errors import INVALID_JSON, ApiError
from broker.jetstream.api_types import (
    API_LEVEL,
    BOOLEAN,
    DURATION,
    INTEGER,
    INTEGER_32,
    INTEGER_64,
    SERVER_VERSION,
    STRING_MAP,
    TEXT,
    TEXTS,
    TIME,
    UNSIGNED,
    fits,
    go_json_text,
    go_kind,
    unknown_field,
    unmarshal_error,
    without_nulls,
)
from broker.jetstream.go_json import quoted

RETENTION_LIMITS: Final = "limits"
RETENTION_INTEREST: Final = "interest"
RETENTION_WORKQUEUE: Final = "workqueue"
DISCARD_OLD: Final = "old"
DISCARD_NEW: Final = "new"
FILE_STORAGE: Final = "file"
MEMORY_STORAGE: Final = "memory"
COMPRESSION_NONE: Final = "none"
PERSIST_DEFAULT: Final = "default"
PERSIST_ASYNC: Final = "async"

METADATA_VERSION: Final = "_nats.ver"
METADATA_LEVEL: Final = "_nats.level"
METADATA_REQUIRED_LEVEL: Final = "_nats.req.level"

_CHOICE: Final = "choice"
_NESTED: Final = "nested"
_NESTED_LIST: Final = "nested list"

# JSON name, attribute, kind, whether printed when empty; in the order nats-server prints them.
_FIELDS: Final[list[tuple[str, str, str, bool]]] = [
    ("name", "name", TEXT, True),
    ("description", "description", TEXT, False),
    ("subjects", "subjects", TEXTS, False),
    ("retention", "retention", _CHOICE, True),
    ("max_consumers", "max_consumers", INTEGER, True),
    ("max_msgs", "max_msgs", INTEGER_64, True),
    ("max_bytes", "max_bytes", INTEGER_64, True),
    ("max_age", "max_age_ns", DURATION, True),
    ("max_msgs_per_subject", "max_msgs_per_subject", INTEGER_64, True),
    ("max_msg_size", "max_msg_size", INTEGER_32, False),
    ("discard", "discard", _CHOICE, True),
    ("storage", "storage", _CHOICE, True),
    ("num_replicas", "num_replicas", INTEGER, True),
    ("no_ack", "no_ack", BOOLEAN, False),
    ("duplicate_window", "duplicate_window_ns", DURATION, False),
    ("placement", "placement", _NESTED, False),
    ("mirror", "mirror", _NESTED, False),
    ("sources", "sources", _NESTED_LIST, False),
    ("compression", "compression", _CHOICE, True),
    ("first_seq", "first_sequence", UNSIGNED, False),
    ("subject_transform", "subject_transform", _NESTED, False),
    ("republish", "republish", _NESTED, False),
    ("allow_direct", "allow_direct", BOOLEAN, True),
    ("mirror_direct", "mirror_direct", BOOLEAN, True),
    ("discard_new_per_subject", "discard_new_per_subject", BOOLEAN, False),
    ("sealed", "sealed", BOOLEAN, True),
    ("deny_delete", "deny_delete", BOOLEAN, True),
    ("deny_purge", "deny_purge", BOOLEAN, True),
    ("allow_rollup_hdrs", "allow_rollup_headers", BOOLEAN, True),
    ("consumer_limits", "consumer_limits", _NESTED, True),
    ("allow_msg_ttl", "allow_msg_ttl", BOOLEAN, True),
    ("subject_delete_marker_ttl", "subject_delete_marker_ttl_ns", DURATION, False),
    ("allow_msg_counter", "allow_msg_counter", BOOLEAN, False),
    ("allow_atomic", "allow_atomic", BOOLEAN, False),
    ("allow_msg_schedules", "allow_msg_schedules", BOOLEAN, False),
    ("persist_mode", "persist_mode", _CHOICE, False),
    ("allow_batched", "allow_batched", BOOLEAN, False),
    ("metadata", "metadata", STRING_MAP, False),
]
_BY_NAME: Final[dict[str, tuple[str, str, str, bool]]] = {field[0]: field for field in _FIELDS}

_CHOICES: Final[dict[str, list[str]]] = {
    "retention": [RETENTION_LIMITS, RETENTION_INTEREST, RETENTION_WORKQUEUE],
    "discard": [DISCARD_OLD, DISCARD_NEW],
    "storage": [FILE_STORAGE, MEMORY_STORAGE],
    "compression": [COMPRESSION_NONE, "s2"],
    "persist_mode": [PERSIST_DEFAULT, PERSIST_ASYNC],
}

# Fields of the objects inside a configuration; a value that is itself one of these names is an object again, "[]name"
# a list of them.
_STRUCTS: Final[dict[str, dict[str, str]]] = {
    "placement": {"cluster": TEXT, "tags": TEXTS, "preferred": TEXT},
    "transform": {"src": TEXT, "dest": TEXT},
    "republish": {"src": TEXT, "dest": TEXT, "headers_only": BOOLEAN},
    "external": {"api": TEXT, "deliver": TEXT},
    "source_consumer": {"name": TEXT, "deliver_subject": TEXT},
    "consumer_limits": {"inactive_threshold": DURATION, "max_ack_pending": INTEGER},
    "source": {
        "name": TEXT,
        "opt_start_seq": UNSIGNED,
        "opt_start_time": TIME,
        "filter_subject": TEXT,
        "subject_transforms": "[]transform",
        "external": "external",
        "consumer": "source_consumer",
    },
}
_GO_NAMES: Final[dict[str, str]] = {
    "placement": "Placement",
    "transform": "SubjectTransformConfig",
    "republish": "RePublish",
    "external": "ExternalStream",
    "source_consumer": "StreamConsumerSource",
    "consumer_limits": "StreamConsumerLimits",
    "source": "StreamSource",
}
_STRUCT_OF: Final[dict[str, str]] = {
    "placement": "placement",
    "mirror": "source",
    "sources": "source",
    "subject_transform": "transform",
    "republish": "republish",
    "consumer_limits": "consumer_limits",
}


class ConsumerLimits:
    """What a stream allows its consumers, and what they get when they do not say; 0 = nothing said."""

    def __init__(self) -> None:
        self.inactive_threshold_ns: int = 0
        self.max_ack_pending: int = 0

    def to_json(self) -> dict[str, object]:
        """Empty fields are left out."""
        fields: dict[str, object] = {}
        if self.inactive_threshold_ns:
            fields["inactive_threshold"] = self.inactive_threshold_ns
        if self.max_ack_pending:
            fields["max_ack_pending"] = self.max_ack_pending
        return fields


class StreamConfig:
    """All fields of a stream; durations in ns, limits −1 (or 0 before `complete`) = none, objects as their JSON."""

    def __init__(self) -> None:
        self.name: str = ""
        self.description: str = ""
        self.subjects: list[str] = []
        self.retention: str = RETENTION_LIMITS
        self.max_consumers: int = 0
        self.max_msgs: int = 0
        self.max_bytes: int = 0
        self.max_age_ns: int = 0
        self.max_msgs_per_subject: int = 0
        self.max_msg_size: int = 0
        self.discard: str = DISCARD_OLD
        self.storage: str = FILE_STORAGE
        self.num_replicas: int = 0
        self.no_ack: bool = False
        self.duplicate_window_ns: int = 0
        self.placement: dict[str, object] | None = None
        self.mirror: dict[str, object] | None = None
        self.sources: list[dict[str, object]] = []
        self.compression: str = COMPRESSION_NONE
        self.first_sequence: int = 0
        self.subject_transform: dict[str, object] | None = None
        self.republish: dict[str, object] | None = None
        self.allow_direct: bool = False
        self.mirror_direct: bool = False
        self.discard_new_per_subject: bool = False
        self.sealed: bool = False
        self.deny_delete: bool = False
        self.deny_purge: bool = False
        self.allow_rollup_headers: bool = False
        self.consumer_limits: ConsumerLimits = ConsumerLimits()
        self.allow_msg_ttl: bool = False
        self.subject_delete_marker_ttl_ns: int = 0
        self.allow_msg_counter: bool = False
        self.allow_atomic: bool = False
        self.allow_msg_schedules: bool = False
        self.persist_mode: str = ""
        self.allow_batched: bool = False
        self.metadata: dict[str, str] = {}

    def reserves(self) -> tuple[int, int]:
        """What counts for the servers that hold the stream: bytes, replicas."""
        return self.max_bytes, self.num_replicas

    @staticmethod
    def from_json(fields: dict[str, object]) -> "StreamConfig | ApiError":
        """Read the JSON of a configuration; no defaults, no checks beyond names and types."""
        config = StreamConfig()
        for key, item in fields.items():
            field = _BY_NAME.get(key) or _BY_NAME.get(key.lower())
            if field is None:
                return INVALID_JSON.of(err=unknown_field(key))
            if item is None and field[2] != _CHOICE:
                continue
            error = _set_field(config, field, item)
            if error:
                return INVALID_JSON.of(err=error)
        return config

    def to_json(self) -> dict[str, object]:
        """What the log, the snapshot and equality see: the fields nats-server prints, without what it adds to
        answers."""
        fields: dict[str, object] = {}
        for name, attribute, kind, always in _FIELDS:
            value: object = getattr(self, attribute)
            if kind == _NESTED and isinstance(value, ConsumerLimits):
                value = value.to_json()
            if value or always:
                fields[name] = value
        return fields

    def to_answer(self) -> dict[str, object]:
        """As `to_json`, with the versions that answers carry in the metadata."""
        fields = self.to_json()
        metadata = {**self.metadata, METADATA_LEVEL: str(API_LEVEL), METADATA_VERSION: SERVER_VERSION}
        fields["metadata"] = {key: metadata[key] for key in sorted(metadata)}
        return fields

    def same_as(self, other: "StreamConfig") -> bool:
        """Equal but for what the server keeps in the metadata."""
        mine = self.to_json()
        theirs = other.to_json()
        mine["metadata"] = client_metadata(self.metadata)
        theirs["metadata"] = client_metadata(other.metadata)
        return mine == theirs

    def copy(self) -> "StreamConfig":
        """An equal one that may be changed."""
        config = StreamConfig.from_json(self.to_json())
        assert isinstance(config, StreamConfig)
        config.subjects = list(self.subjects)
        config.metadata = dict(self.metadata)
        return config


def client_metadata(metadata: dict[str, str]) -> dict[str, str]:
    """Metadata without what the server keeps there."""
    ours = (METADATA_VERSION, METADATA_LEVEL, METADATA_REQUIRED_LEVEL)
    return {key: metadata[key] for key in metadata if key not in ours}


def _set_field(config: StreamConfig, field: tuple[str, str, str, bool], item: object) -> str:
    """ "" or Go's words for what is wrong."""
    name, attribute, kind, _ = field
    if kind == _CHOICE:
        if name == "persist_mode" and item in ("", PERSIST_DEFAULT):
            return ""  # printed by nats-server only when it is not the default
        if not isinstance(item, str) or item not in _CHOICES[name]:
            return _no_choice(name, item)
    elif kind == _NESTED_LIST:
        if not isinstance(item, list):
            return unmarshal_error(item, f"StreamConfigRequest.{name}", "[]*server.StreamSource")
        given = item
        item = [{} if entry is None else entry for entry in given]  # which has no name, and is refused for that
        for index, entry in enumerate(item):
            error = check_struct(entry, _STRUCT_OF[name], f"{name}.{index}")
            if error:
                return error
    elif kind == _NESTED:
        error = check_struct(item, _STRUCT_OF[name], name)
        if error:
            return error
        assert isinstance(item, dict)
        if name == "consumer_limits":
            config.consumer_limits.inactive_threshold_ns = item.get("inactive_threshold") or 0
            config.consumer_limits.max_ack_pending = item.get("max_ack_pending") or 0
            return ""
        if name == "placement":
            config.placement = _placement(item)
            return ""
    elif not fits(item, kind):
        return unmarshal_error(item, f"StreamConfigRequest.{name}", kind)
    setattr(config, attribute, item if kind in (_NESTED, _NESTED_LIST) else without_nulls(item))
    return ""


def _placement(given: dict[str, object]) -> dict[str, object] | None:
    """Without what is empty, as it is not said; None when nothing is left."""
    return {key: without_nulls(item) for key, item in given.items() if item} or None


def _no_choice(name: str, item: object) -> str:
    if name != "compression":
        return f"can not unmarshal {quoted(go_json_text(item))}"
    if item is None or isinstance(item, str):
        return "unknown compression algorithm"
    return f"json: cannot unmarshal {go_kind(item)} into Go value of type string"


def check_struct(item: object, struct: str, where: str) -> str:
    """ "" or what is wrong with an object inside a configuration. Its fields get their own names and no nulls."""
    if not isinstance(item, dict):
        return unmarshal_error(item, f"StreamConfigRequest.{where}", f"server.{_GO_NAMES[struct]}")
    known = _STRUCTS[struct]
    fields: dict[str, object] = {}
    for key, entry in item.items():
        name = key if key in known else key.lower()
        kind = known.get(name)
        if kind is None:
            return unknown_field(key)
        if entry is None:
            continue
        path = f"{where}.{name}"
        if kind in _STRUCTS:
            error = check_struct(entry, kind, path)
        elif kind == "[]transform":
            error = _check_transforms(entry, path)
        else:
            error = "" if fits(entry, kind) else unmarshal_error(entry, f"StreamConfigRequest.{path}", kind)
            entry = without_nulls(entry)
        if error:
            return error
        fields[name] = entry
    item.clear()
    item.update(fields)
    return ""


def _check_transforms(entries: object, where: str) -> str:
    if not isinstance(entries, list):
        return unmarshal_error(entries, f"StreamConfigRequest.{where}", "[]server.SubjectTransformConfig")
    for index, entry in enumerate(entries):
        error = check_struct(entry, "transform", f"{where}.{index}")
        if error:
            return error
    return ""
