"""`Ready`: everything the caller has to do for a group, gathered since the last one; and `Status`, for people.

Not here: how it is gathered (`RaftNode.ready`).

The caller's duties, in this order; Readys of one group are never reordered:

1. send `messages` whenever it likes;
2. write `hard_state`, then `snapshot`, then `entries` (an entry whose index was written before truncates there first);
3. once this Ready **and every earlier one** of the group is durable: `RaftNode.persisted(index, term)` of the last
   entry written (or of the snapshot when there were no entries), and only then send `messages_after_sync`. This holds
   also for a Ready that has nothing to write itself: its answers may speak about entries of the one before;
4. apply `committed` in order (after `snapshot` was installed), then `RaftNode.applied_to(index)`.
   This need not wait for 3.
"""

from __future__ import annotations

from raft.types import Entry, HardState, Membership, Message, PeerId, Snapshot


class ReadState:
    """A read asked for with `read_index(context)`: answer it once `index` is applied. index 0: refused, ask again."""

    def __init__(self, context: int, index: int) -> None:
        self.context = context
        self.index = index

    def __repr__(self) -> str:
        return f"ReadState(context={self.context}, index={self.index})"


class Ready:
    """See the module's text. `lazy`: whatever is to be written here may wait for somebody else's sync."""

    def __init__(
        self,
        hard_state: HardState | None,
        entries: list[Entry],
        snapshot: Snapshot | None,
        messages: list[Message],
        messages_after_sync: list[Message],
        committed: list[Entry],
        read_states: list[ReadState],
        soft_state_changed: bool,
        lazy: bool,
    ) -> None:
        self.hard_state = hard_state
        self.entries = entries
        self.snapshot = snapshot
        self.messages = messages
        self.messages_after_sync = messages_after_sync
        self.committed = committed
        self.read_states = read_states
        self.soft_state_changed = soft_state_changed
        self.lazy = lazy

    def must_write(self) -> bool:
        """There is something to make durable."""
        return self.hard_state is not None or self.snapshot is not None or len(self.entries) > 0


class PeerStatus:
    """One peer as the leader sees it."""

    def __init__(
        self, peer: PeerId, match: int, next_index: int, state: str, active: bool, learner: bool, lag: int
    ) -> None:
        self.peer = peer
        self.match = match
        self.next_index = next_index
        self.state = state
        self.active = active
        self.learner = learner
        self.lag = lag


class Status:
    """A group's replica at this moment; `peers` is filled only on the leader, sorted, without the leader itself."""

    def __init__(
        self,
        peer: PeerId,
        group: int,
        role: str,
        leader: PeerId,
        term: int,
        vote: PeerId,
        commit: int,
        applied: int,
        last_index: int,
        persisted: int,
        membership: Membership,
        transferee: PeerId,
        peers: list[PeerStatus],
    ) -> None:
        self.peer = peer
        self.group = group
        self.role = role
        self.leader = leader
        self.term = term
        self.vote = vote
        self.commit = commit
        self.applied = applied
        self.last_index = last_index
        self.persisted = persisted
        self.membership = membership
        self.transferee = transferee
        self.peers = peers
