"""What the disks have, whatever the nodes believe: the promises of Raft are checked against this.

A `DurableLog` follows one group's part of a node's write-ahead log, record by record, but only once the simulated disk
holds the records durably. After a restart it is compared with what recovery found.

Read next: `invariants`.
"""

import random

from crash_disk import CrashDisk, Inode

from broker.cluster.groups.group_store import TOMBSTONE, decode_group_snapshot, group_directory
from broker.cluster.meta.identity import META_GROUP
from sim.complaint import Broken
from storage.block_files import BlockFiles
from storage.group_log import GroupLog
from storage.snapshots import read_snapshot
from storage.stream_store import FileStreamStore
from storage.wal_batch import RECORD_ENTRY, RECORD_HARD_STATE, RECORD_REMOVE, RECORD_START, START_KEEP, Records


class DurableLog:
    """One group on one disk."""

    def __init__(self) -> None:
        self.start_index = 0
        self.start_term = 0
        self.last_index = 0
        self.terms: dict[int, int] = {}
        self.term = 0
        self.vote = ""

    def has(self, index: int, term: int) -> bool:
        """Is this entry (or a snapshot beyond it) on the disk?"""
        return index <= self.start_index or self.terms.get(index) == term

    def term_at(self, index: int) -> int:
        """The term of an entry; -1 when it is not known here."""
        return self.start_term if index == self.start_index else self.terms.get(index, -1)

    def promise(self, term: int, vote: str) -> None:
        """A hard state: terms and votes never go back."""
        if term < self.term:
            raise Broken("hard states", f"the term went back from {self.term} to {term} on the disk")
        if term == self.term and self.vote and vote != self.vote:
            raise Broken(
                "hard states", f"the vote of term {term} changed from {self.vote} to {vote or 'none'} on the disk"
            )
        self.term = term
        self.vote = vote

    def put(self, index: int, term: int) -> None:
        """An entry; whatever was at or behind its index is gone."""
        for gone in range(index, self.last_index + 1):
            self.terms.pop(gone, None)
        self.terms[index] = term
        self.last_index = index

    def start(self, index: int, term: int, keep: bool) -> None:
        """The log starts behind (index, term)."""
        self.terms = {at: found for at, found in self.terms.items() if at > index} if keep else {}
        self.last_index = max(self.last_index, index) if keep else index
        self.start_index = index
        self.start_term = term


def read_log(log: GroupLog) -> DurableLog:
    """What recovery found of a group."""
    found = DurableLog()
    found.start(log.snapshot_index, log.snapshot_term, False)
    found.term, found.vote = log.hard_state
    for index in range(log.snapshot_index + 1, log.last_index + 1):
        found.put(index, log.term(index))
    return found


def compare(group: int, promised: DurableLog, found: DurableLog, is_lazy: bool) -> None:
    """Recovery must find everything that was durable; of a lazy log at least terms and votes. Raises Broken."""
    if (found.term, found.vote) != (promised.term, promised.vote):
        if found.term < promised.term or (found.term == promised.term and promised.vote):
            raise Broken(
                "recovery",
                f"group {group}: the disk had term {promised.term} and vote {promised.vote!r}, "
                f"recovery found {found.term} and {found.vote!r}",
            )
    if is_lazy:
        return
    if found.start_index < promised.start_index:
        raise Broken("recovery", f"group {group}: the log began at {promised.start_index}, now at {found.start_index}")
    for index, term in promised.terms.items():
        # A later term may have replaced it in a batch that the crash let through.
        if not found.has(index, term) and max(found.terms.values(), default=0) <= term:
            raise Broken(
                "recovery", f"group {group}: entry {index} of term {term} was durable, recovery did not find it"
            )


class DurableDisk:
    """All groups of one node's disk. Of a lazy one: what was written, which nobody waits to be durable."""

    def __init__(self, disk: CrashDisk, is_lazy: bool = False) -> None:
        self.disk = disk
        self.is_lazy = is_lazy
        self.groups: dict[int, DurableLog] = {}
        self._unsynced: list[Records] = []

    def wrote(self, records: Records, path: str) -> list[Records]:
        """A batch ran: the records that are durable now."""
        self._unsynced.append(records)
        if not self.is_lazy and not self.synced(path):
            return []
        durable, self._unsynced = self._unsynced, []
        return durable

    def synced(self, path: str) -> bool:
        """Whether the disk holds all of a file, under its name."""
        inode = self.disk._names.get(path)
        return (
            inode is not None
            and self.disk._durable_names.get(path) is inode
            and not inode.dirty
            and not inode.lost
            and len(inode.durable) >= len(inode.current)
        )

    def log(self, group: int) -> DurableLog:
        """A group's log, empty when nothing is known."""
        return self.groups.setdefault(group, DurableLog())

    def apply(self, records: Records, at: int) -> None:
        """One durable record. Raises Broken."""
        kind, group = records.types[at], records.groups[at]
        if kind == RECORD_ENTRY:
            self.log(group).put(records.indexes[at], records.terms[at])
        elif kind == RECORD_HARD_STATE:
            self.log(group).promise(records.terms[at], records.bodies[at].decode())
        elif kind == RECORD_START:
            self.log(group).start(records.indexes[at], records.terms[at], records.kinds[at] == START_KEEP)
        elif kind == RECORD_REMOVE:
            self.groups.pop(group, None)

    def recovered(self, found: dict[int, DurableLog]) -> None:
        """A process has read the disk. Raises Broken when something durable is missing."""
        self._unsynced = []
        before, self.groups = self.groups, found
        for group, promised in before.items():
            if group in found:
                compare(group, promised, found[group], self.is_lazy and group != META_GROUP)
            elif ((promised.terms and not self.is_lazy) or promised.term) and not self._is_buried(group):
                raise Broken("recovery", f"group {group}: recovery found nothing of it")

    def _is_buried(self, group: int) -> bool:
        """Whether the node has left the group: a batch that was under way may have made its log forget it."""
        data = read_snapshot(self.disk, group_directory(group))
        return data is not None and decode_group_snapshot(data).about == TOMBSTONE


def worst_image(disk: CrashDisk, prefix: str) -> CrashDisk:
    """What a power cut now would leave at worst: only what was synced."""
    image = CrashDisk(random.Random(0))
    for path, inode in disk._durable_names.items():
        if path.startswith(prefix):
            copy = Inode()
            copy.current = bytearray(inode.durable)
            copy.durable = bytearray(inode.durable)
            image._names[path] = image._durable_names[path] = copy
    image._directories |= disk._directories
    return image


def newest_snapshot(disk: CrashDisk, directory: str) -> bytes | None:
    """A group's newest snapshot that a power cut would leave."""
    return read_snapshot(worst_image(disk, directory + "/"), directory)


def openable(disk: CrashDisk, directory: str, state: bytes) -> None:
    """The blocks behind a snapshot must be there after a power cut. Raises storage errors when they are not."""
    image = worst_image(disk, directory + "/")
    FileStreamStore.open(image, directory, state, BlockFiles(image))
