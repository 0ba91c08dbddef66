"""A disk of its own for each node: a small ext4 image on a loop device, and what can befall it.

The power cut is real: the filesystem is told to stop at once (FS_IOC_SHUTDOWN without flushing its journal), so that
what was not synced is lost, renames and new files included, and the next mount replays the journal. `commit=300` keeps
the kernel from syncing on its own meanwhile. Errors of single calls are injected elsewhere (`processes.Tracer`).
Needs root.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import shutil
import struct
import subprocess
from pathlib import Path

from chaos.network import run

FS_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2
SIZE_MB = 512
FLIPS_A_FILE = 2  # Jepsen's rate
BALLAST = "ballast"
CANARY = b"alive" * 1000


class Disk:
    """One node's disk, mounted at `path`."""

    def __init__(self, directory: Path, name: str, size_mb: int = SIZE_MB) -> None:
        self.image = directory / f"{name}.img"
        self.path = directory / f"{name}-disk"
        self.store_dir = self.path / "jetstream"
        self.mounted = False
        self.cuts = 0
        self.path.mkdir()
        with self.image.open("wb") as image:
            image.truncate(size_mb << 20)
        run("mkfs.ext4", "-q", "-F", "-m", "0", str(self.image))
        self.mount()

    def mount(self) -> None:
        """Mount it; replays the journal."""
        run("mount", "-o", "loop,commit=300", str(self.image), str(self.path))
        self.mounted = True

    def unmount(self) -> None:
        """The processes that use it must be gone."""
        run("umount", str(self.path))
        self.mounted = False

    # Power.

    def place_canaries(self) -> None:
        """One file that is synced and one that is not: what a power cut must keep, and what it must lose."""
        self.cuts += 1
        with (self.path / f"synced-{self.cuts}").open("wb") as canary:
            canary.write(CANARY)
            canary.flush()
            os.fsync(canary.fileno())
        descriptor = os.open(self.path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        # A new name each time: ext4 syncs a file that is truncated and written anew of its own accord.
        (self.path / f"unsynced-{self.cuts}").write_bytes(CANARY)

    def cut_power(self) -> None:
        """From now on nothing reaches the disk, and what was not synced never will."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, FS_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def refuses_writes(self) -> bool:
        """Whether a write fails, as it does after a power cut."""
        try:
            (self.path / "probe").write_bytes(b"x")
        except OSError:
            return True
        return False

    def kept_and_lost(self) -> tuple[bool, bool]:
        """After the next mount: whether the synced canary is whole, and whether the other one is gone or cut."""
        synced, unsynced = self.path / f"synced-{self.cuts}", self.path / f"unsynced-{self.cuts}"
        kept = synced.exists() and synced.read_bytes() == CANARY
        return kept, not unsynced.exists() or unsynced.read_bytes() != CANARY

    # Space and patience.

    def fill(self) -> int:
        """Take all the space that is left, with a ballast; returns its size in bytes."""
        ballast = self.path / BALLAST
        while (free := os.statvfs(self.path)).f_bavail > 0:
            size = (ballast.stat().st_size if ballast.exists() else 0) + free.f_bavail * free.f_frsize
            done = subprocess.run(["fallocate", "-l", str(size), str(ballast)], capture_output=True, check=False)
            if done.returncode:  # the last few blocks are needed for the ballast's own bookkeeping
                break
        with (self.path / "crumbs").open("ab", buffering=0) as crumbs:
            try:
                while True:
                    crumbs.write(bytes(4096))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
        return ballast.stat().st_size

    def is_full(self) -> bool:
        """Whether a write is refused for want of space."""
        try:
            with (self.path / "probe").open("wb") as probe:
                probe.write(bytes(4096))
        except OSError as error:
            return error.errno == errno.ENOSPC
        return False

    def free(self) -> None:
        """Drop the ballast."""
        for name in (BALLAST, "crumbs", "probe"):
            (self.path / name).unlink(missing_ok=True)

    def freeze(self) -> None:
        """Writers wait from now on; nothing fails."""
        run("fsfreeze", "-f", str(self.path))

    def thaw(self) -> None:
        """Writers go on."""
        run("fsfreeze", "-u", str(self.path))

    def writer_waits(self, seconds: float = 0.5) -> bool:
        """Whether a write hangs; the process that tries it ends after the thaw."""
        probe = subprocess.Popen(["dd", "if=/dev/zero", f"of={self.path / 'probe'}", "bs=4096", "count=1"],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        try:
            probe.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    # Decay. Only what the server wrote: files of its store, by a pattern of their names.

    def files(self, pattern: str) -> list[Path]:
        """The store's files of this kind, those with something in them, in the order of their names."""
        return sorted(path for path in self.store_dir.rglob(pattern) if path.is_file() and path.stat().st_size)

    def flip_bits(self, pattern: str, rng: random.Random, a_file: int = FLIPS_A_FILE) -> int:
        """Flip bits of every such file at random places where data is; returns how many flips can be read back."""
        flipped = 0
        for path in self.files(pattern):
            with path.open("r+b", buffering=0) as file:
                for _ in range(a_file):
                    at = rng.randrange(written_length(file.fileno()))
                    before = os.pread(file.fileno(), 1, at)[0]
                    os.pwrite(file.fileno(), bytes([before ^ 1 << rng.randrange(8)]), at)
                    flipped += os.pread(file.fileno(), 1, at)[0] != before
        return flipped

    def truncate(self, pattern: str, rng: random.Random) -> int:
        """Cut something off the end of every such file; returns how many bytes are gone."""
        gone = 0
        for path in self.files(pattern):
            with path.open("r+b", buffering=0) as file:
                length = written_length(file.fileno())
                cut = min(length, 1 + int(rng.paretovariate(0.5)))
                os.ftruncate(file.fileno(), length - cut)
                gone += cut
        return gone

    def wipe(self) -> int:
        """A new, empty disk instead of the old one; returns how many files are gone."""
        files = sum(len(names) for _, _, names in os.walk(self.store_dir))
        shutil.rmtree(self.store_dir, ignore_errors=True)
        return files


def written_length(descriptor: int) -> int:
    """The length of a file without the zeros at its end that were reserved and not written yet; at least 1."""
    size = os.fstat(descriptor).st_size
    at = size
    while at > 0:
        start = max(0, at - (1 << 16))
        block = os.pread(descriptor, at - start, start).rstrip(b"\0")
        if block:
            return start + len(block)
        at = start
    return max(1, size)
