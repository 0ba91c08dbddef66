"""What Raft asks of the log behind its memory, answered from the write-ahead log (`storage.GroupLog`).

What a snapshot for a peer is, each kind of group says itself (`raft_snapshot`).
"""

from typing import TYPE_CHECKING, Final

from raft.types import Entry, Snapshot
from storage.group_log import GroupLog

if TYPE_CHECKING:
    from broker.cluster.groups.group import RaftGroup


class GroupLogReader:
    """`raft.types.LogReader` over one group's part of the log."""

    def __init__(self, log: GroupLog) -> None:
        self._log: Final = log
        self.group: RaftGroup | None = None

    def first_index(self) -> int:
        """First readable entry."""
        return self._log.first_index

    def entries(self, low: int, high: int, bytes_max: int) -> list[Entry]:
        """Entries [low, high)."""
        return [
            Entry(record.index, record.term, record.kind, record.data)
            for record in self._log.read(low, high, bytes_max)
        ]

    def term(self, index: int) -> int:
        """Term at an index, also at first_index() - 1."""
        return self._log.term(index)

    def snapshot(self) -> Snapshot | None:
        """What a peer that is behind `first_index` needs; None while there is nothing to give."""
        group = self.group
        if group is None or group.failed:
            return None
        return group.raft_snapshot()
