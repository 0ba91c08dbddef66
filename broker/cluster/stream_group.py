"""The Raft group of one stream: publishes in, machine in the middle, acknowledgements and deliveries out.

On every replica `apply` feeds committed operations to the stream machine. Only the leader has a publish queue, waiters
and a `Delivery`; all three are rebuilt or dropped when leadership changes.

Not here: consensus (`group`, `raft`), what an operation does (`jetstream.stream`), who may ask (`dispatch`).
"""

import random
from typing import Final

from broker.cluster.answers import LOCAL, Answers
from broker.cluster.catch_up import decode_parcel, parcel_snapshot
from broker.cluster.group import RaftGroup, Waiter
from broker.cluster.group_store import GroupSnapshot
from broker.cluster.meta import Assignment
from broker.cluster.publishing import PublishQueue, PublishWaiter
from broker.cluster.turn_clock import TurnClock
from broker.core.router import InterestWatcher, Router
from broker.jetstream.admission import admit
from broker.jetstream.advisories import render
from broker.jetstream.api_errors import CLUSTER_NOT_AVAIL, STREAM_TOO_MANY_REQUESTS, ApiError
from broker.jetstream.api_types import pub_ack_error
from broker.jetstream.consumer import Consumer
from broker.jetstream.delivery import Delivery
from broker.jetstream.delivery_output import DeliveryOutput, OpWaiter
from broker.jetstream.effects import EffectSink
from broker.jetstream.ops import OP_EXPIRE, OP_PUBLISH, encode_expire, frame_op, split_ops
from broker.jetstream.stream import StreamMachine
from raft.node import RaftNode
from raft.types import Entry, Snapshot
from storage.errors import StorageError
from storage.flush import FlushJob
from storage.group_log import GroupLog
from storage.memory import MemoryStreamStore
from storage.stream_store import FileStreamStore

EXPIRE_INTERVAL_NS: Final = 200_000_000
EXPIRY_LOOK_NS: Final = 10_000_000_000
PENDING_BYTES_MAX: Final = 128 * 1024 * 1024  # NATS's bound of a stream's ingest queue


class OutcomeWaiter(Waiter):
    """Passes the outcome of an operation on to a consumer's leader side."""

    def __init__(self, waiter: OpWaiter) -> None:
        self.waiter: Final = waiter

    def applied(self, result: object) -> None:
        """The operation was applied here."""
        self.waiter.applied(result)

    def abandoned(self) -> None:
        self.waiter.abandoned()


class LeaderSink(EffectSink):
    """Effects of the entry being applied, performed because this node proposed it."""

    def __init__(self, group: "StreamGroup") -> None:
        super().__init__()
        self._group: Final = group
        self.waiters: list[Waiter | None] | None = None

    def published(self, ordinal: int, first: int, count: int, first_sequence: int) -> None:
        waiter = self._publish_waiter(ordinal)
        if waiter is not None:
            waiter.acknowledge(first, count, first_sequence)

    def duplicate(self, ordinal: int, position: int, sequence: int) -> None:
        waiter = self._publish_waiter(ordinal)
        if waiter is not None:
            waiter.duplicate(position, sequence)

    def refused(self, ordinal: int, position: int, error: ApiError) -> None:
        waiter = self._publish_waiter(ordinal)
        if waiter is not None:
            waiter.refuse(position, error)

    def done(self, ordinal: int, result: object) -> None:
        if self.waiters is not None:
            waiter = self.waiters[ordinal]
            if isinstance(waiter, OutcomeWaiter):
                self.waiters[ordinal] = None
                waiter.applied(result)

    def stored(self, first_sequence: int, last_sequence: int) -> None:
        if self._group.was_leader:
            self._group.delivery.stored()

    def removed(self, sequence: int) -> None:
        if self._group.was_leader:
            self._group.delivery.removed(sequence)

    def consumer_created(self, consumer: Consumer) -> None:
        if self._group.was_leader:
            self._group.delivery.consumer_created(consumer)
            self._group.watcher.follow()

    def consumer_deleted(self, consumer: Consumer) -> None:
        if self._group.was_leader:
            self._group.delivery.consumer_deleted(consumer)
            self._group.watcher.follow()

    def advisory(self, subject: str, fields: dict[str, object]) -> None:
        if self._group.was_leader:
            self._group.advise(subject, fields)

    def _publish_waiter(self, ordinal: int) -> PublishWaiter | None:
        if self.waiters is None:
            return None
        waiter = self.waiters[ordinal]
        return waiter if isinstance(waiter, PublishWaiter) else None


class PushWatcher(InterestWatcher):
    """Hears when somebody subscribes to, or leaves, the deliver subject of a push consumer."""

    def __init__(self, group: "StreamGroup", router: Router) -> None:
        self._group: Final = group
        self._router: Final = router
        self._watched: dict[bytes, bool] = {}

    def interest_changed(self, subject: bytes) -> None:
        self._group.delivery.interest_changed(subject)
        self._group.touch()

    def follow(self) -> None:
        """Watch exactly the deliver subjects there are."""
        wanted = {subject: True for subject, names in self._group.delivery.pushes.items() if names}
        for subject in self._watched:
            if subject not in wanted:
                self._router.unwatch(subject, self)
        for subject in wanted:
            if subject not in self._watched:
                self._router.watch(subject, self)
        self._watched = wanted


class StreamGroup(RaftGroup):
    """One stream on this node."""

    def __init__(
        self,
        assignment: Assignment,
        raft: RaftNode,
        log: GroupLog,
        machine: StreamMachine,
        store: FileStreamStore | MemoryStreamStore,
        answers: Answers,
        router: Router,
        clock: TurnClock,
        rng: random.Random,
    ) -> None:
        super().__init__(assignment.group, raft, log)
        self.assignment = assignment
        self.machine: Final = machine
        self.store: Final = store
        self.answers: Final = answers
        self.clock: Final = clock
        self.delivery: Final = Delivery(machine, StreamOutput(self, router), rng)
        self._queue: PublishQueue = PublishQueue(machine.config.name, answers, CLUSTER_NOT_AVAIL)
        self.watcher: Final = PushWatcher(self, router)
        self._sink: Final = LeaderSink(self)
        self._router: Final = router
        self._rng: Final = rng
        self._expire_at_ns: int = 0
        self.revision: int = assignment.revision  # of the assignment that was acted upon last
        self.reply_due: bool = False

    # The leader's publishes.

    def publish(self, subject: bytes, reply: bytes, header_length: int, data: bytes, origin: str) -> None:
        """A message for this stream; this node leads."""
        error = admit(self.machine, subject, header_length, data)
        if error is None and self._pending_bytes() > PENDING_BYTES_MAX:
            error = STREAM_TOO_MANY_REQUESTS
        if error is not None:
            if reply:
                ack = pub_ack_error(self.machine.config.name, error)
                self.answers.send(origin, reply, b"", b"", 0, ack)
            return
        if self._queue.add(subject, reply, header_length, data, origin):
            self._seal()
        if not self.dirty:
            self.touch()

    def _pending_bytes(self) -> int:
        return self.raft.uncommitted_bytes + self.ops_bytes + self._queue.batch.bytes

    def _seal(self) -> None:
        if self._queue.batch.count:
            body, waiter = self._queue.take(self.clock.wall_ns)
            self.add_op(frame_op(OP_PUBLISH, body), waiter, True)

    def propose(self, kind: int, body: bytes, waiter: OpWaiter | None, urgent: bool) -> None:
        """Any other operation, behind the publishes that came before it."""
        self._seal()
        self.add_op(frame_op(kind, body), None if waiter is None else OutcomeWaiter(waiter), urgent)

    def next_deadline_ns(self, now_ns: int) -> int:
        """A consumer waits for a time, or messages and ids grow too old."""
        if not self.was_leader:
            return 0
        deadline_ns = self.delivery.next_deadline_ns()
        expiry_ns = self.machine.next_expiry_ns()
        if expiry_ns:
            # By the calendar, which may be set anew meanwhile.
            due_ns = max(now_ns + min(expiry_ns - self.clock.wall_ns, EXPIRY_LOOK_NS), self._expire_at_ns)
            if deadline_ns == 0 or due_ns < deadline_ns:
                return due_ns
        return deadline_ns

    def before_propose(self, now_ns: int) -> None:
        if self.was_leader:
            delivery = self.delivery
            if delivery.dirty or 0 < delivery.next_deadline_ns() <= now_ns:
                if delivery.pump(now_ns, self.clock.wall_ns):
                    self.touch()
            if now_ns >= self._expire_at_ns and self.machine.expiry_due(self.clock.wall_ns):
                self._expire_at_ns = now_ns + EXPIRE_INTERVAL_NS
                self.propose(OP_EXPIRE, encode_expire(self.clock.wall_ns), None, False)
        self._seal()

    # Entries.

    def apply(self, entry: Entry, waiters: list[Waiter | None] | None) -> None:
        sink = self._sink
        sink.waiters = waiters
        for ordinal, (kind, body) in enumerate(split_ops(entry.data)):
            self.machine.apply(kind, body, ordinal, sink)
            if waiters is not None:
                waiter = waiters[ordinal]
                if isinstance(waiter, OutcomeWaiter):
                    waiter.applied(None)
        sink.waiters = None
        if self.was_leader and self.delivery.dirty:
            self.touch()

    def advise(self, subject: str, fields: dict[str, object]) -> None:
        """Publish an advisory, if anybody listens."""
        inbox = subject.encode()
        if self._router.has_interest(inbox, b""):
            body = render(fields, self._rng, self.clock.wall_ns)
            self._router.deliver(inbox, inbox, b"", 0, body)

    def became_leader(self) -> None:
        self.delivery.become_leader()
        self.watcher.follow()
        self.touch()

    def lost_leadership(self) -> None:
        batch_waiter = self._queue.waiter
        self._queue = PublishQueue(self.machine.config.name, self.answers, CLUSTER_NOT_AVAIL)
        batch_waiter.abandoned()
        self.delivery.resign()
        self.watcher.follow()

    # Snapshots.

    def snapshot(self) -> GroupSnapshot:
        """The state at the applied index."""
        applied = self.raft.applied
        return GroupSnapshot(
            self.id,
            applied,
            self.raft.log.term(applied),
            self.raft.membership_at(applied),
            self.assignment.encode(),
            self.machine.snapshot(),
        )

    def raft_snapshot(self) -> Snapshot | None:
        found = parcel_snapshot(self)
        if found is None:
            self.checkpoint_wanted = True
        return found

    def title(self) -> str:
        return self.machine.config.name

    def message_store(self) -> FileStreamStore | MemoryStreamStore:
        return self.store

    def begin_flush(self) -> FlushJob | None:
        store = self.store
        return store.begin_flush() if isinstance(store, FileStreamStore) else None

    def checkpoint_done(self, flush: FlushJob | None, snapshot: GroupSnapshot) -> None:
        store = self.store
        if isinstance(store, FileStreamStore):
            if flush is not None:
                store.flush_done(flush)
            store.snapshot_durable()
        self.checkpoint = snapshot

    def flush_failed(self, flush: FlushJob | None, error: StorageError) -> None:
        store = self.store
        if flush is not None and isinstance(store, FileStreamStore):
            store.flush_failed(flush, error)

    def restore(self, snapshot: Snapshot) -> None:
        self.installed_message = None
        self.machine.restore(decode_parcel(snapshot.data).snapshot.machine)


class StreamOutput(DeliveryOutput):
    """The world as the consumers of one stream see it."""

    def __init__(self, group: StreamGroup, router: Router) -> None:
        self._group: Final = group
        self._router: Final = router

    def send(self, origin: str, inbox: bytes, subject: bytes, reply: bytes, header_length: int, data: bytes) -> None:
        if origin == LOCAL:
            self._router.deliver(inbox, subject, reply, header_length, data)
        else:
            self._group.answers.send(origin, inbox, subject, reply, header_length, data)

    def propose(self, kind: int, body: bytes, urgent: bool, waiter: OpWaiter) -> None:
        self._group.propose(kind, body, waiter, urgent)

    def has_interest(self, inbox: bytes, queue: bytes) -> bool:
        return self._router.has_interest(inbox, queue)
