"""A thread that runs blocking file jobs one after the other and rings the reactor's bell after each.

Is: one queue in, one deque out, one eventfd. A trio thread per job costs three times as much (DESIGN §10).
Is not: a pool; order is the point. Nothing here touches what the reactor thread touches: a job is handed over whole.
Read next: `driver.py`, which decides what runs here and what runs inline.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from queue import SimpleQueue
from typing import Final

from broker.net.seam import Job


class Done:
    """A finished job: how it ended and how long it took."""

    def __init__(self, job: Job, error: Exception | None, elapsed_ns: int) -> None:
        self.job: Final = job
        self.error: Final = error
        self.elapsed_ns: Final = elapsed_ns


def run_job(job: Job) -> Done:
    """Runs it here and now."""
    started_ns = time.monotonic_ns()
    error: Exception | None = None
    try:
        job.run()
    except Exception as failure:  # whatever it is, the node must learn of it and decide
        error = failure
    return Done(job, error, time.monotonic_ns() - started_ns)


class IoThread:
    """Started at the first job. `bell` is an eventfd that the reactor watches."""

    def __init__(self, name: str, bell: int) -> None:
        self._name = name
        self._bell = bell
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._done: deque[Done] = deque()
        self._worker: threading.Thread | None = None
        self._started_ns = 0  # of the job that is running; 0: none. Written by the thread, read by the reactor
        self.in_flight = 0  # submitted and not yet collected

    def submit(self, job: Job) -> None:
        if self._worker is None:
            # A daemon: a disk that hangs for ever must not keep the process from ending.
            self._worker = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._worker.start()
        self.in_flight += 1
        self._queue.put(job)

    def collect(self) -> list[Done]:
        """What has finished since the last call, in order."""
        finished: list[Done] = []
        while self._done:
            finished.append(self._done.popleft())
        self.in_flight -= len(finished)
        return finished

    def running_for_ns(self, now_ns: int) -> int:
        """How long the present job has been running; 0 when there is none."""
        started_ns = self._started_ns
        return now_ns - started_ns if started_ns else 0

    def stop(self, wait_s: float) -> bool:
        """Ends the thread after the jobs that are queued. False: it did not end in time and may still ring the bell."""
        if self._worker is None:
            return True
        self._queue.put(None)
        self._worker.join(wait_s)
        return not self._worker.is_alive()

    def _run(self) -> None:
        while True:
            job = self._queue.get()
            if job is None:
                return
            self._started_ns = time.monotonic_ns()
            done = run_job(job)
            self._started_ns = 0
            self._done.append(done)
            os.eventfd_write(self._bell, 1)
