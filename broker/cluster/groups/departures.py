"""Groups that this node has left: their files and their log go, in an order that no crash turns into half of it.

A replica that half forgot is dangerous: with its old membership and without the log that ended it, it could vote for
what the others have left behind. So, one after the other, each step durable before the next begins:
1. tombstones take the place of the group's snapshots: a restart finds a group that was left, whatever else is there;
   then everything beside them goes;
2. the write-ahead log forgets the group, and a checkpoint of the meta group holds the entry that told this node to
   leave: a restart will not begin the group again on behalf of older entries;
3. the tombstones go. Only now the group may begin on this node again, as a stranger to it.

Not here: who has to leave (`meta`, a committed command; `assignments`), deleted streams, whose ids never come back.
"""

from typing import Final

from broker.cluster.groups.engine import Engine
from broker.cluster.groups.group_store import RemoveGroupJob, group_directory, tombstone
from broker.cluster.groups.jobs import THREAD_FLUSH, Job
from broker.cluster.meta.identity import META_GROUP
from storage.disk import Disk
from storage.snapshots import GENERATIONS, SUFFIX, write_snapshot


class BuryGroupJob(Job):
    """Step 1."""

    def __init__(self, disk: Disk, group: int, index: int) -> None:
        super().__init__(THREAD_FLUSH)
        self.group: Final = group
        self._index: Final = index
        self._disk: Final = disk

    def run(self) -> None:
        """Do the IO."""
        directory = group_directory(self.group)
        content = tombstone(self.group, self._index).encode()
        for _ in range(GENERATIONS):
            write_snapshot(self._disk, directory, content)
        for name in self._disk.list(directory):
            if not name.endswith(SUFFIX):
                self._disk.remove_directory(f"{directory}/{name}")


class Departures:
    """The groups on their way out."""

    def __init__(self, disk: Disk, engine: Engine, jobs: list[Job]) -> None:
        self._disk: Final = disk
        self._engine: Final = engine
        self._jobs: Final = jobs
        self._leaving: dict[int, int] = {}  # group → the meta group's entry that says so
        self._forgotten: dict[int, int] = {}  # group → how many log batches must be durable for step 3

    def is_leaving(self, group: int) -> bool:
        """Whether something of the group is still to go."""
        return group in self._leaving

    def leave(self, group: int, index: int) -> None:
        """The meta group's entry `index` says that this node holds the group no more."""
        self._engine.drop(group)
        self._leaving[group] = index
        self._jobs.append(BuryGroupJob(self._disk, group, index))

    def discard(self, group: int) -> None:
        """The group's first snapshot was made here in vain: it has never spoken."""
        self._leaving[group] = 0
        self._jobs.append(RemoveGroupJob(self._disk, group))

    def resume(self, group: int, index: int) -> None:
        """At a start: there are tombstones."""
        self._leaving[group] = index
        self.buried(group)

    def buried(self, group: int) -> None:
        """Step 1 is done."""
        self._forgotten[group] = self._engine.batches.forget_group(group)

    def tick(self) -> None:
        """Look for what is forgotten for good by now."""
        meta = self._engine.groups.get(META_GROUP)
        if not self._forgotten or meta is None:
            return
        known = -1 if meta.checkpoint is None else meta.checkpoint.index
        for group, batches in list(self._forgotten.items()):
            if known < self._leaving[group]:
                meta.checkpoint_wanted = True
            elif self._engine.batches.batches_done >= batches:
                del self._forgotten[group]
                self._jobs.append(RemoveGroupJob(self._disk, group))

    def removed(self, group: int) -> bool:
        """The directory is gone; False when the group was no departing one."""
        return self._leaving.pop(group, None) is not None
