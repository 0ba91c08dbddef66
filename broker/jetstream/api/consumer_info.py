"""A ConsumerInfo: what the leader of a stream says of one of its consumers.

Read from the leader's own view (`ConsumerLead`) where it has one, which runs a little ahead of the log, else from the
facts. Not here: who asks (`api/consumers`, `api/consumer_steering`, the monitoring pages).
"""

from typing import Final

from broker.jetstream.api.requests import StreamLeader, is_lone
from broker.jetstream.api_types import API_LEVEL, SERVER_VERSION
from broker.jetstream.consumers.backlog import Backlog
from broker.jetstream.consumers.consumer import Consumer
from broker.jetstream.delivery.ack_intake import AckIntake
from broker.jetstream.delivery.consumer_lead import ConsumerLead
from broker.jetstream.delivery.delivery import Delivery
from broker.jetstream.go_time import format_time, format_time_or_zero

SERVER_METADATA: Final = {"_nats.ver": SERVER_VERSION, "_nats.level": str(API_LEVEL)}


def consumer_info(consumer: Consumer, leader: StreamLeader, listed: bool = False) -> dict[str, object]:
    """A ConsumerInfo as of now; in lists nats-server leaves out what it says of itself."""
    config = consumer.config.to_json()
    if not listed:
        metadata = {**consumer.config.metadata, **SERVER_METADATA}
        config["metadata"] = {key: metadata[key] for key in sorted(metadata)}
    info: dict[str, object] = {
        "stream_name": consumer.stream,
        "name": consumer.name,
        "created": format_time(consumer.created_ns),
        "config": config,
    }
    info.update(consumer_numbers(consumer, leader.delivery))
    lead = leader.delivery.leads.get(consumer.name)
    cluster = leader.cluster_info()
    if cluster is not None and not is_lone(cluster):  # a lone server says nothing of its leader here
        info["cluster"] = cluster
    if lead is not None and lead.push is not None and lead.push.is_bound():
        info["push_bound"] = True
    left_ns = consumer.config.pause_until_ns - leader.wall_ns
    if left_ns > 0:
        info["paused"] = True
        info["pause_remaining"] = left_ns
    info["ts"] = format_time(leader.wall_ns)
    if consumer.config.priority_groups:
        info["priority_groups"] = [_group_info(consumer, lead)]
    return info


def consumer_numbers(consumer: Consumer, delivery: Delivery) -> dict[str, object]:
    """How far it is, and its name."""
    lead = delivery.leads.get(consumer.name)
    numbers = facts_info(consumer, Backlog(consumer, delivery.machine.store)) if lead is None else lead_info(lead)
    return {"name": consumer.name, **numbers}


def _group_info(consumer: Consumer, lead: ConsumerLead | None) -> dict[str, object]:
    """The first group, which is the only one that counts, and who is pinned."""
    fields: dict[str, object] = {"group": consumer.config.priority_groups[0]}
    group = lead.queue.group if lead is not None and lead.queue is not None else None
    if group is not None and group.pin:
        fields["pinned_client_id"] = group.pin.decode()
    fields["pinned_ts"] = format_time_or_zero(0 if group is None else group.pinned_ns)
    return fields


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
    acked_ns = lead.context.wall_ns if acks.acked else lead.acked_ns
    floor_stream, floor_consumer = _floor(acks, consumer, delivered, lead.consumer_sequence)
    redelivered = 0
    if consumer.config.max_deliver != 1:
        redelivered = acks.out.redelivered + len(consumer.exceeded)
    return {
        "delivered": _sequences(lead.consumer_sequence, delivered, lead.delivered_ns),
        "ack_floor": _sequences(floor_consumer, floor_stream, max(acked_ns, consumer.acked_ns)),
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
