"""The Raft group of the assignments: group 0 on every node of the cluster.

Tells the node what changed (`MetaListener`); the proposing node's waiter gets the outcome.
"""

from typing import Final

from mypy_extensions import mypyc_attr

from broker.cluster.groups.group import RaftGroup, Waiter
from broker.cluster.meta.identity import META_GROUP
from broker.cluster.meta.meta import MetaChange, MetaMachine
from broker.cluster.repair.catch_up import SnapshotParcel, decode_parcel
from raft.node import RaftNode
from raft.types import Entry, Snapshot
from storage.group_log import GroupLog


@mypyc_attr(allow_interpreted_subclasses=True)
class MetaWaiter(Waiter):
    """Who proposed a change of the assignments."""

    def changed(self, change: MetaChange) -> None:
        """The change is committed (or refused alike by everybody: `change.error`)."""
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class MetaListener:
    """The node, as the meta group sees it."""

    def assignments_changed(self, change: MetaChange) -> None:
        """One entry was applied here."""

    def assignments_restored(self) -> None:
        """The whole state was replaced by a snapshot."""

    def meta_leader_changed(self) -> None:
        """Another node leads the meta group, or nobody does."""


class MetaGroup(RaftGroup):
    """Group 0 on this node."""

    def __init__(self, raft: RaftNode, log: GroupLog, machine: MetaMachine, listener: MetaListener) -> None:
        super().__init__(META_GROUP, raft, log)
        self.machine: Final = machine
        self._listener: Final = listener

    def propose(self, data: bytes, waiter: MetaWaiter | None) -> None:
        """One change, one entry: the machine reads a whole entry as one operation."""
        self.flush_ops()
        self.add_op(data, waiter, True)
        self.flush_ops()

    def apply(self, entry: Entry, waiters: list[Waiter | None] | None) -> None:
        change = self.machine.apply(entry.index, entry.data)
        self._listener.assignments_changed(change)
        if waiters is not None:
            waiter = waiters[0]
            if isinstance(waiter, MetaWaiter):
                waiter.changed(change)

    def leader_changed(self) -> None:
        self._listener.meta_leader_changed()

    def became_leader(self) -> None:
        self._listener.meta_leader_changed()

    def state(self) -> bytes:
        return self.machine.snapshot()

    def raft_snapshot(self) -> Snapshot:
        found = self.snapshot()
        return Snapshot(found.index, found.term, found.membership, SnapshotParcel(found, [], []).encode())

    def restore(self, snapshot: Snapshot) -> None:
        self.installed_message = None
        self.machine.restore(decode_parcel(snapshot.data).snapshot.machine)
        self._listener.assignments_restored()
