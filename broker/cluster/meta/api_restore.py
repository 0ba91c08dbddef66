"""STREAM.RESTORE at the meta leader: make the hidden stream, show it when it is whole, delete it when it failed.

Not here: the chunks, which go to the stream's leader (`restores`).
"""

from typing import TYPE_CHECKING, Final

import cbor2

from broker.cluster.meta.meta_ops import delete_op, restored_op
from broker.jetstream.api.requests import ApiSubject
from broker.jetstream.api_errors import (
    BAD_REQUEST,
    INVALID_JSON,
    NAME_EXISTS_RESTORE_FAILED,
    REPLICAS_NOT_SUPPORTED,
    STREAM_MISMATCH,
    STREAM_SUBJECT_OVERLAP,
    ApiError,
)
from broker.jetstream.api_types import ApiRequest, is_empty_payload, read_object, unknown_field
from broker.jetstream.config.source_rules import complete_sources
from broker.jetstream.config.stream_config import StreamConfig
from broker.jetstream.config.stream_rules import complete

if TYPE_CHECKING:
    from broker.cluster.meta.api_meta import MetaApi

KIND: Final = "stream_restore_response"


class RestoreApi:
    """The meta leader's part of restores."""

    def __init__(self, api: "MetaApi") -> None:
        self._api: Final = api

    def begin(self, target: ApiSubject, request: ApiRequest) -> None:
        """STREAM.RESTORE."""
        config = self._read(target, request)
        if isinstance(config, StreamConfig):
            config = self._refusal(config) or config
        if isinstance(config, ApiError):
            self._api.refuse(request, KIND, config)
            return
        self._api.propose_created(config, request, KIND, True)

    def _read(self, target: ApiSubject, request: ApiRequest) -> StreamConfig | ApiError:
        if is_empty_payload(request.payload()):
            return BAD_REQUEST
        fields = read_object(request.payload(), "JSApiStreamRestoreRequest")
        if isinstance(fields, ApiError):
            return fields
        for key in fields:
            if key.lower() not in ("config", "state"):
                return INVALID_JSON.of(err=unknown_field(key))
        about = fields.get("config")
        if not isinstance(about, dict) or not isinstance(fields.get("state") or {}, dict):
            return INVALID_JSON.of(err="json: cannot unmarshal JSApiStreamRestoreRequest")
        config = StreamConfig.from_json(about)
        if isinstance(config, ApiError):
            return config
        config.name = config.name or target.stream
        return config if config.name == target.stream else STREAM_MISMATCH

    def _refusal(self, config: StreamConfig) -> ApiError | None:
        api = self._api
        machine = api.meta().machine
        error = (
            complete_sources(config, machine.config_of, False)
            or complete(config, api.limits)
            or api.resources.beyond(config, False)
        )
        if error is not None:
            return error
        if config.num_replicas > 1 and not api.limits.clustered:
            return REPLICAS_NOT_SUPPORTED
        if config.name in machine.streams:
            return NAME_EXISTS_RESTORE_FAILED
        return STREAM_SUBJECT_OVERLAP if machine.is_taken(config, "") else None

    def restored(self, group: int, body: bytes) -> None:
        """The stream's leader says that all of it is there."""
        reply, origin = cbor2.loads(body)
        assignment = self._api.meta().machine.by_group.get(group)
        if assignment is not None and assignment.restoring:
            self._api.meta().propose(restored_op(group, reply, origin), None)

    def failed(self, group: int) -> None:
        """The stream's leader says that it will never be whole."""
        assignment = self._api.meta().machine.by_group.get(group)
        if assignment is not None and assignment.restoring:
            self._api.meta().propose(delete_op(assignment.config.name, b"", "", ""), None)
