"""The Raft group of one stream: publishes in, machine in the middle, acknowledgements and deliveries out.

On every replica `apply` feeds committed operations to the stream machine. Only the leader has a publish queue, waiters
and a `Delivery`; all three are rebuilt or dropped when leadership changes.

Not here: consensus (`group`, `raft`), what an operation does (`jetstream.stream`), who may ask (`dispatch`).
"""

import random
from typing import Final

from broker.cluster.groups.group import RaftGroup, Waiter
from broker.cluster.groups.group_store import GroupSnapshot
from broker.cluster.links.answers import Answers
from broker.cluster.meta.assignment import Assignment
from broker.cluster.repair.catch_up import decode_parcel, parcel_snapshot
from broker.cluster.streams.dead_letter_stores import DeadLetterStores, PairFlush
from broker.cluster.streams.fast_publishing import FastPublishing
from broker.cluster.streams.origin_reads import OriginReads
from broker.cluster.streams.publishing import BatchWaiter, PublishQueue
from broker.cluster.streams.stream_leader import (
    DeadLetterListener,
    LeaderSink,
    OutcomeWaiter,
    PushWatcher,
    StreamOutput,
)
from broker.cluster.turn_clock import TurnClock
from broker.core.router import Router
from broker.jetstream.advisories import (
    batch_abandoned,
    consumer_action,
    consumer_elected_subject,
    render,
    stream_action,
)
from broker.jetstream.api_errors import CLUSTER_NOT_AVAIL, STORE_FAILED, STREAM_TOO_MANY_REQUESTS
from broker.jetstream.api_types import pub_ack_error
from broker.jetstream.config.stream_config import PERSIST_ASYNC
from broker.jetstream.deadlines import earlier
from broker.jetstream.delivery.delivery import Delivery
from broker.jetstream.delivery.delivery_output import OpWaiter
from broker.jetstream.ops import (
    OP_ATOMIC_PUBLISH,
    OP_EXPIRE,
    OP_PUBLISH,
    OP_SCHEDULED,
    SLOT_OWN,
    encode_expire,
    frame_op,
    split_ops,
)
from broker.jetstream.publishing.admission import admit
from broker.jetstream.publishing.atomic_batches import BATCH_ID, AtomicBatches
from broker.jetstream.publishing.batch_quota import BatchQuota
from broker.jetstream.publishing.fast_batches import SUFFIX as FAST_BATCH
from broker.jetstream.publishing.publish_headers import header_value
from broker.jetstream.schedules.schedule_clock import ScheduleClock
from broker.jetstream.stream import StreamMachine
from raft.node import RaftNode
from raft.types import NO_PEER, Entry, Snapshot
from storage.errors import StorageError
from storage.flush import FlushJob
from storage.group_log import GroupLog
from storage.memory import MemoryStreamStore
from storage.stream_store import FileStreamStore

NO_SPACE: Final = "no space left on device"
EXPIRE_INTERVAL_NS: Final = 200_000_000
EXPIRY_LOOK_NS: Final = 10_000_000_000
HAND_OVER_LOOK_NS: Final = 20_000_000  # whether a hand-over has come to nothing
PENDING_BYTES_MAX: Final = 128 * 1024 * 1024  # NATS's bound of a stream's ingest queue
REPLY_NS: Final = 5_000_000_000  # clients ask again after so long


class StreamGroup(RaftGroup):
    """One stream on this node."""

    def __init__(
        self,
        assignment: Assignment,
        raft: RaftNode,
        log: GroupLog,
        machine: StreamMachine,
        store: FileStreamStore | MemoryStreamStore,
        stores: DeadLetterStores,
        answers: Answers,
        router: Router,
        clock: TurnClock,
        rng: random.Random,
        dead_letters: DeadLetterListener,
        quota: BatchQuota,
    ) -> None:
        super().__init__(assignment.group, raft, log)
        self.assignment = assignment
        self.machine: Final = machine
        self.store: Final = store
        self.answers: Final = answers
        self.clock: Final = clock
        self.delivery: Final = Delivery(machine, StreamOutput(self, router), rng)
        self.queue: PublishQueue = PublishQueue(machine.config.name, answers, CLUSTER_NOT_AVAIL)
        self.batch_quota: Final = quota
        self.fast: Final = FastPublishing(self, quota)
        self._batches: Final = AtomicBatches(quota)
        self.schedules: Final = ScheduleClock(machine)
        self.reads: Final = OriginReads(self)
        self.watcher: Final = PushWatcher(self, router)
        self.sink: Final = LeaderSink(self)
        self.router: Final = router
        self.rng: Final = rng
        self.slot: int = SLOT_OWN
        self.stores: Final = stores
        self.dead_letters: Final = dead_letters
        self.beside: StreamGroup | None = None  # the dead-letter stream in this group (`hosted_stream`)
        self._expire_at_ns: int = 0
        self.since: int = assignment.moved_index  # it did not begin on this node before that entry of the meta group
        self.revision: int = assignment.revision  # of the assignment that was acted upon last
        self.reply_due: bool = False  # somebody waits for an answer to the last change
        self._reply_until_ns: int = 0
        self.elected_term: int = 0  # of which this node told that it leads (`elections`)
        self.untold_consumers: list[str] = []

    # The leader's publishes.

    def publish(self, subject: bytes, reply: bytes, header_length: int, data: bytes, origin: str) -> None:
        """A message for this stream; this node leads."""
        if self.machine.config.no_ack:
            reply = b""
        mapping = self.machine.mapping
        original = subject
        if mapping is not None:
            subject = mapping.stored_subject(subject, self.clock.wall_ns + self.queue.batch.count)
        error = admit(self.machine, subject, header_length, data)
        if error is None and self.pending_bytes() > PENDING_BYTES_MAX:
            error = STREAM_TOO_MANY_REQUESTS
        if self.disk_full:
            error = STORE_FAILED.of(err=NO_SPACE)
        if error is not None:
            if reply:
                ack = pub_ack_error(self.machine.config.name, error)
                self.answers.send(origin, reply, b"", b"", 0, ack)
            return
        if reply.endswith(FAST_BATCH):
            if self.fast.publish(subject, original, reply, header_length, data, origin):
                self._seal()
            self.touch()
            return
        if header_length and self.machine.config.allow_atomic:
            batch_id = header_value(data[:header_length], BATCH_ID)
            if batch_id:
                self._publish_in_batch(batch_id, subject, reply, header_length, data, origin)
                return
        if self.queue.add(subject, reply, header_length, data, origin):
            self._seal()
        if not self.dirty:
            self.touch()

    def _publish_in_batch(
        self, batch_id: bytes, subject: bytes, reply: bytes, header_length: int, data: bytes, origin: str
    ) -> None:
        """A message of an atomic batch: it waits here until the batch is committed."""
        batches = self._batches
        stream = self.machine.config.name
        error = batches.take(batch_id, subject, header_length, data, self.clock.now_ns)
        committed = batches.committed
        batches.committed = None
        self._tell_abandoned()
        if committed is not None:
            self._seal()
            body = committed.encode(self.clock.wall_ns)
            waiter = BatchWaiter(stream, self.answers, CLUSTER_NOT_AVAIL, batch_id, committed.count)
            waiter.replies.append(reply)
            waiter.origins.append(origin)
            self.add_op(frame_op(OP_ATOMIC_PUBLISH, body, self.slot), waiter, True)
        elif reply:
            answer = b"" if error is None else pub_ack_error(stream, error)
            self.answers.send(origin, reply, b"", b"", 0, answer)
        self.touch()

    def _tell_abandoned(self) -> None:
        abandoned, self._batches.abandoned = self._batches.abandoned, []
        for batch_id, reason in abandoned:
            subject, fields = batch_abandoned(self.machine.config.name, batch_id, reason)
            self.advise(subject, fields)

    def pending_bytes(self) -> int:
        """What publishes on their way here weigh."""
        waiting = self._batches.bytes + self.fast.batches.held_bytes
        return self.raft.uncommitted_bytes + self.ops_bytes + self.queue.batch.bytes + waiting

    def _seal(self) -> None:
        if self.queue.batch.count:
            body, waiter = self.queue.take(self.clock.wall_ns)
            self.add_op(frame_op(OP_PUBLISH, body, self.slot), waiter, True)

    def propose(self, kind: int, body: bytes, waiter: OpWaiter | None, urgent: bool) -> None:
        """Any other operation, behind the publishes that came before it."""
        self._seal()
        self.add_op(frame_op(kind, body, self.slot), None if waiter is None else OutcomeWaiter(waiter), urgent)

    def next_deadline_ns(self, now_ns: int) -> int:
        """A consumer waits for a time, or messages and ids grow too old."""
        if not self.is_leader:
            return 0
        if self.raft.transferee != NO_PEER:
            return now_ns + HAND_OVER_LOOK_NS
        deadline_ns = earlier(self.delivery.next_deadline_ns(), self._batches.next_deadline_ns())
        deadline_ns = earlier(deadline_ns, self.fast.batches.next_deadline_ns())
        deadline_ns = earlier(deadline_ns, self.reads.next_deadline_ns())
        expiry_ns = earlier(self.machine.next_expiry_ns(), self.schedules.next_due_ns(self.clock.wall_ns))
        if expiry_ns:
            # By the calendar, which may be set anew meanwhile.
            due_ns = max(now_ns + min(max(expiry_ns - self.clock.wall_ns, 1), EXPIRY_LOOK_NS), self._expire_at_ns)
            if deadline_ns == 0 or due_ns < deadline_ns:
                deadline_ns = due_ns
        if self.beside is not None:
            due_ns = self.beside.next_deadline_ns(now_ns)
            if deadline_ns == 0 or 0 < due_ns < deadline_ns:
                return due_ns
        return deadline_ns

    def before_propose(self, now_ns: int) -> None:
        # While leadership is handed over nothing can be proposed, so nothing is done that would have to be.
        if self.is_leader and self.raft.transferee == NO_PEER:
            delivery = self.delivery
            if delivery.dirty or 0 < delivery.next_deadline_ns() <= now_ns:
                if delivery.pump(now_ns, self.clock.wall_ns):
                    self.touch()
            if 0 < self.fast.batches.next_deadline_ns() <= now_ns:
                self.fast.batches.expire(now_ns)
            if 0 < self._batches.next_deadline_ns() <= now_ns:
                self._batches.expire(now_ns)
                self._tell_abandoned()
            self.reads.pump(now_ns)
            if self.machine.schedules.entries or self.machine.schedules.changed:
                for body, waiter in self.schedules.take_due(self.clock.wall_ns):
                    self.propose(OP_SCHEDULED, body, waiter, True)
            if now_ns >= self._expire_at_ns and self.machine.expiry_due(self.clock.wall_ns):
                self._expire_at_ns = now_ns + EXPIRE_INTERVAL_NS
                self.propose(OP_EXPIRE, encode_expire(self.clock.wall_ns), None, False)
        self._seal()
        if self.beside is not None:
            self.beside.before_propose(now_ns)

    # Entries.

    def apply(self, entry: Entry, waiters: list[Waiter | None] | None) -> None:
        sink = self.sink
        beside = self.beside
        sink.waiters = waiters
        if beside is not None:
            beside.sink.waiters = waiters
        for ordinal, (slot, kind, body) in enumerate(split_ops(entry.data)):
            self.machine.apply_slot(slot, kind, body, ordinal, sink)
            if waiters is not None:
                waiter = waiters[ordinal]
                if isinstance(waiter, OutcomeWaiter):
                    waiter.applied(None)
        sink.waiters = None
        if beside is not None:
            beside.sink.waiters = None
            if beside.delivery.dirty or beside.reads.due:
                self.touch()
        if self.is_leader and (self.delivery.dirty or self.reads.due):
            self.touch()

    def is_current(self) -> bool:
        """Whether the log knows of the latest assignment. Only then does the group follow it in who is a member: a
        leader that is behind must not lead it back."""
        assignment = self.assignment
        told = self.machine.config_revision
        return assignment.revision == told or (told < assignment.revision == assignment.created_revision)

    def owe_reply(self) -> None:
        """The assignment changed: whoever leads answers. The other replicas cannot know that it was done, and must not
        do it again when they lead long after."""
        self.reply_due = True
        self._reply_until_ns = self.clock.now_ns + REPLY_NS

    def owes_reply(self) -> bool:
        """Whether somebody may still wait; a restore is begun whenever it is."""
        in_time = self.clock.now_ns < self._reply_until_ns or self.assignment.restoring
        return self.reply_due and in_time and bool(self.assignment.reply)

    def tell_deleted(self) -> None:
        """The stream is gone, and with it its consumers."""
        name = self.machine.config.name
        for consumer in self.machine.consumers:
            self.advise(*consumer_action(name, consumer, "delete"))
        self.advise(*stream_action(name, "delete"))

    def may_lose_its_end(self) -> bool:
        """`persist_mode: async`. As long as nobody else counts on this replica's promises, which are always synced."""
        return self.machine.config.persist_mode == PERSIST_ASYNC and len(self.membership().peers()) == 1

    def tell_leader_of(self, consumer: str) -> None:
        """A new consumer is led by who leads the stream: said where somebody listens."""
        subject = consumer_elected_subject(self.machine.config.name, consumer).encode()
        if len(self.membership().voters) > 1 and self.router.has_interest(subject):
            self.untold_consumers.append(consumer)
            self.leader_changes.append(self.id)

    def advise(self, subject: str, fields: dict[str, object]) -> None:
        """Publish an advisory, if anybody listens."""
        inbox = subject.encode()
        if self.router.has_interest(inbox, b""):
            body = render(fields, self.rng, self.clock.wall_ns, self.answers.domain)
            self.router.deliver(inbox, inbox, b"", 0, body)

    def became_leader(self) -> None:
        self.delivery.become_leader()
        self.schedules.become_leader()
        self.watcher.follow()
        self.touch()
        if self.beside is not None:
            self.beside.is_leader = True
            self.beside.became_leader()

    def lost_leadership(self) -> None:
        batch_waiter = self.queue.waiter
        self.queue = PublishQueue(self.machine.config.name, self.answers, CLUSTER_NOT_AVAIL)
        batch_waiter.abandoned()
        self._batches.clear()
        self.fast.batches.clear()
        self.delivery.resign()
        self.reads.drop()
        self.watcher.follow()
        if self.beside is not None:
            self.beside.is_leader = False
            self.beside.lost_leadership()

    # Snapshots.

    def state(self) -> bytes:
        return self.machine.snapshot()

    def about(self) -> bytes:
        return self.assignment.encode(self.since)

    def raft_snapshot(self) -> Snapshot | None:
        found = parcel_snapshot(self)
        if found is None:
            self.checkpoint_wanted = True
        return found

    def title(self) -> str:
        return self.machine.config.name

    def message_store(self) -> FileStreamStore | MemoryStreamStore:
        return self.store

    def dead_letter_stores(self) -> DeadLetterStores:
        return self.stores

    def begin_flush(self) -> FlushJob | None:
        store = self.store
        return self.stores.begin_flush(store.begin_flush() if isinstance(store, FileStreamStore) else None)

    def checkpoint_done(self, flush: FlushJob | None, snapshot: GroupSnapshot) -> None:
        pair = flush if isinstance(flush, PairFlush) else None
        self.stores.checkpoint_done(pair)
        store = self.store
        if isinstance(store, FileStreamStore):
            own = flush if pair is None else pair.own
            if own is not None:
                store.flush_done(own)
            store.snapshot_durable()
        self.checkpoint = snapshot

    def flush_failed(self, flush: FlushJob | None, error: StorageError) -> None:
        pair = flush if isinstance(flush, PairFlush) else None
        if pair is not None:
            self.stores.flush_failed(pair, error)
        store = self.store
        own = flush if pair is None else pair.own
        if own is not None and isinstance(store, FileStreamStore):
            store.flush_failed(own, error)

    def restore(self, snapshot: Snapshot) -> None:
        self.installed_message = None
        self.machine.restore(decode_parcel(snapshot.data).snapshot.machine)
        self.dead_letters.changed(self)  # it came, or went, with the snapshot
