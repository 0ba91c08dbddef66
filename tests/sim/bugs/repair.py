"""Planted into the repair of damaged replicas: what a damaged log passes for, and who may vote afterwards."""

from collections.abc import Iterator

import storage.wal_salvage
from broker.cluster.groups.group_store import GroupSnapshot
from broker.cluster.repair.repair import DiscardJob, Repairs
from raft.types import Membership
from sim.bugs.planting import planted, rotting
from sim.replacing import replaced
from storage.errors import CorruptLog


@planted(rotting, "recovery")
def log_is_cut_where_it_is_damaged() -> Iterator[None]:
    """A group whose part of the log cannot be read goes on with what comes before, as if that were all it ever had."""

    def silent(group: int, error: CorruptLog) -> str:
        return ""

    with replaced(storage.wal_salvage, "_reason", silent):
        yield


@planted(rotting, "sending")
def repaired_replica_votes_at_once() -> Iterator[None]:
    """A damaged replica is emptied without asking, and goes on as the voter it was."""

    def report(repairs: Repairs, damaged: dict[int, object]) -> None:
        meta = repairs._assignments.meta
        for group in list(damaged):
            assignment = None if meta is None else meta.machine.by_group.get(group)
            damage = repairs._assignments.damaged[group]
            if assignment is not None and not damage.discarding:
                damage.discarding = True
                about = assignment.founding().encode(assignment.moved_index)
                empty = GroupSnapshot(group, 0, 1, Membership(tuple(sorted(assignment.peers))), about, b"")
                repairs._jobs.append(DiscardJob(repairs._disk, empty))

    with replaced(Repairs, "_report", report):
        yield
