"""A stream: the machine that every replica runs over the same log. `apply` takes one operation; effects say what came
of it.

Read next: `publish` (how messages get in), `retention` (how they go), `consumer_apply` (consumers), `ops` (the bytes).
Not here: consensus, who may ask (`api_*`), early refusals (`admission`), deliveries (`delivery`).

Invariants: same operations, same state, on every replica; no clock: time is what the leader stamped, made to never go
back.
"""

import json
from typing import Any, Final

import cbor2

from broker.jetstream.aging import age, next_max_age_ns
from broker.jetstream.api_errors import (
    MESSAGE_DELETE_FAILED,
    PURGE_FAILED,
    SEQUENCE_NOT_FOUND,
    STREAM_NOT_FOUND,
    STREAM_SEALED,
)
from broker.jetstream.backups.restore_apply import apply_restore
from broker.jetstream.config.source_config import sources_of
from broker.jetstream.config.stream_config import RETENTION_INTEREST, RETENTION_LIMITS, StreamConfig
from broker.jetstream.consumers.consumer import Consumer
from broker.jetstream.consumers.consumer_apply import apply_consumer_op
from broker.jetstream.consumers.consumer_bytes import ConsumerBytes, decode_consumer
from broker.jetstream.consumers.dead_letter import decode_stream, decode_stream_end
from broker.jetstream.consumers.dead_letter_apply import apply_dead_letters, has_waiting, settle_waiting
from broker.jetstream.effects import EffectSink
from broker.jetstream.ops import (
    OP_ATOMIC_PUBLISH,
    OP_CONSUMER_CREATE,
    OP_DEAD_LETTERS,
    OP_DEAD_STREAM,
    OP_DEAD_STREAM_END,
    OP_EXPIRE,
    OP_MESSAGE_DELETE,
    OP_PUBLISH,
    OP_PURGE,
    OP_RESTORE,
    OP_SCHEDULED,
    OP_SOURCED,
    OP_STREAM_CONFIG,
    SLOT_OWN,
    PublishOp,
    PurgeOp,
    decode_config,
    decode_delete,
    decode_purge,
    op_time,
)
from broker.jetstream.publishing.publish import apply_publish
from broker.jetstream.publishing.publish_atomic import apply_atomic
from broker.jetstream.retention import (
    delete_message,
    drop_unneeded,
    enforce_limits,
    enforce_subject_limits,
    is_needed,
    purge,
)
from broker.jetstream.schedules.schedule_apply import apply_scheduled
from broker.jetstream.sources.sourced_apply import apply_sourced
from broker.jetstream.store import SEQUENCE_MAX, MessageStore, StoreMaker
from broker.jetstream.stream_state import StreamState

SNAPSHOT_VERSION: Final = 2
READABLE_VERSIONS: Final = (1, 2)


class StreamMachine(StreamState):
    """See the module's text. The store is empty, or as of the snapshot that `restore` is given next."""

    def __init__(self, config: StreamConfig, store: MessageStore, created_ns: int) -> None:
        super().__init__(config, store, created_ns)
        self.stores: StoreMaker | None = None  # given before anything is restored or applied
        self.dead: StreamMachine | None = None
        self.dead_group: int = 0
        self._consumer_bytes: Final = ConsumerBytes()
        if config.first_sequence > 1 and store.last_sequence == 0:
            store.skip_to(min(config.first_sequence, SEQUENCE_MAX) - 1)

    def apply_slot(self, slot: int, kind: int, body: bytes, ordinal: int, sink: EffectSink) -> None:
        """`apply`, to the stream that `slot` says."""
        if slot == SLOT_OWN:
            self.apply(kind, body, ordinal, sink)
        else:
            self._apply_to_dead(kind, body, ordinal, sink)

    def apply(self, kind: int, body: bytes, ordinal: int, sink: EffectSink) -> None:
        """One committed operation. Raises MalformedOp on bytes that no leader of this version wrote."""
        if kind == OP_PUBLISH:
            apply_publish(self, PublishOp(body), ordinal, sink)
        elif kind == OP_ATOMIC_PUBLISH:
            apply_atomic(self, PublishOp(body), ordinal, sink)
        elif kind == OP_SOURCED:
            sink.done(ordinal, apply_sourced(self, body, ordinal, sink))
        elif kind == OP_RESTORE:
            apply_restore(self, body, sink)
            sink.done(ordinal, None)
        elif kind == OP_SCHEDULED:
            sink.done(ordinal, apply_scheduled(self, body, ordinal, sink))
        elif kind >= OP_CONSUMER_CREATE:
            apply_consumer_op(self, kind, body, ordinal, sink)
        else:
            self._age(self.advance(op_time(body)), sink)
            if kind == OP_EXPIRE:
                sink.done(ordinal, None)
            elif kind == OP_PURGE:
                sink.done(ordinal, self._purge(decode_purge(body), sink))
            elif kind == OP_MESSAGE_DELETE:
                sink.done(ordinal, self._delete(decode_delete(body), sink))
            elif OP_DEAD_LETTERS <= kind <= OP_DEAD_STREAM_END:
                self._apply_dead(kind, body, sink)
                sink.done(ordinal, None)
            else:
                assert kind == OP_STREAM_CONFIG, f"operation {kind}: written by a newer version?"
                revision, config_json = decode_config(body)
                if revision >= self.config_revision:  # a leader may be behind what the stream was told before
                    self._reconfigure(revision, config_json, sink)
                sink.done(ordinal, None)

    def _age(self, now_ns: int, sink: EffectSink) -> None:
        age(self, now_ns, sink)
        self.dedupe.expire(now_ns)

    def next_expiry_ns(self) -> int:
        """When the leader should propose an OP_EXPIRE: something will be too old; 0 = never."""
        next_ns = next_max_age_ns(self)
        for due_ns in (self.ttl.next_ns, self.dedupe.next_expiry_ns()):
            if due_ns and (next_ns == 0 or due_ns < next_ns):
                next_ns = due_ns
        return next_ns

    def expiry_due(self, wall_ns: int) -> bool:
        """Whether something is too old."""
        return 0 < self.next_expiry_ns() <= wall_ns

    # Operations.

    def _purge(self, op: PurgeOp, sink: EffectSink) -> object:
        """The number of messages purged, or the error."""
        if self.config.sealed:
            return STREAM_SEALED
        if self.config.deny_purge:
            return PURGE_FAILED.of(err="stream purge not permitted")
        return purge(self, op, sink)

    def _delete(self, sequence: int, sink: EffectSink) -> object:
        """True, or the error."""
        if self.config.sealed:
            return STREAM_SEALED
        if self.config.deny_delete:
            return MESSAGE_DELETE_FAILED.of(err="message delete not permitted")
        return True if delete_message(self, sequence, sink) else SEQUENCE_NOT_FOUND.of(seq=sequence)

    def _reconfigure(self, revision: int, config_json: bytes, sink: EffectSink) -> None:
        self.config_revision = revision
        config = StreamConfig.from_json(json.loads(config_json))
        assert isinstance(config, StreamConfig), config
        before = self.config
        self.set_config(config)
        self.dedupe.window_ns = config.duplicate_window_ns
        self.sources.keep([source.key for source in sources_of(config)])
        self.aged_sequence = 0
        self._age(self.advance(self.last_time_ns), sink)
        if config.max_msgs_per_subject > 0 and config.max_msgs_per_subject != before.max_msgs_per_subject:
            enforce_subject_limits(self, sink)
        enforce_limits(self)
        for consumer in self.consumers.values():
            consumer.limit_replicas(config.num_replicas)
        if config.retention == RETENTION_INTEREST and before.retention != RETENTION_INTEREST:
            drop_unneeded(self, None)
        sink.config_changed()

    # The dead-letter stream.

    def _apply_dead(self, kind: int, body: bytes, sink: EffectSink) -> None:
        if kind == OP_DEAD_LETTERS:
            apply_dead_letters(self, self.dead, body, self.last_time_ns, sink)
        elif kind == OP_DEAD_STREAM:
            group, created_ns, revision, config_json = decode_stream(body)
            if self.dead is None:
                self._begin_dead(group, created_ns, revision, config_json, sink)
        elif self.dead is not None and self.dead_group == decode_stream_end(body):
            self.dead = None
            self.dead_group = 0
            assert self.stores is not None
            self.stores.drop()
            sink.dead_letter_stream_changed()

    def _begin_dead(self, group: int, created_ns: int, revision: int, config_json: bytes, sink: EffectSink) -> None:
        config = StreamConfig.from_json(json.loads(config_json))
        assert isinstance(config, StreamConfig) and self.stores is not None
        dead = StreamMachine(config, self.stores.open(config, created_ns, None), created_ns)
        dead.config_revision = revision
        self.dead = dead
        self.dead_group = group
        sink.dead_letter_stream_changed()
        settle_waiting(self, dead, self.last_time_ns, sink)

    def _apply_to_dead(self, kind: int, body: bytes, ordinal: int, sink: EffectSink) -> None:
        """An operation on the dead-letter stream; effects on that go to `sink.of_dead_letters()`."""
        theirs = sink.of_dead_letters()
        dead = self.dead
        if dead is None:
            count = PublishOp(body).count if kind in (OP_PUBLISH, OP_ATOMIC_PUBLISH) else 0
            for position in range(count):
                theirs.refused(ordinal, position, STREAM_NOT_FOUND)
            return
        dead.apply(kind, body, ordinal, theirs)
        if has_waiting(self):
            settle_waiting(self, dead, self.last_time_ns, sink)

    # What consumers tell.

    def acknowledged(self, consumer: Consumer, sequence: int) -> None:
        """`consumer` is done with the message: it goes when nobody else needs it (work-queue and interest streams)."""
        if self.config.retention == RETENTION_LIMITS or sequence < self.store.first_sequence:
            return
        if len(self.consumers) > 1 and is_needed(self, sequence, consumer):
            return
        self.store.delete(sequence)

    def consumer_made(self, consumer: Consumer) -> None:
        self._consumer_bytes.made(consumer)

    def consumer_changed(self, consumer: Consumer, gone: bool) -> None:
        """Fewer may need what is stored."""
        if gone:
            self._consumer_bytes.gone(consumer)
        if self.config.retention == RETENTION_INTEREST:
            drop_unneeded(self, consumer if gone else None)

    # Snapshot.

    def snapshot(self) -> bytes:
        """Everything but the messages: what blocks cannot tell of the store is in it."""
        state: dict[str, object] = {
            "version": SNAPSHOT_VERSION,
            "config": self.config.to_json(),
            "revision": self.config_revision,
            "created": self.created_ns,
            "time": self.last_time_ns,
            "message_id": self.last_message_id,
            "dedupe": self.dedupe.snapshot(),
            "ttl": self.ttl.snapshot(),
            "sources": self.sources.snapshot(),
            "schedules": self.schedules.snapshot(),
            "consumers": self._consumer_bytes.encode(self.consumers),
            "dead": None if self.dead is None else [self.dead_group, self.dead.snapshot()],
            "store": self.store.state_bytes(),
        }
        return bytes(cbor2.dumps(state))

    @staticmethod
    def store_state(snapshot: bytes) -> bytes:
        """What a snapshot says about the store, to open it with before `restore`."""
        state: dict[str, Any] = cbor2.loads(snapshot)
        store: bytes = state["store"]
        return store

    def restore(self, snapshot: bytes) -> None:
        """Replace everything by what a snapshot says; the store must have been opened with its `store_state`."""
        state: dict[str, Any] = cbor2.loads(snapshot)
        if state["version"] not in READABLE_VERSIONS:
            raise ValueError(f"stream snapshot of version {state['version']}; this program reads {READABLE_VERSIONS}")
        config = StreamConfig.from_json(state["config"])
        assert isinstance(config, StreamConfig), config
        self.set_config(config)
        self.config_revision = state["revision"]
        self.created_ns = state["created"]
        self.last_time_ns = state["time"]
        self.last_message_id = state["message_id"]
        self.dedupe.window_ns = config.duplicate_window_ns
        self.dedupe.restore(state["dedupe"])
        self.aged_sequence = 0
        self.ttl.restore(state["ttl"])
        self.sources.restore(state.get("sources", []))
        self.schedules.restore(state.get("schedules", []))
        self._restore_dead(state["dead"])
        self.consumers = {}
        for entry in state["consumers"]:
            consumer = decode_consumer(config.name, entry)
            self.consumers[consumer.name] = consumer
            self._consumer_bytes.restored(consumer, entry)

    def _restore_dead(self, state: list[Any] | None) -> None:
        if state is None:
            if self.dead is not None:
                assert self.stores is not None
                self.stores.drop()
            self.dead = None
            self.dead_group = 0
            return
        group, snapshot = state
        fields: dict[str, Any] = cbor2.loads(snapshot)
        config = StreamConfig.from_json(fields["config"])
        assert isinstance(config, StreamConfig) and self.stores is not None
        created_ns: int = fields["created"]
        self.dead = StreamMachine(config, self.stores.open(config, created_ns, fields["store"]), created_ns)
        self.dead.restore(snapshot)
        self.dead_group = group

    @staticmethod
    def dead_store_state(snapshot: bytes) -> tuple[StreamConfig, int, bytes] | None:
        """Of a snapshot's dead-letter stream: configuration, time of its creation, `store_state`; None without one."""
        state: dict[str, Any] = cbor2.loads(snapshot)
        if state["dead"] is None:
            return None
        fields: dict[str, Any] = cbor2.loads(state["dead"][1])
        config = StreamConfig.from_json(fields["config"])
        assert isinstance(config, StreamConfig)
        return config, fields["created"], fields["store"]
