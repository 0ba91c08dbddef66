"""What the machine has and what this process uses of it.

Is: a few reads under /proc and /sys, for limits given as "automatic" and for the monitoring pages.
Read next: `server.py`.
"""

from __future__ import annotations

import fcntl
import os
import resource
import socket
import struct
import time
from typing import Final

SIOCGIFADDR: Final = 0x8915  # linux/sockios.h; the answer is a struct ifreq, its IPv4 address at byte 20
INTERFACE_NAME_MAX: Final = 15
CGROUP_MEMORY: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def addresses() -> list[str]:
    """The IPv4 addresses under which other machines find this one; loopback's when there are no others."""
    found: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:INTERFACE_NAME_MAX])
            try:
                answer = fcntl.ioctl(probe.fileno(), SIOCGIFADDR, request)
            except OSError:
                continue  # an interface without an address
            found.append(socket.inet_ntoa(answer[20:24]))
    return [address for address in found if not address.startswith("127.")] or found


def memory_bytes() -> int:
    """What this process may use: the machine's memory, or its control group's limit."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in CGROUP_MEMORY:
        try:
            with open(path, encoding="ascii") as file:
                text = file.read().strip()
        except OSError:
            continue
        if text.isdigit():
            total = min(total, int(text))
    return total


def boot_id() -> str:
    """What the kernel calls this boot; "" where it does not say."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def disk_free_bytes(path: str) -> int:
    """Free space where `path` is, or would be."""
    path = os.path.abspath(path)
    while not os.path.exists(path):
        path = os.path.dirname(path)
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def resident_bytes() -> int:
    """Resident memory of this process."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def size_text(size: int) -> str:
    """For people, as nats-server's log says it: `17.65 GB`."""
    amount = float(size)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < 1024:
            return f"{amount:.2f} {unit}" if unit != "B" else f"{size} B"
        amount /= 1024
    return f"{amount:.2f} TB"


class CpuMeter:
    """Per cent of one core used since the last reading, as `ps` counts."""

    def __init__(self) -> None:
        self._last = (time.monotonic(), self._used_s())
        self._percent = 0.0

    def percent(self) -> float:
        """Readings closer together than a second repeat the last answer."""
        now_s, used_s = time.monotonic(), self._used_s()
        elapsed_s = now_s - self._last[0]
        if elapsed_s >= 1:
            self._percent = round(100 * (used_s - self._last[1]) / elapsed_s, 1)
            self._last = (now_s, used_s)
        return self._percent

    @staticmethod
    def _used_s() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime
