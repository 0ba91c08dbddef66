"""Reading a stream's block files for no other reason than to see whether they are whole.

Done where a peer could not use what it was sent from them. Not here: what follows (`repair`).
"""

from typing import TYPE_CHECKING, Final

from broker.cluster.jobs import THREAD_FLUSH, Job
from storage.block import BlockInfo
from storage.disk import Disk
from storage.errors import FileMissing
from storage.memory import MemoryStreamStore
from storage.stream_recovery import verify_block
from storage.stream_store import FileStreamStore

if TYPE_CHECKING:
    from broker.cluster.group import RaftGroup


class VerifyJob(Job):
    """Reads all blocks of a group's streams that are in files by now."""

    def __init__(self, disk: Disk, group: "RaftGroup") -> None:
        super().__init__(THREAD_FLUSH)
        self.group: Final = group
        self._disk: Final = disk
        self._blocks: Final[list[tuple[str, BlockInfo]]] = []
        stores = group.dead_letter_stores()
        self._add(group.message_store())
        self._add(None if stores is None else stores.store)

    def _add(self, store: FileStreamStore | MemoryStreamStore | None) -> None:
        if isinstance(store, FileStreamStore):
            self._blocks.extend(store.files())

    def run(self) -> None:
        """Do the IO. Raises CorruptBlock, DiskFailure."""
        for path, info in self._blocks:
            try:
                verify_block(self._disk, path, info)
            except FileMissing:
                continue  # nobody needs it any more, or it was moved to its place
