"""Who leads a replicated stream and its consumers, told to the world: LEADER_ELECTED and QUORUM_LOST.

A consumer rides in its stream's group, so whoever leads the stream leads it. Told by the leader, and, when a majority
no longer answers, by whoever led; of at most CONSUMERS_MAX consumers, and only those that somebody listens for.

Not here: elections (`raft`), what else follows from one (`stream_api`).
"""

from collections.abc import Callable
from typing import Final

from broker.cluster.links.transport import LinkTable
from broker.cluster.streams.cluster_info import members_info
from broker.cluster.streams.stream_group import StreamGroup
from broker.cluster.turn_clock import TurnClock
from broker.jetstream.advisories import consumer_leadership, stream_leadership
from broker.jetstream.config.stream_config import StreamConfig
from broker.jetstream.consumers.consumer import Consumer
from raft.quorum import majority

CONSUMERS_MAX: Final = 1000
SILENT_NS: Final = 1_000_000_000  # nobody who is there says nothing for so long


def is_replicated(consumer: Consumer, stream: StreamConfig) -> bool:
    """Whether it has replicas as nats-server counts them, of which an ephemeral on a limits stream has one."""
    if consumer.config.num_replicas:
        return consumer.config.num_replicas > 1
    return bool(consumer.config.durable_name) or stream.retention != "limits"


class Elections:
    """Of the groups of this node. `StreamGroup.elected_term`: the term that was told last; 0: it does not lead."""

    def __init__(self, links: LinkTable, names: Callable[[str], str], clock: TurnClock) -> None:
        self._links: Final = links
        self._names: Final = names
        self._clock: Final = clock

    def look_at(self, group: StreamGroup) -> None:
        """Its leader changed, or it has new consumers."""
        if group.is_leader:
            term = group.raft.term
            if group.elected_term != term:
                group.elected_term = term
                self._tell(group, self._links.name, True, list(group.machine.consumers))
            elif group.untold_consumers:
                self._tell(group, self._links.name, False, group.untold_consumers)
            group.untold_consumers = []
        elif group.elected_term:
            group.elected_term = 0
            if not group.failed and not group.raft.leader and not self._has_quorum(group):
                self._tell(group, "", True, list(group.machine.consumers))

    def _has_quorum(self, group: StreamGroup) -> bool:
        links, now_ns = self._links, self._clock.now_ns
        voters = group.membership().voters
        here = [
            peer
            for peer in voters
            if peer == links.peer or (peer in links.links and links.unheard_ns(peer, now_ns) < SILENT_NS)
        ]
        return len(here) >= majority(len(voters))

    def _tell(self, group: StreamGroup, leader: str, of_stream: bool, consumers: list[str]) -> None:
        if not self._links.cluster or len(group.membership().voters) < 2:
            return
        stream = group.machine.config.name
        replicas = members_info(group, self._links, self._names, self._clock.now_ns)
        if of_stream:
            group.advise(*stream_leadership(stream, leader, replicas))
        for name in consumers[:CONSUMERS_MAX]:
            consumer = group.machine.consumers.get(name)
            if consumer is not None and is_replicated(consumer, group.machine.config):
                group.advise(*consumer_leadership(stream, name, leader, replicas))
