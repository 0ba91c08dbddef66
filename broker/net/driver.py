"""Carries a turn's file jobs to where they run and brings the outcome back to the node.

Is: the choice between the io threads and running inline, and the watch over syncs that do not come back.
A job that is quick (it writes to the page cache and waits for no disk) runs inline always. A sync may too, for a lone
synchronous publisher: handing it to a thread costs about as much as the sync. That is done only where a
disk that hangs cannot hurt others: `inline_allowed` is False on a clustered node, whose heartbeats must go on, and one
sync slower than SLOW_NS closes the path for BAN_NS.
Read next: `io_thread.py`, `reactor.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from broker.net.io_thread import Done, IoThread, run_job
from broker.net.seam import THREAD_WAL, Job, Node

QUICK_NS: Final = 1_000_000
SLOW_NS: Final = 5_000_000
QUICK_RUN_MIN: Final = 16  # so many quick syncs in a row before one is trusted to run inline
BAN_NS: Final = 10_000_000_000
STALL_NS: Final = 1_000_000_000


class InlinePolicy:
    """Whether the next sync may run on the reactor's own thread, judged by those before it."""

    def __init__(self, allowed: bool) -> None:
        self._allowed = allowed
        self._quick_run = 0
        self._banned_until_ns = 0

    def observe(self, elapsed_ns: int, now_ns: int) -> None:
        self._quick_run = self._quick_run + 1 if elapsed_ns < QUICK_NS else 0
        if elapsed_ns >= SLOW_NS:
            self._banned_until_ns = now_ns + BAN_NS

    def permits(self, now_ns: int) -> bool:
        return self._allowed and self._quick_run >= QUICK_RUN_MIN and now_ns >= self._banned_until_ns


class Driver:
    """The io threads of one node."""

    def __init__(self, node: Node, bell: int, inline_allowed: bool) -> None:
        self._node = node
        self._wal = IoThread("ternmq-wal", bell)
        self._flush = IoThread("ternmq-flush", bell)
        self._policy = InlinePolicy(inline_allowed)
        self._stall_told_ns = 0  # how much of the present stall the node knows

    def start(self, jobs: Sequence[Job], now_ns: int, nothing_waits: Callable[[], bool]) -> bool:
        """Starts the jobs of a turn. True: what was started is done already and the node wants another turn."""
        if len(jobs) == 1 and jobs[0].thread == THREAD_WAL and self._wal.in_flight == 0:
            if jobs[0].is_quick or (self._policy.permits(now_ns) and nothing_waits()):
                self._finish(run_job(jobs[0]), now_ns)
                return True
        for job in jobs:
            (self._wal if job.thread == THREAD_WAL else self._flush).submit(job)
        return False

    def collect(self, now_ns: int) -> None:
        """Tells the node of every job that has finished."""
        for done in self._wal.collect():
            self._finish(done, now_ns)
        for done in self._flush.collect():
            self._node.job_done(done.job, done.error)

    def watch(self, now_ns: int) -> None:
        """Called with every tick: says once a second that a sync is still not back."""
        stalled_ns = self._wal.running_for_ns(now_ns)
        if stalled_ns < STALL_NS:
            self._stall_told_ns = 0
        elif stalled_ns - self._stall_told_ns >= STALL_NS:
            self._stall_told_ns = stalled_ns
            self._node.disk_stalled(stalled_ns)

    def in_flight(self) -> int:
        return self._wal.in_flight + self._flush.in_flight

    def stop(self, wait_s: float) -> bool:
        """Ends the threads. False: one of them hangs in the kernel."""
        wal_ended = self._wal.stop(wait_s)
        return self._flush.stop(wait_s) and wal_ended

    def _finish(self, done: Done, now_ns: int) -> None:
        if not done.job.is_quick:
            self._policy.observe(done.elapsed_ns, now_ns)
        self._node.job_done(done.job, done.error)
