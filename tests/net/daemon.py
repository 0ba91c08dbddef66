"""A server as a process: what it writes, line by line, how it ends. Ours, or nats-server for comparison.

It is ended by force after PATIENCE_S, so that a server that hangs fails its test.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SERVE = "import sys; sys.argv[0] = 'nats-server'; from broker.cli import server_main; sys.exit(server_main())"
OURS = (sys.executable, "-c", SERVE)
THEIRS = (str(Path(sys.executable).parent / "nats-server"),)
PATIENCE_S = 30


class Daemon:
    """The process, and the lines of its log so far, without their ends."""

    def __init__(self, program: Sequence[str], *flags: str) -> None:
        argv = [*program, "-a", "127.0.0.1", *flags]
        self.process = subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        self.lines: list[str] = []

    def until(self, pattern: str) -> re.Match[str]:
        """Reads the log up to a line that matches."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))
            found = re.search(pattern, self.lines[-1])
            if found:
                return found
        raise AssertionError(f"no {pattern!r} in the log:\n" + "\n".join(self.lines))

    def ended(self) -> int:
        """Waits for its end; the exit code."""
        assert self.process.stderr is not None
        self.lines.extend(line.rstrip("\n") for line in self.process.stderr)
        return self.process.wait(PATIENCE_S)


@contextmanager
def daemon(*flags: str, program: Sequence[str] = OURS) -> Iterator[Daemon]:
    made = Daemon(program, *flags)
    guard = threading.Timer(PATIENCE_S, made.process.kill)
    guard.start()
    try:
        yield made
    finally:
        guard.cancel()
        made.process.kill()
        made.process.wait()
        assert made.process.stderr is not None
        made.process.stderr.close()
