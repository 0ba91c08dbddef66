"""What of the stream is still ahead of a consumer: the next message, and exactly how many there are.

The leader's view; the replicated fact is only the last delivered sequence. `next_sequence` runs over messages that do
not concern the consumer, so that nothing is looked at twice. The count is kept up by looking at new messages only; it
is taken anew when messages that might have been counted were removed.

Invariants: after `refresh`, `ahead` = live matching messages at or behind `next_sequence`.
"""

from broker.core.subjects import SubjectMatcher
from broker.jetstream.consumers.consumer import Consumer
from broker.jetstream.store import MessageStore, StoredMessage


class Backlog:
    """One consumer's messages to come."""

    def __init__(self, consumer: Consumer, store: MessageStore) -> None:
        self.consumer: Consumer = consumer
        self.store: MessageStore = store
        self.next_sequence: int = consumer.delivered_stream + 1
        self.ahead: int = 0
        self.counted_last: int = -1
        self.counted_deleted: int = 0
        self.skip_position: int = 0
        self.dense: bool = True  # whether the message looked for was the next one of the stream
        self.matched: bytes = b""

    def recount(self) -> None:
        """Forget the count (filters changed)."""
        self.counted_last = -1
        self.matched = b""

    def may_have_next(self) -> bool:
        """Cheap: whether it is worth looking."""
        return self.next_sequence <= self.store.last_sequence

    def count(self) -> int:
        """How many messages are ahead."""
        self.refresh()
        return self.ahead

    def refresh(self) -> None:
        """Make `ahead` exact."""
        store = self.store
        consumer = self.consumer
        last = store.last_sequence
        first = store.first_sequence
        deleted = store.num_deleted
        following = max(self.next_sequence, consumer.delivered_stream + 1)
        if following != self.next_sequence:
            self.next_sequence = following
            self.counted_last = -1
        if following > last:
            self.ahead = 0
        elif consumer.skip_list:
            self.ahead = self._count_skip_list(last)
        elif consumer.matcher is None and deleted == 0:
            self.ahead = last - max(following, first) + 1
        elif self.counted_last < 0 or deleted != self.counted_deleted or first > following:
            self.ahead = store.count_from(following, consumer.matcher)
        elif last > self.counted_last:
            self.ahead += store.count_from(max(self.counted_last + 1, following), consumer.matcher)
        self.counted_last = last
        self.counted_deleted = deleted

    def _count_skip_list(self, last: int) -> int:
        skip_list = self.consumer.skip_list
        count = 0
        for sequence in skip_list:
            if sequence >= self.next_sequence and self.store.get(sequence) is not None:
                count += 1
        behind = max(skip_list[-1] + 1, self.next_sequence)
        return count + (self.store.count_from(behind, self.consumer.matcher) if behind <= last else 0)

    def next_message(self) -> StoredMessage | None:
        """The next message for this consumer, None when there is none yet. Does not take it."""
        store = self.store
        consumer = self.consumer
        last = store.last_sequence
        if consumer.skip_list:
            listed = self._next_of_list()
            if listed is not None:
                return listed
        matcher = consumer.matcher
        if self.next_sequence > last:
            return None
        if self.dense:
            message = store.get(self.next_sequence)
            if message is not None and (matcher is None or self._matches(matcher, message.subject)):
                return message
        found = store.next_sequence(self.next_sequence, matcher)
        if found == 0:
            self.next_sequence = last + 1
            return None
        self.dense = found <= self.next_sequence + 1
        self.next_sequence = found
        return store.get(found)

    def _matches(self, matcher: SubjectMatcher, subject: bytes) -> bool:
        """Whether it passes the filter; messages in a row are often of one subject."""
        if subject == self.matched:
            return True
        if matcher.matches(subject):
            self.matched = subject
            return True
        return False

    def _next_of_list(self) -> StoredMessage | None:
        skip_list = self.consumer.skip_list
        position = self.skip_position
        message: StoredMessage | None = None
        while position < len(skip_list):
            if skip_list[position] >= self.next_sequence:
                message = self.store.get(skip_list[position])
                if message is not None:
                    break
            position += 1
        self.skip_position = position
        if message is None:
            self.next_sequence = max(self.next_sequence, skip_list[-1] + 1)
        return message

    def took(self, sequence: int) -> None:
        """`sequence` was delivered."""
        self.next_sequence = sequence + 1
        self.ahead -= 1
