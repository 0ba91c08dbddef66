"""Which step brings a group's members to what is wanted: one change of membership at a time, learners first.

Only the group's leader asks. A peer comes in as a learner while it is connected, becomes a voter when it has caught up,
and goes when it is not wanted. A voter that is gone goes as soon as somebody who replaces it is here; one that still
answers goes only when everybody wanted votes, so that no step leaves fewer copies than there could be.

Not here: who is wanted (the assignments for a stream, `readmission` for the meta group), nor the rules of a change
(`raft.membership`, which refuses what is too early).
"""

from collections.abc import Collection

from broker.cluster.groups.group import RaftGroup
from raft.errors import ProposalDropped
from raft.membership import ADD_LEARNER, PROMOTE, REMOVE, MembershipChange
from raft.types import Membership


def changes(membership: Membership, wanted: list[str], connected: Collection[str]) -> list[MembershipChange]:
    """What may be tried next, the most urgent first; [] when nothing is to do. `connected` includes this node."""
    voters, learners = membership.voters, membership.learners
    unwanted = [peer for peer in learners if peer not in wanted]
    if unwanted:
        return [MembershipChange(REMOVE, unwanted[0])]
    absent = [peer for peer in sorted(wanted) if not membership.contains(peer)]
    for peer in absent:
        if peer in connected:
            return [MembershipChange(ADD_LEARNER, peer)]
    leaving = sorted([peer for peer in voters if peer not in wanted], key=lambda peer: peer in connected)
    joining = [peer for peer in learners if peer in connected]
    for peer in leaving:
        if peer not in connected and joining:
            return [MembershipChange(REMOVE, peer)]
    if joining:
        return [MembershipChange(PROMOTE, peer) for peer in joining]
    if leaving and not absent and not learners:
        return [MembershipChange(REMOVE, peer) for peer in leaving]
    return []


def change_members(group: RaftGroup, wanted: list[str], connected: Collection[str]) -> MembershipChange | None:
    """Propose the next step, if there is one and it is not too early; what was proposed. Who leads is not removed
    by itself: it hands over to one of those who stay."""
    raft = group.raft
    if not group.leads() or raft.history.latest_index() > raft.commit:
        return None
    found = changes(raft.membership, wanted, connected)
    for change in sorted(found, key=lambda change: change.peer == raft.peer_id):
        try:
            if change.peer == raft.peer_id:
                # With its removal only in its own log it could be needed for a majority, and not be able to ask for it.
                raft.transfer_leadership("")
            else:
                raft.propose_membership(change)
        except ProposalDropped:
            continue
        group.touch()
        return change
    return None
