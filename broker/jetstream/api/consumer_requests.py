"""`CONSUMER.CREATE` in all its forms: from a request's bytes to a configuration that may be proposed, or the error.

The forms: `CONSUMER.CREATE.<stream>` (legacy ephemeral), `CONSUMER.CREATE.<stream>.<consumer>[.<filter…>]` and
`CONSUMER.DURABLE.CREATE.<stream>.<consumer>`. Names in subject and body must agree, in nats-server's order of checks.

Not here: whether the stream's other consumers allow it (`consumer_apply.refuse_create`), answering (`api/consumers`).
"""

from typing import Final

from broker.jetstream import consumer_errors as errors
from broker.jetstream.api_errors import STREAM_MISMATCH, ApiError
from broker.jetstream.api_types import BOOLEAN, TEXT, go_json_text, read_object, unknown_field, unmarshal_error
from broker.jetstream.config.consumer_config import (
    ConfigError,
    ConsumerConfig,
    config_from_json,
)
from broker.jetstream.config.consumer_rules import check, required_level, set_defaults
from broker.jetstream.config.server_limits import ServerLimits
from broker.jetstream.config.stream_config import METADATA_REQUIRED_LEVEL, StreamConfig, client_metadata
from broker.jetstream.consumers.consumer_apply import ACTION_ANY, ACTION_CREATE, ACTION_UPDATE

_STREAM_TOKEN: Final = 4  # $JS.API.CONSUMER.CREATE.<stream>
_DURABLE_TOKENS: Final = 7  # $JS.API.CONSUMER.DURABLE.CREATE.<stream>.<consumer>


class CreateRequest:
    """What a request asks for."""

    def __init__(self) -> None:
        self.stream: str = ""
        self.config: ConsumerConfig = ConsumerConfig()
        self.action: str = ACTION_ANY
        self.pedantic: bool = False


def read_create(data: bytes) -> CreateRequest:
    """A create request's JSON. Raises ConfigError with Go's words."""
    request = CreateRequest()
    fields = read_object(data, "CreateConsumerRequest")
    if isinstance(fields, ApiError):
        raise ConfigError(fields.description.removeprefix("invalid JSON: "))
    for key, value in fields.items():
        name = key.lower()
        if value is None and name in ("stream_name", "config", "pedantic"):
            continue
        if name == "stream_name" and isinstance(value, str):
            request.stream = value
        elif name == "config":
            request.config = config_from_json(value)
        elif name == "action":
            if value not in (ACTION_ANY, ACTION_CREATE, ACTION_UPDATE):
                raise ConfigError(f"unknown consumer action: {go_json_text(value)}")
            request.action = str(value)
        elif name == "pedantic" and isinstance(value, bool):
            request.pedantic = value
        elif name in ("stream_name", "pedantic"):
            kind = TEXT if name == "stream_name" else BOOLEAN
            raise ConfigError(unmarshal_error(value, f"CreateConsumerRequest.{name}", kind))
        else:
            raise ConfigError(unknown_field(key))
    return request


def place_name(request: CreateRequest, subject: str) -> ApiError | None:
    """Make the body agree with the subject; afterwards `config.name` is the name, "" when one must be made up."""
    tokens = subject.split(".")
    config = request.config
    durable_form = tokens[3] == "DURABLE"
    filter_subject = ""
    if durable_form:
        if len(tokens) != _DURABLE_TOKENS:
            return errors.DURABLE_NAME_NOT_IN_SUBJECT
        stream, name = tokens[5], tokens[6]
    else:
        stream = tokens[_STREAM_TOKEN]
        name = tokens[5] if len(tokens) > 5 else config.name
        filter_subject = ".".join(tokens[6:])
    if stream != request.stream:
        return STREAM_MISMATCH
    if "\\" in name or "/" in name:
        return errors.NAME_WITH_PATH_SEPARATORS
    if durable_form:
        if not config.durable_name:
            return errors.DURABLE_NAME_NOT_SET
        if name != config.durable_name:
            return errors.DURABLE_NAME_NOT_MATCHING
        config.name = name
    elif len(tokens) > 5:
        if config.durable_name and name != config.durable_name:
            return errors.DURABLE_NAME_NOT_MATCHING
        config.name = name
    elif config.durable_name:
        return errors.EPHEMERAL_WITH_DURABLE_NAME
    if filter_subject:
        if config.filter_subjects:
            return errors.MULTIPLE_FILTERS_IN_SUBJECT
        if config.filter_subject != filter_subject:
            return errors.FILTER_NOT_MATCHING_SUBJECT
    return None


def complete(request: CreateRequest, stream: StreamConfig, server: ServerLimits) -> ApiError | None:
    """Defaults and checks that need only the configurations of stream and server."""
    config = request.config
    error = set_defaults(config, stream, request.pedantic, server) or check(config, stream, server)
    if error is not None:
        return error
    config.metadata = client_metadata(config.metadata)
    config.metadata[METADATA_REQUIRED_LEVEL] = str(required_level(config))
    return None
