"""Messages that make messages: which schedules a stream holds, and when each is due (ADR-51).

A schedule is a stored message with `Nats-Schedule`; there is one a subject, as it replaces those before it. What it is
due for stands in it; the table knows what it cannot say: when it was due last (`after_ns`), or, once a leader has made
a message of it, when it is due next (`due_ns`). OP_SCHEDULED is that message together with the schedule's next time, in
one step.

Not here: patterns (`schedule_pattern`), who looks when (`schedule_clock`), what headers may say (`schedule_checks`).
Invariants: changes with operations only; an entry whose message is gone means nothing.
"""

import struct
from typing import Final

from broker.jetstream.ops import MalformedOp, PublishOp
from broker.jetstream.publishing.publish_headers import header_value
from broker.jetstream.store import MessageStore

SCHEDULE: Final = b"Nats-Schedule"
SCHEDULER: Final = b"Nats-Scheduler"
SCHEDULE_NEXT: Final = b"Nats-Schedule-Next"
PURGE: Final = b"purge"
_COMPACT_MIN: Final = 4096
_HEAD: Final = struct.Struct("<qQqH")


class Scheduled:
    """One schedule. `due_ns` 0: its pattern says when, behind `after_ns`."""

    def __init__(self, sequence: int, after_ns: int, due_ns: int) -> None:
        self.sequence: Final = sequence
        self.after_ns: Final = after_ns
        self.due_ns: Final = due_ns


class ScheduleTable:
    """By subject. `changed` are the subjects that a leader has not looked at since."""

    def __init__(self) -> None:
        self.entries: dict[bytes, Scheduled] = {}
        self.changed: dict[bytes, bool] = {}

    def stored(self, subject: bytes, sequence: int, headers: bytes, timestamp_ns: int, store: MessageStore) -> None:
        """A message was stored: a schedule, or something else in the place of one."""
        if headers and header_value(headers, SCHEDULE):
            self._set(subject, Scheduled(sequence, timestamp_ns, 0))
            if len(self.entries) > _COMPACT_MIN + 2 * store.messages:
                self._compact(store)
        elif self.entries:
            self.remove(subject)

    def fired(self, subject: bytes, due_ns: int) -> None:
        """A message was made of it; it is due again then."""
        entry = self.entries[subject]
        self._set(subject, Scheduled(entry.sequence, entry.after_ns, due_ns))

    def remove(self, subject: bytes) -> None:
        """It is no schedule any more."""
        if self.entries.pop(subject, None) is not None:
            self._note(subject)

    def _set(self, subject: bytes, entry: Scheduled) -> None:
        self.entries[subject] = entry
        self._note(subject)

    def _note(self, subject: bytes) -> None:
        self.changed[subject] = True
        if len(self.changed) > _COMPACT_MIN + 2 * len(self.entries):  # nobody leads here
            self.changed = {known: True for known in self.changed if known in self.entries}

    def _compact(self, store: MessageStore) -> None:
        self.entries = {
            subject: entry for subject, entry in self.entries.items() if store.get(entry.sequence) is not None
        }
        self.changed = {subject: True for subject in self.changed if subject in self.entries}

    # Snapshot.

    def snapshot(self) -> list[list[object]]:
        """Plain values for CBOR."""
        return [[subject, entry.sequence, entry.after_ns, entry.due_ns] for subject, entry in self.entries.items()]

    def restore(self, rows: list[list[object]]) -> None:
        """Inverse of `snapshot`."""
        self.entries = {}
        for subject, sequence, after_ns, due_ns in rows:
            assert isinstance(subject, bytes) and isinstance(sequence, int)
            assert isinstance(after_ns, int) and isinstance(due_ns, int)
            self._set(subject, Scheduled(sequence, after_ns, due_ns))


# OP_SCHEDULED: i64 time | u64 sequence of the schedule | i64 next due (0 = never again) | u16 subject length |
# subject | body of an OP_PUBLISH of one message.


def encode_scheduled(timestamp_ns: int, subject: bytes, sequence: int, due_ns: int, batch: bytes) -> bytes:
    """The operation's body."""
    return _HEAD.pack(timestamp_ns, sequence, due_ns, len(subject)) + subject + batch


class ScheduledOp:
    """A decoded OP_SCHEDULED."""

    def __init__(self, body: bytes) -> None:
        """Raises MalformedOp."""
        if len(body) < _HEAD.size:
            raise MalformedOp("a scheduled message without a head")
        timestamp_ns, sequence, due_ns, length = _HEAD.unpack_from(body)
        self.timestamp_ns: int = timestamp_ns
        self.sequence: int = sequence
        self.due_ns: int = due_ns
        self.subject: bytes = body[_HEAD.size : _HEAD.size + length]
        self.batch: PublishOp = PublishOp(body[_HEAD.size + length :])
