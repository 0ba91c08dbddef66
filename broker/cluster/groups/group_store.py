"""The durable description of one group on this node: `snapshot` files, and what is in them.

A group's directory holds generations of a snapshot (`storage.snapshots`), each a CBOR map: which group this is, its
log position, its membership and its machine's state. The first one is written when the group begins, before its
Raft node answers anybody, so that a restart finds every group without asking the meta group.
"""

from typing import Final

import cbor2

from broker.cluster.groups.jobs import THREAD_FLUSH, THREAD_WAL, Job
from broker.cluster.meta.identity import META_GROUP
from raft.types import Membership
from storage.disk import Disk
from storage.errors import CorruptSnapshot
from storage.snapshots import read_snapshot, write_first_snapshots

GROUPS_DIRECTORY: Final = "groups"

FOUNDED_TOGETHER_MAX: Final = 64
"""Groups in one job: what else waits for the log's thread shall not wait for long."""
FOUNDING_INDEX: Final = 1
"""Groups begin with a snapshot at index 1, term 1, so that a blank peer always needs a snapshot (and its
membership)."""
FOUNDING_TERM: Final = 1
TOMBSTONE: Final = b"left"


class GroupSnapshot:
    """Everything that a group was at `index`. `voice`: until its log reaches that far, this replica keeps silent in
    elections (`repair`); 0: it need not."""

    def __init__(
        self,
        group: int,
        index: int,
        term: int,
        membership: Membership,
        about: bytes,
        machine: bytes,
        voice: int = 0,
    ) -> None:
        self.voice: Final = voice
        self.group: Final = group
        self.index: Final = index
        self.term: Final = term
        self.membership: Final = membership
        self.about: Final = about
        self.machine: Final = machine

    def encode(self) -> bytes:
        """CBOR."""
        return bytes(
            cbor2.dumps(
                {
                    "group": self.group,
                    "index": self.index,
                    "term": self.term,
                    "voters": list(self.membership.voters),
                    "learners": list(self.membership.learners),
                    "about": self.about,
                    "machine": self.machine,
                    "voice": self.voice,
                }
            )
        )


def decode_group_snapshot(data: bytes) -> GroupSnapshot:
    """The inverse of `encode`. The bytes were checked by whoever stored or carried them."""
    state = cbor2.loads(data)
    membership = Membership(tuple(state["voters"]), tuple(state["learners"]))
    return GroupSnapshot(
        state["group"],
        state["index"],
        state["term"],
        membership,
        state["about"],
        state["machine"],
        state.get("voice", 0),
    )


def with_voice(snapshot: GroupSnapshot, voice: int) -> GroupSnapshot:
    """The snapshot as a replica stores it that keeps silent up to `voice`, wherever the snapshot came from."""
    if snapshot.index >= voice:
        voice = 0
    if snapshot.voice == voice:
        return snapshot
    return GroupSnapshot(
        snapshot.group, snapshot.index, snapshot.term, snapshot.membership, snapshot.about, snapshot.machine, voice
    )


def tombstone(group: int, index: int) -> GroupSnapshot:
    """What stands in the place of the snapshots of a group that this node has left, by the meta group's entry `index`
    (`departures`)."""
    return GroupSnapshot(group, index, 0, Membership(()), TOMBSTONE, b"")


def group_directory(group: int) -> str:
    """Where a group keeps its snapshots (and a stream its blocks), relative to the store."""
    return f"{GROUPS_DIRECTORY}/{group}"


def blocks_directory(group: int) -> str:
    """Where a stream keeps its blocks."""
    return f"{group_directory(group)}/blocks"


class FoundGroupsJob(Job):
    """Makes groups' directories and first snapshots durable, before these groups say anything to anybody."""

    def __init__(self, disk: Disk, snapshot: GroupSnapshot) -> None:
        super().__init__(THREAD_WAL)
        self.snapshots: Final[list[GroupSnapshot]] = [snapshot]
        self._disk: Final = disk

    def run(self) -> None:
        """Do the IO."""
        directories = [group_directory(snapshot.group) for snapshot in self.snapshots]
        blocks = [
            blocks_directory(snapshot.group) for snapshot in self.snapshots if snapshot.group != META_GROUP
        ]  # here, as they would else be made, and synced, within a turn
        self._disk.make_directories([*directories, *blocks])
        contents = [snapshot.encode() for snapshot in self.snapshots]
        write_first_snapshots(self._disk, list(zip(directories, contents, strict=True)))


class RemoveGroupJob(Job):
    """Removes the files of a group that a committed command deleted."""

    def __init__(self, disk: Disk, group: int) -> None:
        super().__init__(THREAD_FLUSH)
        self.group: Final = group
        self._disk: Final = disk

    def run(self) -> None:
        """Do the IO."""
        self._disk.remove_directory(group_directory(self.group))


def stored_groups(disk: Disk) -> tuple[list[GroupSnapshot], dict[int, str]]:
    """The newest readable snapshot of every group on this disk, by group id; and what is wrong with the groups that
    have none.

    A process that was killed may have left a name that is not durable yet. It is made so before anybody builds on it:
    the log will be cut behind what is found here.
    """
    found: list[GroupSnapshot] = []
    damaged: dict[int, str] = {}
    for name in disk.list(GROUPS_DIRECTORY):
        if name.isdigit():
            disk.sync_directory(f"{GROUPS_DIRECTORY}/{name}")
            try:
                data = read_snapshot(disk, f"{GROUPS_DIRECTORY}/{name}")
            except CorruptSnapshot as error:
                damaged[int(name)] = str(error)
                continue
            if data is not None:
                found.append(decode_group_snapshot(data))
    return sorted(found, key=lambda snapshot: snapshot.group), damaged
