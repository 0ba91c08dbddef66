"""Reading an origin for a mirror or a source: what its leader is asked, and what it answers.

One question, one answer, each for itself: the reader says where it stands and which subjects it wants; the origin
keeps nothing about its readers. `read_origin` answers from a store, `sourced_body` makes the operation of an answer.

Not here: who asks when (`broker/cluster/streams/sourcing`), who waits for new messages
(`broker/cluster/streams/origin_reads`).
Invariant: an answer holds every wanted message behind `after` up to `upto`, in order.
"""

from typing import Any, Final

import cbor2

from broker.core.subjects import SubjectMatcher
from broker.jetstream.config.source_config import Source
from broker.jetstream.ops import HEADERS_MAX, PublishBatch, PublishOp
from broker.jetstream.publishing.admission import SUBJECT_MAX
from broker.jetstream.publishing.publish_headers import add_header, remove_header, remove_headers_with
from broker.jetstream.snapshot_columns import pack_column, unpack_column
from broker.jetstream.sources.sourced import encode_sourced
from broker.jetstream.store import SEQUENCE_MAX, MessageStore

READ_BYTES_MAX: Final = 1024 * 1024  # of messages in one answer; a single one may be larger
READ_MESSAGES_MAX: Final = 4096
_NOT_SOURCED: Final = (b"Nats-Expected-", b"Nats-Batch-")


class OriginQuery:
    """What a reader wants. `after` 0: from `start_sequence` or `start_ns` on, or everything. `identity` is that of the
    stream it read so far, "" if none. `taken`: up to there the reader has stored everything, as far as `consumer` (its
    name where the origin needs one) is concerned; `ends`: it will not ask again."""

    def __init__(
        self,
        after: int,
        start_sequence: int,
        start_ns: int,
        filters: list[str],
        identity: str,
        consumer: str = "",
        taken: int = 0,
        ends: bool = False,
    ) -> None:
        self.consumer: Final = consumer
        self.taken: Final = taken
        self.ends: Final = ends
        self.after: Final = after
        self.start_sequence: Final = start_sequence
        self.start_ns: Final = start_ns
        self.filters: Final = filters
        self.identity: Final = identity

    def encode(self) -> bytes:
        """CBOR."""
        place = [self.after, self.start_sequence, self.start_ns, self.filters, self.identity]
        return bytes(cbor2.dumps([*place, self.consumer, self.taken, self.ends]))


def decode_query(data: bytes) -> OriginQuery:
    """Inverse of `OriginQuery.encode`. Raises what CBOR and unpacking raise."""
    after, start_sequence, start_ns, filters, identity, consumer, taken, ends = cbor2.loads(data)
    wanted = [str(each) for each in filters]
    return OriginQuery(
        int(after), int(start_sequence), int(start_ns), wanted, str(identity), str(consumer), int(taken), bool(ends)
    )


class OriginAnswer:
    """Messages of the origin behind what was asked for.

    `upto`: nothing else that is wanted stands before or at it. `lag`: how many wanted messages are behind it.
    `was_recreated`: this is another stream than the one read so far, and nothing was read.
    """

    def __init__(self, identity: str, upto: int, lag: int, was_recreated: bool = False) -> None:
        self.identity: Final = identity
        self.upto: Final = upto
        self.lag: Final = lag
        self.was_recreated: Final = was_recreated
        self.refusal: list[Any] = []  # code, number and text of an error: the stream cannot be read so
        self.sequences: list[int] = []
        self.times: list[int] = []
        self.batch: bytes = b""

    def encode(self) -> bytes:
        """CBOR."""
        sequences, times = pack_column("Q", self.sequences), pack_column("q", self.times)
        fields = [self.identity, self.upto, self.lag, self.was_recreated, sequences, times, self.batch, self.refusal]
        return bytes(cbor2.dumps(fields))


def decode_answer(data: bytes) -> OriginAnswer:
    """Inverse of `OriginAnswer.encode`. Raises what CBOR and unpacking raise."""
    identity, upto, lag, was_recreated, sequences, times, batch, refusal = cbor2.loads(data)
    answer = OriginAnswer(str(identity), int(upto), int(lag), bool(was_recreated))
    answer.sequences = unpack_column("Q", sequences)
    answer.times = unpack_column("q", times)
    answer.batch = bytes(batch)
    answer.refusal = list(refusal)
    return answer


def read_origin(store: MessageStore, identity: str, query: OriginQuery) -> OriginAnswer:
    """Answer from what is stored now. Raises CorruptBlock."""
    if query.identity and query.identity != identity and query.after:
        return OriginAnswer(identity, 0, store.messages, True)
    start = query.after + 1
    if query.after == 0:
        if query.start_sequence:
            start = min(query.start_sequence, SEQUENCE_MAX)
        elif query.start_ns:
            start = store.sequence_at_time(query.start_ns)
    matcher = SubjectMatcher(query.filters) if query.filters else None
    batch = PublishBatch()
    sequences: list[int] = []
    times: list[int] = []
    sequence = store.next_sequence(max(start, store.first_sequence), matcher)
    while sequence and batch.bytes < READ_BYTES_MAX and batch.count < READ_MESSAGES_MAX:
        message = store.get(sequence)
        assert message is not None
        batch.add(message.subject, message.header_length, message.data)
        sequences.append(sequence)
        times.append(message.timestamp_ns)
        sequence = store.next_sequence(sequence + 1, matcher)
    upto = sequences[-1] if sequence else max(store.last_sequence, query.after)
    lag = store.count_from(sequence, matcher) if sequence else 0
    answer = OriginAnswer(identity, upto, lag)
    answer.sequences = sequences
    answer.times = times
    answer.batch = batch.encode(0) if sequences else b""
    return answer


def sourced_body(source: Source, answer: OriginAnswer, after: int, wall_ns: int) -> bytes:
    """The OP_SOURCED that stores what was read; `after` is the position before it."""
    batch = answer.batch
    op = PublishOp(batch)
    if op.has_headers or source.renames() or not source.is_mirror:
        batch = _rewritten(source, answer, op, wall_ns)
    sequences, times = pack_column("Q", answer.sequences), pack_column("q", answer.times)
    return encode_sourced(wall_ns, source.key, answer.identity, after, len(answer.sequences), sequences, times, batch)


def _rewritten(source: Source, answer: OriginAnswer, op: PublishOp, wall_ns: int) -> bytes:
    batch = PublishBatch()
    for index in range(op.count):
        subject = op.subject(index)
        headers = op.headers(index)
        if headers:
            headers = _without_expectations(headers)
        if not source.is_mirror:
            headers = _with_origin(source, headers, answer.sequences[index], subject, answer.identity)
        stored = source.renamed(subject, wall_ns + index)
        if len(stored) > SUBJECT_MAX:
            stored = subject  # no stream stores it under that name
        batch.add(stored, len(headers), headers + op.payload(index))
    return batch.encode(0)


def _without_expectations(headers: bytes) -> bytes:
    """What was expected of the origin is not expected of this stream."""
    for prefix in _NOT_SOURCED:
        headers = remove_headers_with(headers, prefix)
    return headers


def _with_origin(source: Source, headers: bytes, sequence: int, subject: bytes, identity: str) -> bytes:
    """`Nats-Stream-Source: <stream> <sequence> <filter> <destination> <subject> <identity>`, in place of any before."""
    name, filters, destinations = source.mark
    value = b" ".join([name, b"%d" % sequence, filters, destinations, subject, identity.encode()])
    if headers:
        headers = remove_header(headers, b"Nats-Stream-Source")
    marked = add_header(headers, b"Nats-Stream-Source", value)
    return marked if len(marked) <= HEADERS_MAX else headers
