"""Which stream configurations are good: NATS's defaults and checks on creation and update.

Features this server does not have are refused with one clear error (10052), never accepted and ignored. One is
accepted though: `compression: s2` asks for smaller files and changes no answer; blocks are written uncompressed.

Not here: overlap with other streams (the meta group knows them), reading JSON (`stream_config`).
Invariant: `complete` is idempotent.
"""

from typing import Final

from broker.core.subject_owners import SubjectOwners
from broker.core.subjects import collides, is_subset, is_valid
from broker.jetstream.api_errors import (
    INVALID_CONFIG,
    MIRROR_NOT_UPDATABLE,
    NAME_WITH_PATH_SEPARATORS,
    PEDANTIC,
    REPLICAS_NEGATIVE,
    REPLICAS_NOT_SUPPORTED,
    ApiError,
)
from broker.jetstream.config.mapping_rules import complete_mapping
from broker.jetstream.config.server_limits import ServerLimits
from broker.jetstream.config.stream_config import (
    DISCARD_NEW,
    FILE_STORAGE,
    METADATA_LEVEL,
    METADATA_REQUIRED_LEVEL,
    METADATA_VERSION,
    PERSIST_ASYNC,
    RETENTION_LIMITS,
    RETENTION_WORKQUEUE,
    StreamConfig,
    client_metadata,
)
from broker.jetstream.durations import MILLISECOND_NS, MINUTE_NS, SECOND_NS, format_duration
from broker.jetstream.store import SEQUENCE_MAX

NAME_MAX: Final = 255
DESCRIPTION_MAX: Final = 4 * 1024
METADATA_MAX: Final = 128 * 1024
REPLICAS_MAX: Final = 5
DUPLICATE_WINDOW_DEFAULT_NS: Final = 2 * MINUTE_NS
_SHORTEST_NS: Final = 100 * MILLISECOND_NS
_NOT_IN_NAMES: Final = " \t\r\n\f.*>\\/"
_COMPARISONS_MAX: Final = 20_000_000  # each subject with a wildcard may have to look at all others
_LIMITS: Final = ("max_msgs", "max_msgs_per_subject", "max_bytes", "max_msg_size", "max_consumers")
_API_SUBJECTS: Final = (b"$JS.>", b"$JSC.>", b"$NRG.>")


def is_asset_name(name: str) -> bool:
    """Whether a stream or consumer may be called so."""
    return bool(name) and not any(character in name for character in _NOT_IN_NAMES)


def has_path_separators(name: str) -> bool:
    """Refused with an error of its own."""
    return "/" in name or "\\" in name


def complete(config: StreamConfig, limits: ServerLimits, pedantic: bool = False) -> ApiError | None:
    """Fill in defaults (in place) and check; None when the stream may exist."""
    error = (
        _check_name(config)
        or _complete_limits(config, limits, pedantic)
        or _check_flags(config, pedantic)
        or _check_async(config)
        or _complete_schedules(config, pedantic)
        or _complete_subjects(config)
        or complete_mapping(config, pedantic)
    )
    if error is not None:
        return error
    if config.placement is not None and config.placement.get("preferred"):
        return INVALID_CONFIG.of(err="preferred server not permitted in placement")
    _set_metadata(config)
    return None


def complete_new(config: StreamConfig, limits: ServerLimits, pedantic: bool = False) -> ApiError | None:
    """`complete` for a stream that does not exist yet."""
    error = complete(config, limits, pedantic)
    if error is not None:
        return error
    if config.num_replicas > 1 and not limits.clustered:
        return REPLICAS_NOT_SUPPORTED
    if config.mirror_direct and config.mirror is None:
        return INVALID_CONFIG.of(err="stream has no mirror but does have mirror direct")
    if config.sealed:
        return INVALID_CONFIG.of(err="stream configuration for create can not be sealed")
    return None


def complete_update(
    old: StreamConfig, new: StreamConfig, limits: ServerLimits, pedantic: bool = False
) -> ApiError | None:
    """`complete` for the new configuration of a stream, and whether it may follow the old one."""
    error = complete(new, limits, pedantic)
    if error is not None:
        return error
    if new.name != old.name:
        return INVALID_CONFIG.of(err="stream configuration name must match original")
    if new.num_replicas > 1 and not limits.clustered:
        return REPLICAS_NOT_SUPPORTED
    text = _forbidden_change(old, new)
    if text:
        return INVALID_CONFIG.of(err="stream configuration update can not " + text)
    if new.mirror is not None and new.mirror != old.mirror:
        return MIRROR_NOT_UPDATABLE
    if old.allow_msg_ttl and not new.allow_msg_ttl:
        return INVALID_CONFIG.of(err="message TTL status can not be disabled")
    if old.allow_msg_schedules and not new.allow_msg_schedules:
        return INVALID_CONFIG.of(err="message schedules can not be disabled")
    if new.sealed:
        new.max_age_ns = 0
        new.discard = DISCARD_NEW
        new.deny_delete = True
        new.deny_purge = True
        new.allow_rollup_headers = False
    return None


def _forbidden_change(old: StreamConfig, new: StreamConfig) -> str:
    """What an update tries in vain, "" when nothing."""
    if new.storage != old.storage:
        return "change storage type"
    if new.retention != old.retention and RETENTION_WORKQUEUE in (new.retention, old.retention):
        return "change retention policy to/from workqueue"
    if old.sealed and not new.sealed:
        return "unseal a sealed stream"
    if old.deny_delete and not new.deny_delete:
        return "cancel deny message deletes"
    if old.deny_purge and not new.deny_purge:
        return "cancel deny purge"
    if new.allow_msg_counter != old.allow_msg_counter:
        return "change message counter setting"
    if new.persist_mode != old.persist_mode:
        return "change persist mode"
    return ""


def _check_name(config: StreamConfig) -> ApiError | None:
    name = config.name
    if has_path_separators(name):
        return NAME_WITH_PATH_SEPARATORS
    if not is_asset_name(name):
        return INVALID_CONFIG.of(err="stream name is required and can not contain '.', '*', '>', '\\', '/'")
    if len(name.encode()) > NAME_MAX:
        return INVALID_CONFIG.of(err=f"stream name is too long, maximum allowed is {NAME_MAX}")
    if len(config.description.encode()) > DESCRIPTION_MAX:
        return INVALID_CONFIG.of(err=f"stream description is too long, maximum allowed is {DESCRIPTION_MAX}")
    if metadata_size(config.metadata) > METADATA_MAX:
        return INVALID_CONFIG.of(err=f"stream metadata exceeds maximum size of {METADATA_MAX} bytes")
    return None


def metadata_size(metadata: dict[str, str]) -> int:
    """Bytes of keys and values, with the required level, which has one digit."""
    ours = client_metadata(metadata)
    return sum(len(key.encode()) + len(ours[key].encode()) for key in ours) + len(METADATA_REQUIRED_LEVEL) + 1


def _complete_limits(config: StreamConfig, limits: ServerLimits, pedantic: bool) -> ApiError | None:
    if config.num_replicas == 0:
        config.num_replicas = 1
    if config.num_replicas > REPLICAS_MAX:
        return INVALID_CONFIG.of(err=f"maximum replicas is {REPLICAS_MAX}")
    if config.num_replicas < 0:
        return REPLICAS_NEGATIVE
    for attribute in _LIMITS:
        value = getattr(config, attribute)
        if value == 0 or value < -1:
            if pedantic and value < -1:
                return PEDANTIC.of(err=f"{attribute} must be set to -1")
            setattr(config, attribute, -1)
    if config.first_sequence > SEQUENCE_MAX:
        return INVALID_CONFIG.of(err=f"first sequence can not be larger than {SEQUENCE_MAX}")
    if config.max_age_ns < 0:
        return INVALID_CONFIG.of(err="max age can not be negative")
    if 0 < config.max_age_ns < _SHORTEST_NS:
        return INVALID_CONFIG.of(err="max age needs to be >= 100ms")
    return _complete_window(config, limits.duplicate_window_ns, pedantic)


def _complete_window(config: StreamConfig, limit_ns: int, pedantic: bool) -> ApiError | None:
    if config.duplicate_window_ns == 0:
        if config.mirror is not None or config.sources:
            return None  # what comes from another stream was looked at there
        window_ns = DUPLICATE_WINDOW_DEFAULT_NS
        if 0 < limit_ns < window_ns:
            if pedantic:
                return PEDANTIC.of(err="duplicate window limits are higher than current limits")
            window_ns = limit_ns
        if 0 < config.max_age_ns < window_ns:
            if pedantic:
                return PEDANTIC.of(err="duplicate window cannot be bigger than max age")
            window_ns = config.max_age_ns
        config.duplicate_window_ns = window_ns
    window_ns = config.duplicate_window_ns
    if window_ns < 0:
        return INVALID_CONFIG.of(err="duplicates window can not be negative")
    if 0 < config.max_age_ns < window_ns:
        return INVALID_CONFIG.of(err="duplicates window can not be larger then max age")
    if 0 < limit_ns < window_ns:
        return INVALID_CONFIG.of(
            err=f"duplicates window can not be larger then server limit of {format_duration(limit_ns)}"
        )
    if window_ns < _SHORTEST_NS:
        return INVALID_CONFIG.of(err="duplicates window needs to be >= 100ms")
    return None


def _check_flags(config: StreamConfig, pedantic: bool) -> ApiError | None:
    if config.deny_purge and config.allow_rollup_headers:
        return INVALID_CONFIG.of(err="roll-ups require the purge permission")
    text = _counter_conflict(config) if config.allow_msg_counter else ""
    if text:
        return INVALID_CONFIG.of(err="counter stream " + text)
    if config.discard_new_per_subject:
        if config.discard != DISCARD_NEW:
            return INVALID_CONFIG.of(err="discard new per subject requires discard new policy to be set")
        if config.max_msgs_per_subject <= 0:
            return INVALID_CONFIG.of(err="discard new per subject requires max msgs per subject > 0")
    return _complete_markers(config, pedantic)


def _counter_conflict(config: StreamConfig) -> str:
    """What a counter stream cannot have besides; delete markers may bring TTLs with them."""
    if config.discard == DISCARD_NEW:
        return "cannot use discard new"
    if config.allow_msg_ttl and config.subject_delete_marker_ttl_ns == 0:
        return "cannot use message TTLs"
    if config.allow_msg_schedules:
        return "cannot use message schedules"
    return "" if config.retention == RETENTION_LIMITS else "can only use limits retention"


def _complete_markers(config: StreamConfig, pedantic: bool) -> ApiError | None:
    """Delete markers bring TTLs and roll-ups with them."""
    ttl_ns = config.subject_delete_marker_ttl_ns
    if ttl_ns < 0:
        return INVALID_CONFIG.of(err="subject delete marker TTL must not be negative")
    if ttl_ns == 0:
        return None
    if ttl_ns < SECOND_NS:
        return INVALID_CONFIG.of(err="subject delete marker TTL must be at least 1 second")
    if not config.allow_msg_ttl:
        if pedantic:
            return INVALID_CONFIG.of(err="subject delete marker cannot be set if message TTLs are disabled")
        config.allow_msg_ttl = True
    if not config.allow_rollup_headers:
        if pedantic:
            return INVALID_CONFIG.of(err="subject delete marker cannot be set if roll-ups are disabled")
        config.allow_rollup_headers = True
        config.deny_purge = False
    return None


def _check_async(config: StreamConfig) -> ApiError | None:
    """`persist_mode: async`."""
    if config.persist_mode != PERSIST_ASYNC:
        return None
    if config.storage != FILE_STORAGE:
        return INVALID_CONFIG.of(err="async persist mode is only supported on file storage")
    if config.num_replicas > 1:
        return INVALID_CONFIG.of(err="async persist mode is not supported on replicated streams")
    if config.allow_atomic:
        return INVALID_CONFIG.of(err="async persist mode is not supported with atomic batch publish")
    return None


def _complete_schedules(config: StreamConfig, pedantic: bool) -> ApiError | None:
    """Schedules bring roll-ups with them."""
    if not config.allow_msg_schedules:
        return None
    if config.discard == DISCARD_NEW:
        return INVALID_CONFIG.of(err="message scheduling cannot use discard new")
    if not config.allow_rollup_headers:
        if pedantic:
            return INVALID_CONFIG.of(err="message scheduling cannot be set if roll-ups are disabled")
        config.allow_rollup_headers = True
        config.deny_purge = False
    return None


def _complete_subjects(config: StreamConfig) -> ApiError | None:
    if not config.subjects:
        if config.mirror is None and not config.sources:
            config.subjects = [config.name]
        return None
    wildcards = len([text for text in config.subjects if "*" in text or ">" in text])
    if wildcards * len(config.subjects) > _COMPARISONS_MAX:
        return INVALID_CONFIG.of(err="too many subjects with wildcards")
    seen: dict[str, bool] = {}
    first = _first_overlapping(config.subjects)
    for at, text in enumerate(config.subjects):
        subject = text.encode()
        if not is_valid(subject):
            return INVALID_CONFIG.of(err="invalid subject")
        if text in seen:
            return INVALID_CONFIG.of(err="duplicate subjects detected")
        if text == ">":
            if not config.no_ack:
                return INVALID_CONFIG.of(err="capturing all subjects requires no-ack to be true")
            if config.num_replicas != 1:
                return INVALID_CONFIG.of(err="capturing all subjects requires replicas of 1")
        if not config.no_ack:
            error = _check_reserved(subject)
            if error is not None:
                return error
        seen[text] = True
        if at == first:
            for other in config.subjects[at + 1 :]:
                if collides(other.encode(), subject):
                    return INVALID_CONFIG.of(err=f'subject "{text}" overlaps with "{other}"')
    return None


def _first_overlapping(subjects: list[str]) -> int:
    """The place of the first that overlaps with one behind it; -1 when none does. Comparing each with each would take
    minutes where there are a hundred thousand."""
    behind = SubjectOwners()
    first = -1
    for at in range(len(subjects) - 1, -1, -1):
        subject = subjects[at].encode()
        if is_valid(subject):
            if behind.is_met(subject):
                first = at
            behind.add(subject, "")
    return first


def _check_reserved(subject: bytes) -> ApiError | None:
    for space in _API_SUBJECTS:
        if collides(subject, space) and not is_subset(subject, b"$JS.EVENT.>"):
            return INVALID_CONFIG.of(err="subjects that overlap with jetstream api require no-ack to be true")
    if collides(subject, b"$SYS.>") and not is_subset(subject, b"$SYS.ACCOUNT.>"):
        return INVALID_CONFIG.of(err="subjects that overlap with system api require no-ack to be true")
    return None


def _set_metadata(config: StreamConfig) -> None:
    """Keep the API level the stream needs; drop what only answers carry."""
    metadata = {key: config.metadata[key] for key in config.metadata if key not in (METADATA_VERSION, METADATA_LEVEL)}
    metadata[METADATA_REQUIRED_LEVEL] = str(_required_level(config))
    config.metadata = dict(sorted(metadata.items()))


def _required_level(config: StreamConfig) -> int:
    """The API level of the youngest feature a stream uses (ADR-44)."""
    if config.allow_batched:
        return 4
    if config.allow_atomic or config.allow_msg_counter or config.allow_msg_schedules:
        return 2
    if config.persist_mode == PERSIST_ASYNC:
        return 2
    return 1 if config.allow_msg_ttl else 0
