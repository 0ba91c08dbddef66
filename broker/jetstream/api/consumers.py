"""The consumers' part of the JetStream API, as the leader of their stream answers it: create, info, names, list,
delete, next, and (in `api/consumer_steering`) what steers one that works.

Reads are answered from the leader's own view (`Delivery` where it has one of the consumer, else the facts), changes
are proposed and answered with what the machine made of them.

Not here: which node answers (`broker/cluster`), reading create requests (`consumer_requests`), what a change does
(`consumer_apply`).
"""

import random
from collections.abc import Callable
from typing import Final

from broker.jetstream import consumer_errors as errors
from broker.jetstream.api.consumer_info import consumer_info
from broker.jetstream.api.consumer_requests import complete, place_name, read_create
from broker.jetstream.api.consumer_steering import STEERING, steer
from broker.jetstream.api.requests import ApiAnswer, Propose, Reply, StreamLeader, is_lone
from broker.jetstream.api_errors import INVALID_JSON, NOT_EMPTY_REQUEST, REPLICAS_NOT_SUPPORTED, ApiError
from broker.jetstream.api_types import (
    INTEGER,
    ApiRequest,
    answer,
    error_answer,
    is_container,
    is_empty_request,
    read_fields,
    required_level_error,
)
from broker.jetstream.config.consumer_config import ConfigError, ConsumerConfig
from broker.jetstream.consumers.consumer import Consumer
from broker.jetstream.consumers.consumer_apply import (
    ConsumerOwner,
    encode_create,
    encode_delete,
    keep_pause,
    refuse_create,
)
from broker.jetstream.names import fresh_id
from broker.jetstream.ops import OP_CONSUMER_CREATE, OP_CONSUMER_DELETE

NAMES_LIMIT: Final = 1024
LIST_LIMIT: Final = 256
_KINDS: Final = {
    "CONSUMER.CREATE": "consumer_create_response",
    "CONSUMER.DURABLE.CREATE": "consumer_create_response",
    "CONSUMER.NAMES": "consumer_names_response",
    "CONSUMER.LIST": "consumer_list_response",
    "CONSUMER.INFO": "consumer_info_response",
    "CONSUMER.DELETE": "consumer_delete_response",
}
_NAME_LENGTH: Final = 8


def handle_consumer(verb: str, request: ApiRequest, leader: StreamLeader) -> ApiAnswer:
    """One request for a consumer of a stream that leads here; `verb` is e.g. `CONSUMER.INFO`."""
    payload = request.data[request.header_length :]
    if verb in STEERING:
        return steer(verb, request, leader)
    refusal = required_level_error(request)
    if refusal is not None and verb != "CONSUMER.MSG.NEXT":
        return _failure(_KINDS[verb], refusal)
    if verb in ("CONSUMER.CREATE", "CONSUMER.DURABLE.CREATE"):
        return _create(request, payload, leader)
    tokens = request.subject.decode("utf-8", "replace").split(".")
    name = tokens[-1]
    if verb == "CONSUMER.MSG.NEXT":
        leader.delivery.pull_request(name, request)
        return None
    if verb == "CONSUMER.NAMES":
        return _names(payload, leader)
    if verb == "CONSUMER.LIST":
        return _list(payload, leader)
    kind = _KINDS[verb]
    if not is_empty_request(payload):
        return _failure(kind, NOT_EMPTY_REQUEST)
    consumer = leader.machine.consumers.get(name)
    if consumer is None:
        return _failure(kind, errors.CONSUMER_NOT_FOUND)
    if verb == "CONSUMER.INFO":
        return Reply(answer(kind, consumer_info(consumer, leader)))
    assert verb == "CONSUMER.DELETE"
    return Propose(OP_CONSUMER_DELETE, encode_delete(name, consumer.created_ns), respond_deleted)


def respond_deleted(result: object) -> bytes:
    """The answer to a delete."""
    if isinstance(result, ApiError):
        return error_answer("consumer_delete_response", result)
    return answer("consumer_delete_response", {"success": True})


class CreateResponder:
    """Answers a create once it was applied."""

    def __init__(self, leader: StreamLeader, name: str) -> None:
        self.leader: Final = leader
        self.name: Final = name

    def respond(self, result: object) -> bytes:
        """`result` is the consumer or the error."""
        self.leader.delivery.pushes.proposed.pop(self.name, None)
        if isinstance(result, ApiError):
            return error_answer("consumer_create_response", result)
        assert isinstance(result, Consumer)
        return answer("consumer_create_response", consumer_info(result, self.leader))


def _create(request: ApiRequest, payload: bytes, leader: StreamLeader) -> ApiAnswer:
    kind = "consumer_create_response"
    machine = leader.machine
    try:
        wanted = read_create(payload)
    except ConfigError as error:
        return _failure(kind, INVALID_JSON.of(err=str(error)))
    limits = leader.limits()
    subject = request.subject.decode("utf-8", "replace")
    refusal = place_name(wanted, subject) or complete(wanted, machine.config, limits)
    if refusal is errors.REPLICAS_EXCEED_STREAM and is_lone(leader.cluster_info()):
        refusal = REPLICAS_NOT_SUPPORTED
    if refusal is not None:
        return _failure(kind, refusal)
    config = wanted.config
    name = config.name or config.durable_name
    if not name:
        name = fresh_name(machine, leader.delivery.context.rng)
    known = machine.consumers.get(name)
    if known is not None:
        keep_pause(config, known)
    elif machine.config.max_consumers < 0 and 0 < limits.default_max_consumers <= len(machine.consumers):
        return _failure(kind, errors.MAXIMUM_CONSUMERS)
    refusal = refuse_create(machine, name, wanted.action, config) or _refuse_rebinding(leader, name, config)
    if refusal is not None:
        return _failure(kind, refusal)
    body = encode_create(name, wanted.action, request.wall_ns, config)
    if config.deliver_subject:
        leader.delivery.pushes.proposed[name] = config.deliver_subject
    respond: Callable[[object], bytes] = CreateResponder(leader, name).respond
    return Propose(OP_CONSUMER_CREATE, body, respond)


def _refuse_rebinding(leader: StreamLeader, name: str, config: ConsumerConfig) -> ApiError | None:
    """A deliver subject may change only while nobody listens to the old one; of several who create a consumer at once,
    each with a subject of its own, one gets it."""
    known = leader.machine.consumers.get(name)
    bound = leader.delivery.pushes.proposed.get(name) or ("" if known is None else known.config.deliver_subject)
    if bound and bound != config.deliver_subject and leader.delivery.output.has_interest(bound.encode(), b""):
        return errors.CONSUMER_NAME_EXISTS
    return None


def fresh_name(owner: ConsumerOwner, rng: random.Random) -> str:
    """A name for an ephemeral consumer."""
    while True:
        name = fresh_id(rng, _NAME_LENGTH)
        if name not in owner.consumers:
            return name


def _offset(payload: bytes) -> int | ApiError:
    """The page asked for."""
    if not is_container(payload):
        return 0
    fields = read_fields(payload, {"offset": INTEGER}, "JSApiConsumersRequest")
    if isinstance(fields, ApiError):
        return fields
    offset = fields.get("offset", 0)
    assert isinstance(offset, int)
    return max(offset, 0)


def _names(payload: bytes, leader: StreamLeader) -> ApiAnswer:
    kind = "consumer_names_response"
    offset = _offset(payload)
    if isinstance(offset, ApiError):
        return _failure(kind, offset)
    names = sorted(leader.machine.consumers)
    page: dict[str, object] = {"total": len(names), "offset": min(offset, len(names)), "limit": NAMES_LIMIT}
    page["consumers"] = names[offset : offset + NAMES_LIMIT]
    return Reply(answer(kind, page))


def _list(payload: bytes, leader: StreamLeader) -> ApiAnswer:
    kind = "consumer_list_response"
    offset = _offset(payload)
    if isinstance(offset, ApiError):
        return _failure(kind, offset)
    consumers = leader.machine.consumers
    names = sorted(consumers)
    page: dict[str, object] = {"total": len(names), "offset": min(offset, len(names)), "limit": LIST_LIMIT}
    page["consumers"] = [consumer_info(consumers[name], leader, True) for name in names[offset : offset + LIST_LIMIT]]
    return Reply(answer(kind, page))


def _failure(kind: str, error: ApiError) -> ApiAnswer:
    return Reply(error_answer(kind, error))
