"""A stream's messages on disk: blocks that are written at checkpoints, between which the log holds what is new.

A checkpoint: in one turn `begin_flush`, then `state_bytes` into the machine's snapshot. When the job has run:
`flush_done`; when the snapshot that holds the state is durable: `snapshot_durable`. Only then may the log's entries be
released, and only then are the files of emptied blocks removed (by the next job): until then an older state needs them.
Not here: blocks from peers (block_transfer.py), reading files (block_files.py), the job (flush.py).
Invariants: `durable_sequence` never runs ahead of the files; a failure other than a full disk ends writing (`failed`).
"""

from typing import Final

from storage.block import Block, BlockInfo, block_path
from storage.block_files import BlockFiles
from storage.block_index import FrameRows
from storage.block_transfer import Incoming, recover_promotion
from storage.disk import Disk
from storage.errors import BlockGone, CorruptBlock, DiskFull, FileMissing, StorageError, StorageFailed
from storage.flush import BlockWrite, FlushJob
from storage.message_log import MessageLog
from storage.stream_recovery import Installation, LoadedBlock, assemble, load_block
from storage.stream_state import StreamState, decode_state, encode_state

BLOCK_BYTES: Final = 8 * 1024 * 1024
FRAME_BYTES: Final = 32 * 1024
MESSAGE_COST: Final = 30
HEADER_COST: Final = 4
SUFFIX: Final = ".blk"


class FileStreamStore(MessageLog):
    """The messages of one stream in block files. Made by `FileStreamStore.open`."""

    def __init__(self, disk: Disk, directory: str, files: BlockFiles, block_bytes: int, frame_bytes: int) -> None:
        super().__init__(MESSAGE_COST, HEADER_COST, block_bytes, frame_bytes)
        self.durable_sequence: int = 0
        self.failed: StorageError | None = None
        self._disk = disk
        self._directory = directory
        self._files = files
        self._job: FlushJob | None = None
        self._dropped: list[str] = []  # files of blocks emptied since the last checkpoint began
        self._captured: list[str] = []  # emptied before a checkpoint whose snapshot is not durable yet
        self._removable: list[str] = []
        self._emptied: list[Block] = []  # blocks that the last durable snapshot still needs, though nothing else does
        self._emptied_captured: int = 0
        self._incoming: Incoming = Incoming(disk, directory)
        self._promoting: bool = False
        self._promotion_ready: bool = False

    @staticmethod
    def open(
        disk: Disk,
        directory: str,
        state: bytes | None,
        files: BlockFiles | None = None,
        block_bytes: int = BLOCK_BYTES,
        frame_bytes: int = FRAME_BYTES,
    ) -> "FileStreamStore":
        """The store as of `state` (None: empty); everything beyond it is dropped. `files` is shared by a node's stores.

        Raises CorruptState, CorruptBlock when a message of the state cannot be read, DiskFailure.
        """
        disk.make_directory(directory)
        store = FileStreamStore(disk, directory, files or BlockFiles(disk), block_bytes, frame_bytes)
        store._recover(decode_state(state))
        return store

    def _recover(self, state: StreamState) -> None:
        recover_promotion(self._disk, self._directory, self, state)
        blocks: list[LoadedBlock] = []
        for name in self._disk.list(self._directory):
            if name.endswith(SUFFIX):
                block_id = int(name[: -len(SUFFIX)], 16)
                path = block_path(self._directory, block_id)
                blocks.append(load_block(self._disk, path, block_id, state.last_sequence))
        empty = assemble(self, state, blocks, self._directory)
        for loaded in blocks:
            if loaded not in empty and loaded.file_length > loaded.block.length:
                self._cut(loaded)
        for loaded in empty:
            self._disk.remove(loaded.path)
        if empty:
            self._disk.sync_directory(self._directory)
        self.durable_sequence = self.last_sequence

    def _cut(self, loaded: LoadedBlock) -> None:
        file = self._disk.open(loaded.path)
        try:
            file.truncate(loaded.block.length)
            file.sync()
        finally:
            file.close()

    def read_frame(self, block: Block, number: int) -> FrameRows:
        """A frame from its file."""
        frame = self._files.cached(block, number)
        if frame is not None:
            return frame
        try:
            return self._files.frame(self._path(block), block, number)
        except FileMissing as error:
            path = block_path(self._directory, block.id)
            if block.incoming and self._disk.exists(path):  # moved by the job that runs right now
                return self._files.frame(path, block, number)
            offset = block.frame_offsets[number]
            first = block.frame_firsts[number]
            raise CorruptBlock(error.path, offset, "the file of a block is missing", first, block.last_sequence)

    def _path(self, block: Block) -> str:
        return self._incoming.path(block.id) if block.incoming else block_path(self._directory, block.id)

    def block_dropped(self, block: Block) -> None:
        """The file stays until no durable state needs it."""
        if block.in_file:
            path = block_path(self._directory, block.id)
            self._files.forget(self._path(block))
            self._files.forget(path)
            self._dropped.append(path)
            self._emptied.append(block)

    # Checkpoints.

    def state_bytes(self) -> bytes:
        """The store's state as of now, without the messages. Take it in the same turn as `begin_flush`."""
        return encode_state(self)

    def begin_flush(self) -> FlushJob | None:
        """Everything not yet in files, as a job; None when there is nothing to do or a job is out.

        Raises StorageFailed.
        """
        if self.failed is not None:
            raise StorageFailed(self._directory, self.failed)
        if self._job is not None:
            return None
        assert not self._promoting or self._promotion_ready, "snapshot_durable() is due after adopt()"
        self._captured.extend(self._dropped)
        self._dropped.clear()
        self._emptied_captured = len(self._emptied)
        job = FlushJob(self._disk, self._directory, self.last_sequence)
        job.removals = self._removable
        self._removable = []
        if self._promoting:
            job.incoming = self._incoming.directory
            job.promotions = [
                (self._incoming.path(block.id), block_path(self._directory, block.id))
                for block in self.blocks
                if block.incoming
            ]
            job.promotions.extend(self._incoming.dropped(self.blocks))
        number = len(self.blocks) - 1
        while number >= 0:
            block = self.blocks[number]
            block.seal()
            if not block.pending:
                break
            path = block_path(self._directory, block.id)
            offset = block.frame_offsets[block.flushed]
            job.writes.append(BlockWrite(block, path, offset, not block.in_file))
            block.in_file = True
            number -= 1
        job.writes.reverse()
        self.pending_bytes = 0
        if job.empty():
            self.durable_sequence = self.last_sequence
            return None
        self._job = job
        return job

    def flush_done(self, job: FlushJob) -> None:
        """The job ran without error."""
        assert job is self._job and job.done
        self._job = None
        for write in job.writes:
            write.block.written(len(write.frames), write.crc)
        if job.incoming:
            self._promoting = False
            self._promotion_ready = False
            for block in self.blocks:
                if block.incoming:
                    self._files.forget(self._incoming.path(block.id))
                    self._files.forget(block_path(self._directory, block.id))
                    block.incoming = False
        self.durable_sequence = job.last_sequence

    def flush_failed(self, job: FlushJob, error: StorageError) -> None:
        """The job raised. After DiskFull the next `begin_flush` tries again; anything else ends writing (`failed`)."""
        assert job is self._job
        self._job = None
        if not isinstance(error, DiskFull):
            self.failed = error
            return
        self._removable = job.removals + self._removable
        for write in job.writes:
            self.pending_bytes += sum([frame.body_length for frame in write.frames])
            write.block.in_file = write.block.in_file and not write.create

    def snapshot_durable(self) -> None:
        """The snapshot with the state of the last checkpoint (or of `adopt`) is durable."""
        self._removable.extend(self._captured)
        self._captured.clear()
        for block in self._emptied[: self._emptied_captured]:
            self._files.forget(block_path(self._directory, block.id))
        del self._emptied[: self._emptied_captured]
        self._emptied_captured = 0
        self._promotion_ready = self._promoting

    # Blocks for and from peers.

    def manifest(self) -> list[BlockInfo]:
        """The blocks in files, in order, those emptied since the last finished checkpoint too: with its state they are
        the stream."""
        blocks = [block for block in [*self._emptied, *self.blocks] if block.flushed]
        blocks.sort(key=first_of)
        return infos_of(blocks)

    def files(self) -> list[tuple[str, BlockInfo]]:
        """The blocks in files, and where these are."""
        blocks = [block for block in self.blocks if block.flushed]
        return list(zip([self._path(block) for block in blocks], infos_of(blocks), strict=True))

    def read_block(self, block_id: int, offset: int, length: int) -> bytes:
        """Bytes of a block's file. Raises BlockGone when the stream has no such block any more."""
        for block in [*self.blocks, *self._emptied]:
            if block.id == block_id and block.flushed:
                length = max(0, min(length, block.flushed_length - offset))
                return self._files.read(self._path(block), offset, length)
        raise BlockGone(f"{self._directory}: there is no block {block_id}")

    def missing_blocks(self, manifest: list[BlockInfo]) -> list[BlockInfo]:
        """Those of a peer's blocks that have to be fetched; equal ones are here already."""
        own = {info.id: info for info in infos_of(self.blocks)}
        return [info for info in manifest if not self._incoming.same(info, own.get(info.id))]

    def received(self, info: BlockInfo) -> int:
        """How many bytes of a peer's block were received: where to go on."""
        return self._incoming.received(info)

    def receive_block(self, block_id: int, offset: int, data: bytes) -> None:
        """Keep a piece of a block that is being fetched. Writes to a file, without sync."""
        self._incoming.receive(block_id, offset, data)

    def discard_received(self) -> None:
        """Give up fetching."""
        if not self._promoting:
            self._incoming.discard()

    @property
    def promoting(self) -> bool:
        """Fetched blocks are the stream already, and lie where they were fetched to: nothing else can be fetched."""
        return self._promoting

    def prepare(self, state: bytes, manifest: list[BlockInfo]) -> Installation:
        """The stream of `state` and `manifest`, all of whose blocks were received (or are equal here), to be adopted.

        Does IO and changes nothing here; call it with no job out and while nobody changes the store. Then make the
        snapshot that holds `state` durable, `adopt`, and call `snapshot_durable`: whatever fails before leaves the old
        stream, and so does a restart. Raises CorruptBlock when the blocks are not what they should be.
        """
        assert self._job is None and not self._promoting
        decoded = decode_state(state)
        fresh = FileStreamStore(self._disk, self._directory, self._files, self.block_bytes, self.frame_bytes)
        loaded = self._incoming.load(manifest, decoded, infos_of(self.blocks))
        empty = assemble(fresh, decoded, loaded, self._incoming.directory)
        self._incoming.seal(manifest)
        return Installation(decoded, fresh, empty)

    def adopt(self, installation: Installation) -> None:
        """Become the prepared stream, whose snapshot is durable."""
        kept = {block.id for block in installation.log.blocks}
        for block in self.blocks:
            self._files.forget(block_path(self._directory, block.id))
            if block.in_file and block.id not in kept:
                self._dropped.append(block_path(self._directory, block.id))
        installation.take_place_of(self)
        self.durable_sequence = self.last_sequence
        self._captured.extend(self._dropped)
        self._dropped.clear()
        self._emptied.clear()
        self._emptied_captured = 0
        self._captured.extend([item.path for item in installation.empty])
        self._promoting = True

    # The rest.

    def disk_bytes(self) -> int:
        """Bytes in block files, about."""
        return sum([block.flushed_length for block in self.blocks])

    def destroy(self) -> None:
        """Remove the stream's directory. Does IO."""
        for block in self.blocks:
            self._files.forget(self._path(block))
        self._clear(self.last_sequence + 1)
        self._disk.remove_directory(self._directory)


def first_of(block: Block) -> int:
    """Where a block began, whatever it has lost since."""
    return block.frame_firsts[0]


def infos_of(blocks: list[Block]) -> list[BlockInfo]:
    """What peers are told of the blocks that have a file."""
    return [
        BlockInfo(block.id, block.flushed_length, block.crc, block.first_sequence, block.last_sequence)
        for block in blocks
        if block.flushed
    ]
