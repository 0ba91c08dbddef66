"""Which `subject_transform` and `republish` a stream may have: NATS's checks and defaults.

Not here: the mapping language (`core.transform`), all other fields (`stream_rules`).
"""

from broker.core.subjects import collides
from broker.core.transform import INVALID_SUBJECT, TransformError, is_source, make_transform
from broker.jetstream.api_errors import (
    INVALID_CONFIG,
    PEDANTIC,
    STREAM_TRANSFORM_DESTINATION,
    STREAM_TRANSFORM_SOURCE,
    ApiError,
)
from broker.jetstream.config.stream_config import StreamConfig


def complete_mapping(config: StreamConfig, pedantic: bool) -> ApiError | None:
    """Check both, fill in what `republish` leaves out (in place)."""
    transform = config.subject_transform
    if transform is not None:
        error = check_transform(transform, STREAM_TRANSFORM_SOURCE, STREAM_TRANSFORM_DESTINATION)
        if error is not None:
            return error
        config.subject_transform = {"src": texts_of(transform)[0], "dest": texts_of(transform)[1]}
    if config.republish is None:
        return None
    return _complete_republish(config, pedantic)


def check_transform(
    transform: dict[str, object], wrong_source: ApiError, wrong_destination: ApiError
) -> ApiError | None:
    """One `{src, dest}` of a configuration."""
    source, destination = texts_of(transform)
    if not is_source(source):
        return wrong_source.of(err=f"{INVALID_SUBJECT} {source}")
    try:
        make_transform(source, destination)
    except TransformError as error:
        return wrong_destination.of(err=str(error))
    return None


def texts_of(transform: dict[str, object]) -> tuple[str, str]:
    """Source and destination of a `{src, dest}`."""
    source, destination = transform.get("src") or "", transform.get("dest") or ""
    assert isinstance(source, str) and isinstance(destination, str)
    return source, destination


def _complete_republish(config: StreamConfig, pedantic: bool) -> ApiError | None:
    assert config.republish is not None
    source, destination = texts_of(config.republish)
    if not source:
        if pedantic:
            return PEDANTIC.of(err="republish source can not be empty")
        source = ">"
    transform = config.subject_transform
    if source == destination == ">" and transform is not None and [transform.get("src")] == config.subjects:
        if pedantic:
            return PEDANTIC.of(err="implicit republish based on subject transform")
        source = destination = texts_of(transform)[1]
    for subject in config.subjects:
        if collides((destination or ">").encode(), subject.encode()) and destination:
            return INVALID_CONFIG.of(err="stream configuration for republish destination forms a cycle")
    try:
        make_transform(source, destination)
    except TransformError:
        return INVALID_CONFIG.of(
            err=f"stream configuration for republish with transform from '{source}' to '{destination}' not valid"
        )
    fields: dict[str, object] = {"src": source, "dest": destination}
    if config.republish.get("headers_only"):
        fields["headers_only"] = True
    config.republish = fields
    return None
