"""DIRECT.GET: messages themselves, from any replica, with headers that say where they were found, or a status.

One message, a batch (`batch`: from a sequence or time on, all or those of a subject) or the last ones of many subjects
(`multi_last`), which ends with 204 EOB. What is answered is one state of the stream: requests do not interleave with
writes.

A request is answered within one turn of the node, so that a batch ends after `BATCH_BYTES_MAX` or `BATCH_MESSAGES_MAX`
whatever was asked for; its EOB tells how many messages are left and where to go on. nats-server's bound is
`max_pending`, 64 MiB by default.

Not here: STREAM.MSG.GET (`api/messages`), which replica answers (`broker/cluster`).
"""

from typing import Final

from broker.core.subjects import SubjectMatcher, is_literal
from broker.jetstream.api.message_query import QUERY_FIELDS, MessageQuery
from broker.jetstream.api.requests import ApiAnswer, Replies, Reply, StreamLeader, parse
from broker.jetstream.api_types import ApiRequest, fits, required_level_error, without_nulls
from broker.jetstream.config.stream_config import StreamConfig
from broker.jetstream.go_json import JsonError, decode
from broker.jetstream.go_time import format_time, parse_time
from broker.jetstream.store import MessageStore, StoredMessage

BATCH_BYTES_MAX: Final = 16 * 1024 * 1024
BATCH_MESSAGES_MAX: Final = 16_384
SUBJECTS_MAX: Final = 1024

_EMPTY_REQUEST: Final = b"NATS/1.0 408 Empty Request\r\n\r\n"
_MALFORMED_REQUEST: Final = b"NATS/1.0 408 Malformed Request\r\n\r\n"
_BAD_REQUEST: Final = b"NATS/1.0 408 Bad Request\r\n\r\n"
_NOT_FOUND: Final = b"NATS/1.0 404 Message Not Found\r\n\r\n"
_NO_RESULTS: Final = b"NATS/1.0 404 No Results\r\n\r\n"
_TOO_MANY: Final = b"NATS/1.0 413 Too Many Results\r\n\r\n"
_API_LEVEL: Final = b"NATS/1.0 412 Required Api Level\r\n\r\n"


class BatchQuery:
    """The rest of a request: how many messages, and of which subjects the last ones; times in Unix ns."""

    def __init__(self, fields: dict[str, object]) -> None:
        batch, most = fields.get("batch", 0), fields.get("max_bytes", 0)
        up_to, up_to_time = fields.get("up_to_seq", 0), fields.get("up_to_time", "")
        last_subjects = fields.get("multi_last", [])
        assert isinstance(batch, int) and isinstance(most, int)
        assert isinstance(up_to, int) and isinstance(up_to_time, str) and isinstance(last_subjects, list)
        self.count: int = batch
        self.bytes: int = min(most, BATCH_BYTES_MAX) if most else BATCH_BYTES_MAX
        self.up_to: int = up_to
        self.has_up_to_time: bool = bool(up_to_time)
        self.up_to_ns: int = (parse_time(up_to_time) or 0) if up_to_time else 0
        self.last_subjects: list[str] = [str(subject) for subject in last_subjects]


def handle_direct_get(request: ApiRequest, leader: StreamLeader) -> ApiAnswer:
    """One request; None (no answer) when the stream does not allow it."""
    machine = leader.machine
    target = parse(request.subject)
    if target is None or not may_answer(machine.config, target.stream):
        return None
    if required_level_error(request) is not None:
        return Reply(b"", _API_LEVEL)
    fields = _read_leniently(request.payload())
    if fields is None:
        return Reply(b"", _MALFORMED_REQUEST)
    if target.rest:
        if fields.get("last_by_subj") or fields.get("seq") or fields.get("next_by_subj") or fields.get("start_time"):
            return Reply(b"", _BAD_REQUEST)
        fields["last_by_subj"] = target.rest
    query = MessageQuery(fields)
    batch = BatchQuery(fields)
    if query.is_empty() and not batch.last_subjects:
        return Reply(b"", _EMPTY_REQUEST)
    if query.is_contradictory() or _is_contradictory(query, batch):
        return Reply(b"", _BAD_REQUEST)
    if batch.last_subjects:
        return _last_ones(machine.store, machine.config.name, query, batch)
    if batch.count:
        return _batch(machine.store, machine.config.name, query, batch)
    found = query.find(machine.store)
    if found is None:
        return Reply(b"", _NOT_FOUND)
    if query.without_headers:
        return Reply(found.data[found.header_length :])
    return Reply(found.data[found.header_length :], direct_headers(machine.config.name, found))


def may_answer(config: StreamConfig, stream: str) -> bool:
    """Whether a direct get of `stream` is answered: of its own messages, or, by a mirror, of its origin's."""
    if stream == config.name:
        return config.allow_direct
    return config.mirror_direct and config.mirror is not None and config.mirror.get("name") == stream


def _is_contradictory(query: MessageQuery, batch: BatchQuery) -> bool:
    if query.last_subject and (batch.count > 0 or batch.last_subjects):
        return True
    return bool(query.next_subject and batch.last_subjects) or bool(batch.up_to and batch.has_up_to_time)


def _read_leniently(payload: bytes) -> dict[str, object] | None:
    """The fields of a direct get; unknown ones are ignored there. None when it is no request."""
    if not payload:
        return {}
    try:
        values = decode(payload)
    except JsonError:
        return None
    if values == [None]:
        return {}
    if len(values) != 1 or not isinstance(values[0], dict):
        return None
    value = values[0]
    fields: dict[str, object] = {}
    for key, item in value.items():
        name = key if key in QUERY_FIELDS else key.lower()
        kind = QUERY_FIELDS.get(name)
        if kind is None or item is None:
            continue
        if not fits(item, kind):
            return None
        fields[name] = without_nulls(item)
    return fields


# Many messages.


class _Answer:
    """The messages of one request, up to its bounds."""

    def __init__(self, stream: str, without_headers: bool, batch: BatchQuery) -> None:
        self.last: int = 0
        self.replies: list[Reply] = []
        self._stream: Final = stream
        self._without_headers: Final = without_headers
        self._count: Final = min(batch.count or BATCH_MESSAGES_MAX, BATCH_MESSAGES_MAX)
        self._bytes_left: int = batch.bytes

    def add(self, message: StoredMessage, left: int) -> bool:
        """One more, behind which `left` are to come; False when it is the last that fits."""
        payload = message.data[message.header_length :]
        if self._without_headers:
            self.replies.append(Reply(payload))
        else:
            place = b"Nats-Num-Pending: %d\r\nNats-Last-Sequence: %d\r\n" % (left, self.last)
            self.replies.append(Reply(payload, direct_headers(self._stream, message, place)))
        self.last = message.sequence
        self._bytes_left -= len(message.subject) + len(message.data)
        return self._bytes_left > 0 and len(self.replies) < self._count

    def end(self, left: int, more: bytes = b"") -> Replies:
        """Everything, and the end of the batch."""
        head = b"NATS/1.0 204 EOB\r\nNats-Num-Pending: %d\r\nNats-Last-Sequence: %d\r\n" % (left, self.last)
        return Replies([*self.replies, Reply(b"", head + more + b"\r\n")])


def _batch(store: MessageStore, stream: str, query: MessageQuery, batch: BatchQuery) -> ApiAnswer:
    """Messages from a place on."""
    matcher = SubjectMatcher([query.next_subject]) if query.next_subject else None
    start = store.sequence_at_time(query.start_ns) if query.has_start else query.sequence
    sequence = store.next_sequence(max(start, store.first_sequence), matcher)
    if sequence == 0:
        return Reply(b"", _NOT_FOUND)
    left = store.count_from(sequence, matcher)
    answer = _Answer(stream, query.without_headers, batch)
    while sequence and batch.count > 0:
        message = store.get(sequence)
        assert message is not None
        left -= 1
        if not answer.add(message, left):
            break
        sequence = store.next_sequence(sequence + 1, matcher)
    return answer.end(left)


def _last_ones(store: MessageStore, stream: str, query: MessageQuery, batch: BatchQuery) -> ApiAnswer:
    """The last message of every subject that matches, up to a sequence or time, in the order of the stream."""
    up_to = batch.up_to
    if batch.has_up_to_time:
        up_to = store.sequence_at_time(batch.up_to_ns)
        if up_to <= store.first_sequence:
            return Reply(b"", _NO_RESULTS)
        up_to -= 1
    if up_to == 0:
        up_to = store.last_sequence
    sequences = _last_sequences(store, batch.last_subjects, up_to)
    if len(sequences) > SUBJECTS_MAX:
        return Reply(b"", _TOO_MANY)
    if not sequences:
        return Reply(b"", _NO_RESULTS)
    left = len(sequences)
    answer = _Answer(stream, False, batch)
    for sequence in sorted(sequences):
        left -= 1
        if sequence < query.sequence:
            continue
        message = store.get(sequence)
        assert message is not None
        if not answer.add(message, left):
            break
    return answer.end(left, b"Nats-UpTo-Sequence: %d\r\n" % up_to)


def _last_sequences(store: MessageStore, filters: list[str], up_to: int) -> set[int]:
    """At most one more than may be answered."""
    found: set[int] = set()
    for text in filters:
        name = text.encode()
        subjects = [name] if is_literal(name) else [subject for subject, _ in store.subjects(SubjectMatcher([text]))]
        for subject in subjects:
            sequence = store.last_sequence_for(subject)
            if sequence > up_to:
                sequence = store.previous_sequence(up_to, SubjectMatcher([subject]))
            if sequence:
                found.add(sequence)
            if len(found) > SUBJECTS_MAX:
                return found
    return found


def direct_headers(stream: str, message: StoredMessage, more: bytes = b"") -> bytes:
    """The message's own headers, then where it was found."""
    own = message.data[: message.header_length]
    head = own[:-2] if own else b"NATS/1.0\r\n"
    return head + (
        b"Nats-Stream: %s\r\nNats-Subject: %s\r\nNats-Sequence: %d\r\nNats-Time-Stamp: %s\r\n%b\r\n"
        % (stream.encode(), message.subject, message.sequence, format_time(message.timestamp_ns).encode(), more)
    )
