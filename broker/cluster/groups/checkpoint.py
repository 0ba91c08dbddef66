"""Checkpoints: a group's state goes to its own files, so that the shared log can be cut behind it.

Order on disk: the stream's blocks, then the snapshot that refers to them, then the log forgets the entries. A crash
between any two of these leaves the older snapshot and the entries to replay.

A checkpoint is made when the log grows beyond `LOG_FILES_MAX` files (for the groups that pin the oldest one), when
a group has applied `APPLIED_BYTES_MAX` since its last one, and at a clean stop.

A checkpoint costs syncs, and ten thousand groups may pin a file with a few entries each: those whose whole log is small
write it once more instead, at the log's end, and at a stop they leave it there.
"""

from typing import Final

from broker.cluster.groups.engine import Engine
from broker.cluster.groups.group import RaftGroup
from broker.cluster.groups.group_store import GroupSnapshot, group_directory
from broker.cluster.groups.jobs import THREAD_FLUSH, Job
from broker.cluster.meta.identity import META_GROUP
from storage.disk import Disk
from storage.errors import DiskFull, StorageError
from storage.flush import FlushJob
from storage.snapshots import write_snapshot

LOG_FILES_MAX: Final = 3
APPLIED_BYTES_MAX: Final = 48 * 1024 * 1024
RUNNING_MAX: Final = 2
MOVES_MAX: Final = 512  # groups that write their log once more, at a time
SMALL_SHARE: Final = 8192  # a small log is less than this part of a file
ALL_GROUPS_TICKS: Final = 100  # between two looks at groups that sleep


class CheckpointJob(Job):
    """Blocks, then snapshot."""

    def __init__(self, disk: Disk, group: RaftGroup, flush: FlushJob | None, snapshot: GroupSnapshot) -> None:
        super().__init__(THREAD_FLUSH)
        self.group: Final = group
        self.flush: Final = flush
        self.snapshot: Final = snapshot
        self._disk: Final = disk

    def run(self) -> None:
        """Do the IO."""
        if self.flush is not None:
            self.flush.run()
        write_snapshot(self._disk, group_directory(self.group.id), self.snapshot.encode())


class Checkpoints:
    """Decides which group makes a checkpoint when."""

    def __init__(self, disk: Disk, engine: Engine) -> None:
        self._disk: Final = disk
        self._engine: Final = engine
        self.small_bytes: int = engine.wal.file_bytes // SMALL_SHARE
        self._running: int = 0
        self._ticks: int = 0
        self._queue: list[int] = []  # groups whose turn comes when those before them are done

    def due(self, everything: bool) -> list[CheckpointJob]:
        """50 ms passed, or the node stops: jobs to start now."""
        engine = self._engine
        if everything:
            self._queue = [
                gid for gid, group in engine.groups.items() if group.applied_bytes and not self._is_small(gid)
            ]
            return self._take(len(self._queue))
        candidates: list[int] = []
        if engine.wal.file_count() > LOG_FILES_MAX:
            candidates = self._move_small(engine.wal.pinning_groups())
        self._ticks += 1
        groups = list(engine.groups.values()) if self._ticks % ALL_GROUPS_TICKS == 0 else engine.awake()
        candidates += [
            group.id for group in groups if group.applied_bytes > APPLIED_BYTES_MAX or group.checkpoint_wanted
        ]
        self._queue = candidates
        return self._take(RUNNING_MAX - self._running)

    def more(self) -> list[CheckpointJob]:
        """Jobs to start since others are done: a tick is long where many groups wait."""
        return self._take(RUNNING_MAX - self._running)

    def _is_small(self, group_id: int) -> bool:
        """Whether the log has little of a stream's group, all of which it still needs."""
        if group_id == META_GROUP:
            return False  # from its snapshot a start knows at once which streams there are
        group = self._engine.groups.get(group_id)
        if group is not None and group.checkpoint is not None and group.checkpoint.index == group.raft.applied:
            return False  # all of it can go
        wal = self._engine.wal
        return wal.has_group(group_id) and wal.group(group_id).weight() <= self.small_bytes

    def _move_small(self, pinning: list[int]) -> list[int]:
        """Groups with little in the log write it once more; the others."""
        others: list[int] = []
        moved = 0
        for group_id in pinning:
            if not self._is_small(group_id):
                others.append(group_id)
            elif moved < MOVES_MAX:
                self._engine.wal.move_up(group_id)
                moved += 1
        return others

    def _take(self, most: int) -> list[CheckpointJob]:
        """Up to so many jobs for those that wait."""
        engine = self._engine
        jobs: list[CheckpointJob] = []
        queue = self._queue
        at = 0
        while at < len(queue) and len(jobs) < most:
            group_id = queue[at]
            at += 1
            group = engine.groups.get(group_id)
            if group is None or group.failed:
                engine.wal.move_up(group_id)  # it stays as it is, and must not hold the log of the others
                continue
            if not group.may_checkpoint():
                continue
            last = group.checkpoint
            if last is not None and last.index == group.raft.applied:
                group.checkpoint_wanted = False  # nothing to add; a peer that caught up may have set the log free
                engine.wal.release(group_id, group.releasable(last.index))
            else:
                job = self._start(group)
                if job is not None:
                    jobs.append(job)
        del queue[:at]
        return jobs

    def _start(self, group: RaftGroup) -> CheckpointJob | None:
        try:
            flush = group.begin_flush()
            snapshot = group.snapshot()
        except Exception as bug:  # a state that cannot be written
            self._engine.contain(group, bug)
            return None
        group.checkpoint_running = True
        group.checkpoint_wanted = False
        group.applied_bytes = 0
        self._running += 1
        return CheckpointJob(self._disk, group, flush, snapshot)

    def done(self, job: CheckpointJob, error: Exception | None) -> None:
        """The job ended; the log may forget what the snapshot holds."""
        group = job.group
        group.checkpoint_running = False
        self._running -= 1
        if self._engine.groups.get(group.id) is not group:
            return
        if isinstance(error, DiskFull):
            group.flush_failed(job.flush, error)  # tried again when the next checkpoint is due
            group.applied_bytes = APPLIED_BYTES_MAX
        elif isinstance(error, StorageError):
            group.flush_failed(job.flush, error)
            self._engine.fail_group(group, error)
        elif error is not None:
            raise error
        else:
            group.checkpoint_done(job.flush, job.snapshot)
            self._engine.wal.release(group.id, group.releasable(job.snapshot.index))
