"""A stream's messages in memory: the same store without files.

Its state carries the messages themselves, as frames behind the state's bytes, so that a snapshot of the machine is the
whole stream; the log brings what came later. Not here: anything on disk. Invariant: emptied blocks, which are small
here, give their memory back at once.
"""

from typing import Final

from storage.block import Block, BlockInfo
from storage.errors import CorruptState
from storage.flush import FlushJob
from storage.message_log import MessageLog
from storage.stream_recovery import Installation, LoadedBlock, assemble, parse_block
from storage.stream_state import decode_state, encode_state, state_length

BLOCK_BYTES: Final = 64 * 1024
FRAME_BYTES: Final = 32 * 1024
MESSAGE_COST: Final = 16
HEADER_COST: Final = 0


class MemoryStreamStore(MessageLog):
    """The messages of one stream in memory."""

    def __init__(self, block_bytes: int = BLOCK_BYTES, frame_bytes: int = FRAME_BYTES) -> None:
        super().__init__(MESSAGE_COST, HEADER_COST, block_bytes, frame_bytes)

    @staticmethod
    def open(
        state: bytes | None, block_bytes: int = BLOCK_BYTES, frame_bytes: int = FRAME_BYTES
    ) -> "MemoryStreamStore":
        """The store as of `state` (None: empty). Raises CorruptState, CorruptBlock."""
        store = MemoryStreamStore(block_bytes, frame_bytes)
        store.adopt(store.prepare(state, []))
        return store

    @property
    def durable_sequence(self) -> int:
        """Nothing has to wait for files."""
        return self.last_sequence

    def state_bytes(self) -> bytes:
        """State and messages."""
        parts = [encode_state(self)]
        offset = 0
        for block in self.blocks:
            block.seal()
            for frame in block.pending:
                parts.extend(frame.encode(0, offset))
                offset += frame.length()
        return b"".join(parts)

    def prepare(self, state: bytes | None, manifest: list[BlockInfo]) -> Installation:
        """The stream of `state`, to be adopted. Raises CorruptState, CorruptBlock."""
        assert not manifest
        length = state_length(state) if state is not None else 0
        decoded = decode_state(None if state is None else state[:length])
        frames = b"" if state is None else state[length:]
        loaded = parse_block(frames, "memory", 0, decoded.last_sequence)
        if loaded.bad_offset >= 0:
            raise CorruptState("the messages of a memory stream fail their checksum")
        fresh = MemoryStreamStore(self.block_bytes, self.frame_bytes)
        return Installation(decoded, fresh, assemble(fresh, decoded, self._split(loaded), "memory"))

    def adopt(self, installation: Installation) -> None:
        """Become the prepared stream."""
        installation.take_place_of(self)

    def _split(self, loaded: LoadedBlock) -> list[LoadedBlock]:
        """Blocks of this store's size, all of them in memory."""
        result: list[LoadedBlock] = []
        whole = loaded.block
        for at, frame in enumerate(loaded.frames):
            if not result or result[-1].block.length >= self.block_bytes:
                block = Block(len(result) + 1, frame.first_sequence)
                result.append(LoadedBlock(block, "memory"))
            part = result[-1]
            part.frames.append(frame)
            part.block.frame_firsts.append(frame.first_sequence)
            part.block.frame_counts.append(whole.frame_counts[at])
            part.block.frame_offsets.append(part.block.length)
            part.block.pending.append(frame)
            part.block.length += frame.length()
        return result

    # A store without files has nothing to flush or to send.

    def begin_flush(self) -> FlushJob | None:
        """There is never anything to flush."""
        self.pending_bytes = 0
        return None

    def flush_done(self, job: FlushJob) -> None:
        """Never called: there are no jobs."""
        raise AssertionError("a memory store has no jobs")

    def snapshot_durable(self) -> None:
        """Nothing waits for it."""

    def manifest(self) -> list[BlockInfo]:
        """No blocks: the state carries the messages."""
        return []

    def destroy(self) -> None:
        """Give the memory back."""
        self._clear(self.last_sequence + 1)
