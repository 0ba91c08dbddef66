"""The leader's part in the repair of a replica: who lost what it promised goes, and may come in again as a stranger.

A peer says, again and again, that its replica of a group is damaged (`repair`). The group's leader counts no old
acknowledgement of it any more, removes it from the group, and once that is committed by the others tells it so, with
the index of an entry that was proposed after the damage was reported and committed without it. From then on the peer is
wanted again, and comes in as anybody does (`replicas`): learner, then voter.

Why this is enough: all that the peer ever acknowledged, and was committed, lies below that index; a vote that it gave
and forgot was for a log which lacks that entry, and such a log wins no election any more. So a peer whose log reaches
that index again votes as any other (`RaftNode.silence_until`), and keeps silent until then. The answer carries the
leader's term, which the peer enters, so that no leader of an earlier term can count on it.

Not here: the peer's side (`repair`). Invariant: an answer is given by a leader, for an entry of its own term.
"""

from collections.abc import Collection
from typing import Final

import cbor2

from broker.cluster.groups.group import RaftGroup
from broker.cluster.links.frames import FRAME_REMOVED
from broker.cluster.links.transport import LinkTable
from raft.errors import ProposalDropped

REPORT_NS: Final = 500_000_000
FORGET_NS: Final = 20 * REPORT_NS


class Report:
    """What a peer said of its replica, and how far this leader is with it."""

    def __init__(self, nonce: int, term: int, barrier: int) -> None:
        self.nonce: Final = nonce
        self.term: Final = term
        self.barrier: Final = barrier  # the first index that the peer cannot have known of
        self.heard_ns: int = 0
        self.index: int = 0  # what it was told; 0: nothing yet


class Removals:
    """The damaged replicas of groups that this node leads."""

    def __init__(self, links: LinkTable) -> None:
        self._links: Final = links
        self._reports: dict[int, dict[str, Report]] = {}  # by group and peer

    def reported(self, group: RaftGroup, peer: str, nonce: int, now_ns: int) -> None:
        """A peer says that its replica is damaged. `nonce` names this loss: another one is another loss."""
        raft = group.raft
        if not group.is_leader or group.failed:
            return
        reports = self._reports.setdefault(group.id, {})
        report = reports.get(peer)
        if report is None or report.nonce != nonce or report.term != raft.term:
            report = reports[peer] = Report(nonce, raft.term, raft.last_index + 1)
            raft.peer_forgot(peer)
            group.touch()
        report.heard_ns = now_ns
        if report.index:
            self._tell(group, peer, report)  # what it was told got lost

    def unwanted(self, group: RaftGroup) -> list[str]:
        """Peers that must leave the group before they may come in again."""
        term = group.raft.term
        reports = self._reports.get(group.id, {})
        return [peer for peer, report in reports.items() if report.index == 0 and report.term == term]

    def wanted(self, group: RaftGroup, peers: Collection[str]) -> list[str]:
        """These peers, without those that must leave first."""
        unwanted = self.unwanted(group) if self._reports else []
        return [peer for peer in peers if peer not in unwanted]

    def tick(self, groups: dict[int, RaftGroup], now_ns: int) -> None:
        """Tell those that are out by now; forget those that say nothing any more."""
        for group_id, reports in list(self._reports.items()):
            group = groups.get(group_id)
            for peer, report in list(reports.items()):
                is_old = now_ns - report.heard_ns > FORGET_NS
                if is_old or group is None or not group.is_leader or group.raft.term != report.term:
                    del reports[peer]
                elif report.index == 0:
                    self._settle(group, peer, report)
            if not reports:
                del self._reports[group_id]

    def _settle(self, group: RaftGroup, peer: str, report: Report) -> None:
        raft = group.raft
        if raft.membership.contains(peer) or raft.history.latest_index() > raft.commit:
            return
        if raft.commit >= report.barrier:
            report.index = raft.commit
            self._tell(group, peer, report)
        elif raft.last_index < report.barrier:  # it was out already: an entry all the same
            try:
                raft.propose(b"")
            except ProposalDropped:
                return
            group.touch()

    def _tell(self, group: RaftGroup, peer: str, report: Report) -> None:
        link = self._links.links.get(peer)
        if link is not None:
            body = {"group": group.id, "nonce": report.nonce, "index": report.index, "term": report.term}
            link.write_frame(FRAME_REMOVED, [bytes(cbor2.dumps(body))])
            link.dirty = True
