"""What a consumer's leader may send, looked at as it leaves: nothing whose ack was confirmed, nothing more often than
`max_deliver`, nothing of a paused consumer, nothing again and again under one number in one term, and in a prioritized
group not past somebody who waits and comes first.

Who was deposed and is not aware of it may: what it hands out is at least once, and its acks count for nothing.
"""

from broker.cluster.streams.stream_group import StreamGroup
from sim.complaint import Complaint
from sim.history import History

LAG_NS = 1_000_000  # a pause is told in whole microseconds, and ends when the leader looks
AGAIN_MAX = 8  # what cannot be proposed is forgotten and done again, but not for ever


def look(group: StreamGroup, inbox: bytes, reply: bytes, history: History, now_ns: int) -> list[Complaint]:
    """A message is about to leave for `inbox`; what must not be."""
    words = reply.split(b".")
    stream, consumer, deliveries, sequence = words[2].decode(), words[3].decode(), int(words[4]), int(words[5])
    faults = []
    key = (stream, consumer, sequence)
    is_settled = key in history.confirmed or sequence <= history.confirmed_up_to.get((stream, consumer), 0)
    if is_settled and (stream, consumer) not in history.reset:
        faults.append(f"message {key} is delivered again after its ack was confirmed")
    most = group.machine.consumers[consumer].config.max_deliver
    if 0 < most < deliveries:
        faults.append(f"message {key} is delivered for the {deliveries}th time, of {most}")
    since_ns, until_ns = history.paused_ns.get((stream, consumer), (0, 0))
    if since_ns < now_ns < until_ns - LAG_NS:
        faults.append(f"message {key} is delivered {(until_ns - now_ns) / 1e9:.3f} s before its pause ends")
    number = (group.id, group.raft.term, *key, deliveries)
    again = history.left[number] = history.left.get(number, 0) + 1
    if again == AGAIN_MAX and (stream, consumer) not in history.reset:
        faults.append(f"message {key} is delivered {again} times as number {deliveries} in one term")
    faults += _overtaken(group, consumer, inbox, history)
    return [Complaint("leaving", fault) for fault in faults]


def _overtaken(group: StreamGroup, consumer: str, inbox: bytes, history: History) -> list[str]:
    rank = history.ranks.get(inbox.decode().rpartition(".")[0])
    lead = group.delivery.leads.get(consumer)
    if rank is None or lead is None or lead.queue is None:
        return []
    first = [request for request in lead.queue.waiting if request.grouped and request.priority < rank]
    return [f"{consumer}: priority {rank} was served before {first[0].priority}, which waits"] if first else []
