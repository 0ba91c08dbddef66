"""Reading frames back from block files: few open files, few decoded frames, shared by all streams of a node.

Not here: writing (flush.py has its own descriptors). Reactor thread only. Invariants: every frame is checked (header,
columns, body) when it is decoded; bounds hold whatever is read.
"""

from typing import Final

from storage.block import Block
from storage.block_index import FrameRows, decode_rows
from storage.disk import Disk
from storage.errors import CorruptBlock
from storage.frame import HEADER_LENGTH, read_header
from storage.open_files import OpenFiles

FILES_MAX: Final = 64
CACHE_BYTES: Final = 8 * 1024 * 1024
FRAME_BITS: Final = 24


class BlockFiles:
    """The shared reader."""

    def __init__(self, disk: Disk, files_max: int = FILES_MAX, cache_bytes: int = CACHE_BYTES) -> None:
        self.cache_bytes = cache_bytes
        self.cached_bytes: int = 0
        self.frames_read: int = 0
        self._files: OpenFiles = OpenFiles(disk, files_max)
        self._frames: dict[int, FrameRows] = {}
        self._serial: int = 0

    def cached(self, block: Block, number: int) -> FrameRows | None:
        """The frame, if it was read lately."""
        if block.serial == 0:
            return None
        key = block.serial << FRAME_BITS | number
        frame = self._frames.pop(key, None)
        if frame is not None:
            self._frames[key] = frame
        return frame

    def frame(self, path: str, block: Block, number: int) -> FrameRows:
        """The frame, from the file. Raises CorruptBlock, FileMissing."""
        frame = self._decode(path, block, number)
        self.frames_read += 1
        if block.serial == 0:
            self._serial += 1
            block.serial = self._serial
        frames = self._frames
        frames[block.serial << FRAME_BITS | number] = frame
        self.cached_bytes += frame.length()
        while self.cached_bytes > self.cache_bytes and len(frames) > 1:
            self.cached_bytes -= frames.pop(next(iter(frames))).length()
        return frame

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Raw bytes of a block file."""
        return self._files.read(path, offset, length)

    def forget(self, path: str) -> None:
        """The file goes away or was replaced. Its decoded frames are no longer asked for and age out."""
        self._files.forget(path)

    def forget_directory(self, directory: str) -> None:
        """All files below a directory go away."""
        self._files.forget_below(directory)

    def close(self) -> None:
        """Give everything back."""
        self._files.close()
        self._frames.clear()
        self.cached_bytes = 0

    def _decode(self, path: str, block: Block, number: int) -> FrameRows:
        offset = block.frame_offsets[number]
        last = number + 1 == len(block.frame_offsets)
        end = block.flushed_length if last else block.frame_offsets[number + 1]
        data = self._files.read(path, offset, end - offset)
        header = read_header(data, 0, 0, block.id, offset)
        if header is not None:
            start = HEADER_LENGTH + len(header.meta)
            rows = decode_rows(header, data[start : start + header.body_length])
            if rows is not None:
                return rows
        raise CorruptBlock(path, offset, "a frame of messages fails its checksum")
