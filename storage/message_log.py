"""The store of one stream's messages: what both kinds (file, memory) do in the same way.

Appends go to the open frame of the last block, in memory; deletions touch counters, the subject index and the set of
missing sequences; a block without live messages is dropped. Where flushed frames are is the file store's business.
Not here: disk (stream_store.py), what is asked (message_queries.py). Reactor thread only.
Invariants: messages, bytes, first and last sequence and time are exact after every call; a search or a delete that
raises CorruptBlock has changed nothing. Costs: append O(messages given); delete O(log blocks); truncate_front
O(messages removed).
"""

from array import array
from collections.abc import Sequence

from mypy_extensions import i64, mypyc_attr

from storage.block import Block
from storage.block_index import FAR, NO_PREVIOUS, FrameRows
from storage.message_queries import MessageQueries
from storage.subject_index import forget_message, note_message


@mypyc_attr(allow_interpreted_subclasses=True)
class MessageLog(MessageQueries):
    """The messages of one stream."""

    def __init__(self, message_cost: int, header_cost: int, block_bytes: int, frame_bytes: int) -> None:
        super().__init__()
        self.message_cost: int = message_cost
        self.header_cost: int = header_cost
        self.block_bytes: int = block_bytes
        self.frame_bytes: int = frame_bytes
        self.next_block: int = 1
        self.pending_bytes: int = 0

    # Appending.

    def append_batch(
        self,
        first_sequence: int,
        timestamp_ns: int,
        raw: bytes,
        positions: Sequence[int],
        subject_lengths: Sequence[int],
        header_lengths: Sequence[int],
        data_lengths: Sequence[int],
    ) -> None:
        """Messages with consecutive sequences whose bytes lie in `raw`, in ascending order of position.

        Message i: subject = raw[p:][:sl], data = headers and payload behind it; its time is timestamp_ns + i. The
        columns (arrays, or a tuple where there is one message) and `raw` are kept: the caller changes them no more.
        """
        count = len(positions)
        if count == 0:
            return
        if count == 1 and len(raw) == subject_lengths[0] + data_lengths[0]:
            self._append_one(first_sequence, timestamp_ns, raw, subject_lengths[0], header_lengths[0])
            return
        previous = self._index_batch(first_sequence, raw, positions, subject_lengths)
        self._extend(first_sequence, count, timestamp_ns)
        self.bytes += self.message_cost * count + sum(subject_lengths) + sum(data_lengths)
        if self.header_cost:
            self.bytes += self.header_cost * (count - header_lengths.count(0))
        length = positions[-1] + subject_lengths[-1] + data_lengths[-1] - positions[0]
        self.pending_bytes += length
        pieces = min(count, length // self.frame_bytes)
        if pieces <= 1:
            frame = self._block(first_sequence).growing(first_sequence)
            frame.add_run(timestamp_ns, raw, positions, subject_lengths, header_lengths, data_lengths, previous)
            self._grown(frame, count, timestamp_ns)
            return
        step = (count + pieces - 1) // pieces
        for low in range(0, count, step):
            high = min(count, low + step)
            frame = self._block(first_sequence + low).growing(first_sequence + low)
            time = timestamp_ns + low
            subjects, headers, datas = subject_lengths[low:high], header_lengths[low:high], data_lengths[low:high]
            frame.add_run(time, raw, positions[low:high], subjects, headers, datas, previous[low:high])
            self._grown(frame, high - low, time)

    def _index_batch(
        self, first_sequence: int, raw: bytes, positions: Sequence[int], subject_lengths: Sequence[int]
    ) -> "array[int]":
        """Enter the messages into the subject index; the distance of each to its subject's message before."""
        index = self.index
        sequence: i64 = first_sequence
        previous = array("I", bytes(4 * len(positions)))
        at: i64 = 0
        for position, length in zip(positions, subject_lengths):  # noqa: B905 (mypyc compiles the plain form)
            start: i64 = position
            subject = raw[start : start + length]
            distance = note_message(index, subject, sequence)
            previous[at] = distance
            if distance == NO_PREVIOUS:
                self.order.added(subject)
            at += 1  # noqa: SIM113
            sequence += 1
        return previous

    def append(self, sequence: int, timestamp_ns: int, subject: bytes, header_length: int, data: bytes) -> None:
        """One message. A sequence above last_sequence + 1 leaves skipped ones behind."""
        self._append_one(sequence, timestamp_ns, subject + data, len(subject), header_length)

    def _append_one(
        self, sequence: int, timestamp_ns: int, raw: bytes, subject_length: int, header_length: int
    ) -> None:
        """One message, whose subject and data `raw` is."""
        distance = note_message(self.index, raw[:subject_length], sequence)
        if distance == NO_PREVIOUS:
            self.order.added(raw[:subject_length])
        self._extend(sequence, 1, timestamp_ns)
        self.bytes += self.message_cost + len(raw) + (self.header_cost if header_length else 0)
        self.pending_bytes += len(raw)
        frame = self._block(sequence).growing(sequence)
        frame.add_one(timestamp_ns, raw, subject_length, header_length, distance)
        self._grown(frame, 1, timestamp_ns)

    def skip_to(self, last_sequence: int) -> None:
        """Advance the last sequence without messages."""
        if last_sequence <= self.last_sequence:
            return
        if self.messages == 0:
            self.first_sequence = last_sequence + 1
        else:
            self.missing.add_run(self.last_sequence + 1, last_sequence)
        self.last_sequence = last_sequence
        self._count_deleted()

    def _extend(self, first_sequence: int, count: int, timestamp_ns: int) -> None:
        assert first_sequence > self.last_sequence, f"append {first_sequence} behind {self.last_sequence}"
        if first_sequence > self.last_sequence + 1:
            self.skip_to(first_sequence - 1)
        if self.messages == 0:
            self.first_sequence = first_sequence
            self.first_timestamp_ns = timestamp_ns
        self.messages += count
        self.last_sequence = first_sequence + count - 1
        self.last_timestamp_ns = timestamp_ns + count - 1
        self._count_deleted()

    def _block(self, sequence: int) -> Block:
        """The block the next message goes into."""
        if self.blocks:
            block = self.blocks[-1]
            if block.length < self.block_bytes:
                return block
            block.seal()
        block = Block(self.next_block, sequence)
        self.next_block += 1
        self.blocks.append(block)
        return block

    def _grown(self, frame: FrameRows, rows: int, timestamp_ns: int) -> None:
        block = self.blocks[-1]
        block.grown(frame, timestamp_ns, rows)
        if frame.body_length >= self.frame_bytes:
            block.seal()

    def _count_deleted(self) -> None:
        self.num_deleted = self.last_sequence - self.first_sequence + 1 - self.messages if self.messages else 0

    # Removing.

    def delete(self, sequence: int) -> int:
        """Remove one message. Bytes freed; 0 when there was none. Raises CorruptBlock and changes nothing then."""
        if not self.is_live(sequence):
            return 0
        frame = self.live_frame(sequence)
        row = sequence - frame.first_sequence
        first = self.first_sequence
        first_time = self.first_timestamp_ns
        if sequence == first:
            first = self.missing.next_absent(sequence + 1)
            first_time = self.time_of(first) if self.messages > 1 else 0
        subject = frame.subject(row)
        size = self._size(len(subject), frame.header_lengths[row], frame.data_lengths[row])
        self._forget(subject, sequence, frame.previous[row])
        self.deletions.add(sequence, subject)
        self.messages -= 1
        self.bytes -= size
        block_number = self.block_at(sequence)
        self.blocks[block_number].live -= 1
        if sequence == self.first_sequence:
            self.first_sequence = first if self.messages else self.last_sequence + 1
            self.first_timestamp_ns = first_time
            self.missing.remove_below(self.first_sequence)
        else:
            self.missing.add(sequence)
        if self.blocks[block_number].live == 0:
            self._drop_block(block_number)
        self._count_deleted()
        return size

    def truncate_front(self, first: int) -> tuple[int, int]:
        """Remove everything below `first`; (messages, bytes) removed. first_sequence is at least `first` then.

        After CorruptBlock everything before the bad frame is removed.
        """
        if first <= self.first_sequence:
            return (0, 0)
        if first > self.last_sequence:
            return self._clear(first)
        new_first = self.missing.next_absent(first)
        removed = 0
        freed = 0
        first_time = self.time_of(new_first) if new_first <= self.last_sequence else 0
        for number in range(self.block_at(self.first_sequence), len(self.blocks)):
            block = self.blocks[number]
            if block.first_sequence >= first:
                break
            for at in range(block.frame_at(self.first_sequence), len(block.frame_firsts)):
                start = block.frame_firsts[at]
                if start >= first:
                    break
                if start + block.frame_counts[at] > self.first_sequence:
                    frame = self.load_frame(block, at)
                    high = min(first - start, block.frame_counts[at])
                    messages, size = self._remove_rows(block, frame, max(0, self.first_sequence - start), high)
                    self.first_sequence = start + high
                    removed += messages
                    freed += size
        while self.blocks and self.blocks[0].live == 0:
            self._drop_block(0)
        self.first_sequence = new_first
        self.first_timestamp_ns = first_time
        self.missing.remove_below(new_first)
        self._count_deleted()
        return (removed, freed)

    def _remove_rows(self, block: Block, frame: FrameRows, low: int, high: int) -> tuple[int, int]:
        removed = 0
        freed = 0
        missing = self.missing
        for row in range(low, high):
            sequence = frame.first_sequence + row
            if not missing.count or not missing.contains(sequence):
                subject = frame.subject(row)
                freed += self._size(len(subject), frame.header_lengths[row], frame.data_lengths[row])
                forget_message(self.index, subject, sequence, 0, False)
                self.deletions.add(sequence, subject)
                removed += 1
        block.live -= removed
        self.messages -= removed
        self.bytes -= freed
        return (removed, freed)

    def _clear(self, first: int) -> tuple[int, int]:
        result = (self.messages, self.bytes)
        for number in range(len(self.blocks) - 1, -1, -1):
            self.blocks[number].live = 0
            self._drop_block(number)
        self.index.clear()
        self.order.forget()
        self.missing.clear()
        self.deletions.lose(self.messages)
        self.messages = 0
        self.bytes = 0
        self.first_sequence = first
        self.last_sequence = first - 1
        self.first_timestamp_ns = 0
        self.num_deleted = 0
        return result

    def _forget(self, subject: bytes, sequence: int, distance: int) -> None:
        before = sequence - distance if distance not in (NO_PREVIOUS, FAR) else 0
        forget_message(self.index, subject, sequence, before, before > 0 and self.is_live(before))

    def _drop_block(self, number: int) -> None:
        """A block has no live message any more."""
        block = self.blocks.pop(number)
        block.open_frame = None
        self.block_dropped(block)

    def block_dropped(self, block: Block) -> None:
        """For the file store, which has a file to remove."""

    def _size(self, subject_length: int, header_length: int, data_length: int) -> int:
        return self.message_cost + subject_length + data_length + (self.header_cost if header_length else 0)
