"""What of the stream is still ahead of a consumer: the next message, and exactly how many there are.

The leader's view; the replicated fact is only the last delivered sequence. `next_sequence` runs over messages that do
not concern the consumer, so that nothing is looked at twice. The count is kept up by looking at new messages only; it
is taken anew when messages that might have been counted were removed.

Invariants: after `refresh`, `ahead` = live matching messages at or behind `next_sequence`.
"""

from broker.jetstream.consumer import Consumer
from broker.jetstream.store import MessageStore


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

    def recount(self) -> None:
        """Forget the count (filters changed)."""
        self.counted_last = -1

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

    def find_next(self) -> int:
        """The sequence of the next message for this consumer, 0 when there is none yet. Does not take it."""
        store = self.store
        following = self.next_sequence
        last = store.last_sequence
        if following > last:
            return 0
        consumer = self.consumer
        if consumer.skip_list:
            listed = self._next_listed(following)
            if listed:
                return listed
        elif consumer.matcher is None and following >= store.first_sequence:
            return following
        found = store.next_sequence(following, consumer.matcher)
        if found == 0:
            self.next_sequence = last + 1
            return 0
        self.next_sequence = found
        return found

    def _next_listed(self, following: int) -> int:
        skip_list = self.consumer.skip_list
        position = self.skip_position
        while position < len(skip_list) and skip_list[position] < following:
            position += 1
        self.skip_position = position
        return skip_list[position] if position < len(skip_list) else 0

    def took(self, sequence: int) -> None:
        """`sequence` was delivered."""
        self.next_sequence = sequence + 1
        self.ahead -= 1

    def skip(self, sequence: int) -> None:
        """`sequence` turned out not to exist any more."""
        self.next_sequence = sequence + 1
