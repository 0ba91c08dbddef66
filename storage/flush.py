"""The job that brings a stream's gathered messages into its block files, and removes files nobody needs.

Not here: when to flush, and what a checkpoint is (stream_store.py). `run` belongs to the IO thread; it touches sealed
frames (which nobody changes) and its own descriptors only. Invariants: everything written is synced, and new names are
durable, when `run` returns; running it again after a full disk writes the same bytes to the same places.
"""

from typing import Final

from storage.block import Block
from storage.block_index import FrameRows
from storage.disk import Disk
from storage.stream_recovery import chain_crc

WRITE_BYTES: Final = 1024 * 1024


class BlockWrite:
    """Frames to append to one block's file."""

    def __init__(self, block: Block, path: str, offset: int, create: bool) -> None:
        self.block = block
        self.path = path
        self.offset = offset
        self.create = create
        self.frames: list[FrameRows] = block.pending[:]
        self.block_id: int = block.id
        self.crc: int = block.crc

    def run(self, disk: Disk) -> None:
        """Write and sync."""
        crc = self.block.crc
        offset = self.offset
        start = offset
        parts: list[bytes] = []
        file = disk.open(self.path, self.create)
        try:
            for frame in self.frames:
                encoded = frame.encode(self.block_id, offset)
                crc = chain_crc(crc, int.from_bytes(encoded[0][4:8], "little"))
                parts.extend(encoded)
                offset += frame.length()
                if offset - start >= WRITE_BYTES:
                    file.pwrite(parts, start)
                    parts = []
                    start = offset
            if parts:
                file.pwrite(parts, start)
            file.sync()
        finally:
            file.close()
        self.crc = crc


class FlushJob:
    """Everything of one stream that is to be durable at a checkpoint. Then hand it to `flush_done`."""

    def __init__(self, disk: Disk, directory: str, last_sequence: int) -> None:
        self.disk = disk
        self.directory = directory
        self.last_sequence = last_sequence
        self.writes: list[BlockWrite] = []
        self.removals: list[str] = []
        self.promotions: list[tuple[str, str]] = []
        self.incoming: str = ""
        self.done: bool = False

    def empty(self) -> bool:
        """Is there nothing to do?"""
        return not (self.writes or self.removals or self.promotions)

    def run(self) -> None:
        """Raises DiskFull (the job may be run again), DiskFailure (final)."""
        disk = self.disk
        while self.removals:
            disk.remove(self.removals[-1])
            self.removals.pop()  # not again in another try: a fetched block may have taken the name by then
        if self.incoming:
            promote(disk, self.directory, self.incoming, self.promotions)
        created = False
        for write in self.writes:
            if write.create:
                created = True
            write.run(disk)
        if created:
            disk.sync_directory(self.directory)
        self.done = True


def promote(disk: Disk, directory: str, incoming: str, promotions: list[tuple[str, str]]) -> None:
    """Move fetched blocks to their final places. The list of them goes last, so that a crash can be rolled forward."""
    if not disk.exists(incoming):
        return  # done by an earlier try of the same job
    for source, target in promotions:
        if disk.exists(source):
            disk.rename(source, target)
    disk.sync_directory(directory)
    disk.sync_directory(incoming)
    disk.remove_directory(incoming)
    disk.sync_directory(directory)
