"""A stream store as a plain dictionary: what the real ones are compared with."""

from __future__ import annotations


class PrefixMatcher:
    """Matches subjects that start with a prefix."""

    literal: bytes | None = None

    def __init__(self, start: bytes) -> None:
        self.start = start
        self.prefix = start if start.endswith(b".") else b""

    def matches(self, subject: bytes) -> bool:
        return subject.startswith(self.start)


class LiteralMatcher:
    """Matches one subject."""

    prefix = b""

    def __init__(self, subject: bytes) -> None:
        self.literal: bytes | None = subject

    def matches(self, subject: bytes) -> bool:
        return subject == self.literal


Matcher = PrefixMatcher | LiteralMatcher


class MessageModel:
    """sequence → (time, subject, header length, data)"""

    def __init__(self, message_cost: int, header_cost: int) -> None:
        self.message_cost = message_cost
        self.header_cost = header_cost
        self.kept: dict[int, tuple[int, bytes, int, bytes]] = {}
        self.first = 1
        self.last = 0
        self.last_time = 0

    def copy(self) -> MessageModel:
        twin = MessageModel(self.message_cost, self.header_cost)
        twin.kept = dict(self.kept)
        twin.first, twin.last, twin.last_time = self.first, self.last, self.last_time
        return twin

    def size(self, sequence: int) -> int:
        _, subject, header_length, data = self.kept[sequence]
        return self.message_cost + len(subject) + len(data) + (self.header_cost if header_length else 0)

    def append(self, sequence: int, time: int, subject: bytes, header_length: int, data: bytes) -> None:
        self.kept[sequence] = (time, subject, header_length, data)
        self.last = sequence
        self.last_time = time
        self.settle()

    def skip_to(self, last: int) -> None:
        self.last = max(self.last, last)
        self.settle()

    def delete(self, sequence: int) -> int:
        if sequence not in self.kept:
            return 0
        size = self.size(sequence)
        del self.kept[sequence]
        self.settle()
        return size

    def truncate_front(self, first: int) -> tuple[int, int]:
        gone = [sequence for sequence in self.kept if sequence < first]
        size = sum(self.size(sequence) for sequence in gone)
        for sequence in gone:
            del self.kept[sequence]
        self.last = max(self.last, first - 1)
        self.settle()
        return (len(gone), size)

    def settle(self) -> None:
        self.first = min(self.kept) if self.kept else self.last + 1

    def matching(self, matcher: Matcher | None) -> list[int]:
        return [seq for seq in sorted(self.kept) if matcher is None or matcher.matches(self.kept[seq][1])]

    def next_sequence(self, start: int, matcher: Matcher | None) -> int:
        return next((sequence for sequence in self.matching(matcher) if sequence >= start), 0)

    def previous_sequence(self, start: int, matcher: Matcher | None) -> int:
        return next((sequence for sequence in reversed(self.matching(matcher)) if sequence <= start), 0)

    def count_from(self, start: int, matcher: Matcher | None) -> int:
        return sum(sequence >= start for sequence in self.matching(matcher))

    def sequence_at_time(self, time: int) -> int:
        return next((sequence for sequence in sorted(self.kept) if self.kept[sequence][0] >= time), self.last + 1)
