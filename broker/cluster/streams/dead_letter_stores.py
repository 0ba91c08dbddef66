"""The files of a dead-letter stream: beside its host's, flushed with them, removed when nothing needs them any more.

`DeadLetterStores` gives the host's machine the store of that stream. Not here: the stream itself (`hosted_stream`),
when it is made or ends (`dead_letters`). Invariant: the files of a stream that ended stay until a checkpoint that does
not need them is durable.
"""

from typing import Final

from broker.jetstream.config.stream_config import MEMORY_STORAGE, StreamConfig
from broker.jetstream.store import MessageStore, StoreMaker
from storage.block import BlockInfo
from storage.block_files import BlockFiles
from storage.disk import Disk
from storage.errors import StorageError
from storage.flush import FlushJob
from storage.memory import MemoryStreamStore
from storage.stream_store import FileStreamStore

DIRECTORY: Final = "dead-"


class DeadLetterStores(StoreMaker):
    """The store of one host's dead-letter stream."""

    def __init__(self, disk: Disk, directory: str, files: BlockFiles) -> None:
        self.store: FileStreamStore | MemoryStreamStore | None = None
        self.created_ns: int = 0
        self._disk: Final = disk
        self._directory: Final = directory
        self._files: Final = files
        self._arriving: FileStreamStore | MemoryStreamStore | None = None  # a snapshot's, being fetched
        self._arriving_ns: int = 0
        self._ended: list[str] = []  # directories of streams that ended since the last checkpoint began
        self._captured: list[str] = []
        self._removable: list[str] = []

    def path(self, created_ns: int) -> str:
        """The directory of the dead-letter stream made then."""
        return f"{self._directory}/{DIRECTORY}{created_ns:016x}"

    def _make(self, config: StreamConfig, created_ns: int, state: bytes | None) -> FileStreamStore | MemoryStreamStore:
        if config.storage == MEMORY_STORAGE:
            return MemoryStreamStore.open(state)
        return FileStreamStore.open(self._disk, self.path(created_ns), state, self._files)

    def open(self, config: StreamConfig, created_ns: int, state: bytes | None) -> MessageStore:
        if self.store is not None and self.created_ns == created_ns:
            return self.store  # installed before the machine is restored
        if self.store is not None:
            self.drop()
        if self._arriving is not None and self._arriving_ns == created_ns:
            store = self._arriving
        else:
            store = self._make(config, created_ns, state)
        self._arriving = None
        self.store = store
        self.created_ns = created_ns
        return store

    def arriving(self, config: StreamConfig, created_ns: int) -> FileStreamStore | MemoryStreamStore:
        """The store that a snapshot from a peer is going to fill."""
        if self.store is not None and self.created_ns == created_ns:
            return self.store
        if self._arriving is None or self._arriving_ns != created_ns:
            self._arriving = self._make(config, created_ns, None)
            self._arriving_ns = created_ns
        return self._arriving

    def drop(self) -> None:
        if isinstance(self.store, FileStreamStore):
            self._ended.append(self.path(self.created_ns))
        self.store = None
        self.created_ns = 0

    def forget_others(self) -> None:
        """At a start: remove what the snapshot does not speak of. The log, which is replayed next, may make a stream of
        the same name again: later would be too late."""
        mine = self.path(self.created_ns)
        for name in self._disk.list(self._directory):
            if name.startswith(DIRECTORY) and f"{self._directory}/{name}" != mine:
                self._disk.remove_directory(f"{self._directory}/{name}")

    def manifest(self, created_ns: int) -> list[BlockInfo] | None:
        """The blocks of the stream made then; None when there is another one by now."""
        if self.store is None or self.created_ns != created_ns:
            return None
        return self.store.manifest() if isinstance(self.store, FileStreamStore) else []

    # Checkpoints.

    def begin_flush(self, own: FlushJob | None) -> FlushJob | None:
        """The host's flush, and that of its dead letters."""
        dead = self.store.begin_flush() if isinstance(self.store, FileStreamStore) else None
        self._captured = self._captured + self._ended
        self._ended = []
        if dead is None and not self._removable:
            return own
        removable = self._removable
        self._removable = []
        flushed = self.store if isinstance(self.store, FileStreamStore) else None
        return PairFlush(self._disk, self._directory, own, dead, flushed, removable)

    def checkpoint_done(self, flush: "PairFlush | None") -> None:
        """Blocks, then snapshot, are durable."""
        self._removable = self._captured
        self._captured = []
        flushed = None if flush is None else flush.flushed
        if flush is not None and flush.dead is not None and flushed is not None:
            flushed.flush_done(flush.dead)
        if isinstance(self.store, FileStreamStore) and (flushed is None or flushed is self.store):
            self.store.snapshot_durable()

    def flush_failed(self, flush: "PairFlush", error: StorageError) -> None:
        """The checkpoint came to nothing."""
        self._removable = flush.removable + self._removable
        if flush.dead is not None and flush.flushed is not None:
            flush.flushed.flush_failed(flush.dead, error)


class PairFlush(FlushJob):
    """Two flushes as one."""

    def __init__(
        self,
        disk: Disk,
        directory: str,
        own: FlushJob | None,
        dead: FlushJob | None,
        flushed: FileStreamStore | None,
        removable: list[str],
    ) -> None:
        super().__init__(disk, directory, 0)
        self.own: Final = own
        self.dead: Final = dead
        self.flushed: Final = flushed  # the store that `dead` is of
        self.removable: Final = removable

    def empty(self) -> bool:
        return False

    def run(self) -> None:
        for path in self.removable:
            self.disk.remove_directory(path)
        if self.own is not None:
            self.own.run()
        if self.dead is not None:
            self.dead.run()
        self.done = True
