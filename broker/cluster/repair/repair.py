"""A replica whose stored data is damaged: it is said once, and the replica is built anew from the group's others.

Damage is found when the store is opened and whenever messages, log entries or blocks are read. The group stops here at
once and its files stay as they are; the node's other groups go on. While it has other members, this node tells them of
the damage twice a second. The group's leader removes this replica and says when that is committed (`removal`): the
others hold everything without us. Only then what is here is discarded (`DiscardJob`), and the replica begins again as
a stranger, which is assigned to this node all the same and so is taken in like one on an empty disk (`replicas`).

Nothing is discarded while nobody leads the group: with too many replicas damaged at once, what this one still has may
be all there is. A stream with one replica has nobody to ask; it stays away until an operator decides.

What keeps promises: the replica forgets its votes, so it keeps silent until its log has an entry that was proposed
after it had left (`GroupSnapshot.voice`), and begins in the term of the leader that removed it (`GroupSnapshot.term`).
Order on disk: the stranger's snapshot, then everything else of the group goes, then the log forgets the group. A crash
in between leaves a log that begins behind the snapshot: damage, to be repaired once more.
"""

import random
from typing import Final

import cbor2

from broker.cluster.groups.engine import Engine
from broker.cluster.groups.group_store import GroupSnapshot, group_directory
from broker.cluster.groups.groups import STRANGER
from broker.cluster.groups.jobs import THREAD_FLUSH, Job
from broker.cluster.links.frames import FRAME_DAMAGED
from broker.cluster.links.transport import LinkTable
from broker.cluster.meta.assignments import Assignments
from broker.cluster.meta.identity import META_GROUP
from broker.cluster.meta.meta import MetaMachine
from broker.cluster.repair.catch_up import CatchUps
from broker.cluster.repair.damage import Damage
from broker.cluster.repair.removal import REPORT_NS
from storage.disk import Disk
from storage.errors import DiskFull
from storage.snapshots import write_only_snapshot


class DiscardJob(Job):
    """The files of a group become those of a stranger."""

    def __init__(self, disk: Disk, snapshot: GroupSnapshot) -> None:
        super().__init__(THREAD_FLUSH)  # behind whatever still writes files of the group
        self.snapshot: Final = snapshot
        self._disk: Final = disk

    def run(self) -> None:
        """Do the IO."""
        directory = group_directory(self.snapshot.group)
        kept = write_only_snapshot(self._disk, directory, self.snapshot.encode())
        for name in self._disk.list(directory):
            if name.endswith(".tmp"):
                self._disk.remove(f"{directory}/{name}")
            elif name != kept:
                self._disk.remove_directory(f"{directory}/{name}")
        self._disk.sync_directory(directory)


class Repairs:
    """The damaged replicas of this node; `Assignments.damaged` has them."""

    def __init__(
        self,
        assignments: Assignments,
        engine: Engine,
        links: LinkTable,
        catch_ups: CatchUps,
        disk: Disk,
        jobs: list[Job],
        rng: random.Random,
    ) -> None:
        self.events: list[tuple[str, str, dict[str, object]]] = []
        self._assignments: Final = assignments
        self._engine: Final = engine
        self._links: Final = links
        self._catch_ups: Final = catch_ups
        self._disk: Final = disk
        self._jobs: Final = jobs
        self._rng: Final = rng
        self._report_at_ns: int = 0
        self._under_way: dict[int, bool] = {}  # begun again, and not yet what they were

    def tick(self, now_ns: int) -> None:
        """50 ms passed."""
        self._look_at_failed()
        damaged = self._assignments.damaged
        if damaged and now_ns >= self._report_at_ns:
            self._report_at_ns = now_ns + REPORT_NS
            self._report(damaged)
        for group_id in list(self._under_way):
            group = self._engine.groups.get(group_id)
            if group is None or group_id in damaged:
                del self._under_way[group_id]
            elif group.raft.leader and group.raft.is_voter() and group.raft.has_voice() and not group.frozen:
                del self._under_way[group_id]
                self.events.append(("info", "replica_repaired", {"group": group.title()}))

    def _look_at_failed(self) -> None:
        """Groups that met damage while they ran; it was said then."""
        while self._engine.damaged:
            group, error = self._engine.damaged.pop()
            if group.id not in self._assignments.damaged and self._engine.groups.get(group.id) is group:
                damage = Damage(group.title(), error)
                damage.is_told = True
                self._assignments.damaged[group.id] = damage

    def _report(self, damaged: dict[int, Damage]) -> None:
        reported: dict[int, int] = {}
        for group_id, damage in damaged.items():
            if not damage.discarding and self._has_others(group_id):
                if damage.nonce == 0:
                    damage.nonce = self._rng.getrandbits(63) + 1
                reported[group_id] = damage.nonce
        if reported:
            body = bytes(cbor2.dumps(reported))
            for link in self._links.links.values():
                link.write_frame(FRAME_DAMAGED, [body])
                link.dirty = True

    def _has_others(self, group_id: int) -> bool:
        if group_id == META_GROUP:
            return True
        meta = self._assignments.meta
        assignment = None if meta is None else meta.machine.by_group.get(group_id)
        peers = [] if assignment is None else assignment.peers
        return self._links.peer in peers and len(peers) > 1

    def removed(self, group_id: int, nonce: int, index: int, term: int) -> None:
        """A leader says that the group goes on without this replica."""
        damage = self._assignments.damaged.get(group_id)
        if damage is None or damage.nonce != nonce or damage.discarding or index <= 0 or term <= 0:
            return
        about, machine = b"", b""
        if group_id == META_GROUP:
            machine = MetaMachine({}).snapshot()
        else:
            meta = self._assignments.meta
            assignment = None if meta is None else meta.machine.by_group.get(group_id)
            if assignment is None:
                return
            about = assignment.founding().encode(assignment.moved_index)
        damage.discarding = True
        self._catch_ups.forget(group_id)
        snapshot = GroupSnapshot(group_id, 0, term, STRANGER, about, machine, index)
        self._jobs.append(DiscardJob(self._disk, snapshot))

    def discarded(self, job: DiscardJob, error: Exception | None) -> None:
        """The files are gone: begin again, in the log too."""
        group_id = job.snapshot.group
        damage = self._assignments.damaged.get(group_id)
        if damage is None:
            return  # deleted meanwhile
        damage.discarding = False
        if error is not None:
            if not isinstance(error, DiskFull):
                raise error
            return  # asked for again
        self._engine.forget(group_id, job.snapshot.term)
        self._assignments.begin_again(job.snapshot)
        self._under_way[group_id] = True
        self.events.append(("warning", "replica_discarded", {"group": damage.title}))
