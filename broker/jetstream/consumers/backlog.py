"""What of the stream is still ahead of a consumer: the next message, and exactly how many there are.

The leader's view; the replicated fact is only the last delivered sequence. `next_sequence` runs over messages that do
not concern the consumer, so that nothing is looked at twice. The count is kept up by looking at new and at deleted
messages only; it is taken anew when these are too many.

Invariants: after `refresh`, `ahead` = live matching messages at or behind `next_sequence`.
"""

from bisect import bisect_left

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
        deleted = store.deletions.total
        following = max(self.next_sequence, consumer.delivered_stream + 1)
        if following != self.next_sequence:
            self.next_sequence = following
            self.counted_last = -1
        if following > last:
            self.ahead = 0
        elif consumer.matcher is None and not consumer.skip_list:
            self.ahead = store.count_from(following, None)
        elif self.counted_last < 0 or not self._uncount(deleted):
            self.ahead = self._count_list() + store.count_from(max(following, self._behind_list()), consumer.matcher)
        elif last > self.counted_last:
            self.ahead += store.count_from(max(self.counted_last + 1, following), consumer.matcher)
        self.counted_last = last
        self.counted_deleted = deleted

    def _uncount(self, deleted: int) -> bool:
        """Take out what was counted and has been deleted since; False when it must be counted anew."""
        if deleted == self.counted_deleted:
            return True
        gone = self.store.deletions.since(self.counted_deleted)
        if gone is None:
            return False
        behind = self._behind_list()
        for sequence, subject in gone:
            if self.next_sequence <= sequence <= self.counted_last:
                if self._is_listed(sequence) if sequence < behind else self.consumer.matches(subject):
                    self.ahead -= 1
        return True

    # The list of a consumer that begins with the last message of each subject.

    def _behind_list(self) -> int:
        """Where every message counts."""
        skip_list = self.consumer.skip_list
        return skip_list[-1] + 1 if skip_list else 0

    def _is_listed(self, sequence: int) -> bool:
        skip_list = self.consumer.skip_list
        at = bisect_left(skip_list, sequence)
        return at < len(skip_list) and skip_list[at] == sequence

    def _count_list(self) -> int:
        skip_list = self.consumer.skip_list
        count = 0
        for at in range(bisect_left(skip_list, self.next_sequence), len(skip_list)):
            if self.store.is_live(skip_list[at]):
                count += 1
        return count

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
