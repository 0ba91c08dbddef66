"""Blocks back from their files, and whether together they hold exactly the messages that a state says.

The state is the truth about which sequences are live; the files are searched for their rows. Frames beyond the state's
last sequence belong to a flush whose checkpoint never became durable: they are cut off (the log brings these messages
again). A frame that fails its checksum is passed over; if it held a live message, the count does not come out and
CorruptBlock is raised. Where two frames claim the same sequence, the later one is right.

Not here: who calls it (stream_store.py, block_transfer.py). Nothing is changed on disk before everything was verified.
"""

import zlib
from typing import Final

from mypy_extensions import i64

from storage.block import Block, BlockInfo
from storage.block_index import FrameRows, decode_rows
from storage.disk import Disk, read_file
from storage.errors import CorruptBlock
from storage.frame import find_header, read_header
from storage.message_log import MessageLog
from storage.stream_state import StreamState
from storage.subject_index import SubjectIndex, SubjectState

SEQUENCE_MAX: Final = (1 << 63) - 1


class LoadedBlock:
    """A block as its file has it."""

    def __init__(self, block: Block, path: str) -> None:
        self.block = block
        self.path = path
        self.frames: list[FrameRows] = []
        self.file_length: int = 0
        self.bad_offset: int = -1


class Installation:
    """A peer's stream, whole and verified beside a store's own, which it has not replaced yet."""

    def __init__(self, state: StreamState, log: MessageLog, empty: list[LoadedBlock]) -> None:
        self.state = state
        self.log = log
        self.empty = empty

    def take_place_of(self, log: MessageLog) -> None:
        """Everything that both kinds of store have in common."""
        self.state.put_into(log)
        log.blocks = self.log.blocks
        log.index = self.log.index
        log.order.forget()
        log.next_block = max(log.next_block, self.log.next_block)
        log.pending_bytes = 0


def chain_crc(crc: int, header_crc: int) -> int:
    """The checksum of a block: over the checksums of its frames, in order."""
    return zlib.crc32(header_crc.to_bytes(4, "little"), crc)


def load_block(disk: Disk, path: str, block_id: int, last_sequence: int) -> LoadedBlock:
    """Read a block file up to the first frame that starts beyond `last_sequence`."""
    return parse_block(read_file(disk, path), path, block_id, last_sequence)


def parse_block(data: bytes, path: str, block_id: int, last_sequence: int) -> LoadedBlock:
    """The frames in a block's bytes."""
    block = Block(block_id, 0)
    loaded = LoadedBlock(block, path)
    loaded.file_length = len(data)
    offset = 0
    while offset < len(data):
        header = read_header(data, offset, 0, block_id, offset)
        rows = None
        if header is not None:
            rows = decode_rows(header, data[header.body_offset : header.body_offset + header.body_length])
        if header is None or rows is None:
            if loaded.bad_offset < 0:
                loaded.bad_offset = offset
            following = find_header(data, offset + 1, 0, block_id)
            if following is None:
                break
            offset = following.offset
            continue
        if rows.first_sequence > last_sequence:
            break
        if block.frame_firsts and rows.first_sequence <= block.frame_firsts[-1]:
            break  # left behind by an earlier use of this part of the file
        loaded.frames.append(rows)
        block.frame_firsts.append(rows.first_sequence)
        block.frame_counts.append(min(rows.count, last_sequence - rows.first_sequence + 1))
        block.frame_offsets.append(offset)
        block.crc = chain_crc(block.crc, header.crc)
        offset = header.end
        block.length = offset
    block.flushed = len(block.frame_firsts)
    block.flushed_length = block.length
    block.in_file = True
    if block.flushed:
        block.first_sequence = block.frame_firsts[0]
    return loaded


def verify_block(disk: Disk, path: str, info: BlockInfo) -> None:
    """Is the file of a block what was written? Does IO. Raises CorruptBlock, FileMissing, DiskFailure."""
    loaded = parse_block(read_file(disk, path)[: info.length], path, info.id, SEQUENCE_MAX)
    if loaded.bad_offset >= 0 or loaded.block.length != info.length or loaded.block.crc != info.crc:
        reason = "messages fail their checksum"
        raise CorruptBlock(path, max(0, loaded.bad_offset), reason, info.first_sequence, info.last_sequence)


def limit_frames(blocks: list[LoadedBlock]) -> None:
    """Every frame ends where the next one starts."""
    following = -1
    for loaded in reversed(blocks):
        block = loaded.block
        for at in range(len(block.frame_firsts) - 1, -1, -1):
            first = block.frame_firsts[at]
            if following >= 0 and first + block.frame_counts[at] > following:
                block.frame_counts[at] = max(0, following - first)
            following = first if following < 0 else min(following, first)


def assemble(log: MessageLog, state: StreamState, blocks: list[LoadedBlock], directory: str) -> list[LoadedBlock]:
    """Fill an empty log from loaded blocks. Returns the blocks that hold nothing. Raises CorruptBlock."""
    limit_frames(blocks)
    state.put_into(log)
    log.blocks = []
    log.index = {}
    log.order.forget()
    empty: list[LoadedBlock] = []
    messages = 0
    total = 0
    for loaded in blocks:
        block = loaded.block
        log.next_block = max(log.next_block, block.id + 1)
        for at in range(len(block.frame_firsts)):
            frame = loaded.frames[at]
            live, size = enter_frame(log, frame, block.frame_counts[at])
            block.live += live
            total += size
        messages += block.live
        if block.live == 0:
            empty.append(loaded)
            continue
        last = len(block.frame_firsts) - 1
        block.last_sequence = block.frame_firsts[last] + block.frame_counts[last] - 1
        block.first_timestamp_ns = loaded.frames[0].time(0)
        block.last_timestamp_ns = loaded.frames[last].time(max(0, block.frame_counts[last] - 1))
        log.blocks.append(block)
    if messages != state.messages or total != state.bytes:
        raise incomplete(log, blocks, directory)
    return empty


def enter_frame(log: MessageLog, frame: FrameRows, count: int) -> tuple[int, int]:
    """Enter a frame's live messages into the subject index. (messages, bytes)."""
    first = frame.first_sequence
    low = max(0, log.first_sequence - first)
    if low >= count:
        return (0, 0)
    missing = log.missing
    holes = missing.count > 0 and missing.count_from(first + low) > missing.count_from(first + count)
    live: i64 = 0
    size: i64 = 0
    message_cost: i64 = log.message_cost
    header_cost: i64 = log.header_cost
    index: SubjectIndex = log.index
    positions = frame.positions
    subject_lengths = frame.subject_lengths
    data_lengths = frame.data_lengths
    header_lengths = frame.header_lengths
    run = frame.run_of(low)
    runs: i64 = len(frame.run_rows)
    row: i64 = low
    end: i64 = count
    sequence: i64 = first + low
    while row < end:
        stop: i64 = end
        if run + 1 < runs:
            stop = min(end, frame.run_rows[run + 1])
        base: i64 = frame.run_bases[run]
        body = frame.bodies[run]
        while row < stop:
            if not holes or not missing.contains(sequence):
                start: i64 = positions[row] + base
                length: i64 = subject_lengths[row]
                subject = body[start : start + length]
                state = index.get(subject)
                if state is None:
                    index[subject] = SubjectState(sequence)
                else:
                    state.count += 1
                    state.last = sequence
                live += 1
                size += message_cost + length + data_lengths[row]
                if header_cost and header_lengths[row]:
                    size += header_cost
            row += 1
            sequence += 1
        run += 1
    return (live, size)


def incomplete(log: MessageLog, blocks: list[LoadedBlock], directory: str) -> CorruptBlock:
    """Say which messages are missing, and where they probably were."""
    spans = [
        (loaded.block.frame_firsts[at], loaded.block.frame_counts[at])
        for loaded in blocks
        for at in range(len(loaded.block.frame_firsts))
    ]
    sequence = log.missing.next_absent(log.first_sequence)
    first_lost = 0
    last_lost = 0
    for first, count in [*spans, (log.last_sequence + 1, 1)]:
        if sequence < first and sequence <= log.last_sequence:
            first_lost = first_lost or sequence
            last_lost = log.missing.previous_absent(min(first - 1, log.last_sequence))
        sequence = max(sequence, log.missing.next_absent(max(sequence, first + count)))
    for loaded in blocks:
        if loaded.bad_offset >= 0:
            reason = "messages fail their checksum"
            return CorruptBlock(loaded.path, loaded.bad_offset, reason, first_lost, last_lost)
    return CorruptBlock(directory, 0, "the blocks do not hold the messages they should", first_lost, last_lost)
