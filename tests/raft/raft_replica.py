"""One Raft replica with a fake disk under it: what the transcripts and the simulation have in common.

The disk has no seams: a write is durable as a whole or lost as a whole, in order. Everything the caller of `RaftNode`
owes (see raft/ready.py) is done here, step by step, so that a test decides when a write becomes durable.
"""

from __future__ import annotations

from raft.config import RaftConfig
from raft.node import RaftNode
from raft.ready import Ready
from raft.types import Entry, HardState, Membership, Message, RandomSource, Snapshot


class FakeDisk:
    """What survives a crash; also the LogReader. `first_membership` stands for what the group was founded with."""

    def __init__(self, first_membership: Membership) -> None:
        self.first_membership = first_membership
        self.hard_state = HardState(0, "")
        self.base: Snapshot | None = None
        self.kept: list[Entry] = []

    def first_index(self) -> int:
        return 1 if self.base is None else self.base.index + 1

    def last_index(self) -> int:
        return self.first_index() + len(self.kept) - 1

    def entries(self, low: int, high: int, bytes_max: int) -> list[Entry]:
        first = self.first_index()
        assert first <= low < high <= self.last_index() + 1, (low, high, first, self.last_index())
        found: list[Entry] = []
        size = 0
        for entry in self.kept[low - first : high - first]:
            size += len(entry.data)
            if found and size > bytes_max:
                break
            found.append(entry)
        return found

    def term(self, index: int) -> int:
        first = self.first_index()
        if index == first - 1:
            return 0 if self.base is None else self.base.term
        assert first <= index <= self.last_index(), (index, first, self.last_index())
        return self.kept[index - first].term

    def snapshot(self) -> Snapshot | None:
        return self.base

    def has(self, index: int, term: int) -> bool:
        """Durable here: the entry itself, or a snapshot that contains it."""
        if index < self.first_index():
            return True
        return index <= self.last_index() and self.term(index) == term

    def write(self, ready: Ready) -> None:
        if ready.hard_state is not None:
            old, new = self.hard_state, ready.hard_state
            assert new.term > old.term or (new.term == old.term and old.vote in ("", new.vote)), (old, new)
            self.hard_state = new
        if ready.snapshot is not None:
            self.base = ready.snapshot
            self.kept = []
        if ready.entries:
            first = ready.entries[0].index
            assert self.first_index() <= first <= self.last_index() + 1
            del self.kept[first - self.first_index() :]
            self.kept.extend(ready.entries)

    def compact(self, snapshot: Snapshot) -> None:
        del self.kept[: snapshot.index + 1 - self.first_index()]
        self.base = snapshot


class Replica:
    """A node, its disk, the writes that are under way, and a machine that only remembers what it applied."""

    def __init__(self, config: RaftConfig, membership: Membership, rng: RandomSource) -> None:
        self.config = config
        self.rng = rng
        self.disk = FakeDisk(membership)
        self.writing: list[Ready] = []
        self.applied_terms: dict[int, int] = {}
        self.restart()

    def restart(self) -> None:
        """Start from what the disk holds; whatever was being written is lost."""
        disk = self.disk
        self.writing = []
        base = disk.base
        applied = 0 if base is None else base.index
        membership = disk.first_membership if base is None else base.membership
        last = disk.last_index()
        self.node = RaftNode(
            self.config, disk, disk.hard_state, membership, last, disk.term(last), applied, self.rng
        )
        self.applied_terms = {applied: disk.term(applied)}

    def take_ready(self) -> Ready:
        """Apply what is committed, queue the write; the caller carries `messages` away."""
        ready = self.node.ready()
        if ready.snapshot is not None:
            self.applied_terms = {ready.snapshot.index: ready.snapshot.term}
        for entry in ready.committed:
            assert entry.index - 1 in self.applied_terms, "applied out of order"
            self.applied_terms[entry.index] = entry.term
        if ready.committed:
            self.node.applied_to(ready.committed[-1].index)
        if ready.must_write() or ready.messages_after_sync:
            self.writing.append(ready)
        return ready

    def finish_write(self) -> list[Message]:
        """The oldest write is durable now: tell the node; what may be said from now on is returned."""
        ready = self.writing.pop(0)
        self.disk.write(ready)
        if ready.entries:
            self.node.persisted(ready.entries[-1].index, ready.entries[-1].term)
        elif ready.snapshot is not None:
            self.node.persisted(ready.snapshot.index, ready.snapshot.term)
        return ready.messages_after_sync

    def can_compact(self) -> int:
        """The highest index a snapshot may be taken at: applied here and durable."""
        return 0 if self.writing else min(self.node.applied, self.disk.last_index())

    def compact(self, index: int) -> Snapshot:
        """Snapshot at `index`, forget the log up to it, in memory and on disk."""
        assert index <= self.can_compact() and index > self.disk.first_index() - 1
        snapshot = Snapshot(index, self.disk.term(index), self.node.membership_at(index), b"state at %d" % index)
        self.disk.compact(snapshot)
        self.node.trim(index)
        return snapshot
