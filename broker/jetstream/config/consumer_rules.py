"""What makes a consumer's configuration acceptable: NATS's defaults, checks and rules for updates, in its order.

Pure functions of the configuration and its stream's. Not here: checks against the other consumers of the stream
(`consumer_apply`), reading JSON (`consumer_config`).

Invariants: `set_defaults` before `check`; both are deterministic, so that a leader's early refusal and `apply` agree.
What this build does not do is refused by `check_built`, clearly and at creation, never ignored.
"""

import re
from typing import Final

from broker.core.subject_owners import SubjectOwners
from broker.core.subjects import is_literal, is_subset, is_valid
from broker.jetstream import consumer_errors as errors
from broker.jetstream.api_errors import INVALID_CONFIG, PEDANTIC, REPLICAS_NEGATIVE, ApiError
from broker.jetstream.config.consumer_config import (
    ACK_ALL,
    ACK_EXPLICIT,
    ACK_FLOW_CONTROL,
    ACK_NONE,
    DELIVER_BY_START_SEQUENCE,
    DELIVER_BY_START_TIME,
    DELIVER_LAST_PER_SUBJECT,
    PRIORITY_NONE,
    PRIORITY_PINNED_CLIENT,
    ConsumerConfig,
)
from broker.jetstream.config.server_limits import NO_LIMITS, ServerLimits
from broker.jetstream.config.stream_config import StreamConfig
from broker.jetstream.config.stream_rules import is_asset_name, metadata_size
from broker.jetstream.consumers.dead_letter import MODES, SWITCH, mode_of
from broker.jetstream.durations import MILLISECOND_NS, SECOND_NS, format_duration

ACK_WAIT_DEFAULT_NS: Final = 30 * SECOND_NS
MAX_WAITING_DEFAULT: Final = 512
MAX_ACK_PENDING_DEFAULT: Final = 1000
INACTIVE_THRESHOLD_DEFAULT_NS: Final = 5 * SECOND_NS
NAME_LENGTH_MAX: Final = 255
DESCRIPTION_LENGTH_MAX: Final = 4096
METADATA_LENGTH_MAX: Final = 128 * 1024
PRIORITY_TIMEOUT_DEFAULT_NS: Final = 120 * SECOND_NS
_GROUP_NAME: Final = re.compile(r"[a-zA-Z0-9/_=-]{1,16}")
IDLE_HEARTBEAT_NS_MIN: Final = 100 * MILLISECOND_NS
_NOT_NEGATIVE: Final = [
    ("max_waiting", "max_waiting"),
    ("max_batch", "max_batch"),
    ("max_expires", "max_expires_ns"),
    ("max_bytes", "max_bytes"),
    ("idle_heartbeat", "idle_heartbeat_ns"),
    ("inactive_threshold", "inactive_threshold_ns"),
    ("priority_timeout", "priority_timeout_ns"),
]


def set_defaults(
    config: ConsumerConfig, stream: StreamConfig, pedantic: bool, server: ServerLimits = NO_LIMITS
) -> ApiError | None:
    """Fill in what was left out; in pedantic mode a silent correction is an error."""
    if config.max_deliver == 0 or config.max_deliver < -1:
        if pedantic and config.max_deliver < -1:
            return PEDANTIC.of(err="max_deliver must be set to -1")
        config.max_deliver = -1
    if config.max_ack_pending < -1:
        if pedantic:
            return PEDANTIC.of(err="max_ack_pending must be set to -1")
        config.max_ack_pending = -1
    for name, attribute in _NOT_NEGATIVE:
        if getattr(config, attribute) < 0:
            if pedantic:
                return PEDANTIC.of(err=f"{name} must not be negative")
            setattr(config, attribute, 0)
    if not config.deliver_subject and config.max_waiting == 0:
        config.max_waiting = MAX_WAITING_DEFAULT
    if config.priority_policy == PRIORITY_PINNED_CLIENT and config.priority_timeout_ns == 0:
        config.priority_timeout_ns = PRIORITY_TIMEOUT_DEFAULT_NS
    if config.ack_wait_ns == 0 and config.ack_policy in (ACK_EXPLICIT, ACK_ALL):
        config.ack_wait_ns = ACK_WAIT_DEFAULT_NS
    if config.backoff_ns:
        if pedantic and config.ack_wait_ns != config.backoff_ns[0]:
            return PEDANTIC.of(err="first backoff value has to equal batch AckWait")
        config.ack_wait_ns = config.backoff_ns[0]
    return _set_stream_defaults(config, stream, pedantic, server)


def _set_stream_defaults(
    config: ConsumerConfig, stream: StreamConfig, pedantic: bool, server: ServerLimits
) -> ApiError | None:
    limits = stream.consumer_limits
    if config.max_ack_pending == 0:
        if pedantic and limits.max_ack_pending > 0:
            return PEDANTIC.of(err="max_ack_pending must be set if it's configured in stream limits")
        config.max_ack_pending = limits.max_ack_pending
    if config.inactive_threshold_ns == 0:
        if pedantic and limits.inactive_threshold_ns > 0:
            return PEDANTIC.of(err="inactive_threshold must be set if it's configured in stream limits")
        config.inactive_threshold_ns = limits.inactive_threshold_ns
    if config.max_ack_pending == 0 and config.ack_policy != ACK_NONE:
        config.max_ack_pending = min(MAX_ACK_PENDING_DEFAULT, server.max_ack_pending or MAX_ACK_PENDING_DEFAULT)
    if not config.durable_name and config.inactive_threshold_ns == 0:
        config.inactive_threshold_ns = INACTIVE_THRESHOLD_DEFAULT_NS
    if not config.deliver_subject and config.max_batch == 0 and server.max_request_batch > 0:
        if pedantic:
            return PEDANTIC.of(err="max_request_batch must be set if it's JetStream limits are set")
        config.max_batch = server.max_request_batch
    return None


def check(config: ConsumerConfig, stream: StreamConfig, server: ServerLimits = NO_LIMITS) -> ApiError | None:
    """The first thing that is wrong with a defaulted configuration."""
    if config.name and not is_asset_name(config.name):
        return INVALID_CONFIG.of(err="consumer name can not contain '.', '*', '>', '\\', '/'")
    if config.durable_name and not is_asset_name(config.durable_name):
        return INVALID_CONFIG.of(err="consumer durable name can not contain '.', '*', '>', '\\', '/'")
    return (
        _check_counts(config, stream)
        or (_check_push(config, stream) if config.deliver_subject else _check_pull(config, stream))
        or _check_server_limits(config, server)
        or _check_stream_limits(config, stream)
        or _check_filters(config)
        or _check_start(config)
        or _check_rest(config)
        or check_built(config)
    )


def _check_counts(config: ConsumerConfig, stream: StreamConfig) -> ApiError | None:
    if config.num_replicas > stream.num_replicas:
        return errors.REPLICAS_EXCEED_STREAM
    if config.num_replicas < 0:
        return REPLICAS_NEGATIVE
    if stream.retention != "limits" and config.num_replicas not in (0, stream.num_replicas):
        return errors.REPLICAS_MUST_MATCH_STREAM
    if any(backoff < 0 for backoff in config.backoff_ns):
        return errors.BACKOFF_NEGATIVE
    if config.ack_wait_ns < 0:
        return errors.ACK_WAIT_NEGATIVE
    if _backoff_exceeds_deliveries(config):
        return errors.MAX_DELIVER_BACKOFF
    if len(config.description.encode()) > DESCRIPTION_LENGTH_MAX:
        return errors.DESCRIPTION_TOO_LONG
    return None


def _backoff_exceeds_deliveries(config: ConsumerConfig) -> bool:
    return bool(config.backoff_ns) and config.max_deliver != -1 and len(config.backoff_ns) > config.max_deliver


def _check_push(config: ConsumerConfig, stream: StreamConfig) -> ApiError | None:
    subject = config.deliver_subject.encode()
    if not is_literal(subject):
        return errors.DELIVER_TO_WILDCARDS
    if not is_valid(subject):
        return errors.INVALID_DELIVER_SUBJECT
    if any(is_subset(subject, captured.encode()) for captured in stream.subjects):
        return errors.DELIVER_CYCLE
    if config.max_waiting != 0:
        return errors.PUSH_MAX_WAITING
    if config.max_ack_pending > 0 and config.ack_policy == ACK_NONE:
        return errors.MAX_PENDING_NEEDS_ACKS
    if 0 < config.idle_heartbeat_ns < IDLE_HEARTBEAT_NS_MIN:
        return errors.SMALL_HEARTBEAT
    return None


def _check_pull(config: ConsumerConfig, stream: StreamConfig) -> ApiError | None:
    if config.ack_policy == ACK_NONE and stream.retention == "workqueue":
        return errors.PULL_REQUIRES_ACK
    if config.rate_limit_bps > 0:
        return errors.PULL_WITH_RATE_LIMIT
    if config.idle_heartbeat_ns > 0:
        return errors.HEARTBEAT_REQUIRES_PUSH
    if config.flow_control:
        return errors.FLOW_CONTROL_REQUIRES_PUSH
    if config.max_expires_ns != 0 and config.max_expires_ns < MILLISECOND_NS:
        return errors.MAX_EXPIRES_TOO_SMALL
    return None


def _check_server_limits(config: ConsumerConfig, server: ServerLimits) -> ApiError | None:
    if not config.deliver_subject and 0 < server.max_request_batch < config.max_batch:
        return errors.max_request_batch_excess(server.max_request_batch)
    if 0 < server.max_ack_pending < config.max_ack_pending:
        return errors.max_ack_pending_excess(server.max_ack_pending)
    return None


def _check_stream_limits(config: ConsumerConfig, stream: StreamConfig) -> ApiError | None:
    limits = stream.consumer_limits
    if 0 < limits.max_ack_pending < config.max_ack_pending:
        return errors.max_ack_pending_excess(limits.max_ack_pending)
    if 0 < limits.inactive_threshold_ns < config.inactive_threshold_ns:
        return errors.inactive_threshold_excess(format_duration(limits.inactive_threshold_ns))
    if config.direct:
        if not config.deliver_subject:
            return errors.DIRECT_REQUIRES_PUSH
        if config.durable_name:
            return errors.DIRECT_REQUIRES_EPHEMERAL
    return None


def _check_filters(config: ConsumerConfig) -> ApiError | None:
    if config.filter_subject and config.filter_subjects:
        return errors.DUPLICATE_FILTERS
    if "" in config.filter_subjects:
        return errors.EMPTY_FILTER
    filters = [subject.encode() for subject in config.filters()]
    covers, seen = SubjectOwners(), SubjectOwners()
    overlapping = False
    for subject in filters:
        if not is_valid(subject):
            return errors.OVERLAPPING_FILTERS if overlapping else INVALID_CONFIG.of(err="invalid subject")
        overlapping = overlapping or seen.is_covered(subject)
        seen.add(subject, "")
    for subject in reversed(filters):
        overlapping = overlapping or covers.is_covered(subject)
        covers.add(subject, "")
    return errors.OVERLAPPING_FILTERS if overlapping else None


def _check_start(config: ConsumerConfig) -> ApiError | None:
    """Start positions belong to the two policies of their name."""
    policy = config.deliver_policy
    name = policy.replace("_", " ")
    prefix = f"consumer delivery policy is deliver {name}, but optional "
    if policy == DELIVER_BY_START_SEQUENCE:
        if config.opt_start_sequence == 0:
            return errors.invalid_policy(prefix + "start sequence is not set")
        if config.opt_start_time_ns:
            return errors.invalid_policy(prefix + "start time is also set")
    elif policy == DELIVER_BY_START_TIME:
        if not config.opt_start_time_ns:
            return errors.invalid_policy(prefix + "start time is not set")
        if config.opt_start_sequence != 0:
            return errors.invalid_policy(prefix + "start start sequence is also set")
    else:
        if config.opt_start_sequence > 0:
            return errors.invalid_policy(prefix + "start sequence is also set")
        if config.opt_start_time_ns:
            return errors.invalid_policy(prefix + "start time is also set")
        if policy == DELIVER_LAST_PER_SUBJECT and not config.filters():
            return errors.invalid_policy(prefix + "filter subject is not set")
    return None


def _check_rest(config: ConsumerConfig) -> ApiError | None:
    if config.sample_freq and sample_percent(config.sample_freq) < 0:
        digits = config.sample_freq.removesuffix("%")
        number = digits[1:] if digits[:1] in ("+", "-") else digits
        is_number = number.isascii() and number.isdigit()
        return errors.invalid_sampling("<nil>" if is_number else f'strconv.Atoi: parsing "{digits}": invalid syntax')
    if config.flow_control and config.idle_heartbeat_ns == 0:
        return errors.FLOW_CONTROL_NEEDS_HEARTBEATS
    if config.durable_name and config.name and config.durable_name != config.name:
        return errors.DURABLE_AND_NAME_DIFFER
    if len(config.durable_name or config.name) > NAME_LENGTH_MAX:
        return errors.NAME_TOO_LONG
    if metadata_size(config.metadata) > METADATA_LENGTH_MAX:
        return errors.METADATA_TOO_LONG
    if mode_of(config.metadata) not in MODES:
        return INVALID_CONFIG.of(err=f"{SWITCH} must be one of {', '.join(MODES)}")
    if config.priority_policy == PRIORITY_NONE:
        if config.priority_groups:
            return errors.PRIORITY_GROUPS_WITHOUT_POLICY
        if config.priority_timeout_ns:
            return errors.PRIORITY_TIMEOUT_WITHOUT_POLICY
    elif config.deliver_subject:
        return errors.PUSH_WITH_PRIORITY_GROUP
    elif not config.priority_groups:
        return errors.PRIORITY_POLICY_WITHOUT_GROUP
    elif "" in config.priority_groups:
        return errors.EMPTY_GROUP_NAME
    elif not all(is_group_name(name) for name in config.priority_groups):
        return errors.INVALID_GROUP_NAME
    return None


def check_built(config: ConsumerConfig) -> ApiError | None:
    """Known fields whose behaviour this build does not have."""
    absent = ""
    if config.ack_policy == ACK_FLOW_CONTROL:
        absent = "the flow_control ack policy is"
    elif config.direct or config.sourcing:
        absent = "direct and sourcing consumers are"
    return INVALID_CONFIG.of(err=f"{absent} not supported by this server") if absent else None


def is_group_name(name: str) -> bool:
    """Whether a priority group may have this name."""
    return _GROUP_NAME.fullmatch(name) is not None


def required_level(config: ConsumerConfig) -> int:
    """The API level of the youngest feature a consumer uses (ADR-44)."""
    return 1 if config.pause_until_ns or config.priority_policy != PRIORITY_NONE else 0


def sample_percent(text: str) -> int:
    """`30` or `30%`; 0 when empty, -1 when it is no number of that kind."""
    digits = text.removesuffix("%")
    if not text:
        return 0
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 20 else -1


def check_update(old: ConsumerConfig, new: ConsumerConfig) -> ApiError | None:
    """Whether `new` may replace `old` (both defaulted and checked)."""
    fixed = [
        ("deliver_policy", "deliver policy"),
        ("mem_storage", "storage type"),
        ("opt_start_sequence", "start sequence"),
        ("opt_start_time_ns", "start time"),
        ("ack_policy", "ack policy"),
        ("replay_policy", "replay policy"),
        ("idle_heartbeat_ns", "heart beats"),
        ("flow_control", "flow control"),
    ]
    for attribute, name in fixed:
        if getattr(old, attribute) != getattr(new, attribute):
            return errors.create_failed(f"{name} can not be updated")
    if old.deliver_subject != new.deliver_subject:
        if not old.deliver_subject:
            return errors.create_failed("can not update pull consumer to push based")
        if not new.deliver_subject:
            return errors.create_failed("can not update push consumer to pull based")
    if old.max_waiting != new.max_waiting:
        return errors.create_failed("max waiting can not be updated")
    return None
