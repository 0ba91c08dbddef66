"""The verdict at the end of a simulation: the history that clients saw, against the logs and what replicas keep.

The committed log of every stream is replayed into a fresh machine over a memory store: that gives every message that
was ever stored, and the state that every replica must be in. Read next: `invariants` (what is checked on the way).
"""

import hashlib
from collections import Counter
from typing import Any

from broker.jetstream.config.stream_config import StreamConfig
from broker.jetstream.effects import EffectSink
from broker.jetstream.ops import OP_PUBLISH, OP_SCHEDULED, OP_SOURCED, SLOT_OWN, PublishOp, split_ops
from broker.jetstream.schedules.schedules import ScheduledOp
from broker.jetstream.sources.sourced import SourcedOp
from broker.jetstream.store import MessageStore, StoreMaker
from broker.jetstream.stream import StreamMachine
from raft.types import ENTRY_LAZY
from sim.model import ACKED, Model
from sim.model_check import against_model
from sim.plan import StreamPlan
from sim.workload import History
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
        [consumer.snapshot() for consumer in machine.consumers.values()],
        (store.first_sequence, store.last_sequence, store.messages, store.first_timestamp_ns, store.last_timestamp_ns),
        store.deleted_sequences(),
    )
    return hashlib.sha1(repr(facts).encode()).digest()


class Stored(EffectSink):
    """Remembers under which sequence each message of an entry was stored."""

    def __init__(self) -> None:
        self.texts: dict[int, str] = {}
        self.op: PublishOp | None = None

    def published(self, ordinal: int, first: int, count: int, first_sequence: int) -> None:
        op = self.op
        assert op is not None
        for at in range(first, first + count):
            start = op.positions[at] + op.subject_lengths[at]
            body = op.raw[start + op.header_lengths[at] : start + op.data_lengths[at]]
            self.texts[first_sequence + at - first] = body.decode()


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


def replay(config: StreamConfig, created_ns: int, log: list[bytes]) -> tuple[StreamMachine, dict[int, str]]:
    """A machine that has seen the whole log, and every message it ever stored."""
    machine = StreamMachine(config, MemoryStreamStore.open(None), created_ns)
    machine.stores = MemoryStores()
    stored = Stored()
    for data in log:
        for ordinal, (slot, kind, body) in enumerate(split_ops(data)):
            stored.op = PublishOp(body) if kind == OP_PUBLISH and slot == SLOT_OWN else None
            if kind == OP_SOURCED:
                stored.op = SourcedOp(body).batch
            elif kind == OP_SCHEDULED:
                stored.op = ScheduledOp(body).batch
            machine.apply_slot(slot, kind, body, ordinal, stored)
    return machine, stored.texts


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


def judge_dead_letters(plan: StreamPlan, history: History, stored: dict[int, str], machine: StreamMachine) -> list[str]:
    """A work queue at its end: what is in it was not given up, what left it was acknowledged or is a dead letter, once,
    after exactly as many deliveries as were allowed."""
    faults: list[str] = []
    present = set(contents(machine))
    letters: dict[int, str] = {}
    for subject, _, data in dead_contents(machine).values():
        block, _, payload = data.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in block.decode().split("\r\n")[1:])
        sequence, text = int(fields["Ternmq-Dlq-Sequence"]), payload.decode()
        if sequence in letters:
            faults.append(f"{plan.name}: {sequence} is a dead letter twice")
        letters[sequence] = text
        if text != stored.get(sequence) or not subject.startswith(f"$DLQ.{plan.name}.D.{plan.name}.".encode()):
            faults.append(f"{plan.name}: dead letter {sequence} is {text}, stored was {stored.get(sequence)}")
        if int(fields["Ternmq-Dlq-Deliveries"]) != plan.consumer_settings["max_deliver"]:
            faults.append(f"{plan.name}: {sequence} was given up after {fields['Ternmq-Dlq-Deliveries']} deliveries")
        if sequence in present:
            faults.append(f"{plan.name}: {sequence} is a dead letter and still in the queue")
    for sequence, text in stored.items():
        if sequence not in present and sequence not in letters and (plan.name, sequence) not in history.tried:
            faults.append(f"{plan.name}: {text} ({sequence}) left the queue, neither acknowledged nor a dead letter")
    if not letters:
        faults.append(f"{plan.name}: nothing was given up: this story proves nothing")
    return faults


def judge_stream(plan: StreamPlan, history: History, entries: Entries, replicas: dict[str, Any]) -> list[str]:
    """What does not hold for one stream. `replicas`: the groups by node name."""
    faults: list[str] = []
    names = sorted(replicas)
    newest = max((replicas[name] for name in names), key=lambda group: group.raft.applied)
    applied = newest.raft.applied
    log = committed_log(entries, newest.id, applied, newest.raft.log.term(applied))
    founding = newest.assignment.founding_config
    machine, stored = replay(founding, newest.assignment.created_ns, log)
    expected, expected_contents = machine_digest(machine), contents(machine)
    model = Model(dict(founding.to_json()))
    model.replay(log)
    faults += [f"{plan.name}: {fault}" for fault in against_model(machine, model)]
    for name in names:
        group = replicas[name]
        if group.raft.applied != applied:
            faults.append(f"{plan.name}: {name} has applied {group.raft.applied}, others {applied}")
        elif machine_digest(group.machine) != expected:
            faults.append(f"{plan.name}: {name} is not in the state that a replay of the log leads to")
        elif contents(group.machine) != expected_contents:
            faults.append(f"{plan.name}: {name} keeps other messages than a replay of the log")
        elif dead_contents(group.machine) != dead_contents(machine):
            faults.append(f"{plan.name}: {name} has other dead letters than a replay of the log")
    faults += judge_publishes(plan, history, stored)
    faults += judge_deliveries(plan, history, model, set(expected_contents))
    faults += judge_conditions(plan, model)
    if plan.work_queue and plan.consumer_settings.get("max_deliver"):
        faults += judge_dead_letters(plan, history, model.texts, machine)
    return faults


def judge_publishes(plan: StreamPlan, history: History, stored: dict[int, str]) -> list[str]:
    """Acknowledged means stored, under that sequence; with an id, once; without, at most once an attempt."""
    faults = [fault for fault in history.conflicts if fault.startswith(plan.name + ":")]
    counts = Counter(stored.values())
    for text, sequence in history.acked.get(plan.name, {}).items():
        if stored.get(sequence) != text:
            faults.append(f"{plan.name}: {text} was acknowledged as {sequence}, which is {stored.get(sequence)}")
    for text, count in counts.items():
        attempts = history.attempts.get(text, 0)
        most = min(attempts, 1) if text.startswith("D") else attempts
        if text.startswith("S"):
            most = 2 * min(attempts, 1)  # the schedule, and what it made
        if count > most:
            faults.append(f"{plan.name}: {text} is stored {count} times after {attempts} attempts")
        if history.refused.get(text) == plan.name:
            faults.append(f"{plan.name}: {text} is stored though it was refused")
    return faults


def judge_deliveries(plan: StreamPlan, history: History, model: Model, present: set[int]) -> list[str]:
    """What was delivered is what was stored; everything stored was delivered (if consumed), or removed by somebody who
    may, or is still there."""
    faults: list[str] = []
    stored = model.texts
    for sequence, text in history.delivered.get(plan.name, {}).items():
        if stored.get(sequence) != text:
            faults.append(f"{plan.name}: {sequence} was delivered as {text}, stored as {stored.get(sequence)}")
    for durable in plan.durables if plan.consumers else ():
        received = history.received.get((plan.name, durable), set())
        settled = history.confirmed_up_to.get((plan.name, durable), 0)  # acks of all settle what got lost on its way
        for sequence, text in stored.items():
            if sequence > settled and sequence not in received and model.removed.get(sequence, ACKED) == ACKED:
                faults.append(f"{plan.name}: {text} ({sequence}) was never delivered to {durable}")
    for sequence, text in stored.items():
        if sequence not in present and sequence not in model.removed:
            faults.append(f"{plan.name}: {text} ({sequence}) is gone")
    confirmed = [key[2] for key in history.confirmed if key[0] == plan.name]
    for sequence in confirmed if plan.work_queue else ():
        if sequence in present:
            faults.append(f"{plan.name}: {sequence} is still in the work queue though its ack was confirmed")
    faults += [f"{key[0]}: {key[1]} is there though its removal was confirmed" for key in history.deleted
               if key[0] == plan.name and key[1] in present]  # fmt: skip
    return faults


def judge_conditions(plan: StreamPlan, model: Model) -> list[str]:
    """What a keeper stored followed what it expected on its subject."""
    faults: list[str] = []
    last: dict[str, int] = {}
    for sequence, text in model.texts.items():
        subject = model.subjects[sequence]
        expected = text.rpartition("-")[2]
        if text.startswith("K") and int(expected) != last.get(subject, 0):
            faults.append(f"{plan.name}: {text} ({sequence}) followed {last.get(subject, 0)}")
        last[subject] = sequence
    return faults
