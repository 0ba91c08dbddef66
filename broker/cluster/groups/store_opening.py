"""Opening a node's store: the log and the groups' snapshots, and which groups are damaged.

A damaged log is replaced by what is sound in it; a group without a readable snapshot, or whose part of the log was hit,
is not opened. Whatever else is wrong with the store keeps the node from starting.

Not here: reading and rewriting the log (`storage.wal_recovery`, `storage.wal_salvage`), what becomes of the damaged
groups (`repair`).
"""

from typing import Final

from broker.cluster.groups.group_store import GROUPS_DIRECTORY, TOMBSTONE, GroupSnapshot, stored_groups
from broker.cluster.links.transport import LinkTable
from broker.cluster.meta.identity import META_GROUP
from raft.types import ENTRY_CONFIG
from storage.disk import Disk
from storage.errors import CorruptLog, CorruptSnapshot, StorageError
from storage.wal import Wal
from storage.wal_salvage import Covered, salvage

WAL_DIRECTORY: Final = "wal"


class OpenedStore:
    """What a store holds. `damaged`: what is wrong with the groups that are not to be opened; `error`: with the log, ""
    when nothing is."""

    def __init__(self, wal: Wal, error: str, groups: list[GroupSnapshot], damaged: dict[int, str]) -> None:
        self.wal: Final = wal
        self.error: Final = error
        self.groups: Final = groups
        self.damaged: Final = damaged


def open_store(disk: Disk, links: LinkTable, log_file_bytes: int, is_clustered: bool) -> OpenedStore:
    """Does IO. Raises storage errors; also when the meta group is damaged and no other server has it."""
    stored, damaged = stored_groups(disk)
    error = ""
    try:
        wal = Wal.open(disk, WAL_DIRECTORY, links.name, log_file_bytes, store_id=links.store_id)
    except CorruptLog as corrupt:
        error = str(corrupt)
        covered = {
            found.group: Covered(found.index, found.term, found.membership.peers() == [links.peer])
            for found in stored
            if found.about != TOMBSTONE
        }
        needed = [] if is_clustered else [META_GROUP]
        salvage(disk, WAL_DIRECTORY, links.name, covered, needed, ENTRY_CONFIG)
        wal = Wal.open(disk, WAL_DIRECTORY, links.name, log_file_bytes, store_id=links.store_id)
    left = [found.group for found in stored if found.about == TOMBSTONE]
    for group in wal.groups():
        if wal.group(group).damage and group not in left:
            damaged[group] = wal.group(group).damage
    if META_GROUP in damaged and not is_clustered:
        raise CorruptSnapshot(damaged[META_GROUP])
    known = [found.group for found in stored]
    promised = wal.has_group(META_GROUP) and wal.group(META_GROUP).last_index > 0
    if promised and META_GROUP not in damaged and META_GROUP not in known:
        raise StorageError(
            f"{GROUPS_DIRECTORY}: the log knows groups whose files are missing; bring them back, or give this "
            "server an empty store directory"
        )
    return OpenedStore(wal, error, stored, damaged)
