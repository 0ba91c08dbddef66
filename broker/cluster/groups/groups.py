"""The groups of a node's store: opened at start, founded when assigned, removed when deleted.

Nothing is removed because it looks orphaned: a group's files go only when the meta log says, or has said, that its
stream was deleted (every group id below the next one to be given, without a stream, was).
"""

import random
from typing import Final

from broker.cluster.groups.engine import Engine
from broker.cluster.groups.group_store import (
    FOUNDING_INDEX,
    FOUNDING_TERM,
    GroupSnapshot,
    blocks_directory,
    group_directory,
)
from broker.cluster.groups.log_reader import GroupLogReader
from broker.cluster.links.answers import Answers
from broker.cluster.meta.assignment import Assignment, decode_assignment
from broker.cluster.meta.identity import META_GROUP
from broker.cluster.meta.meta import MetaMachine
from broker.cluster.meta.meta_group import MetaGroup, MetaListener
from broker.cluster.streams.dead_letter_stores import DeadLetterStores
from broker.cluster.streams.stream_group import StreamGroup
from broker.cluster.streams.stream_leader import DeadLetterListener
from broker.cluster.turn_clock import TurnClock
from broker.core.router import Router
from broker.jetstream.config.stream_config import MEMORY_STORAGE
from broker.jetstream.publishing.batch_quota import BatchQuota
from broker.jetstream.stream import StreamMachine
from raft.config import RaftConfig
from raft.node import RaftNode
from raft.types import HardState, Membership
from storage.block_files import BlockFiles
from storage.disk import Disk
from storage.errors import CorruptSnapshot
from storage.memory import MemoryStreamStore
from storage.stream_store import FileStreamStore

STRANGER: Final = Membership(())
"""Of a replica that is to be taken into a group that exists: it neither votes nor counts until the group's log makes
it a member."""


class GroupFactory:
    """Makes the in-memory side of groups whose first snapshot is durable."""

    def __init__(
        self,
        disk: Disk,
        engine: Engine,
        peer: str,
        answers: Answers,
        router: Router,
        clock: TurnClock,
        rng: random.Random,
        dead_letters: DeadLetterListener,
        allow_dead_letters: bool,
    ) -> None:
        self._disk: Final = disk
        self._engine: Final = engine
        self._peer: Final = peer
        self._answers: Final = answers
        self._router: Final = router
        self._clock: Final = clock
        self._rng: Final = rng
        self._files: Final = BlockFiles(disk)
        self._dead_letters: Final = dead_letters
        self._batch_quota: Final = BatchQuota()
        self._allow_dead_letters: Final = allow_dead_letters

    def _raft(self, snapshot: GroupSnapshot) -> tuple[RaftNode, GroupLogReader]:
        wal = self._engine.wal
        log = wal.group(snapshot.group)
        if log.snapshot_index > snapshot.index:
            place = group_directory(snapshot.group)
            raise CorruptSnapshot(
                f"{place}: the newest snapshot cannot be read, and the log begins at {log.snapshot_index}, "
                f"behind the one before it ({snapshot.index})"
            )
        if log.snapshot_index < snapshot.index:
            wal.set_snapshot(snapshot.group, snapshot.index, snapshot.term)
        reader = GroupLogReader(log)
        term, vote = log.hard_state
        if snapshot.voice and term < snapshot.term:
            wal.set_hard_state(snapshot.group, snapshot.term, "")
        raft = RaftNode(
            # Followers of a stream learn of a commit with the next entries or tick: a third of the messages less.
            RaftConfig(self._peer, snapshot.group, eager_commit=snapshot.group == META_GROUP),
            reader,
            HardState(max(term, snapshot.term), vote if term >= snapshot.term else ""),
            snapshot.membership,
            log.last_index,
            log.last_term,
            snapshot.index,
            random.Random(self._rng.getrandbits(64)),
        )
        raft.silence_until(snapshot.voice)
        return raft, reader

    def meta(self, snapshot: GroupSnapshot, listener: MetaListener) -> MetaGroup:
        """The meta group."""
        machine = MetaMachine({})
        machine.restore(snapshot.machine)
        raft, reader = self._raft(snapshot)
        group = MetaGroup(raft, self._engine.wal.group(META_GROUP), machine, listener)
        reader.group = group
        self._engine.add(group)
        return group

    def stream(self, snapshot: GroupSnapshot) -> StreamGroup:
        """One stream's group."""
        assignment = decode_assignment(snapshot.about)
        store = self._store(assignment, snapshot.machine)
        machine = StreamMachine(assignment.config, store, assignment.created_ns)
        stores = DeadLetterStores(self._disk, group_directory(snapshot.group), self._files)
        machine.stores = stores
        if snapshot.machine:
            machine.restore(snapshot.machine)
        stores.forget_others()
        raft, reader = self._raft(snapshot)
        group = StreamGroup(
            assignment,
            raft,
            self._engine.wal.group(snapshot.group),
            machine,
            store,
            stores,
            self._answers,
            self._router,
            self._clock,
            random.Random(self._rng.getrandbits(64)),
            self._dead_letters,
            self._batch_quota,
        )
        group.delivery.context.dead_letters = self._allow_dead_letters
        group.delivery.context.domain = self._answers.domain
        reader.group = group
        self._engine.add(group)
        return group

    def forget_files(self, group: int) -> None:
        """The files of a group were removed; others will have their names."""
        self._files.forget_directory(group_directory(group))

    def _store(self, assignment: Assignment, state: bytes) -> FileStreamStore | MemoryStreamStore:
        """The messages of a stream as of the machine's `state` (b"": newly founded)."""
        store_state = StreamMachine.store_state(state) if state else None
        if assignment.config.storage == MEMORY_STORAGE:
            return MemoryStreamStore.open(store_state)
        directory = blocks_directory(assignment.group)
        return FileStreamStore.open(self._disk, directory, store_state, self._files)


def founding_stream(assignment: Assignment, peer: str) -> GroupSnapshot:
    """The first snapshot of a stream's group on this peer."""
    about = assignment.founding().encode(assignment.moved_index)
    if peer not in assignment.founders:
        voice, term = assignment.voices.get(peer, (0, 0))
        return GroupSnapshot(assignment.group, 0, term, STRANGER, about, b"", voice)
    membership = Membership(tuple(assignment.founders))
    return GroupSnapshot(assignment.group, FOUNDING_INDEX, FOUNDING_TERM, membership, about, b"")


def stranger_meta() -> GroupSnapshot:
    """The meta group of a node that waits to be admitted. It is on no disk: nothing was promised yet."""
    return GroupSnapshot(META_GROUP, 0, 0, STRANGER, b"", MetaMachine({}).snapshot())


def founding_meta(names: dict[str, str]) -> GroupSnapshot:
    """The first snapshot of the meta group."""
    machine = MetaMachine(names)
    return GroupSnapshot(
        META_GROUP, FOUNDING_INDEX, FOUNDING_TERM, Membership(tuple(sorted(names))), b"", machine.snapshot()
    )
