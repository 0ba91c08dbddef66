"""File jobs: in order, off the reactor's thread, inline only where that is safe."""

from __future__ import annotations

import threading
from typing import Any

import trio

from broker.net.driver import BAN_NS, QUICK_NS, QUICK_RUN_MIN, SLOW_NS, InlinePolicy
from broker.net.seam import THREAD_FLUSH, THREAD_WAL
from net.rig import Rig, read_exactly, rig


class PacedJob:
    """A job that takes as long as the test wants."""

    def __init__(self, thread: int = THREAD_WAL, waits: bool = False, error: Exception | None = None) -> None:
        self.thread = thread
        self.is_quick = False
        self.ran_on = ""
        self._go = threading.Event()
        self._error = error
        if not waits:
            self._go.set()

    def run(self) -> None:
        assert self._go.wait(10)
        self.ran_on = threading.current_thread().name
        if self._error is not None:
            raise self._error

    def finish(self) -> None:
        self._go.set()


def give(made: Rig, *jobs: Any) -> None:
    made.node.next.jobs = list(jobs)
    made.reactor.wake()


async def test_a_job_runs_on_its_thread_and_comes_back() -> None:
    async with rig() as made:
        wal, flush = PacedJob(), PacedJob(THREAD_FLUSH)
        give(made, wal, flush)
        assert await made.seen("job_done", wal) == ("job_done", wal, None)
        await made.seen("job_done", flush)
        assert (wal.ran_on, flush.ran_on) == ("ternmq-wal", "ternmq-flush")


async def test_a_failed_job_brings_its_error() -> None:
    async with rig() as made:
        broken = PacedJob(error=OSError(5, "Input/output error"))
        give(made, broken)
        _name, _job, error = await made.seen("job_done", broken)
        assert isinstance(error, OSError)


async def test_sockets_are_served_while_the_disk_is_busy() -> None:
    async with rig() as made:
        slow = PacedJob(waits=True)
        give(made, slow)
        stream = await made.connect()
        await stream.send_all(b"PING\r\n")
        assert await read_exactly(stream, 6) == b"PONG\r\n"
        assert ("job_done", slow, None) not in made.node.seen
        slow.finish()
        await made.seen("job_done", slow)


async def test_a_stalled_sync_is_told_to_the_node() -> None:
    async with rig() as made:
        slow = PacedJob(waits=True)
        give(made, slow)
        while not made.reactor.driver.in_flight():
            await trio.testing.wait_all_tasks_blocked()
        made.clock.added_ns += 2_000_000_000
        made.reactor.wake()
        await made.seen("disk_stalled")
        slow.finish()
        await made.seen("job_done", slow)


async def test_quick_syncs_run_inline_once_they_have_proved_quick() -> None:
    async with rig(inline_allowed=True) as made:
        places: list[str] = []
        for _ in range(50):  # on a busy machine a job is held up now and then, and begins the proof again
            for _ in range(QUICK_RUN_MIN + 1):
                job = PacedJob()
                give(made, job)
                await made.seen("job_done", job)
                places.append(job.ran_on)
            if places[-1] == "MainThread":
                break
            made.clock.added_ns += BAN_NS
        assert places[:QUICK_RUN_MIN] == ["ternmq-wal"] * QUICK_RUN_MIN
        assert places[-1] == "MainThread"


async def test_a_clustered_node_never_syncs_inline() -> None:
    async with rig(inline_allowed=False) as made:
        jobs = [PacedJob() for _ in range(QUICK_RUN_MIN + 1)]
        for job in jobs:
            give(made, job)
            await made.seen("job_done", job)
        assert {job.ran_on for job in jobs} == {"ternmq-wal"}


def test_one_slow_sync_closes_the_inline_path_for_a_while() -> None:
    policy = InlinePolicy(allowed=True)
    for _ in range(QUICK_RUN_MIN):
        policy.observe(QUICK_NS // 2, now_ns=0)
    assert policy.permits(0)
    policy.observe(SLOW_NS, now_ns=0)
    for _ in range(QUICK_RUN_MIN):
        policy.observe(QUICK_NS // 2, now_ns=0)
    assert not policy.permits(BAN_NS - 1)
    assert policy.permits(BAN_NS)
