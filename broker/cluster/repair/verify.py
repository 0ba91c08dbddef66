"""Reading stored blocks for no other reason than to see whether they are whole.

Done where a peer could not use what it was sent from them, and in the background: a day after a node's start, and a day
after each round, all blocks in files are read, one after the other, at a pace that nobody notices. Not here: what
follows from damage (`repair`); the log and snapshots, which are read at every start and replaced all the time.
"""

from typing import TYPE_CHECKING, Final

from broker.cluster.groups.engine import Engine
from broker.cluster.groups.jobs import THREAD_FLUSH, Job
from storage.block import BlockInfo
from storage.disk import Disk
from storage.errors import FileMissing
from storage.stream_recovery import verify_block
from storage.stream_store import FileStreamStore

if TYPE_CHECKING:
    from broker.cluster.groups.group import RaftGroup

ROUND_NS: Final = 24 * 3600 * 1_000_000_000
PACE_NS: Final = 2_000_000_000  # a block (8 MiB): 4 MiB a second


class VerifyJob(Job):
    """Reads some blocks of a group."""

    def __init__(self, disk: Disk, group: "RaftGroup", blocks: list[tuple[str, BlockInfo]]) -> None:
        super().__init__(THREAD_FLUSH)
        self.group: Final = group
        self._disk: Final = disk
        self._blocks: Final = blocks

    def run(self) -> None:
        """Do the IO. Raises CorruptBlock, DiskFailure."""
        for path, info in self._blocks:
            try:
                verify_block(self._disk, path, info)
            except FileMissing:
                continue  # nobody needs it any more, or it was moved to its place


def blocks_of(group: "RaftGroup") -> list[tuple[str, BlockInfo]]:
    """The blocks of a group's streams that are in files by now, and where."""
    found: list[tuple[str, BlockInfo]] = []
    store = group.message_store()
    if isinstance(store, FileStreamStore):
        found.extend(store.files())
    stores = group.dead_letter_stores()
    dead = None if stores is None else stores.store
    if isinstance(dead, FileStreamStore):
        found.extend(dead.files())
    return found


class Scrub:
    """The background reading of all blocks of this node."""

    def __init__(self, engine: Engine, disk: Disk) -> None:
        self.round_at_ns: int = 0  # 0: not known yet
        self._engine: Final = engine
        self._disk: Final = disk
        self._next_ns: int = 0
        self._groups: list[int] = []  # of this round, still to be read
        self._group: RaftGroup | None = None
        self._blocks: list[tuple[str, BlockInfo]] = []

    def due(self, now_ns: int) -> VerifyJob | None:
        """The next block to read, if it is time."""
        if self.round_at_ns == 0:
            self.round_at_ns = now_ns + ROUND_NS
        if now_ns >= self.round_at_ns:
            self.round_at_ns = now_ns + ROUND_NS
            self._groups = sorted(self._engine.groups)
        if now_ns < self._next_ns:
            return None
        while not self._blocks and self._groups:
            self._group = self._engine.groups.get(self._groups.pop())
            if self._group is not None and not self._group.failed:
                self._blocks = blocks_of(self._group)
        group = self._group
        if not self._blocks or group is None:
            return None
        self._next_ns = now_ns + PACE_NS
        return VerifyJob(self._disk, group, [self._blocks.pop()])
