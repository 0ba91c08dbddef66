"""The consumers' part of the JetStream API, as the leader of their stream answers it: create, info, names, list,
delete, next.

Reads are answered from the leader's own view (`Delivery` where it has one of the consumer, else the facts), changes
are proposed and answered with what the machine made of them.

Not here: which node answers (`broker/cluster`), reading create requests (`consumer_requests`), what a change does
(`consumer_apply`).
"""

import random
from collections.abc import Callable
from typing import Final

from broker.jetstream import consumer_errors as errors
from broker.jetstream.ack_intake import AckIntake
from broker.jetstream.api import ApiAnswer, Propose, Reply, StreamLeader
from broker.jetstream.api_errors import INVALID_JSON, NOT_EMPTY_REQUEST, ApiError
from broker.jetstream.api_types import (
    API_LEVEL,
    INTEGER,
    SERVER_VERSION,
    ApiRequest,
    answer,
    error_answer,
    is_container,
    is_empty_payload,
    read_fields,
    read_object,
    required_level_error,
)
from broker.jetstream.backlog import Backlog
from broker.jetstream.consumer import Consumer
from broker.jetstream.consumer_apply import ConsumerOwner, encode_create, encode_delete, refuse_create
from broker.jetstream.consumer_config import ConfigError, ConsumerConfig
from broker.jetstream.consumer_lead import ConsumerLead
from broker.jetstream.consumer_requests import complete, place_name, read_create
from broker.jetstream.go_time import format_time
from broker.jetstream.ops import OP_CONSUMER_CREATE, OP_CONSUMER_DELETE

NAMES_LIMIT: Final = 1024
LIST_LIMIT: Final = 256
SERVER_METADATA: Final = {"_nats.ver": SERVER_VERSION, "_nats.level": str(API_LEVEL)}
_KINDS: Final = {
    "CONSUMER.CREATE": "consumer_create_response",
    "CONSUMER.DURABLE.CREATE": "consumer_create_response",
    "CONSUMER.NAMES": "consumer_names_response",
    "CONSUMER.LIST": "consumer_list_response",
    "CONSUMER.INFO": "consumer_info_response",
    "CONSUMER.DELETE": "consumer_delete_response",
}
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_NAME_LENGTH: Final = 8


def handle_consumer(verb: str, request: ApiRequest, leader: StreamLeader) -> ApiAnswer:
    """One request for a consumer of a stream that leads here; `verb` is e.g. `CONSUMER.INFO`."""
    payload = request.data[request.header_length :]
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
    if not is_empty_payload(payload) and read_object(payload) != {}:
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

    def __init__(self, leader: StreamLeader) -> None:
        self.leader: Final = leader

    def respond(self, result: object) -> bytes:
        """`result` is the consumer or the error."""
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
    refusal = place_name(wanted, request.subject.decode("utf-8", "replace")) or complete(wanted, machine.config)
    if refusal is not None:
        return _failure(kind, refusal)
    config = wanted.config
    name = config.name or config.durable_name
    if not name:
        name = fresh_name(machine, leader.delivery.context.rng)
    refusal = refuse_create(machine, name, wanted.action, config) or _refuse_rebinding(leader, name, config)
    if refusal is not None:
        return _failure(kind, refusal)
    body = encode_create(name, wanted.action, request.wall_ns, config)
    respond: Callable[[object], bytes] = CreateResponder(leader).respond
    return Propose(OP_CONSUMER_CREATE, body, respond)


def _refuse_rebinding(leader: StreamLeader, name: str, config: ConsumerConfig) -> ApiError | None:
    """A deliver subject may change only while nobody listens to the old one."""
    known = leader.machine.consumers.get(name)
    if known is None or known.config.deliver_subject == config.deliver_subject:
        return None
    if leader.delivery.output.has_interest(known.config.deliver_subject.encode(), b""):
        return errors.CONSUMER_NAME_EXISTS
    return None


def fresh_name(owner: ConsumerOwner, rng: random.Random) -> str:
    """A name for an ephemeral consumer."""
    while True:
        name = "".join(_DIGITS[rng.randrange(62)] for _ in range(_NAME_LENGTH))
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


# ConsumerInfo.


def consumer_info(consumer: Consumer, leader: StreamLeader, listed: bool = False) -> dict[str, object]:
    """A ConsumerInfo as of now; in lists nats-server leaves out what it says of itself."""
    config = consumer.config.to_json()
    if not listed:
        config["metadata"] = {**consumer.config.metadata, **SERVER_METADATA}
    info: dict[str, object] = {
        "stream_name": consumer.stream,
        "name": consumer.name,
        "created": format_time(consumer.created_ns),
        "config": config,
    }
    lead = leader.delivery.leads.get(consumer.name)
    if lead is None:
        info.update(facts_info(consumer, Backlog(consumer, leader.machine.store)))
    else:
        info.update(lead_info(lead))
    cluster = leader.cluster_info()
    if cluster is not None and "raft_group" in cluster:  # a lone server says nothing of its leader here
        info["cluster"] = cluster
    if lead is not None and lead.push is not None and lead.push.active:
        info["push_bound"] = True
    info["ts"] = format_time(leader.wall_ns)
    return info


def facts_info(consumer: Consumer, backlog: Backlog) -> dict[str, object]:
    """The numbers from the replicated state alone."""
    return {
        "delivered": _sequences(consumer.delivered_consumer, consumer.delivered_stream, consumer.delivered_ns),
        "ack_floor": _sequences(consumer.ack_floor_consumer, consumer.ack_floor_stream, consumer.acked_ns),
        "num_ack_pending": len(consumer.pending),
        "num_redelivered": consumer.num_redelivered(backlog.store.first_sequence),
        "num_waiting": 0,
        "num_pending": backlog.count(),
    }


def lead_info(lead: ConsumerLead) -> dict[str, object]:
    """The numbers as the leader has them, a little ahead of the log."""
    consumer = lead.consumer
    acks = lead.acks
    acks.drop_removed()
    delivered = max(acks.delivered_sequence, consumer.delivered_stream)
    floor_stream, floor_consumer = _floor(acks, consumer, delivered, lead.consumer_sequence)
    redelivered = 0
    if consumer.config.max_deliver != 1:
        redelivered = acks.out.redelivered + len(consumer.exceeded)
    return {
        "delivered": _sequences(lead.consumer_sequence, delivered, lead.delivered_ns),
        "ack_floor": _sequences(floor_consumer, floor_stream, max(lead.acked_ns, consumer.acked_ns)),
        "num_ack_pending": len(acks.out.entries),
        "num_redelivered": redelivered,
        "num_waiting": lead.num_waiting(),
        "num_pending": lead.backlog.count(),
    }


def _floor(acks: AckIntake, consumer: Consumer, delivered: int, consumer_sequence: int) -> tuple[int, int]:
    """Stream and consumer sequence below which nothing is out."""
    if consumer.config.ack_policy == "all":
        return max(acks.all_up_to, consumer.ack_floor_stream), max(acks.all_consumer, consumer.ack_floor_consumer)
    oldest = acks.out.oldest_entry()
    if oldest == 0:
        return delivered, consumer_sequence
    first = int(acks.out.entries[oldest].consumer_sequence)
    if first == 1:
        return consumer.ack_floor_stream, 0
    return max(consumer.ack_floor_stream, oldest - 1), max(consumer.ack_floor_consumer, first - 1)


def _sequences(consumer_sequence: int, stream_sequence: int, last_ns: int) -> dict[str, object]:
    fields: dict[str, object] = {"consumer_seq": consumer_sequence, "stream_seq": stream_sequence}
    if last_ns:
        fields["last_active"] = format_time(last_ns)
    return fields
