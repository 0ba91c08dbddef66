"""Which message of a stream a request means: by sequence, by time, the next or the last on a subject.

Read by STREAM.MSG.GET (`api/messages`) and by direct gets (`direct_get`), which may mean many. Not here: answering.
"""

from typing import Final

from broker.core.subjects import SubjectMatcher, is_literal
from broker.jetstream.api_types import BOOLEAN, INTEGER, TEXT, TEXTS, TIME, UNSIGNED
from broker.jetstream.go_time import parse_time
from broker.jetstream.store import MessageStore, StoredMessage

QUERY_FIELDS: Final[dict[str, str]] = {
    "seq": UNSIGNED,
    "last_by_subj": TEXT,
    "next_by_subj": TEXT,
    "batch": INTEGER,
    "max_bytes": INTEGER,
    "start_time": TIME,
    "multi_last": TEXTS,
    "up_to_seq": UNSIGNED,
    "up_to_time": TIME,
    "no_hdr": BOOLEAN,
}


class MessageQuery:
    """Which message is wanted; times in Unix ns, 0 and "" = not said."""

    def __init__(self, fields: dict[str, object]) -> None:
        sequence, last, following = fields.get("seq", 0), fields.get("last_by_subj", ""), fields.get("next_by_subj", "")
        start = fields.get("start_time", "")
        assert isinstance(sequence, int) and isinstance(last, str)
        assert isinstance(following, str) and isinstance(start, str)
        self.sequence: int = sequence
        self.last_subject: str = last
        self.next_subject: str = following
        self.has_start: bool = bool(start)
        self.start_ns: int = (parse_time(start) or 0) if start else 0
        self.without_headers: bool = bool(fields.get("no_hdr"))

    def is_empty(self) -> bool:
        """Nothing is asked for."""
        return not (self.sequence or self.last_subject or self.next_subject or self.has_start)

    def is_contradictory(self) -> bool:
        """More than one message is meant."""
        if self.last_subject:
            return bool(self.sequence or self.next_subject or self.has_start)
        return bool(self.has_start and self.sequence)

    def find(self, store: MessageStore) -> StoredMessage | None:
        """The message. Raises CorruptBlock."""
        if self.last_subject:
            return _last_for(store, self.last_subject)
        sequence = store.sequence_at_time(self.start_ns) if self.has_start else self.sequence
        if self.next_subject:
            matcher = SubjectMatcher([self.next_subject])
            sequence = store.next_sequence(max(sequence, store.first_sequence), matcher)
        return store.get(sequence) if sequence else None


def _last_for(store: MessageStore, subject: str) -> StoredMessage | None:
    name = subject.encode()
    if is_literal(name):
        sequence = store.last_sequence_for(name)
    else:
        sequence = store.previous_sequence(store.last_sequence, SubjectMatcher([subject]))
    return store.get(sequence) if sequence else None
