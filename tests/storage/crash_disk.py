"""A Disk in memory that forgets what was never synced: for storage's own tests and for the simulated cluster.

Model of a crash: every 512-byte sector written since the file's last sync is, each for itself, old or new; a changed
length may be old or new; names made, renamed or removed since the last sync of their directory survive up to some
point in their order. Deterministic: all chance comes from the `random.Random` given.

Faults on demand: `cut_after` (the power goes at the n-th operation that changes anything), `capacity` (bytes; DiskFull
beyond), `sync_failures` (the n-th next sync fails and the dirty pages count as clean, as Linux does), `flip_bit`.
Not here: delays (the simulator schedules jobs), real files (storage.disk.OsDisk).
"""

from __future__ import annotations

import random

from storage.disk import File
from storage.errors import DiskFailure, DiskFull, FileMissing

SECTOR = 512


class PowerLost(Exception):
    """The machine is off. Call `CrashDisk.crash` to start it again."""


class Inode:
    """A file's bytes: as programs see them, and as the disk has them."""

    def __init__(self) -> None:
        self.current = bytearray()
        self.durable = bytearray()
        self.dirty: set[int] = set()
        self.lost: set[int] = set()  # sectors whose sync failed: clean for the kernel, never on the disk

    def crash(self, rng: random.Random) -> None:
        mode = rng.randrange(4)  # all lost, all kept, or sector by sector (twice as likely)
        old, new = self.durable, self.current
        if len(old) != len(new):
            length = rng.choice((len(old), len(new))) if mode > 1 else (len(new) if mode == 1 else len(old))
        else:
            length = len(old)
        image = bytearray(length)
        image[: min(length, len(old))] = old[:length]
        for sector in sorted(self.dirty - self.lost):
            if mode == 1 or (mode > 1 and rng.random() < 0.5):
                start = sector * SECTOR
                piece = new[start : min(start + SECTOR, length)]
                image[start : start + len(piece)] = piece
        self.current = image
        self.durable = bytearray(image)
        self.dirty.clear()
        self.lost.clear()

    def sync(self) -> None:
        if not self.dirty and len(self.durable) == len(self.current):
            return
        for sector in sorted(self.lost & set(range(len(self.durable) // SECTOR + 1))):
            self.dirty.discard(sector)
        if len(self.current) <= len(self.durable):
            del self.durable[len(self.current) :]
        else:
            self.durable.extend(bytes(len(self.current) - len(self.durable)))
        for sector in self.dirty:
            start = sector * SECTOR
            piece = self.current[start : start + SECTOR]
            self.durable[start : start + len(piece)] = piece
        self.dirty.clear()


class CrashFile:
    """An open file of a CrashDisk; dies with the crash."""

    def __init__(self, disk: CrashDisk, path: str, inode: Inode) -> None:
        self.path = path
        self._disk = disk
        self._inode = inode
        self._boot = disk.boots
        self._open = True
        disk.open_files += 1

    def _check(self) -> Inode:
        if self._boot != self._disk.boots or self._disk.off:
            raise PowerLost(self.path)
        assert self._open, f"{self.path} is closed"
        return self._inode

    def pwrite(self, parts: list[bytes], offset: int) -> None:
        inode = self._check()
        data = b"".join(parts)
        room = self._disk.room(inode, offset + len(data))
        cut = self._disk.step("write", self.path, defer=True)
        written = data[: self._disk.rng.randrange(len(data) + 1)] if cut else data[:room]
        end = offset + len(written)
        if len(inode.current) < end:
            inode.current.extend(bytes(end - len(inode.current)))
        inode.current[offset:end] = written
        if written:
            touched = range(offset // SECTOR, (end - 1) // SECTOR + 1)
            inode.dirty.update(touched)
            inode.lost.difference_update(touched)
        self._disk.written_bytes += len(written)
        if cut:
            raise PowerLost(self.path)
        if len(written) < len(data):
            raise DiskFull(self.path, "write")

    def pread(self, length: int, offset: int) -> bytes:
        return bytes(self._check().current[offset : offset + length])

    def preallocate(self, length: int) -> None:
        inode = self._check()
        self._disk.step("preallocate", self.path)
        if self._disk.room(inode, length) < length:
            raise DiskFull(self.path, "preallocate")
        if len(inode.current) < length:
            inode.current.extend(bytes(length - len(inode.current)))

    def truncate(self, length: int) -> None:
        inode = self._check()
        self._disk.step("truncate", self.path)
        if length < len(inode.current):
            del inode.current[length:]
            inode.dirty = {sector for sector in inode.dirty if sector * SECTOR < length}
            if length % SECTOR:
                inode.dirty.add(length // SECTOR)
        else:
            inode.current.extend(bytes(length - len(inode.current)))

    def sync(self) -> None:
        inode = self._check()
        self._disk.step("sync", self.path)
        self._disk.syncs += 1
        if self._disk.sync_fails():
            inode.lost.update(inode.dirty)
            raise DiskFailure(self.path, "sync", "Input/output error")
        inode.sync()

    def size(self) -> int:
        return len(self._check().current)

    def close(self) -> None:
        if self._open:
            self._open = False
            if self._boot == self._disk.boots:
                self._disk.open_files -= 1


class CrashDisk:
    """A tree of files that loses what was not synced when `crash` is called."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.boots = 0
        self.off = False
        self.cut_after: int | None = None
        self.capacity: int | None = None
        self.sync_failures: list[int] = []
        self.operations = 0
        self.syncs = 0
        self.open_files = 0
        self.written_bytes = 0
        self.trace: list[str] = []
        self._names: dict[str, Inode] = {}
        self._durable_names: dict[str, Inode] = {}
        self._pending_names: list[NameChange] = []
        self._directories: set[str] = {""}

    # Faults.

    def crash(self) -> None:
        """The power goes and comes back. Open files are dead; what was never synced may be gone."""
        by_directory: dict[str, list[NameChange]] = {}
        for change in self._pending_names:
            by_directory.setdefault(parent(change.path), []).append(change)
        for directory in sorted(by_directory):
            changes = by_directory[directory]
            for change in changes[: self.rng.randrange(len(changes) + 1)]:
                self._apply(change)
        self._pending_names.clear()
        inodes = {id(inode): inode for _, inode in sorted(self._durable_names.items())}
        for inode in inodes.values():
            inode.crash(self.rng)
        self._names = dict(self._durable_names)
        self.boots += 1
        self.open_files = 0
        self.off = False
        self.cut_after = None

    def step(self, operation: str, path: str, defer: bool = False) -> bool:
        """One operation that changes something. True (or PowerLost) when the power goes now."""
        if self.off:
            raise PowerLost(path)
        self.operations += 1
        self.trace.append(f"{operation} {path}")
        if len(self.trace) > 1000:
            del self.trace[:500]
        if self.cut_after is not None:
            self.cut_after -= 1
            if self.cut_after < 0:
                self.off = True
                if not defer:
                    raise PowerLost(path)
                return True
        return False

    def sync_fails(self) -> bool:
        """Is this one of the syncs that were to fail?"""
        self.sync_failures = [left - 1 for left in self.sync_failures]
        if 0 in self.sync_failures:
            self.sync_failures.remove(0)
            return True
        return False

    def take(self) -> Contents:
        """The disk is taken out; an empty one has its place."""
        taken = Contents(self._names, self._durable_names, self._pending_names, self._directories)
        self.put(Contents({}, {}, [], {""}))
        return taken

    def put(self, contents: Contents) -> None:
        """A disk that was taken out before is put in."""
        self._names = contents.names
        self._durable_names = contents.durable_names
        self._pending_names = contents.pending_names
        self._directories = contents.directories
        self.boots += 1

    def flip_bit(self, path: str, bit: int) -> None:
        """Damage one bit on the disk and in the cache."""
        inode = self._names[path]
        for image in (inode.current, inode.durable):
            if bit // 8 < len(image):
                image[bit // 8] ^= 1 << bit % 8

    def content(self, path: str) -> bytes:
        """A file's bytes as a program would read them."""
        return bytes(self._names[path].current)

    def set_content(self, path: str, content: bytes) -> None:
        """Replace a file's bytes, durably."""
        inode = self._names[path]
        inode.current = bytearray(content)
        inode.durable = bytearray(content)
        inode.dirty.clear()

    def used_bytes(self) -> int:
        """Sum of all file lengths."""
        return sum(len(inode.current) for inode in self._names.values())

    def room(self, inode: Inode, end: int) -> int:
        """How much of a write (or length) ending at `end` fits; what the file already has is always allowed."""
        if self.capacity is None or end <= len(inode.current):
            return end
        return max(0, end - max(0, self.used_bytes() + end - len(inode.current) - self.capacity))

    # The Disk protocol.

    def open(self, path: str, create: bool = False) -> File:
        inode = self._names.get(path)
        if inode is None:
            if not create:
                raise FileMissing(path)
            self._change("create", path, "")
            inode = self._names[path]
        elif self.off:
            raise PowerLost(path)
        return CrashFile(self, path, inode)

    def exists(self, path: str) -> bool:
        return path in self._names or path in self._directories

    def list(self, path: str) -> list[str]:
        if self.off:
            raise PowerLost(path)
        prefix = path + "/" if path else ""
        found = [*self._names, *self._directories]
        return sorted({name[len(prefix) :].split("/")[0] for name in found if name.startswith(prefix) and name != path})

    def make_directories(self, paths: list[str]) -> None:
        for path in paths:
            self.make_directory(path)

    def make_directory(self, path: str) -> None:
        parts = path.split("/")
        for end in range(1, len(parts) + 1):
            self._directories.add("/".join(parts[:end]))

    def remove(self, path: str) -> None:
        if path in self._names:
            self._change("remove", path, "")

    def remove_directory(self, path: str) -> None:
        for name in sorted(self._names):
            if name.startswith(path + "/"):
                self.remove(name)
        self._directories = {name for name in self._directories if name != path and not name.startswith(path + "/")}

    def rename(self, old: str, new: str) -> None:
        if old not in self._names:
            raise FileMissing(old)
        self._change("rename", new, old)

    def sync_directory(self, path: str) -> None:
        self.step("sync directory", path)
        if self.sync_fails():
            raise DiskFailure(path, "sync directory", "Input/output error")
        kept = []
        for change in self._pending_names:
            if parent(change.path) == path or (change.source and parent(change.source) == path):
                self._apply(change)
            else:
                kept.append(change)
        self._pending_names = kept

    def _change(self, operation: str, path: str, source: str) -> None:
        self.step(operation, path)
        if operation == "create":
            self._names[path] = Inode()
        elif operation == "rename":
            self._names[path] = self._names.pop(source)
        change = NameChange(operation, path, source, self._names[path])
        if operation == "remove":
            del self._names[path]
        self._pending_names.append(change)

    def _apply(self, change: NameChange) -> None:
        if change.operation == "remove":
            self._durable_names.pop(change.path, None)
        else:
            self._durable_names.pop(change.source, None)
            self._durable_names[change.path] = change.inode


class Contents:
    """Everything on a disk."""

    def __init__(
        self,
        names: dict[str, Inode],
        durable_names: dict[str, Inode],
        pending_names: list[NameChange],
        directories: set[str],
    ) -> None:
        self.names = names
        self.durable_names = durable_names
        self.pending_names = pending_names
        self.directories = directories


class NameChange:
    """A name made, renamed or removed, and not yet synced."""

    def __init__(self, operation: str, path: str, source: str, inode: Inode) -> None:
        self.operation = operation
        self.path = path
        self.source = source
        self.inode = inode


def parent(path: str) -> str:
    """The directory a path is in."""
    return path.rpartition("/")[0]
