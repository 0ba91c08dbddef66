"""What streams and consumers tell the world about themselves: subjects and bodies of advisories and of the ack metric.

Decisions that are log entries (created, deleted, given up) go out as effects of `apply`; naks, terms and samples are
told by the leader as it hears them. `type`, `id` and `timestamp` are put in front by `render`.

Not here: who is interested, and sending.
"""

import json
import random
from typing import Final

from broker.jetstream.go_time import format_time, format_time_or_zero
from broker.jetstream.names import fresh_id

_EVENT: Final = "$JS.EVENT.ADVISORY.CONSUMER."
_STREAM_EVENT: Final = "$JS.EVENT.ADVISORY.STREAM."
_METRIC: Final = "$JS.EVENT.METRIC.CONSUMER.ACK."
_TYPE: Final = "io.nats.jetstream.advisory.v1."
_METRIC_TYPE: Final = "io.nats.jetstream.metric.v1.consumer_ack"
REASON_DELETED: Final = "Unacknowledged message was deleted"

Advisory = tuple[str, dict[str, object]]


def consumer_action(stream: str, consumer: str, action: str) -> Advisory:
    """`action` is create or delete."""
    event = "CREATED." if action == "create" else "DELETED."
    fields: dict[str, object] = {
        "type": _TYPE + "consumer_action", "stream": stream, "consumer": consumer, "action": action,
    }
    return f"{_EVENT}{event}{stream}.{consumer}", fields


def stream_action(stream: str, action: str) -> Advisory:
    """`action` is create, modify or delete."""
    event = {"create": "CREATED.", "modify": "UPDATED.", "delete": "DELETED."}[action]
    fields: dict[str, object] = {"type": _TYPE + "stream_action", "stream": stream, "action": action}
    return f"{_STREAM_EVENT}{event}{stream}", fields


def stream_leadership(stream: str, leader: str, replicas: list[object]) -> Advisory:
    """A replicated stream has a leader, or lost its majority ("" leads). `replicas`: all of them, as in its INFO."""
    event, word = ("LEADER_ELECTED", "leader_elected") if leader else ("QUORUM_LOST", "quorum_lost")
    fields: dict[str, object] = {"type": f"{_TYPE}stream_{word}", "stream": stream}
    if leader:
        fields["leader"] = leader
    return f"{_STREAM_EVENT}{event}.{stream}", {**fields, "replicas": replicas}


def consumer_leadership(stream: str, consumer: str, leader: str, replicas: list[object]) -> Advisory:
    """The same of a consumer."""
    subject = consumer_elected_subject(stream, consumer) if leader else f"{_EVENT}QUORUM_LOST.{stream}.{consumer}"
    word = "leader_elected" if leader else "quorum_lost"
    fields: dict[str, object] = {"type": f"{_TYPE}consumer_{word}", "stream": stream, "consumer": consumer}
    if leader:
        fields["leader"] = leader
    return subject, {**fields, "replicas": replicas}


def consumer_elected_subject(stream: str, consumer: str) -> str:
    """Where it is said that a consumer has a leader."""
    return f"{_EVENT}LEADER_ELECTED.{stream}.{consumer}"


def max_deliveries(stream: str, consumer: str, stream_sequence: int, deliveries: int) -> Advisory:
    """A message was delivered as often as it may be."""
    fields: dict[str, object] = {
        "type": _TYPE + "max_deliver", "stream": stream, "consumer": consumer, "stream_seq": stream_sequence,
        "deliveries": deliveries,
    }
    return f"{_EVENT}MAX_DELIVERIES.{stream}.{consumer}", fields


def dead_letter_blocked(stream: str, consumer: str, stream_sequence: int, dead_letter_stream: str) -> Advisory:
    """A message was given up, and its dead-letter stream has no room for it: it waits where it was."""
    fields: dict[str, object] = {
        "type": "io.ternmq.advisory.v1.dead_letter_blocked", "stream": stream, "consumer": consumer,
        "stream_seq": stream_sequence, "dead_letter_stream": dead_letter_stream,
    }
    return f"{_EVENT}DEAD_LETTER_BLOCKED.{stream}.{consumer}", fields


def message_naked(
    stream: str, consumer: str, consumer_sequence: int, stream_sequence: int, deliveries: int
) -> Advisory:
    """A client refused a message."""
    fields: dict[str, object] = {
        "type": _TYPE + "nak", "stream": stream, "consumer": consumer, "consumer_seq": consumer_sequence,
        "stream_seq": stream_sequence, "deliveries": deliveries,
    }
    return f"{_EVENT}MSG_NAKED.{stream}.{consumer}", fields


def message_terminated(
    stream: str, consumer: str, consumer_sequence: int, stream_sequence: int, deliveries: int, reason: str
) -> Advisory:
    """A message will not be delivered again, though nobody handled it."""
    fields: dict[str, object] = {
        "type": _TYPE + "terminated", "stream": stream, "consumer": consumer, "consumer_seq": consumer_sequence,
        "stream_seq": stream_sequence, "deliveries": deliveries,
    }
    if reason:
        fields["reason"] = reason
    return f"{_EVENT}MSG_TERMINATED.{stream}.{consumer}", fields


def ack_sampled(
    stream: str, consumer: str, consumer_sequence: int, stream_sequence: int, ack_time_ns: int, deliveries: int
) -> Advisory:
    """How long an ack took (`sample_freq`)."""
    fields: dict[str, object] = {
        "type": _METRIC_TYPE, "stream": stream, "consumer": consumer, "consumer_seq": consumer_sequence,
        "stream_seq": stream_sequence, "ack_time": ack_time_ns, "deliveries": deliveries,
    }
    return f"{_METRIC}{stream}.{consumer}", fields


def batch_abandoned(stream: str, batch_id: bytes, reason: str) -> Advisory:
    """An atomic batch came to nothing before it was committed."""
    fields: dict[str, object] = {
        "type": _TYPE + "stream_batch_abandoned", "stream": stream,
        "batch": batch_id.decode(errors="replace"), "reason": reason,
    }
    return f"{_STREAM_EVENT}BATCH_ABANDONED.{stream}", fields


def group_pinned(stream: str, consumer: str, group: str, pin: str) -> Advisory:
    """A client of a priority group gets everything from now on."""
    fields: dict[str, object] = {
        "type": _TYPE + "consumer_group_pinned", "account": "$G", "stream": stream, "consumer": consumer,
        "group": group, "pinned_id": pin,
    }
    return f"{_EVENT}PINNED.{stream}.{consumer}", fields


def group_unpinned(stream: str, consumer: str, group: str, reason: str) -> Advisory:
    """Another client may be pinned; `reason` is timeout or admin."""
    fields: dict[str, object] = {
        "type": _TYPE + "consumer_group_unpinned", "account": "$G", "stream": stream, "consumer": consumer,
        "group": group, "reason": reason,
    }
    return f"{_EVENT}UNPINNED.{stream}.{consumer}", fields


def consumer_paused(stream: str, consumer: str, until_ns: int, paused: bool) -> Advisory:
    """A pause was set, lifted, or is over."""
    fields: dict[str, object] = {
        "type": _TYPE + "consumer_pause", "stream": stream, "consumer": consumer, "paused": paused,
        "pause_until": format_time_or_zero(until_ns),
    }
    return f"{_EVENT}PAUSE.{stream}.{consumer}", fields


def api_audit(
    server: str, client: dict[str, object], subject: bytes, request: bytes, response: bytes
) -> dict[str, object]:
    """Who asked for what, and what the answer was."""
    fields: dict[str, object] = {
        "type": _TYPE + "api_audit", "server": server, "client": client, "subject": subject.decode("utf-8", "replace"),
    }
    if request:
        fields["request"] = request.decode("utf-8", "replace")
    fields["response"] = response.decode("utf-8", "replace")
    return fields


def render(fields: dict[str, object], rng: random.Random, wall_ns: int, domain: str = "") -> bytes:
    """The message: `type`, a fresh id and the time first and the domain last, as nats-server has them."""
    body: dict[str, object] = {
        "type": fields["type"],
        "id": fresh_id(rng),
        "timestamp": format_time(wall_ns),
    }
    body.update(fields)
    if domain:
        body["domain"] = domain
    return json.dumps(body, separators=(",", ":")).encode()
