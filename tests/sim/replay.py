"""The committed log of a stream, replayed into a fresh machine over a memory store: every message that was ever stored,
and the state that every replica must be in.

Read next: `verdict` (what is done with it), `model` (the other replay).
"""

import hashlib

from broker.jetstream.config.stream_config import StreamConfig
from broker.jetstream.effects import EffectSink
from broker.jetstream.ops import (
    OP_ATOMIC_PUBLISH,
    OP_PUBLISH,
    OP_SCHEDULED,
    OP_SOURCED,
    SLOT_OWN,
    PublishOp,
    split_ops,
)
from broker.jetstream.schedules.schedules import ScheduledOp
from broker.jetstream.sources.sourced import SourcedOp
from broker.jetstream.store import MessageStore, StoreMaker
from broker.jetstream.stream import StreamMachine
from raft.types import ENTRY_LAZY
from sim.model_publish import text_of
from storage.memory import MemoryStreamStore

Entries = dict[tuple[int, int, int], tuple[int, int, bytes]]  # (group, index, term) → kind, term before, data


def machine_digest(machine: StreamMachine) -> bytes:
    """One value for everything that must be equal on all replicas (of the messages: how many, which, how large)."""
    store = machine.store
    facts = (
        machine.config.to_json(),
        machine.last_time_ns,
        machine.last_message_id,
        machine.dedupe.snapshot(),
        machine.sources.snapshot(),
        machine.schedules.snapshot(),
        machine.ttl.snapshot(),
        [consumer.snapshot() for consumer in machine.consumers.values()],
        (store.first_sequence, store.last_sequence, store.messages, store.first_timestamp_ns, store.last_timestamp_ns),
        store.deleted_sequences(),
    )
    return hashlib.sha1(repr(facts).encode()).digest()


class Stored(EffectSink):
    """Remembers under which sequence each message of an entry was stored, and on which subject."""

    def __init__(self) -> None:
        self.texts: dict[int, str] = {}
        self.subjects: dict[int, str] = {}
        self.op: PublishOp | None = None

    def published(self, ordinal: int, first: int, count: int, first_sequence: int) -> None:
        op = self.op
        assert op is not None
        for at in range(first, first + count):
            self._note(op, at, first_sequence + at - first)

    def counted(self, ordinal: int, index: int, sequence: int, value: str) -> None:
        assert self.op is not None
        self._note(self.op, index, sequence)

    def _note(self, op: PublishOp, at: int, sequence: int) -> None:
        self.texts[sequence] = text_of(op, at)
        self.subjects[sequence] = op.subject(at).decode()


def committed_log(entries: Entries, group: int, index: int, term: int) -> list[bytes]:
    """The data of all entries up to (index, term), oldest first; as no two logs differ below it, there is one."""
    found: list[bytes] = []
    while (group, index, term) in entries:
        kind, before, data = entries[(group, index, term)]
        if data and kind <= ENTRY_LAZY:
            found.append(data)
        index, term = index - 1, before
    found.reverse()
    return found


class MemoryStores(StoreMaker):
    """Dead letters of a replayed stream."""

    def open(self, config: StreamConfig, created_ns: int, state: bytes | None) -> MessageStore:
        return MemoryStreamStore.open(state)

    def drop(self) -> None:
        pass


def replay(config: StreamConfig, created_ns: int, log: list[bytes]) -> tuple[StreamMachine, Stored]:
    """A machine that has seen the whole log, and what it ever stored."""
    machine = StreamMachine(config, MemoryStreamStore.open(None), created_ns)
    machine.stores = MemoryStores()
    stored = Stored()
    for data in log:
        for ordinal, (slot, kind, body) in enumerate(split_ops(data)):
            stored.op = PublishOp(body) if kind in (OP_PUBLISH, OP_ATOMIC_PUBLISH) and slot == SLOT_OWN else None
            if kind == OP_SOURCED:
                stored.op = SourcedOp(body).batch
            elif kind == OP_SCHEDULED:
                stored.op = ScheduledOp(body).batch
            machine.apply_slot(slot, kind, body, ordinal, stored)
    return machine, stored


def contents(machine: StreamMachine) -> dict[int, tuple[bytes, int, bytes]]:
    """Every message of a replica."""
    found = {}
    store = machine.store
    for sequence in range(max(store.first_sequence, 1), store.last_sequence + 1):
        message = store.get(sequence)
        if message is not None:
            found[sequence] = (bytes(message.subject), message.timestamp_ns, bytes(message.data))
    return found


def dead_contents(machine: StreamMachine) -> dict[int, tuple[bytes, int, bytes]]:
    """Every dead letter."""
    return {} if machine.dead is None else contents(machine.dead)
