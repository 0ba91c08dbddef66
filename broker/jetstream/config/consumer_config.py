"""A consumer's configuration: its 35 fields and their JSON.

`ConsumerConfig` is what the log, the snapshot and every INFO carry. Reading is strict, as Go's decoder with unknown
fields disallowed: names in any case, null means absent, wrong types are told with Go's words.

Invariants: a configuration in a machine has passed `consumer_rules` (defaults and checks); `same_as` ignores the
`_nats.` metadata. Read next: `consumer_rules`, `api/consumers`.
"""

from typing import Final

from broker.jetstream.api_types import (
    BOOLEAN,
    DURATION,
    DURATIONS,
    INTEGER,
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
from broker.jetstream.config.stream_config import client_metadata
from broker.jetstream.durations import DURATION_NS_MAX
from broker.jetstream.go_json import quoted
from broker.jetstream.go_time import format_time, parse_time

DELIVER_ALL: Final = "all"
DELIVER_LAST: Final = "last"
DELIVER_NEW: Final = "new"
DELIVER_BY_START_SEQUENCE: Final = "by_start_sequence"
DELIVER_BY_START_TIME: Final = "by_start_time"
DELIVER_LAST_PER_SUBJECT: Final = "last_per_subject"

ACK_NONE: Final = "none"
ACK_ALL: Final = "all"
ACK_EXPLICIT: Final = "explicit"
ACK_FLOW_CONTROL: Final = "flow_control"

WAIT_NS_MAX: Final = DURATION_NS_MAX >> 2

REPLAY_INSTANT: Final = "instant"
REPLAY_ORIGINAL: Final = "original"
PRIORITY_NONE: Final = "none"
PRIORITY_OVERFLOW: Final = "overflow"
PRIORITY_PINNED_CLIENT: Final = "pinned_client"
PRIORITY_PRIORITIZED: Final = "prioritized"

_CHOICE: Final = "choice"

# JSON name, attribute, kind, in the order nats-server prints them.
FIELDS: Final[list[tuple[str, str, str]]] = [
    ("durable_name", "durable_name", TEXT),
    ("name", "name", TEXT),
    ("description", "description", TEXT),
    ("deliver_policy", "deliver_policy", _CHOICE),
    ("opt_start_seq", "opt_start_sequence", UNSIGNED),
    ("opt_start_time", "opt_start_time_ns", TIME),
    ("ack_policy", "ack_policy", _CHOICE),
    ("ack_wait", "ack_wait_ns", DURATION),
    ("max_deliver", "max_deliver", INTEGER),
    ("backoff", "backoff_ns", DURATIONS),
    ("filter_subject", "filter_subject", TEXT),
    ("filter_subjects", "filter_subjects", TEXTS),
    ("replay_policy", "replay_policy", _CHOICE),
    ("rate_limit_bps", "rate_limit_bps", UNSIGNED),
    ("sample_freq", "sample_freq", TEXT),
    ("max_waiting", "max_waiting", INTEGER),
    ("max_ack_pending", "max_ack_pending", INTEGER),
    ("flow_control", "flow_control", BOOLEAN),
    ("headers_only", "headers_only", BOOLEAN),
    ("max_batch", "max_batch", INTEGER),
    ("max_expires", "max_expires_ns", DURATION),
    ("max_bytes", "max_bytes", INTEGER),
    ("deliver_subject", "deliver_subject", TEXT),
    ("deliver_group", "deliver_group", TEXT),
    ("idle_heartbeat", "idle_heartbeat_ns", DURATION),
    ("inactive_threshold", "inactive_threshold_ns", DURATION),
    ("num_replicas", "num_replicas", INTEGER),
    ("mem_storage", "mem_storage", BOOLEAN),
    ("direct", "direct", BOOLEAN),
    ("sourcing", "sourcing", BOOLEAN),
    ("metadata", "metadata", STRING_MAP),
    ("pause_until", "pause_until_ns", TIME),
    ("priority_groups", "priority_groups", TEXTS),
    ("priority_policy", "priority_policy", _CHOICE),
    ("priority_timeout", "priority_timeout_ns", DURATION),
]
_ALWAYS: Final = ("deliver_policy", "ack_policy", "replay_policy", "num_replicas")
_CHOICES: Final[dict[str, list[str]]] = {
    "deliver_policy": [DELIVER_ALL, DELIVER_LAST, DELIVER_NEW, DELIVER_BY_START_SEQUENCE, DELIVER_BY_START_TIME,
                       DELIVER_LAST_PER_SUBJECT],
    "ack_policy": [ACK_NONE, ACK_ALL, ACK_EXPLICIT, ACK_FLOW_CONTROL],
    "replay_policy": [REPLAY_INSTANT, REPLAY_ORIGINAL],
    "priority_policy": [PRIORITY_NONE, PRIORITY_OVERFLOW, PRIORITY_PINNED_CLIENT, PRIORITY_PRIORITIZED],
}


class ConfigError(Exception):
    """The JSON does not describe a configuration; the text is what Go's decoder says."""


class ConsumerConfig:
    """All fields of a consumer; times are Unix ns (0 = absent), durations ns."""

    def __init__(self) -> None:
        self.durable_name: str = ""
        self.name: str = ""
        self.description: str = ""
        self.deliver_policy: str = DELIVER_ALL
        self.opt_start_sequence: int = 0
        self.opt_start_time_ns: int = 0
        self.ack_policy: str = ACK_NONE
        self.ack_wait_ns: int = 0
        self.max_deliver: int = 0
        self.backoff_ns: list[int] = []
        self.filter_subject: str = ""
        self.filter_subjects: list[str] = []
        self.replay_policy: str = REPLAY_INSTANT
        self.rate_limit_bps: int = 0
        self.sample_freq: str = ""
        self.max_waiting: int = 0
        self.max_ack_pending: int = 0
        self.flow_control: bool = False
        self.headers_only: bool = False
        self.max_batch: int = 0
        self.max_expires_ns: int = 0
        self.max_bytes: int = 0
        self.deliver_subject: str = ""
        self.deliver_group: str = ""
        self.idle_heartbeat_ns: int = 0
        self.inactive_threshold_ns: int = 0
        self.num_replicas: int = 0
        self.mem_storage: bool = False
        self.direct: bool = False
        self.sourcing: bool = False
        self.metadata: dict[str, str] = {}
        self.pause_until_ns: int = 0
        self.priority_groups: list[str] = []
        self.priority_policy: str = PRIORITY_NONE
        self.priority_timeout_ns: int = 0

    def filters(self) -> list[str]:
        """The filter subjects, however they were given; empty = everything."""
        if self.filter_subjects:
            return self.filter_subjects
        return [self.filter_subject] if self.filter_subject else []

    def wait_ns(self, deliveries: int) -> int:
        """How long the ack of the `deliveries`-th delivery is waited for; decades at most, as times are added to it."""
        wait_ns = self.ack_wait_ns
        if self.backoff_ns:
            wait_ns = self.backoff_ns[min(deliveries, len(self.backoff_ns)) - 1]
        return wait_ns if wait_ns < WAIT_NS_MAX else WAIT_NS_MAX

    def to_json(self) -> dict[str, object]:
        """The fields nats-server prints: empty ones are left out but for four."""
        fields: dict[str, object] = {}
        for name, attribute, kind in FIELDS:
            value: object = getattr(self, attribute)
            if name == "priority_policy" and value == PRIORITY_NONE:
                continue
            if not value and name not in _ALWAYS:
                continue
            if kind == TIME:
                value = format_time(getattr(self, attribute))
            fields[name] = value
        return fields

    def same_as(self, other: "ConsumerConfig") -> bool:
        """Equal but for the metadata the server adds."""
        for name, attribute, _kind in FIELDS:
            if name == "metadata":
                if client_metadata(self.metadata) != client_metadata(other.metadata):
                    return False
            elif getattr(self, attribute) != getattr(other, attribute):
                return False
        return True


_BY_NAME: Final[dict[str, tuple[str, str, str]]] = {field[0]: field for field in FIELDS}


def config_from_json(value: object, where: str = "CreateConsumerRequest.config") -> ConsumerConfig:
    """Read a `config` object. Raises ConfigError."""
    config = ConsumerConfig()
    if value is None:
        return config
    if not isinstance(value, dict):
        kind = go_kind(value)
        raise ConfigError(f"json: cannot unmarshal {kind} into Go struct field {where} of type server.ConsumerConfig")
    for key, item in value.items():
        field = _BY_NAME.get(key) or _BY_NAME.get(key.lower())
        if field is None:
            raise ConfigError(unknown_field(key))
        if item is not None or field[2] == _CHOICE:
            setattr(config, field[1], _read(field[0], field[2], item, where))
    return config


def _read(name: str, kind: str, item: object, where: str) -> object:
    """One field's value in our form."""
    if kind == _CHOICE:
        if not isinstance(item, str) or item not in _CHOICES[name]:
            text = go_json_text(item)
            if name == "priority_policy":
                raise ConfigError(f"unknown priority policy: {text}")
            raise ConfigError(f"can not unmarshal {quoted(text)}")
        return item
    if kind == DURATIONS:
        if not isinstance(item, list) or not all(entry is None or fits(entry, DURATION) for entry in item):
            raise ConfigError(unmarshal_error(item, f"{where}.{name}", kind))
        return [entry or 0 for entry in item]
    if not fits(item, kind):
        raise ConfigError(unmarshal_error(item, f"{where}.{name}", kind))
    if kind == TIME:
        assert isinstance(item, str)
        return parse_time(item)
    return without_nulls(item)
