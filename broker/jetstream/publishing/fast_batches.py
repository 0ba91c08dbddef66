"""Fast batches (ADR-50, fast ingest): a publisher that sends much is told now and then how far it got.

A message belongs to a batch by its reply subject, `<prefix>.<id>.<flow>.<gap mode>.<sequence>.<operation>.$FI`. Every
message is stored on its own; acks are for many of them: `{"type":"ack","seq":n,"msgs":m}` says that everything up to n
is stored, and that the next ack comes after m more. Messages that are missing are told (`gap`); in gap mode `fail` the
batch ends before them, in `ok` it goes on. A commit ends the batch with a PubAck.

In mode `fail` nothing behind a refused message may be stored. Whether a message is refused is known when it is applied,
so behind one that may be (`risky`) the rest of its batch is held until that is known; most messages carry nothing by
which they could be refused.

The state is the leader's alone and ends with its term: a client is told at its next message that its batch is unknown
(10208), and what it was acked is stored; so it is where a message could not be proposed. Silent batches are forgotten
after `IDLE_NS`.

Not here: proposing and sending (`cluster/streams/fast_publishing`). Invariants of a batch: acked <= stored <= seen
sequences; at most one risky message is under way, and what is held came behind it.
"""

import json
from collections import deque
from typing import Final

from mypy_extensions import mypyc_attr

from broker.jetstream.api_errors import (
    FAST_BATCH_ID_INVALID,
    FAST_BATCH_ID_UNKNOWN,
    TOO_MANY_FAST_BATCHES,
    ApiError,
)
from broker.jetstream.deadlines import earlier
from broker.jetstream.durations import SECOND_NS
from broker.jetstream.publishing.batch_quota import BatchQuota

SUFFIX: Final = b".$FI"
IN_FLIGHT_MAX: Final = 1000
IDLE_NS: Final = 10 * SECOND_NS
FLOW_MAX: Final = 500  # messages between two acks
_FLOW_DEFAULT: Final = 10
_FLOW_LIMIT: Final = 0xFFFF
_ID_LENGTH_MAX: Final = 64
_SEQUENCE_MAX: Final = (1 << 64) - 2
_PARTS: Final = 5  # id, flow, gap mode, sequence, operation; any number of tokens may be before them

START: Final = 0
APPEND: Final = 1
COMMIT: Final = 2
COMMIT_BESIDE: Final = 3  # ends the batch, and is not part of it
PING: Final = 4


class FastMessage:
    """What a reply subject says of a message."""

    def __init__(self, reply: bytes, origin: str) -> None:
        self.reply: Final = reply
        self.origin: Final = origin
        self.batch_id: bytes = b""
        self.flow: int = 0
        self.gap_ok: bool = False
        self.sequence: int = 0
        self.operation: int = START

    def commits(self) -> bool:
        """Whether it ends its batch."""
        return self.operation in (COMMIT, COMMIT_BESIDE)


def read_reply(reply: bytes, origin: str) -> FastMessage | None:
    """None: it ends like one of a fast batch, and is none."""
    parts = reply.removesuffix(SUFFIX).split(b".")[-_PARTS:]
    if len(parts) < _PARTS:
        return None
    batch_id, flow, gap, sequence, operation = parts
    if not operation.isdigit() or not sequence.isdigit() or len(sequence) > 20 or gap not in (b"ok", b"fail"):
        return None
    message = FastMessage(reply, origin)
    message.batch_id = batch_id
    message.flow = min(int(flow), _FLOW_LIMIT) if flow.isdigit() and len(flow) < 20 and int(flow) else _FLOW_DEFAULT
    message.gap_ok = gap == b"ok"
    message.sequence = int(sequence)
    message.operation = int(operation) if len(operation) == 1 else PING + 1
    if not 0 < message.sequence <= _SEQUENCE_MAX or message.operation > PING:
        return None
    begins = message.sequence == 1
    if (message.operation == START and not begins) or (message.operation in (APPEND, COMMIT_BESIDE) and begins):
        return None
    return message


class HeldMessage:
    """A message that waits for the fate of one before it."""

    def __init__(self, message: FastMessage, subject: bytes, header_length: int, data: bytes) -> None:
        self.message: Final = message
        self.subject: Final = subject
        self.header_length: Final = header_length
        self.data: Final = data


class FastBatch:
    """One batch."""

    def __init__(self, message: FastMessage, flow: int) -> None:
        self.gap_ok: Final = message.gap_ok
        self.flow_max: Final = message.flow
        self.flow: int = flow  # messages between two acks, now
        self.seen: int = 0  # the highest sequence that came
        self.stored: int = 0  # the highest one whose fate is known
        self.acked: int = 0
        self.stream_sequence: int = 0  # of the message stored last
        self.pending: int = 0  # proposed
        self.ended_by: FastMessage | None = None  # its reply subject gets the PubAck
        self.deadline_ns: int = 0
        self.risky: int = 0  # the message under way that may be refused
        self.held: deque[HeldMessage] = deque()


@mypyc_attr(allow_interpreted_subclasses=True)
class FastOutput:
    """Where answers go."""

    def answer(self, message: FastMessage, payload: bytes) -> None:
        """Send to the message's reply subject."""
        raise NotImplementedError

    def pub_ack(self, message: FastMessage, sequence: int, count: int) -> None:
        """The batch is stored."""
        raise NotImplementedError

    def pub_ack_duplicate(self, message: FastMessage, sequence: int) -> None:
        """The only message of the batch was stored before."""
        raise NotImplementedError

    def refuse(self, message: FastMessage, error: ApiError) -> None:
        """As any other publish that is refused."""
        raise NotImplementedError

    def release(self, held: HeldMessage) -> None:
        """The message need not wait any longer: take it again."""
        raise NotImplementedError


class FastBatches:
    """Those of one stream."""

    def __init__(self, output: FastOutput, quota: BatchQuota) -> None:
        self.held_bytes: int = 0
        self._output: Final = output
        self._quota: Final = quota
        self._batches: dict[bytes, FastBatch] = {}
        self._look_ns: int = 0  # no batch will have been silent for too long before

    def take(
        self, message: FastMessage, risky: bool, subject: bytes, header_length: int, data: bytes, now_ns: int
    ) -> bool:
        """One message; True: propose it, and tell its fate. `risky`: it may be refused."""
        if len(message.batch_id) > _ID_LENGTH_MAX:
            self._output.refuse(message, FAST_BATCH_ID_INVALID)
            return False
        batch = self._batches.get(message.batch_id)
        if batch is None:
            batch = self._begin(message)
            if batch is None:
                return False
        batch.deadline_ns = now_ns + IDLE_NS
        if self._look_ns == 0:
            self._look_ns = batch.deadline_ns
        if batch.risky:
            batch.held.append(HeldMessage(message, subject, header_length, data))
            self.held_bytes += len(subject) + len(data)
            return False
        if message.operation == PING:
            self._ping(batch, message)
            return False
        if batch.ended_by is not None or not self._is_next(batch, message):
            return False
        if message.commits():
            if message.operation == COMMIT_BESIDE:
                batch.seen -= 1
                if batch.pending == 0:
                    batch.stored = batch.seen
            self._end(batch, message)
            if message.operation == COMMIT_BESIDE:
                return False
        elif message.sequence == 1:
            self._tell_flow(batch, message, 0)
        batch.pending += 1
        if risky and not batch.gap_ok:
            batch.risky = message.sequence
        return True

    def _begin(self, message: FastMessage) -> FastBatch | None:
        if message.sequence != 1 or message.operation == PING:
            self._output.refuse(message, FAST_BATCH_ID_UNKNOWN)
            return None
        if len(self._batches) >= IN_FLIGHT_MAX or not self._quota.has_room_for_fast():
            self._output.refuse(message, TOO_MANY_FAST_BATCHES)
            return None
        flow = 1 if self._batches else min(FLOW_MAX, message.flow)
        batch = self._batches[message.batch_id] = FastBatch(message, flow)
        self._quota.fast += 1
        return batch

    def _ping(self, batch: FastBatch, message: FastMessage) -> None:
        """The client wants to know how far it got."""
        if message.sequence > batch.seen:
            self._tell_gap(message, batch.seen + 1, message.sequence + 1)
            if batch.gap_ok:
                batch.seen = message.sequence
                if batch.pending == 0:
                    batch.stored = batch.seen
                if self._check_flow(batch, message):
                    return
            elif self._end(batch, message):
                return
        self._tell_flow(batch, message, batch.acked)

    def _is_next(self, batch: FastBatch, message: FastMessage) -> bool:
        """Whether the message goes on where the batch is; a gap is told."""
        batch.seen += 1
        if batch.seen == message.sequence:
            return True
        self._tell_gap(message, batch.seen, message.sequence)
        if batch.gap_ok and message.sequence > batch.seen:
            batch.seen = message.sequence
            return True
        batch.seen -= 1
        self._end(batch, message)
        return False

    # Fates.

    def stored(self, message: FastMessage, stream_sequence: int) -> None:
        """The message is stored."""
        batch = self._settle(message)
        if batch is None:
            return
        batch.stream_sequence = stream_sequence
        batch.stored = batch.seen if batch.pending == 0 else message.sequence
        if batch.ended_by is None or not self._end(batch, message):
            self._check_flow(batch, message)
        self._release(batch)

    def duplicate(self, message: FastMessage, stream_sequence: int) -> None:
        """The message was stored before: it is passed over."""
        batch = self._settle(message)
        if batch is None:
            return
        if not batch.gap_ok and batch.seen == 1:
            self._output.pub_ack_duplicate(message, stream_sequence)
            self._forget(message.batch_id)
        else:
            if batch.pending == 0:
                batch.stored = batch.seen
            if batch.ended_by is None or not self._end(batch, message):
                self._check_flow(batch, message)
        self._release(batch)

    def refused(self, message: FastMessage, error: ApiError) -> None:
        """The message is not stored."""
        batch = self._settle(message)
        if batch is None:
            return
        if not batch.gap_ok and batch.seen == 1:
            self._output.refuse(message, error)
            self._forget(message.batch_id)
        else:
            fields = {"type": "err", "seq": message.sequence, "error": error.to_json()}
            self._output.answer(message, json.dumps(fields, separators=(",", ":")).encode())
            if batch.gap_ok and not message.commits():
                if batch.pending == 0:
                    batch.stored = batch.seen
            else:
                batch.seen -= 1
                if batch.pending == 0:
                    batch.stored = batch.seen
                self._end(batch, message)
        self._release(batch)

    def abandoned(self, message: FastMessage) -> None:
        """The message could not be proposed though leadership may go on: what comes behind it must not be stored. The
        client is told at its next message that its batch is unknown, as under another leader."""
        batch = self._batches.get(message.batch_id)
        if batch is not None:
            self._drop_held(batch)
            self._forget(message.batch_id)

    def _settle(self, message: FastMessage) -> FastBatch | None:
        batch = self._batches.get(message.batch_id)
        if batch is not None:
            batch.pending -= 1
            if message.sequence == batch.risky:
                batch.risky = 0
        return batch

    def _release(self, batch: FastBatch) -> None:
        """What was held is taken anew, up to the next message that may be refused."""
        if batch.risky:
            return
        held, batch.held = batch.held, deque()
        for one in held:
            self.held_bytes -= len(one.subject) + len(one.data)
            self._output.release(one)

    # Answers.

    def _end(self, batch: FastBatch, message: FastMessage) -> bool:
        """The batch ends; True when all of it is stored, which is told to who ended it: nats.js listens there, and
        nowhere else. Otherwise the last message's fate tells."""
        if batch.ended_by is None:
            batch.ended_by = message
        if batch.seen != batch.stored:
            return False
        self._output.pub_ack(batch.ended_by, batch.stream_sequence, batch.seen)
        self._forget(message.batch_id)
        return True

    def _check_flow(self, batch: FastBatch, message: FastMessage) -> bool:
        """Ack when it is time, and let the steps between acks grow or shrink with the number of batches."""
        if batch.stored < batch.acked + batch.flow:
            return False
        batch.acked += (batch.stored - batch.acked) // batch.flow * batch.flow
        most = min(max(FLOW_MAX // len(self._batches), 1), batch.flow_max)
        if batch.flow < most:
            batch.flow = min(batch.flow * 2, most)
        elif batch.flow > most:
            batch.flow = max(batch.flow // 2, most)
        self._tell_flow(batch, message, batch.acked)
        return True

    def _tell_flow(self, batch: FastBatch, message: FastMessage, sequence: int) -> None:
        self._output.answer(message, b'{"type":"ack","seq":%d,"msgs":%d}' % (sequence, batch.flow))

    def _tell_gap(self, message: FastMessage, expected: int, sequence: int) -> None:
        self._output.answer(message, b'{"type":"gap","last_seq":%d,"seq":%d}' % (expected, sequence))

    def _drop_held(self, batch: FastBatch) -> None:
        for held in batch.held:
            self.held_bytes -= len(held.subject) + len(held.data)
        batch.held = deque()

    def _forget(self, batch_id: bytes) -> None:
        if self._batches.pop(batch_id, None) is not None:
            self._quota.fast -= 1

    # Time.

    def next_deadline_ns(self) -> int:
        """When `expire` is to be called; 0 = never."""
        return self._look_ns

    def expire(self, now_ns: int) -> None:
        """Forget batches that were silent for too long."""
        for batch_id in [one for one in self._batches if self._batches[one].deadline_ns <= now_ns]:
            self._drop_held(self._batches[batch_id])
            self._forget(batch_id)
        self._look_ns = 0
        for batch in self._batches.values():
            self._look_ns = earlier(self._look_ns, batch.deadline_ns)

    def clear(self) -> None:
        """Another node leads."""
        for batch_id in list(self._batches):
            self._forget(batch_id)
        self.held_bytes = 0
        self._look_ns = 0
