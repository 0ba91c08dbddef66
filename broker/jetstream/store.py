"""What the machine needs of a message store: the Protocol that `storage` implements (a file store and a memory store).

Not here: any implementation. Sequences of a store only grow; timestamps grow with them. All methods are deterministic.
"""

from collections.abc import Sequence
from typing import Final, Protocol, TypeAlias

from mypy_extensions import mypyc_attr

from broker.jetstream.config.stream_config import StreamConfig

Bytes: TypeAlias = bytes  # a store has an attribute `bytes`

SEQUENCE_MAX: Final = 1 << 62
"""No stream is set to begin beyond: what it counts on from there must stay a signed number of 64 bits."""


class SubjectMatcher(Protocol):
    """A subject filter, compiled."""

    @property
    def literal(self) -> bytes | None:
        """The one subject that matches, when there is only one."""

    @property
    def prefix(self) -> bytes:
        """What all that match begin with, up to a dot; empty when not known."""

    def matches(self, subject: bytes) -> bool:
        """Whether a literal subject matches."""


class StoredMessage(Protocol):
    """A message as it was stored; `data` is headers (of `header_length` bytes), then payload."""

    @property
    def sequence(self) -> int: ...
    @property
    def timestamp_ns(self) -> int: ...
    @property
    def subject(self) -> bytes: ...
    @property
    def header_length(self) -> int: ...
    @property
    def data(self) -> bytes: ...


class Deletions(Protocol):
    """Messages that were removed; `total`: how many ever."""

    @property
    def total(self) -> int: ...

    def since(self, total: int) -> list[tuple[int, Bytes]] | None:
        """Which, since `total` was read; None when that is not known any more."""


class MessageStore(Protocol):
    """The messages of one stream. An empty store has first_sequence = last_sequence + 1."""

    @property
    def first_sequence(self) -> int: ...
    @property
    def last_sequence(self) -> int: ...
    @property
    def messages(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def first_timestamp_ns(self) -> int: ...
    @property
    def last_timestamp_ns(self) -> int: ...
    @property
    def num_deleted(self) -> int: ...
    @property
    def num_subjects(self) -> int: ...
    @property
    def deletions(self) -> Deletions: ...

    def append_batch(
        self,
        first_sequence: int,
        timestamp_ns: int,
        raw: Bytes,
        positions: Sequence[int],
        subject_lengths: Sequence[int],
        header_lengths: Sequence[int],
        data_lengths: Sequence[int],
    ) -> None:
        """Consecutive messages; see `ops.PublishOp` for the columns. Message i has the time timestamp_ns + i."""

    def append(self, sequence: int, timestamp_ns: int, subject: Bytes, header_length: int, data: Bytes) -> None:
        """One message; a gap before its sequence is skipped."""

    def skip_to(self, last_sequence: int) -> None:
        """Let the last sequence grow without messages."""

    def is_live(self, sequence: int) -> bool:
        """Whether there is a message with this sequence."""

    def get(self, sequence: int) -> StoredMessage | None:
        """The message, None when there is none."""

    def delete(self, sequence: int) -> int:
        """Remove one message; the bytes it counted for, 0 when absent."""

    def truncate_front(self, first: int) -> tuple[int, int]:
        """Remove everything before `first`; messages and bytes removed. The first sequence becomes at least `first`."""

    def first_sequence_for(self, subject: Bytes) -> int:
        """The oldest message on a literal subject, 0 for none."""

    def last_sequence_for(self, subject: Bytes) -> int:
        """The newest message on a literal subject, 0 for none."""

    def count_for(self, subject: Bytes) -> int:
        """Messages on a literal subject."""

    def subjects_above(self, count: int) -> list[Bytes]:
        """Subjects with more messages than that."""

    def subjects_in_order(self, matcher: SubjectMatcher) -> list[Bytes]:
        """Subjects that match, in order."""

    def subjects(self, matcher: SubjectMatcher) -> list[tuple[Bytes, int]]:
        """Subjects that match, with their counts."""

    def next_sequence(self, start: int, matcher: SubjectMatcher | None) -> int:
        """The first message at or behind `start` that matches, 0 for none."""

    def previous_sequence(self, start: int, matcher: SubjectMatcher | None) -> int:
        """The last message at or before `start` that matches, 0 for none."""

    def count_from(self, start: int, matcher: SubjectMatcher | None) -> int:
        """Messages at or behind `start` that match."""

    def sequence_at_time(self, timestamp_ns: int) -> int:
        """The first message not older than this, last_sequence + 1 for none."""

    def deleted_sequences(self) -> list[int]:
        """Sequences between first and last that hold no message."""

    def state_bytes(self) -> Bytes:
        """What a snapshot must say about the store."""


@mypyc_attr(allow_interpreted_subclasses=True)
class StoreMaker:
    """Where a machine gets the store of its dead-letter stream from; that of the stream itself is given to it."""

    def open(self, config: StreamConfig, created_ns: int, state: Bytes | None) -> MessageStore:
        """The store as of a snapshot's `state` (None: empty) of the dead-letter stream made at `created_ns`."""
        raise NotImplementedError

    def drop(self) -> None:
        """The dead-letter stream is gone."""
        raise NotImplementedError
