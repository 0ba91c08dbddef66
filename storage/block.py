"""A block: consecutive messages of one stream that share a file, as a list of frames.

In memory a block keeps 16 bytes a frame (about 32 KiB of messages) and the frames that are not in its file yet.
Not here: reading frames back (block_files.py), rows (block_index.py), writing (flush.py).
Invariants: frames ascend; frame k ends before frame k+1 starts, whatever more it holds on disk; frames [0, flushed) are
in the file, the others in `pending`, of which only the last may still grow (`open_frame`).
"""

from array import array
from bisect import bisect_right

from storage.block_index import FrameRows


class Block:
    """One block."""

    def __init__(self, block_id: int, first_sequence: int) -> None:
        self.id: int = block_id
        self.first_sequence: int = first_sequence
        self.last_sequence: int = first_sequence - 1
        self.first_timestamp_ns: int = 0
        self.last_timestamp_ns: int = 0
        self.live: int = 0
        self.length: int = 0  # bytes of all sealed frames
        self.flushed: int = 0
        self.flushed_length: int = 0
        self.serial: int = 0  # its number among all blocks whose frames were read from files; 0: none were
        self.crc: int = 0  # of the frames' header checksums, flushed ones
        self.in_file: bool = False  # a file of this name may exist
        self.incoming: bool = False  # the file was fetched from a peer and is not in its final place yet
        self.frame_firsts: array[int] = array("Q")
        self.frame_counts: array[int] = array("I")
        self.frame_offsets: array[int] = array("I")
        self.pending: list[FrameRows] = []
        self.open_frame: FrameRows | None = None

    def growing(self, sequence: int) -> FrameRows:
        """The frame that the message `sequence`, the next one of the stream, goes into."""
        frame = self.open_frame
        if frame is not None and frame.first_sequence + frame.count == sequence:
            return frame
        self.seal()
        frame = FrameRows(sequence)
        self.pending.append(frame)
        self.open_frame = frame
        self.frame_firsts.append(sequence)
        self.frame_counts.append(0)
        self.frame_offsets.append(self.length)
        return frame

    def grown(self, frame: FrameRows, timestamp_ns: int, rows: int) -> None:
        """`rows` messages were added to the open frame, the first of them with this time."""
        self.frame_counts[-1] = frame.count
        self.last_sequence = frame.first_sequence + frame.count - 1
        if self.first_timestamp_ns == 0:
            self.first_timestamp_ns = timestamp_ns
        self.last_timestamp_ns = timestamp_ns + rows - 1
        self.live += rows

    def seal(self) -> None:
        """The open frame grows no more; its place in the file is fixed."""
        frame = self.open_frame
        if frame is not None:
            self.length += frame.length()
            self.open_frame = None

    def frame_at(self, sequence: int) -> int:
        """Number of the last frame that starts at or before `sequence`; 0 when all start later."""
        at = bisect_right(self.frame_firsts, sequence) - 1
        return at if at > 0 else 0

    def written(self, frames: int, crc: int) -> None:
        """The first `frames` pending frames are durable in the file."""
        self.flushed += frames
        del self.pending[:frames]
        self.crc = crc
        self.flushed_length = self.length if not self.pending else self.frame_offsets[self.flushed]


class BlockInfo:
    """A block as a manifest lists it, for a peer that fetches it."""

    def __init__(self, block_id: int, length: int, crc: int, first_sequence: int, last_sequence: int) -> None:
        self.id = block_id
        self.length = length
        self.crc = crc
        self.first_sequence = first_sequence
        self.last_sequence = last_sequence


def block_path(directory: str, block_id: int) -> str:
    """Name of a block file."""
    return f"{directory}/{block_id:016x}.blk"
