"""What a stream keeps, as plain as possible: messages, why others are gone, ids, time. See `model`.

Dictionaries and loops over everything. Read next: `model_publish`, `model`.
"""

from typing import Any

from broker.core.subjects import SubjectMatcher
from broker.jetstream.ops import decode_purge

SECOND_NS = 1_000_000_000
ACKED, PURGED, LIMIT, AGED = "acked", "purged", "over the limit", "too old"
MARKER = "NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: %ds\r\nNats-Rollup: sub\r\n\r\n"


class Stored:
    """A message; `due_ns`: when its own time to live is over, 0 without one."""

    def __init__(self, subject: str, time_ns: int, data: bytes, due_ns: int = 0) -> None:
        self.subject = subject
        self.time_ns = time_ns
        self.data = data
        self.due_ns = due_ns


class ModelStore:
    """Messages of one stream."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.messages: dict[int, Stored] = {}
        self.texts: dict[int, str] = {}  # of everything ever stored
        self.subjects: dict[int, str] = {}
        self.removed: dict[int, str] = {}  # why it is gone
        self.last = 0
        self.time_ns = 0
        self.ids: dict[str, tuple[int, int]] = {}  # message id → sequence, time
        assert not config.get("sealed") and config.get("max_bytes", -1) < 0 and not config.get("first_seq")

    def _advance(self, stamp_ns: int) -> int:
        """Time never goes back, and what is too old goes; some leaves a marker. The time of what is stored next."""
        now_ns = next_ns = self.time_ns = max(stamp_ns, self.time_ns + 1)
        max_age_ns = self.config.get("max_age", 0)
        if max_age_ns:
            for sequence in [s for s, message in self.messages.items() if message.time_ns <= now_ns - max_age_ns]:
                next_ns = self._age(sequence, next_ns)
        due = [s for s, message in self.messages.items() if 0 < message.due_ns <= now_ns]
        for sequence in sorted(due):
            next_ns = self._age(sequence, next_ns)
        self.time_ns = max(self.time_ns, next_ns - 1)
        return next_ns

    def _age(self, sequence: int, time_ns: int) -> int:
        message = self.messages[sequence]
        alone = self._on(message.subject) == [sequence]
        headers = read_headers(message.data.partition(b"\r\n\r\n")[0] if message.data[:5] == b"NATS/" else b"")
        is_marker = "Nats-Marker-Reason" in headers or headers.get("KV-Operation") == "PURGE"
        self._remove(sequence, AGED)
        lasts_ns = self.config.get("subject_delete_marker_ttl", 0)
        if not lasts_ns or not alone or is_marker:
            return time_ns
        self.last += 1
        self.texts[self.last], self.subjects[self.last] = "", message.subject
        data = (MARKER % (lasts_ns // SECOND_NS)).encode()
        self.messages[self.last] = Stored(message.subject, time_ns, data, time_ns + lasts_ns)
        return time_ns + 1

    def knows(self, message_id: str, now_ns: int) -> bool:
        """Whether the id is in the duplicate window."""
        known = self.ids.get(message_id)
        return known is not None and known[1] > now_ns - int(self.config.get("duplicate_window", 0))

    # Removing.

    def _on(self, subject: str) -> list[int]:
        """Sequences of the messages on a subject, ascending."""
        return sorted(s for s, message in self.messages.items() if message.subject == subject)

    def _remove(self, sequence: int, why: str) -> None:
        if self.messages.pop(sequence, None) is not None:
            self.removed[sequence] = why

    def _enforce(self) -> None:
        """Limits of the stream."""
        of_subject = self.config.get("max_msgs_per_subject", -1)
        if of_subject > 0:
            for subject in {message.subject for message in self.messages.values()}:
                for sequence in self._on(subject)[:-of_subject]:
                    self._remove(sequence, LIMIT)
        most = self.config.get("max_msgs", -1)
        if most > 0:
            for sequence in sorted(self.messages)[:-most]:
                self._remove(sequence, LIMIT)

    def _purge(self, body: bytes) -> None:
        op = decode_purge(body)
        matcher = SubjectMatcher([op.subject or b">"])
        found = sorted(s for s, message in self.messages.items() if matcher.matches(message.subject.encode()))
        if op.sequence:
            found = [sequence for sequence in found if sequence < op.sequence]
            assert op.sequence <= self.last + 1, "purging the future is not modelled"
        for sequence in found[: max(len(found) - op.keep, 0)] if op.keep else found:
            self._remove(sequence, PURGED)


def read_headers(block: bytes) -> dict[str, str]:
    """A header block as a dictionary."""
    found = {}
    for line in block.decode().split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name, value.strip())
    return found
