"""Which `mirror` and `sources` a stream may have: NATS's checks, in its order, with its errors.

An origin need not exist; where it does, sizes must fit, and streams must not feed themselves. Not here: all other
fields (`stream_rules`), what an entry means (`source_config`). `find` knows the configurations of all streams.
"""

from collections.abc import Callable
from typing import Final

from broker.core.subjects import collides, is_literal, is_subset, is_valid
from broker.jetstream.api_errors import (
    EXTERNAL_API_OVERLAPS,
    EXTERNAL_DELIVERY_OVERLAPS,
    EXTERNAL_DELIVERY_WILDCARDS,
    INVALID_CONFIG,
    MIRROR_CONSUMER_INVALID,
    MIRROR_FILTERS_OVERLAP,
    MIRROR_MAX_MESSAGE_SIZE,
    MIRROR_MULTIPLE_FILTERS,
    MIRROR_NAME_INVALID,
    MIRROR_TRANSFORM_DESTINATION,
    MIRROR_TRANSFORM_SOURCE,
    MIRROR_WITH_ATOMIC,
    MIRROR_WITH_BATCHED,
    MIRROR_WITH_COUNTERS,
    MIRROR_WITH_FIRST_SEQUENCE,
    MIRROR_WITH_SCHEDULES,
    MIRROR_WITH_SOURCES,
    MIRROR_WITH_SUBJECTS,
    PEDANTIC,
    SOURCE_CONSUMER_DUPLICATE,
    SOURCE_CONSUMER_INVALID,
    SOURCE_DUPLICATE,
    SOURCE_FILTERS_OVERLAP,
    SOURCE_MAX_MESSAGE_SIZE,
    SOURCE_MULTIPLE_FILTERS,
    SOURCE_NAME_INVALID,
    SOURCE_TRANSFORM_DESTINATION,
    SOURCE_TRANSFORM_SOURCE,
    SOURCE_WITH_SCHEDULES,
    STREAM_CREATE_FAILED,
    ApiError,
)
from broker.jetstream.config.mapping_rules import check_transform
from broker.jetstream.config.source_config import external_of, index_name, transforms_of
from broker.jetstream.config.stream_config import StreamConfig
from broker.jetstream.config.stream_rules import is_asset_name

Find = Callable[[str], StreamConfig | None]
Entry = dict[str, object]

_API: Final = "$JS.API"
_CYCLE: Final = INVALID_CONFIG.of(err="detected cycle")


def complete_sources(config: StreamConfig, find: Find, pedantic: bool) -> ApiError | None:
    """Check both fields, set `mirror_direct` as the origin has it (in place)."""
    if config.mirror is None and not config.sources:
        return None
    for entry in [*([] if config.mirror is None else [config.mirror]), *config.sources]:
        if "name" not in entry:
            rest = entry.copy()
            entry.clear()
            entry.update({"name": "", **rest})
        if entry.get("subject_transforms"):
            entry["subject_transforms"] = [{"src": source, "dest": to} for source, to in transforms_of(entry)]
        external = external_of(entry)
        if external is not None:
            entry["external"] = {"api": external[0], "deliver": external[1]}
        for key in [name for name in entry if name not in ("name", "consumer") and not entry[name]]:
            del entry[key]  # as if it had not been said
    error = _check_mirror(config, find, pedantic) if config.mirror is not None else None
    if error is None and config.sources and config.allow_msg_schedules:
        error = SOURCE_WITH_SCHEDULES
    if error is None:
        error = _check_entries(config, find)
    return error or _check_external(config, find) or _check_cycles(config, find)


def check_new_filters(config: StreamConfig) -> ApiError | None:
    """What nats-server finds when it begins to read: only on creation."""
    if config.mirror is not None:
        wanted = str(config.mirror.get("filter_subject") or "")
        if wanted and not is_valid(wanted.encode()):
            return STREAM_CREATE_FAILED.of(err=f"subject filter '{wanted}' for the mirror invalid subject")
    for entry in config.sources:
        wanted = str(entry.get("filter_subject") or "")
        if wanted and not is_valid(wanted.encode()):
            return STREAM_CREATE_FAILED.of(err=f"subject filter '{wanted}' for the source: invalid subject")
    return None


# Mirrors.


def _check_mirror(config: StreamConfig, find: Find, pedantic: bool) -> ApiError | None:
    mirror = config.mirror
    assert mirror is not None
    error = _mirror_conflict(config)
    if error is not None:
        return error
    if _consumer_is_bad(mirror):
        return MIRROR_CONSUMER_INVALID
    transforms = transforms_of(mirror)
    if mirror.get("filter_subject") and transforms:
        return MIRROR_MULTIPLE_FILTERS
    if config.subject_delete_marker_ttl_ns > 0:
        return INVALID_CONFIG.of(err="subject delete markers forbidden on mirrors")
    for outer in range(len(transforms)):
        fields: Entry = {"src": transforms[outer][0], "dest": transforms[outer][1]}
        error = check_transform(fields, MIRROR_TRANSFORM_SOURCE, MIRROR_TRANSFORM_DESTINATION)
        if error is not None:
            return error
        for inner in range(len(transforms)):
            if inner != outer and collides(transforms[outer][0].encode(), transforms[inner][0].encode()):
                return MIRROR_FILTERS_OVERLAP
    if external_of(mirror) is not None:
        return None
    name = str(mirror.get("name") or "")
    if not is_asset_name(name):
        return MIRROR_NAME_INVALID
    origin = find(name)
    if origin is None:
        return None
    if 0 < config.max_msg_size < origin.max_msg_size:
        return MIRROR_MAX_MESSAGE_SIZE
    if pedantic and config.mirror_direct != origin.allow_direct:
        return PEDANTIC.of(err="origin stream has direct get set, mirror has it disabled")
    config.mirror_direct = origin.allow_direct
    return None


def _mirror_conflict(config: StreamConfig) -> ApiError | None:
    """What a mirror cannot have besides."""
    conflicts = [
        (config.first_sequence > 0, MIRROR_WITH_FIRST_SEQUENCE),
        (bool(config.subjects), MIRROR_WITH_SUBJECTS),
        (bool(config.sources), MIRROR_WITH_SOURCES),
        (config.allow_msg_counter, MIRROR_WITH_COUNTERS),
        (config.allow_atomic, MIRROR_WITH_ATOMIC),
        (config.allow_batched, MIRROR_WITH_BATCHED),
        (config.allow_msg_schedules, MIRROR_WITH_SCHEDULES),
    ]
    for is_so, error in conflicts:
        if is_so:
            return error
    return None


# Sources.


def _check_entries(config: StreamConfig, find: Find) -> ApiError | None:
    seen: dict[str, bool] = {}
    consumers: dict[str, bool] = {}
    for entry in config.sources:
        if not is_asset_name(str(entry.get("name") or "")):
            return SOURCE_NAME_INVALID
        name = index_name(entry)
        if name in seen:
            return SOURCE_DUPLICATE
        seen[name] = True
        error = _check_source(entry, consumers)
        if error is not None:
            return error
        if external_of(entry) is None:
            origin = find(str(entry.get("name")))
            if origin is not None and 0 < config.max_msg_size < origin.max_msg_size:
                return SOURCE_MAX_MESSAGE_SIZE
    return None


def _check_source(entry: Entry, consumers: dict[str, bool]) -> ApiError | None:
    transforms = transforms_of(entry)
    if entry.get("filter_subject") and transforms:
        return SOURCE_MULTIPLE_FILTERS
    for source, destination in transforms:
        fields: Entry = {"src": source, "dest": destination}
        error = check_transform(fields, SOURCE_TRANSFORM_SOURCE, SOURCE_TRANSFORM_DESTINATION)
        if error is not None:
            return error
    for outer in range(len(transforms)):
        for inner in range(len(transforms)):
            if inner != outer and is_subset(transforms[outer][0].encode(), transforms[inner][0].encode()):
                return SOURCE_FILTERS_OVERLAP
    if _consumer_is_bad(entry):
        return SOURCE_CONSUMER_INVALID
    consumer = entry.get("consumer")
    if isinstance(consumer, dict):
        key = f"{index_name(entry).split(' ')[0]} {consumer.get('name')}"
        if key in consumers:
            return SOURCE_CONSUMER_DUPLICATE
        consumers[key] = True
    return None


def _consumer_is_bad(entry: Entry) -> bool:
    """Whether the entry names a consumer of its origin, and does so wrongly."""
    consumer = entry.get("consumer")
    if not isinstance(consumer, dict):
        return False
    subject = str(consumer.get("deliver_subject") or "").encode()
    if not is_asset_name(str(consumer.get("name") or "")) or not is_literal(subject) or not is_valid(subject):
        return True
    return bool(entry.get("opt_start_seq") or entry.get("opt_start_time") or entry.get("filter_subject"))


# External prefixes.


def _check_external(config: StreamConfig, find: Find) -> ApiError | None:
    entries = ([] if config.mirror is None else [config.mirror]) + config.sources
    subjects: list[str] = []
    for entry in entries:
        origin = find(str(entry.get("name"))) if external_of(entry) is None else None
        subjects += [] if origin is None else origin.subjects
    prefixes = [external for external in [external_of(entry) for entry in entries] if external is not None]
    for _, deliver in prefixes:
        error = _check_deliver(deliver, subjects) if deliver else None
        if error is not None:
            return error
    for api, _ in prefixes:
        if api and not (is_valid(api.encode()) and is_literal(api.encode())):
            return INVALID_CONFIG.of(
                err=f'stream external api prefix "{api}" must be a valid subject without wildcards'
            )
        if api and collides(api.encode(), _API.encode()):
            return EXTERNAL_API_OVERLAPS.of(prefix=api, subject=_API)
    return None


def _check_deliver(prefix: str, subjects: list[str]) -> ApiError | None:
    if not (is_valid(prefix.encode()) and is_literal(prefix.encode())):
        return EXTERNAL_DELIVERY_WILDCARDS.of(prefix=prefix)
    for subject in subjects:
        if collides(subject.encode(), f"{prefix}.{subject}".encode()):
            return EXTERNAL_DELIVERY_OVERLAPS.of(prefix=prefix, subject=subject)
    return None


# Cycles.


def _check_cycles(config: StreamConfig, find: Find) -> ApiError | None:
    """Whether a message could come back. As in nats-server, a stream that is reached twice counts too."""
    waiting = [config]
    visited: dict[str, bool] = {}
    while waiting:
        stream = waiting.pop(0)
        visited[stream.name] = True
        for entry in stream.sources:
            if external_of(entry) is not None:
                continue
            name = str(entry.get("name"))
            if name in visited:
                if _overlaps(stream.subjects, str(entry.get("filter_subject") or "")):
                    return _CYCLE
            else:
                _visit(find(name), waiting)
        if stream.mirror is not None and external_of(stream.mirror) is None:
            name = str(stream.mirror.get("name"))
            if name in visited:
                return _CYCLE
            _visit(find(name), waiting)
    return None


def _visit(stream: StreamConfig | None, waiting: list[StreamConfig]) -> None:
    if stream is not None:
        waiting.append(stream)


def _overlaps(subjects: list[str], wanted: str) -> bool:
    return not wanted or any(collides(subject.encode(), wanted.encode()) for subject in subjects)
