"""What a service manager is told: ready, reloading, stopping, alive (sd_notify(3), in the few lines it takes).

Is: `Notifier`, which does nothing where NOTIFY_SOCKET is not set.
Is not: when to say what (`server.py`).
Invariants: telling never fails and never waits: a service manager that does not listen is its own trouble.
Read next: `server.py`; deploy/systemd/ternmq.service.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

WATCHDOG_SHARE = 3  # pings in one watchdog period


class Notifier:
    """The datagram socket of a service manager, or nobody."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        path = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        pid = environment.get("WATCHDOG_PID", "")
        period = environment.get("WATCHDOG_USEC", "")
        is_ours = pid in ("", str(os.getpid()))
        # 0: nobody waits for pings.
        self.watchdog_s = int(period) / 1e6 / WATCHDOG_SHARE if self._address and is_ours and period.isdigit() else 0.0

    def ready(self, status: str) -> None:
        self._tell(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def status(self, status: str) -> None:
        self._tell(f"STATUS={status}")

    def stopping(self, status: str) -> None:
        self._tell(f"STOPPING=1\nSTATUS={status}")

    def alive(self) -> None:
        self._tell("WATCHDOG=1")

    def _tell(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as sock:
                sock.sendto(text.encode(), self._address)
        except OSError:
            return
