"""Changes of membership: one peer at a time, learners first, in force when appended, undone by truncation.

Not here: replicating them (`leader.py`), nor deciding who should be a member (the broker's meta group).

Rules (Raft thesis 4.1, with Ongaro's correction of 2015):
* a change is one entry that holds the complete new membership, and counts from the moment it is in the log;
* the next one may be proposed only when the one before is committed, and only by a leader that has committed an entry
  of its own term (`leader.propose_membership` checks both);
* a peer enters as a learner and becomes a voter once it has caught up; so one step changes at most one voter.
"""

from __future__ import annotations

from typing import Final

from raft.errors import MembershipRefused
from raft.types import Membership, PeerId

ADD_LEARNER: Final = 1
PROMOTE: Final = 2
REMOVE: Final = 3


class MembershipChange:
    """`kind` is ADD_LEARNER, PROMOTE (learner to voter) or REMOVE (either)."""

    def __init__(self, kind: int, peer: PeerId) -> None:
        self.kind = kind
        self.peer = peer

    def __repr__(self) -> str:
        return f"MembershipChange(kind={self.kind}, peer={self.peer!r})"


def changed(membership: Membership, change: MembershipChange) -> Membership:
    """The membership after the change. Raises MembershipRefused when it makes no sense."""
    peer = change.peer
    voters = membership.voters
    learners = membership.learners
    if change.kind == ADD_LEARNER:
        if membership.contains(peer):
            raise MembershipRefused(f"{peer} is a member already")
        return Membership(voters, learners + (peer,))
    if change.kind == PROMOTE:
        if peer not in learners:
            raise MembershipRefused(f"{peer} is not a learner")
        return Membership(voters + (peer,), tuple([other for other in learners if other != peer]))
    assert change.kind == REMOVE
    if not membership.contains(peer):
        raise MembershipRefused(f"{peer} is not a member")
    if voters == (peer,):
        raise MembershipRefused(f"{peer} is the only voter")
    return Membership(
        tuple([other for other in voters if other != peer]), tuple([other for other in learners if other != peer])
    )


class MembershipHistory:
    """The memberships along the log: which one an index lives under, and what to return to when the log is cut."""

    def __init__(self, index: int, membership: Membership) -> None:
        self.indexes: list[int] = [index]
        self.memberships: list[Membership] = [membership]

    def latest(self) -> Membership:
        return self.memberships[len(self.memberships) - 1]

    def latest_index(self) -> int:
        return self.indexes[len(self.indexes) - 1]

    def append(self, index: int, membership: Membership) -> None:
        assert index > self.latest_index()
        self.indexes.append(index)
        self.memberships.append(membership)

    def truncate(self, first: int) -> bool:
        """Entries from `first` on are gone. True when that undid a membership."""
        undone = False
        while len(self.indexes) > 1 and self.indexes[len(self.indexes) - 1] >= first:
            self.indexes.pop()
            self.memberships.pop()
            undone = True
        return undone

    def at(self, index: int) -> Membership:
        """The membership in force at `index`; only as far back as `forget` left it."""
        position = len(self.indexes) - 1
        while position > 0 and self.indexes[position] > index:
            position -= 1
        return self.memberships[position]

    def forget(self, index: int) -> None:
        """Nobody will ask about indexes below `index` again."""
        while len(self.indexes) > 1 and self.indexes[1] <= index:
            del self.indexes[0]
            del self.memberships[0]

    def reset(self, index: int, membership: Membership) -> None:
        self.indexes = [index]
        self.memberships = [membership]
