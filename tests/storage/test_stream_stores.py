"""One suite for both stream stores: whatever is done to them, they answer as a plain dictionary does.

For the file store the machine also takes checkpoints, cuts the power and reopens, replaying what came after the last
durable state, as the log would.
"""

from __future__ import annotations

import random
from array import array

from crash_disk import CrashDisk
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from message_model import LiteralMatcher, MessageModel, PrefixMatcher

from storage.block_files import BlockFiles
from storage.memory import MemoryStreamStore
from storage.stream_store import FileStreamStore

SUBJECTS = [b"a", b"b", b"orders.eu", b"orders.us", b"orders.eu.x", b"rare"]
MATCHERS = [None, *map(PrefixMatcher, [b"orders", b"orders.", b"zzz", b""]), *map(LiteralMatcher, SUBJECTS)]
SUBJECT = st.sampled_from(SUBJECTS)
BLOCK_BYTES = 600
FRAME_BYTES = 150


class Operation:
    """A change that can be made again after a crash."""

    def __init__(self, name: str, *arguments: object) -> None:
        self.name = name
        self.arguments = arguments

    def apply(self, target: object) -> object:
        return getattr(target, self.name)(*self.arguments)


def batch(messages: list[tuple[bytes, int, bytes]], envelope: bytes) -> tuple[bytes, array, array, array, array]:
    """Messages as a replicated entry carries them, with other bytes around and between them."""
    raw = bytearray(envelope)
    positions, subjects, headers, datas = array("I"), array("H"), array("H"), array("I")
    for subject, header_length, data in messages:
        positions.append(len(raw))
        subjects.append(len(subject))
        headers.append(header_length)
        datas.append(len(data))
        raw += subject + data + envelope[:1]
    return (bytes(raw), positions, subjects, headers, datas)


class StoreMachine(RuleBasedStateMachine):
    """Random operations on a store and on the model."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 1000
        self.store = self.make()
        self.model = MessageModel(self.store.message_cost, self.store.header_cost)
        self.since: list[Operation] = []

    def make(self) -> FileStreamStore | MemoryStreamStore:
        raise NotImplementedError

    def change(self, operation: Operation) -> object:
        self.since.append(operation)
        return operation.apply(self.store)

    @rule(
        messages=st.lists(st.tuples(SUBJECT, st.integers(0, 3), st.binary(max_size=60)), min_size=1, max_size=12),
        gap=st.sampled_from([0, 0, 0, 1, 5, 5000]),
        envelope=st.sampled_from([b"", b"#", b"envelope"]),
        pause=st.integers(0, 50),
    )
    def append_batch(self, messages: list, gap: int, envelope: bytes, pause: int) -> None:
        messages = [(subject, min(header, len(data)), data) for subject, header, data in messages]
        first = self.model.last + 1 + gap
        self.time += pause
        self.change(Operation("append_batch", first, self.time, *batch(messages, envelope)))
        for at, (subject, header_length, data) in enumerate(messages):
            self.model.append(first + at, self.time + at, subject, header_length, data)
        self.time += len(messages)

    @rule(subject=SUBJECT, data=st.binary(max_size=300), gap=st.sampled_from([0, 0, 0, 2]))
    def append(self, subject: bytes, data: bytes, gap: int) -> None:
        self.time += 1
        arguments = (self.model.last + 1 + gap, self.time, subject, len(data) // 2, data)
        self.change(Operation("append", *arguments))
        self.model.append(*arguments)

    @rule(ahead=st.integers(0, 4))
    def skip(self, ahead: int) -> None:
        last = self.model.last + ahead
        self.change(Operation("skip_to", last))
        self.model.skip_to(last)

    @precondition(lambda self: self.model.last > 0)
    @rule(data=st.data(), times=st.integers(1, 12))
    def delete(self, data: st.DataObject, times: int) -> None:
        for _ in range(times):
            known = sorted(self.model.kept) or [1]
            sequence = data.draw(st.sampled_from([known[0], known[-1], known[len(known) // 2], self.model.first + 1]))
            assert self.change(Operation("delete", sequence)) == self.model.delete(sequence)

    @rule(data=st.data())
    def truncate_front(self, data: st.DataObject) -> None:
        first = data.draw(st.integers(1, self.model.last + 2) | st.integers(self.model.first, self.model.first + 4))
        assert self.change(Operation("truncate_front", first)) == self.model.truncate_front(first)

    @invariant()
    def counters_agree(self) -> None:
        store, model = self.store, self.model
        assert (store.first_sequence, store.last_sequence, store.messages) == (model.first, model.last, len(model.kept))
        assert store.bytes == sum(map(model.size, model.kept))
        assert store.first_timestamp_ns == (model.kept[model.first][0] if model.kept else 0)
        if model.kept:
            assert store.last_timestamp_ns == model.last_time
            holes = [at for at in range(model.first, model.last + 1) if at not in model.kept]
            assert store.deleted_sequences() == holes
            assert store.num_deleted == len(holes)
        live = {}
        for _, subject, _, _ in model.kept.values():
            live[subject] = live.get(subject, 0) + 1
        assert dict(store.subjects(None)) == live
        assert store.num_subjects == len(live)

    @rule(data=st.data())
    def everything_can_be_read(self, data: st.DataObject) -> None:
        for sequence, (time, subject, header_length, body) in self.model.kept.items():
            message = self.store.get(sequence)
            assert message is not None
            assert (message.sequence, message.timestamp_ns, message.subject) == (sequence, time, subject)
            assert (message.header_length, message.data) == (header_length, body)
        for sequence in (0, self.model.first - 1, self.model.last + 1, data.draw(st.integers(0, 50))):
            assert (self.store.get(sequence) is None) == (sequence not in self.model.kept)

    @rule(data=st.data())
    def searches_agree(self, data: st.DataObject) -> None:
        store, model = self.store, self.model
        start = data.draw(st.integers(0, 4) | st.integers(model.first, model.last + 2))
        for matcher in MATCHERS:
            assert store.next_sequence(start, matcher) == model.next_sequence(start, matcher)
            assert store.previous_sequence(start, matcher) == model.previous_sequence(start, matcher)
            assert store.count_from(start, matcher) == model.count_from(start, matcher)
        for subject in SUBJECTS:
            own = model.matching(LiteralMatcher(subject))
            assert store.first_sequence_for(subject) == (own[0] if own else 0)
            assert store.last_sequence_for(subject) == (own[-1] if own else 0)
            assert store.count_for(subject) == len(own)
        time = data.draw(st.integers(990, self.time + 2))
        assert store.sequence_at_time(time) == model.sequence_at_time(time)


class MemoryMachine(StoreMachine):
    """The memory store; its state carries everything."""

    def make(self) -> MemoryStreamStore:
        return MemoryStreamStore.open(None, block_bytes=BLOCK_BYTES, frame_bytes=FRAME_BYTES)

    @rule()
    def restore_from_its_state(self) -> None:
        self.store = MemoryStreamStore.open(self.store.state_bytes(), block_bytes=BLOCK_BYTES, frame_bytes=FRAME_BYTES)


class FileMachine(StoreMachine):
    """The file store, with checkpoints and crashes."""

    @initialize(seed=st.integers(0, 1000))
    def choose_luck(self, seed: int) -> None:
        self.disk.rng.seed(seed)

    def make(self) -> FileStreamStore:
        self.disk = CrashDisk(random.Random(0))
        self.directory = "stream"
        self.state: bytes | None = None
        self.pending: tuple | None = None
        return self.open()

    def open(self) -> FileStreamStore:
        self.files = BlockFiles(self.disk)
        return FileStreamStore.open(self.disk, self.directory, self.state, self.files, BLOCK_BYTES, FRAME_BYTES)

    @precondition(lambda self: self.pending is None)
    @rule()
    def begin_checkpoint(self) -> None:
        self.pending = (self.store.begin_flush(), self.store.state_bytes(), self.since)
        self.since = []

    @precondition(lambda self: self.pending is not None)
    @rule(snapshot=st.booleans())
    def finish_checkpoint(self, snapshot: bool) -> None:
        job, state, covered = self.pending
        self.pending = None
        if job is not None:
            job.run()
            self.store.flush_done(job)
        if snapshot:
            self.state = state
            self.store.snapshot_durable()
        else:
            self.since = covered + self.since

    @rule(during=st.booleans())
    def crash_and_replay(self, during: bool) -> None:
        if self.pending is not None:
            job, _, covered = self.pending
            self.pending = None
            if during and job is not None:
                job.run()
            self.since = covered + self.since
        self.disk.crash()
        self.store = self.open()
        for operation in self.since:
            operation.apply(self.store)

    @precondition(lambda self: self.pending is None and not self.since and self.state is not None)
    @rule()
    def a_peer_takes_the_blocks_over(self) -> None:
        disk = CrashDisk(random.Random(1))
        files = BlockFiles(disk)
        peer = FileStreamStore.open(disk, "peer", None, files, BLOCK_BYTES, FRAME_BYTES)
        peer.append(1, 5, b"old", 0, b"content")
        manifest = self.store.manifest()
        for info in peer.missing_blocks(manifest):
            for offset in range(0, info.length, 100):
                piece = self.store.read_block(info.id, offset, min(100, info.length - offset))
                peer.receive_block(info.id, offset, piece)
        peer.adopt(peer.prepare(self.state, manifest))
        peer.snapshot_durable()
        job = peer.begin_flush()
        if job is not None:
            job.run()
            peer.flush_done(job)
        self.store, self.disk, self.files, self.directory = peer, disk, files, "peer"

    def teardown(self) -> None:
        self.files.close()
        assert self.disk.open_files == 0


LIMITS = settings(max_examples=80, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
TestMemoryStore = MemoryMachine.TestCase
TestMemoryStore.settings = LIMITS
TestFileStore = FileMachine.TestCase
TestFileStore.settings = LIMITS
