"""The messages of a stream as blocks of frames of rows: finding a row, and whether it is alive.

Not here: what is asked by subject or time (message_queries.py), changing anything (message_log.py).
Invariants: a sequence in [first_sequence, last_sequence] is live, or in `missing`; every live one has its row.
"""

from mypy_extensions import mypyc_attr

from storage.block import Block
from storage.block_index import FrameRows
from storage.deletions import Deletions
from storage.errors import CorruptBlock
from storage.sequence_set import SequenceSet
from storage.subject_index import SubjectIndex
from storage.subject_order import SubjectOrder


@mypyc_attr(allow_interpreted_subclasses=True)
class MessageRows:
    """What is common to both stores: blocks, missing sequences, subjects."""

    def __init__(self) -> None:
        self.first_sequence: int = 1
        self.last_sequence: int = 0
        self.messages: int = 0
        self.bytes: int = 0
        self.first_timestamp_ns: int = 0
        self.last_timestamp_ns: int = 0
        self.num_deleted: int = 0
        self.blocks: list[Block] = []
        self.missing: SequenceSet = SequenceSet()
        self.index: SubjectIndex = {}
        self.order: SubjectOrder = SubjectOrder()
        self.deletions: Deletions = Deletions()

    def load_frame(self, block: Block, number: int) -> FrameRows:
        """A frame's rows, from memory or from the file. Raises CorruptBlock."""
        if number >= block.flushed:
            return block.pending[number - block.flushed]
        return self.read_frame(block, number)

    def read_frame(self, block: Block, number: int) -> FrameRows:
        """A frame that is no longer in memory."""
        raise NotImplementedError

    def block_at(self, sequence: int) -> int:
        """Number of the last block that starts at or before `sequence`; 0 when all start later."""
        blocks = self.blocks
        low = 0
        high = len(blocks)
        while low < high:
            middle = (low + high) // 2
            if blocks[middle].first_sequence <= sequence:
                low = middle + 1
            else:
                high = middle
        return low - 1 if low > 0 else 0

    def is_live(self, sequence: int) -> bool:
        """Is there a message with this sequence?"""
        return self.first_sequence <= sequence <= self.last_sequence and not self.missing.contains(sequence)

    def frame_of(self, sequence: int) -> FrameRows | None:
        """The frame that holds the row of this sequence, live or not; None when its block is gone."""
        if not self.blocks:
            return None
        block = self.blocks[self.block_at(sequence)]
        number = block.frame_at(sequence)
        if number >= len(block.frame_firsts):
            return None
        first = block.frame_firsts[number]
        if sequence < first or sequence >= first + block.frame_counts[number]:
            return None
        frame = self.load_frame(block, number)
        if frame.first_sequence != first:
            raise CorruptBlock("", 0, f"block {block.id} holds other messages than it should", sequence, sequence)
        return frame

    def live_frame(self, sequence: int) -> FrameRows:
        """The frame of a live message. Raises CorruptBlock."""
        frame = self.frame_of(sequence)
        if frame is None:
            raise CorruptBlock("", 0, "a message that should be stored has no row", sequence, sequence)
        return frame

    def time_of(self, sequence: int) -> int:
        """The time of a live message."""
        frame = self.live_frame(sequence)
        return frame.time(sequence - frame.first_sequence)
