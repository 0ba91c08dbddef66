"""Steering a consumer that works: pause and resume, begin again elsewhere, let go of a pinned client.

Pauses and resets are operations of the stream's log; a pin is the leader's own, so that letting go of it is not.

Not here: the rest of the consumers' API (`api/consumers`), what the operations do (`consumer_apply`).
"""

from typing import Final

from broker.jetstream import consumer_errors as errors
from broker.jetstream.api.consumer_info import consumer_info
from broker.jetstream.api.requests import ApiAnswer, Propose, Reply, StreamLeader
from broker.jetstream.api_errors import INVALID_JSON, ApiError
from broker.jetstream.api_types import (
    TEXT,
    TIME,
    UNSIGNED,
    ApiRequest,
    answer,
    error_answer,
    is_container,
    read_fields,
    required_level_error,
)
from broker.jetstream.config.consumer_rules import is_group_name
from broker.jetstream.consumers.consumer import Consumer
from broker.jetstream.consumers.consumer_apply import encode_pause, encode_reset, refuse_reset
from broker.jetstream.go_time import format_time_or_zero, parse_time
from broker.jetstream.ops import OP_CONSUMER_PAUSE, OP_CONSUMER_RESET

PAUSE: Final = "consumer_pause_response"
RESET: Final = "consumer_reset_response"
UNPIN: Final = "consumer_unpin_response"
STEERING: Final = {"CONSUMER.PAUSE": PAUSE, "CONSUMER.RESET": RESET, "CONSUMER.UNPIN": UNPIN}


def steer(verb: str, request: ApiRequest, leader: StreamLeader) -> ApiAnswer:
    """One request; `verb` is one of `STEERING`."""
    refusal = required_level_error(request)
    if refusal is not None:
        return Reply(error_answer(STEERING[verb], refusal))
    name = request.subject.decode("utf-8", "replace").split(".")[-1]
    consumer = leader.machine.consumers.get(name)
    payload = request.data[request.header_length :]
    if verb == "CONSUMER.PAUSE":
        return _pause(request, consumer, payload, leader)
    if verb == "CONSUMER.RESET":
        return _reset(request, consumer, payload, leader)
    return _unpin(consumer, payload, leader)


class PauseResponder:
    """Answers a pause once it was applied."""

    def __init__(self, leader: StreamLeader) -> None:
        self.leader: Final = leader

    def respond(self, result: object) -> bytes:
        """`result` is the consumer or the error."""
        if isinstance(result, ApiError):
            return error_answer(PAUSE, result)
        assert isinstance(result, Consumer)
        until_ns = result.config.pause_until_ns
        left_ns = until_ns - self.leader.wall_ns
        fields: dict[str, object] = {"paused": left_ns > 0, "pause_until": format_time_or_zero(until_ns)}
        if left_ns > 0:
            fields["pause_remaining"] = left_ns
        return answer(PAUSE, fields)


def _pause(request: ApiRequest, consumer: Consumer | None, payload: bytes, leader: StreamLeader) -> ApiAnswer:
    """`{"pause_until": time}`; without one the consumer goes on."""
    body = payload if is_container(payload) else b""  # anything else says nothing, as in nats-server
    fields = read_fields(body, {"pause_until": TIME}, "JSApiConsumerPauseRequest")
    if isinstance(fields, ApiError):
        return Reply(error_answer(PAUSE, fields))
    if consumer is None:
        return Reply(error_answer(PAUSE, errors.CONSUMER_NOT_FOUND))
    until = fields.get("pause_until", "")
    assert isinstance(until, str)
    until_ns = (parse_time(until) or 0) if until else 0
    entry = encode_pause(consumer.name, until_ns, request.wall_ns)
    return Propose(OP_CONSUMER_PAUSE, entry, PauseResponder(leader).respond)


class ResetResponder:
    """Answers a reset once it was applied."""

    def __init__(self, leader: StreamLeader) -> None:
        self.leader: Final = leader

    def respond(self, result: object) -> bytes:
        """`result` is the consumer or the error."""
        if isinstance(result, ApiError):
            return error_answer(RESET, result)
        assert isinstance(result, Consumer)
        info = consumer_info(result, self.leader)
        return answer(RESET, {**info, "reset_seq": result.delivered_stream + 1})


def _reset(request: ApiRequest, consumer: Consumer | None, payload: bytes, leader: StreamLeader) -> ApiAnswer:
    """`{"seq": next}`; without one, what follows the ack floor. Nobody answers for a consumer that is not there."""
    if consumer is None:
        return None
    fields = read_fields(payload, {"seq": UNSIGNED}, "JSApiConsumerResetRequest", False)
    if isinstance(fields, ApiError):
        return Reply(error_answer(RESET, fields))
    sequence = fields.get("seq", 0)
    assert isinstance(sequence, int)
    refusal = refuse_reset(consumer, sequence, leader.machine.store)
    if refusal is not None:
        return Reply(error_answer(RESET, refusal))
    body = encode_reset(consumer.name, sequence, request.wall_ns)
    return Propose(OP_CONSUMER_RESET, body, ResetResponder(leader).respond)


def _unpin(consumer: Consumer | None, payload: bytes, leader: StreamLeader) -> ApiAnswer:
    """`{"group": name}`: the next request in line is pinned."""
    if not payload:
        return Reply(error_answer(UNPIN, INVALID_JSON.of(err="unexpected end of JSON input")))
    fields = read_fields(payload, {"group": TEXT}, "JSApiConsumerUnpinRequest", False)
    if isinstance(fields, ApiError):
        return Reply(error_answer(UNPIN, fields))
    group = fields.get("group", "")
    assert isinstance(group, str)
    if not group:
        return Reply(error_answer(UNPIN, INVALID_JSON.of(err="consumer group not specified")))
    if not is_group_name(group):
        return Reply(error_answer(UNPIN, errors.INVALID_GROUP_NAME))
    if consumer is None:
        return Reply(error_answer(UNPIN, errors.CONSUMER_NOT_FOUND))
    if group not in consumer.config.priority_groups:
        return Reply(error_answer(UNPIN, errors.NO_SUCH_GROUP))
    leader.delivery.unpin(consumer, group)
    return Reply(answer(UNPIN, {}))
