"""What applying an operation tells the world. The machine calls these on every replica; only the leader acts on them.

`ordinal` is the operation's place in its entry, so that a leader finds who waits for it. Not here: any behaviour.
Invariant: nothing a sink does may change the machine.
"""

from typing import Final

from mypy_extensions import mypyc_attr

from broker.jetstream.api_errors import ApiError
from broker.jetstream.consumers.consumer import Consumer


@mypyc_attr(allow_interpreted_subclasses=True)
class EffectSink:
    """All effects ignored: what a follower passes. A leader overrides what it performs."""

    def published(self, ordinal: int, first: int, count: int, first_sequence: int) -> None:
        """Messages [first, first + count) of the publish got consecutive sequences."""

    def counted(self, ordinal: int, position: int, sequence: int, value: str) -> None:
        """As `published`, for one message of a counter stream: what its subject counts now."""

    def duplicate(self, ordinal: int, position: int, sequence: int) -> None:
        """The message's id was seen before, with the message now at `sequence`."""

    def refused(self, ordinal: int, position: int, error: ApiError) -> None:
        """The message is not stored."""

    def done(self, ordinal: int, result: object) -> None:
        """Outcome of any operation but a publish: an ApiError, or a value its responder knows."""

    def stored(self, first_sequence: int, last_sequence: int) -> None:
        """The stream grew: consumers may have something to deliver."""

    def republishes(self) -> bool:
        """Whether `republish` wants to be told."""
        return False

    def republish(
        self, subject: bytes, headers: bytes, payload: bytes, sequence: int, timestamp_ns: int, previous: int
    ) -> None:
        """A message was stored, in a stream that republishes; `previous` is the one before on its subject, 0 = none."""

    def removed(self, sequence: int) -> None:
        """The message left the stream by delete, purge or a limit per subject. Not told: acks, and what moves the
        front (expiry, limits, whole purges: compare `store.first_sequence`)."""

    def advisory(self, subject: str, fields: dict[str, object]) -> None:
        """An advisory to publish (without `id` and `timestamp`)."""

    def config_changed(self) -> None:
        """The stream's configuration was replaced."""

    def dead_letters_wait(self) -> None:
        """A message was given up and there is no dead-letter stream yet."""

    def dead_letter_stream_changed(self) -> None:
        """The dead-letter stream of this stream began or ended."""

    def of_dead_letters(self) -> "EffectSink":
        """Where effects on the dead-letter stream go."""
        return _IGNORED

    def consumer_created(self, consumer: Consumer) -> None:
        """A consumer was made or changed."""

    def consumer_reset(self, consumer: Consumer) -> None:
        """A consumer begins again elsewhere."""

    def consumer_deleted(self, consumer: Consumer) -> None:
        """A consumer is gone."""


_IGNORED: Final = EffectSink()
