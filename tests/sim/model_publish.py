"""How messages get into a stream, by a model of it: one by one, as a batch, counted, made by a schedule, from another
stream. See `model`.
"""

import json
from typing import Any

from broker.jetstream.ops import PublishOp
from broker.jetstream.schedules.schedules import ScheduledOp
from broker.jetstream.sources.sourced import SourcedOp
from sim.model_store import PURGED, SECOND_NS, ModelStore, Stored, read_headers


class ModelPublish(ModelStore):
    """Adds to the messages of one stream."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self.schedules: dict[str, tuple[int, int]] = {}  # subject → sequence, due next (0: as it says)
        self.fired: list[tuple[str, int, int]] = []  # text, due at, made at
        self.origins: dict[bytes, tuple[int, str]] = {}  # of sources: the last message, and which stream it is of

    def _publish(self, op: PublishOp, is_whole: bool = False) -> None:
        """A batch; `is_whole`: of an atomic one, which the stream is known to take."""
        if op.count == 0:
            return
        batch_ns = self._advance(op.timestamp_ns)
        next_ns = batch_ns
        for at in range(op.count):
            headers = read_headers(op.headers(at))
            message_id = headers.get("Nats-Msg-Id")
            subject = op.subject(at).decode()
            if message_id is not None and self.knows(message_id, batch_ns):
                continue
            if not is_whole and (not self._expected(subject, headers) or self._is_full(subject)):
                continue
            self.last += 1
            if message_id is not None and self.config.get("duplicate_window"):
                self.ids[message_id] = (self.last, batch_ns)
            self.texts[self.last] = text_of(op, at)
            self.subjects[self.last] = subject
            if self.config["retention"] == "interest" and not self._wanted(subject):
                self.removed[self.last] = "nobody wanted it"
                continue
            data, due_ns = self._made(op, at, headers), int(headers.get("Nats-TTL", 0)) * SECOND_NS
            self.messages[self.last] = Stored(subject, next_ns, data, due_ns and next_ns + due_ns)
            next_ns += 1
            if headers.get("Nats-Rollup") == "sub":
                for sequence in self._on(subject)[:-1]:
                    self._remove(sequence, PURGED)
            self._enforce()
        self.time_ns = max(batch_ns, next_ns - 1)

    def _made(self, op: PublishOp, at: int, headers: dict[str, str]) -> bytes:
        """A message as it is stored: mostly as it came."""
        subject, block, payload = op.subject(at).decode(), op.headers(at), op.payload(at)
        if self._notes_schedule(subject, headers):
            block = block[:-2] + b"Nats-Rollup: sub\r\n\r\n"
        elif self.config.get("allow_msg_counter"):
            before = self._on(subject)
            value = int(headers["Nats-Incr"])
            if before:
                value += int(json.loads(self.messages[before[-1]].data.partition(b"\r\n\r\n")[2])["val"])
            payload = b'{"val":"%d"}' % value
        return block + payload

    def _publish_whole(self, op: PublishOp) -> None:
        """An atomic batch: every message could be stored, or none is."""
        subjects: list[str] = []
        ids: list[str] = []
        now_ns = max(op.timestamp_ns, self.time_ns + 1)
        refused = False
        for at in range(op.count):
            headers, subject = read_headers(op.headers(at)), op.subject(at).decode()
            message_id = headers.get("Nats-Msg-Id")
            refused = refused or not self._expected(subject, headers)
            if message_id is not None:
                refused = refused or message_id in ids or self.knows(message_id, now_ns)
                ids.append(message_id)
            if "Nats-Expected-Last-Subject-Sequence" in headers and subject in subjects:
                refused = True
            assert "Nats-Rollup" not in headers and "Nats-Expected-Last-Sequence" not in headers
            subjects.append(subject)
        assert self.config.get("discard") != "new" and not self.config.get("max_age")
        if refused:
            self._advance(op.timestamp_ns)
        else:
            self._publish(op, True)

    def _expected(self, subject: str, headers: dict[str, str]) -> bool:
        last = headers.get("Nats-Expected-Last-Sequence")
        if last is not None and int(last) != self.last:
            return False
        of_subject = headers.get("Nats-Expected-Last-Subject-Sequence")
        return of_subject is None or int(of_subject) == max(self._on(subject), default=0)

    def _is_full(self, subject: str) -> bool:
        most = self.config.get("max_msgs", -1)
        if self.config.get("discard") != "new" or most <= 0:
            return False
        return len(self.messages) >= most

    def _wanted(self, subject: str) -> bool:
        return any(consumer.wants(subject) for consumer in self.consumers.values())

    def _notes_schedule(self, subject: str, headers: dict[str, str]) -> bool:
        """Whether the message being stored is a schedule."""
        self.schedules.pop(subject, None)
        if "Nats-Schedule" in headers:
            self.schedules[subject] = (self.last, 0)
        return "Nats-Schedule" in headers

    def _scheduled(self, op: ScheduledOp) -> None:
        """What a schedule makes, if it still stands."""
        subject = op.subject.decode()
        sequence, due_ns = self.schedules.get(subject, (0, 0))
        if sequence != op.sequence or sequence not in self.messages:
            self._advance(op.timestamp_ns)
            return
        op.batch.timestamp_ns = op.timestamp_ns
        self._publish(op.batch)
        self.fired.append((self.texts[sequence], due_ns, op.timestamp_ns))
        if op.due_ns:
            self.schedules[subject] = (sequence, op.due_ns)
        else:
            del self.schedules[subject]
            self._remove(sequence, PURGED)

    def _sourced(self, op: SourcedOp) -> None:
        """Messages of another stream, if they follow what came from it before."""
        now_ns = self._advance(op.timestamp_ns)
        is_mirror = not op.key
        before = (self.last, op.identity) if is_mirror else self.origins.get(op.key, (0, ""))
        if before != (op.after, op.identity) and (is_mirror or op.after or before[1] == op.identity):
            return
        stored = 0
        for at in range(op.batch.count):
            self.origins[op.key] = (op.sequences[at], op.identity)
            message_id = read_headers(op.batch.headers(at)).get("Nats-Msg-Id")
            if message_id is not None and self.config.get("duplicate_window"):
                if self.knows(message_id, now_ns):
                    continue
                self.ids[message_id] = (self.last + 1, now_ns)
            self.last = op.sequences[at] if is_mirror else self.last + 1
            data = op.batch.headers(at) + op.batch.payload(at)
            self.texts[self.last] = text_of(op.batch, at)
            self.subjects[self.last] = op.batch.subject(at).decode()
            time_ns = op.times[at] if is_mirror else now_ns + stored
            stored += 1
            self.messages[self.last] = Stored(self.subjects[self.last], time_ns, data)
            self.time_ns = max(self.time_ns, time_ns)


def text_of(op: PublishOp, at: int) -> str:
    """Which message of the clients' this is: its payload, or its id where it has none."""
    return op.payload(at).decode() or read_headers(op.headers(at)).get("Nats-Msg-Id", "")
