"""What is asked of a stream's messages: one by its sequence, by subject, by time, and how many there are.

Not here: how a subject's messages are found (message_search.py), where a row is (message_rows.py), changing anything
(message_log.py). Costs: by sequence O(log blocks); by subject as message_search.py says.
"""

from mypy_extensions import mypyc_attr

from storage.block_index import StoredMessage
from storage.message_rows import MessageRows
from storage.message_search import (
    count_literal,
    count_match,
    last_literal,
    matching,
    next_literal,
    next_match,
    previous_literal,
    previous_match,
)
from storage.subject_index import SubjectMatcher


@mypyc_attr(allow_interpreted_subclasses=True)
class MessageQueries(MessageRows):
    """The questions. Nothing here changes a message; the index may learn what a search found out."""

    def get(self, sequence: int) -> StoredMessage | None:
        """One message, None when there is none. Raises CorruptBlock."""
        if not self.is_live(sequence):
            return None
        frame = self.live_frame(sequence)
        return frame.message(sequence - frame.first_sequence)

    @property
    def num_subjects(self) -> int:
        """Subjects with at least one message."""
        return len(self.index)

    def subjects(self, matcher: SubjectMatcher | None) -> list[tuple[bytes, int]]:
        """Subjects and their numbers of messages, in no particular order."""
        if matcher is not None and matcher.literal is not None:
            count = self.count_for(matcher.literal)
            return [(matcher.literal, count)] if count else []
        if matcher is None:
            return [(subject, int(state.count)) for subject, state in self.index.items()]
        return [(subject, int(state.count)) for subject, state in matching(self, matcher)]

    def subjects_above(self, count: int) -> list[bytes]:
        """Subjects with more messages than that, in no particular order."""
        return [subject for subject, state in self.index.items() if state.count > count]

    def subjects_in_order(self, matcher: SubjectMatcher) -> list[bytes]:
        """Subjects that match, in order; asked again for the next page of them, it does not sort again."""
        if matcher.prefix or matcher.literal is not None:
            return sorted([subject for subject, _count in self.subjects(matcher)])
        return [subject for subject in self.order.all(self.index) if matcher.matches(subject)]

    def count_for(self, subject: bytes) -> int:
        """Messages of this subject."""
        state = self.index.get(subject)
        return 0 if state is None else state.count

    def first_sequence_for(self, subject: bytes) -> int:
        """The subject's first message; 0 when it has none."""
        state = self.index.get(subject)
        if state is None:
            return 0
        return state.first if state.first_exact else next_literal(self, subject, state, state.first)

    def last_sequence_for(self, subject: bytes) -> int:
        """The subject's last message; 0 when it has none."""
        state = self.index.get(subject)
        return 0 if state is None else last_literal(self, subject, state)

    def next_sequence(self, start: int, matcher: SubjectMatcher | None) -> int:
        """The first message with sequence ≥ start that matches; 0 when there is none."""
        if matcher is None:
            found = self.missing.next_absent(max(start, self.first_sequence))
            return found if found <= self.last_sequence else 0
        literal = matcher.literal
        if literal is not None:
            state = self.index.get(literal)
            return 0 if state is None else next_literal(self, literal, state, start)
        return next_match(self, start, matcher)

    def previous_sequence(self, start: int, matcher: SubjectMatcher | None) -> int:
        """The last message with sequence ≤ start that matches; 0 when there is none."""
        start = min(start, self.last_sequence)
        if start < self.first_sequence:
            return 0
        if matcher is None:
            found = self.missing.previous_absent(start)
            return found if found >= self.first_sequence else 0
        literal = matcher.literal
        if literal is None:
            return previous_match(self, start, matcher)
        state = self.index.get(literal)
        if state is None or start < state.first:
            return 0
        if start >= state.last:
            return last_literal(self, literal, state)
        return previous_literal(self, literal, start, int(state.last))

    def count_from(self, start: int, matcher: SubjectMatcher | None) -> int:
        """Messages with sequence ≥ start that match."""
        if start > self.last_sequence:
            return 0
        if matcher is None:
            start = max(start, self.first_sequence)
            return self.last_sequence - start + 1 - self.missing.count_from(start)
        literal = matcher.literal
        if literal is not None:
            state = self.index.get(literal)
            return 0 if state is None else count_literal(self, literal, state, start)
        return count_match(self, start, matcher)

    def sequence_at_time(self, timestamp_ns: int) -> int:
        """The first message with time ≥ this, last_sequence + 1 when there is none. Times ascend with sequences."""
        low = 0
        high = len(self.blocks)
        while low < high:
            middle = (low + high) // 2
            if self.blocks[middle].last_timestamp_ns < timestamp_ns:
                low = middle + 1
            else:
                high = middle
        if low == len(self.blocks):
            return self.last_sequence + 1
        block = self.blocks[low]
        start = block.first_sequence
        end = block.last_sequence
        while start < end:
            sequence = (start + end) // 2
            number = block.frame_at(sequence)
            frame = self.load_frame(block, number)
            row = min(sequence - frame.first_sequence, block.frame_counts[number] - 1)
            if frame.time(row) < timestamp_ns:
                start = sequence + 1
            else:
                end = sequence
        found = self.next_sequence(start, None)
        return found if found else self.last_sequence + 1

    def deleted_sequences(self) -> list[int]:
        """Sequences without a message between the first and the last one, ascending."""
        return self.missing.members() if self.messages else []
