"""What a stream makes of subjects: its `subject_transform` before a message is stored, `republish` behind it.

`SubjectMapping` is both, ready for use; a stream that has neither has none. The leader transforms as messages come in
(so that the log says what is stored) and republishes what was committed and stored, once, as a plain message without a
reply. A message that nobody republished because its leader was lost is not republished later, as in nats-server.

Not here: what such configurations may say (`mapping_rules`), the mapping language (`core.transform`). Invariant:
nothing here changes state.
"""

from typing import Final

from broker.core.subjects import is_literal, is_valid
from broker.core.transform import SubjectTransform, make_transform
from broker.jetstream.config.stream_config import StreamConfig
from broker.jetstream.effects import EffectSink
from broker.jetstream.go_time import format_time
from broker.jetstream.ops import PublishOp
from broker.jetstream.publishing.publish_headers import PREAMBLE
from broker.jetstream.store import MessageStore

_FIELDS: Final = (
    b"Nats-Stream: %b\r\nNats-Subject: %b\r\nNats-Sequence: %d\r\nNats-Time-Stamp: %b\r\nNats-Last-Sequence: %d\r\n"
)


class SubjectMapping:
    """The transforms of one configuration."""

    def __init__(self, config: StreamConfig) -> None:
        """Raises TransformError where `mapping_rules` would have refused."""
        self._stream: Final = config.name.encode()
        self._stored: Final = _transform_of(config.subject_transform)
        republish = config.republish or {}
        self._republish: Final = _transform_of(config.republish)
        self._headers_only: Final = bool(republish.get("headers_only"))

    @property
    def republishes(self) -> bool:
        """Whether anything is published again."""
        return self._republish is not None

    def stored_subject(self, subject: bytes, seed: int) -> bytes:
        """Under which subject a message that came on `subject` is stored; `seed` is the chance of `random()`."""
        stored = self._stored
        if stored is None:
            return subject
        found = stored.apply(subject, seed)
        return subject if found is None else found

    def republished_subject(self, subject: bytes, sequence: int) -> bytes:
        """Where a stored message is published again; b"" nowhere."""
        republish = self._republish
        found = None if republish is None else republish.apply(subject, sequence)
        return found if found is not None and is_valid(found) and is_literal(found) else b""

    def republished(
        self, subject: bytes, headers: bytes, payload: bytes, sequence: int, timestamp_ns: int, previous: int
    ) -> tuple[bytes, bytes]:
        """Headers and payload of the message that is published again."""
        time = format_time(timestamp_ns).encode()
        added = _FIELDS % (self._stream, subject, sequence, time, previous)
        if self._headers_only:
            added += b"Nats-Msg-Size: %d\r\n" % len(payload)
        head = headers[:-2] if headers else PREAMBLE + b"\r\n"
        return head + added + b"\r\n", b"" if self._headers_only else payload


def _transform_of(fields: dict[str, object] | None) -> SubjectTransform | None:
    if fields is None:
        return None
    source, destination = fields.get("src") or "", fields.get("dest") or ""
    assert isinstance(source, str) and isinstance(destination, str)
    return make_transform(source, destination)


def mapping_of(config: StreamConfig) -> SubjectMapping | None:
    """None where subjects stay as they are and nothing is republished."""
    if config.subject_transform is None and config.republish is None:
        return None
    return SubjectMapping(config)


# What is republished must be known before it is stored: the message before it on its subject may go with a limit.


def previous_sequences(store: MessageStore, op: PublishOp, starts: list[int], ends: list[int], first: int) -> list[int]:
    """For each message of these runs of a batch, which will be stored from `first` on, the one before it on its
    subject, 0 for none."""
    known: dict[bytes, int] = {}
    found: list[int] = []
    sequence = first
    for run in range(len(starts)):
        for index in range(starts[run], ends[run]):
            subject = op.subject(index)
            found.append(known[subject] if subject in known else store.last_sequence_for(subject))
            known[subject] = sequence
            sequence += 1
    return found


def republish_runs(
    sink: EffectSink,
    op: PublishOp,
    starts: list[int],
    ends: list[int],
    first: int,
    time_ns: int,
    previous: list[int],
) -> None:
    """Tell the sink of messages that were stored just now, from `first` on; `previous` as it was found before."""
    at = 0
    for run in range(len(starts)):
        for index in range(starts[run], ends[run]):
            subject, headers, payload = op.subject(index), op.headers(index), op.payload(index)
            sink.republish(subject, headers, payload, first + at, time_ns + at, previous[at])
            at += 1
