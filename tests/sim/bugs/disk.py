"""Planted into the storage and into what depends on it: what survives a crash, and from where a restart goes on."""

from collections.abc import Iterator
from typing import Any

import storage.snapshots
from broker.cluster.groups.checkpoint import CheckpointJob, Checkpoints
from broker.cluster.groups.group import RaftGroup
from broker.cluster.groups.group_store import GroupSnapshot
from broker.cluster.meta.identity import META_GROUP
from broker.jetstream.dedupe import DedupeTable
from broker.jetstream.stream import StreamMachine
from raft.types import Message
from sim.bugs.planting import checkpoints, crashes, laggards, planted, torn_checkpoints
from sim.replacing import replaced
from storage.disk import Disk
from storage.flush import BlockWrite
from storage.group_log import GroupLog
from storage.wal_batch import WalWriter
from storage.wal_recovery import Recovery


@planted(crashes, "commits", "sending")
def log_is_not_synced() -> Iterator[None]:
    """fdatasync is skipped; the page cache has it all."""

    def pretend(writer: WalWriter) -> None:
        writer.synced = writer.written

    with replaced(WalWriter, "sync", pretend):
        yield


@planted(crashes, "recovery")
def vote_is_not_read_back() -> Iterator[None]:
    """A restart forgets whom it voted for."""
    with replaced(GroupLog, "hard_state", property(lambda log: (log.hard_term, ""))):
        yield


@planted(crashes, "recovery")
def last_entry_is_not_read_back() -> Iterator[None]:
    """Recovery takes the last entry of every group for the torn end of a crash."""
    run = Recovery.run

    def hasty(recovery: Recovery) -> None:
        run(recovery)
        for log in recovery.groups.values():
            if log.last_index > log.snapshot_index:
                log.cut(log.last_index)

    with replaced(Recovery, "run", hasty):
        yield


@planted(checkpoints, "releases")
def directory_is_not_synced_after_a_rename() -> Iterator[None]:
    """A snapshot's bytes are durable, its name is not."""

    def careless(disk: Disk, path: str, content: bytes) -> None:
        file = disk.open(path + ".tmp", create=True)
        file.pwrite([content], 0)
        file.truncate(len(content))
        file.sync()
        file.close()
        disk.rename(path + ".tmp", path)

    with replaced(storage.snapshots, "replace_file", careless):
        yield


class LazyDisk:
    """A disk whose files are not synced."""

    def __init__(self, disk: Any) -> None:
        self.disk = disk

    def open(self, path: str, create: bool) -> Any:
        return LazyFile(self.disk.open(path, create))


class LazyFile:
    """See `LazyDisk`."""

    def __init__(self, file: Any) -> None:
        self.pwrite = file.pwrite
        self.close = file.close

    def sync(self) -> None:
        """Not done."""


@planted(checkpoints, "releases")
def snapshot_names_blocks_that_are_not_synced() -> Iterator[None]:
    """A checkpoint writes its blocks and forgets to sync them."""
    run = BlockWrite.run
    with replaced(BlockWrite, "run", lambda write, disk: run(write, LazyDisk(disk))):  # type: ignore[arg-type]
        yield


@planted(torn_checkpoints, "events")
def snapshot_is_written_before_its_blocks() -> Iterator[None]:
    """A crash in between leaves a snapshot that refers to blocks which are not there."""
    run = CheckpointJob.run

    def reversed_order(job: CheckpointJob) -> None:
        flush = job.flush
        job.flush = None  # type: ignore[misc]
        run(job)
        job.flush = flush  # type: ignore[misc]
        if flush is not None:
            flush.run()

    with replaced(CheckpointJob, "run", reversed_order):
        yield


@planted(checkpoints, "releases")
def log_is_let_go_before_the_snapshot() -> Iterator[None]:
    """Entries are dropped when a checkpoint begins, not when it is durable."""
    start = Checkpoints._start

    def hasty(checkpoints: Checkpoints, group: RaftGroup) -> CheckpointJob:
        job = start(checkpoints, group)
        checkpoints._engine.wal.release(group.id, group.releasable(job.snapshot.index))
        return job

    with replaced(Checkpoints, "_start", hasty):
        yield


@planted(checkpoints, "releases")
def log_lets_go_of_one_entry_too_many() -> Iterator[None]:
    """Off by one at the boundary of a snapshot: the first entry behind it goes too."""
    releasable = RaftGroup.releasable
    with replaced(RaftGroup, "releasable", lambda group, index: releasable(group, index) + 1):
        yield


@planted(checkpoints, "machines")
def snapshot_has_seen_one_entry_more_than_it_says() -> Iterator[None]:
    """Off by one the other way: a restart applies the last entry of a snapshot again."""
    snapshot = RaftGroup.snapshot

    def early(group: RaftGroup) -> GroupSnapshot:
        made = snapshot(group)
        if group.id == META_GROUP:
            return made
        index = max(made.index - 1, group.log.snapshot_index)
        return GroupSnapshot(made.group, index, group.raft.log.term(index), made.membership, made.about, made.machine)

    with replaced(RaftGroup, "snapshot", early):
        yield


@planted(checkpoints, "machines")
def snapshot_lacks_message_ids() -> Iterator[None]:
    """A restart from a snapshot begins with an empty duplicate window."""
    with replaced(DedupeTable, "restore", lambda table, state: None):
        yield


@planted(crashes, "machines")
def snapshot_lacks_consumers() -> Iterator[None]:
    """A restart from a snapshot knows no consumers."""
    restore = StreamMachine.restore

    def forgetful(machine: StreamMachine, snapshot: bytes) -> None:
        restore(machine, snapshot)
        machine.consumers = {}

    with replaced(StreamMachine, "restore", forgetful):
        yield


@planted(laggards, "machines", "releases")
def snapshot_is_installed_without_its_blocks() -> Iterator[None]:
    """A replica that is too far behind takes the leader's snapshot before it has fetched the messages."""

    def eager(group: RaftGroup, message: Message) -> bool:
        return True

    with replaced(RaftGroup, "accepts", eager):
        yield
