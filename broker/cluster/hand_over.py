"""A planned end: peers lead what this node led before it is gone, so that nobody has to wait for an election.

As nats-server does when it shuts down. Not here: the transfer itself (`raft.leader`), how long it may take (the rim:
whoever is not taken within its patience is missed as after a crash), one group's step-down on request (`step_down`).
"""

from typing import Final

from broker.cluster.groups.engine import Engine
from broker.cluster.groups.group import RaftGroup
from broker.cluster.links.transport import LinkTable
from raft.errors import ProposalDropped
from raft.types import NO_PEER


class HandOver:
    """See the module's text."""

    def __init__(self, engine: Engine, links: LinkTable) -> None:
        self._engine: Final = engine
        self._links: Final = links
        self._groups: list[RaftGroup] = []  # that nobody has taken yet

    def begin(self) -> None:
        """Every group led here goes to the peer that has most of its log."""
        for group in self._engine.groups.values():
            if group.leads() and len(group.membership().voters) > 1:
                try:
                    group.raft.transfer_leadership(NO_PEER)
                except ProposalDropped:
                    continue  # nobody answers
                group.touch()
                self._groups.append(group)

    def is_done(self) -> bool:
        """Whether a successor leads each of them, or will not."""
        if not self._links.links:
            self._groups = []
        self._groups = [group for group in self._groups if self._is_under_way(group)]
        return not self._groups

    def _is_under_way(self, group: RaftGroup) -> bool:
        if group.failed:
            return False
        if group.leads():
            return group.raft.transferee != NO_PEER
        return group.raft.leader == NO_PEER
