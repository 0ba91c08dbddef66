"""The disk as the rest of storage sees it: two Protocols, and their implementation on a real file system.

Not here: what the bytes mean. Every access of storage to files goes through `Disk`, so that a simulated disk can lose
what was never synced. Paths are relative to the disk's root, with "/" between parts.
Invariants: writes are complete or raise; `sync` is fdatasync and is never called again after it failed; names are
durable only after `sync_directory`. Read next: frame.py.
"""

import errno
import os
import shutil
from collections.abc import Sequence
from typing import Final, Protocol

from storage.errors import DiskFailure, DiskFull, FileMissing, StorageError

PARTS_MAX: Final = 512  # below IOV_MAX (1024) everywhere


class File(Protocol):
    """An open file. Offsets and lengths are bytes."""

    def pwrite(self, parts: list[bytes], offset: int) -> None:
        """Write the parts one behind the other, all of them. Raises DiskFull, DiskFailure."""

    def pread(self, length: int, offset: int) -> bytes:
        """Read up to `length` bytes; fewer only at the end of the file."""

    def preallocate(self, length: int) -> None:
        """Reserve blocks so that the file is at least `length` long, new bytes zero. Raises DiskFull."""

    def truncate(self, length: int) -> None:
        """Cut (or extend with zeros) to `length`."""

    def sync(self) -> None:
        """Data and length are durable on return."""

    def size(self) -> int:
        """Length of the file."""

    def close(self) -> None:
        """Give the descriptor back; never syncs."""


class Disk(Protocol):
    """A tree of files."""

    def open(self, path: str, create: bool = False) -> File:
        """Open for reading and writing. Raises FileMissing unless `create`."""

    def exists(self, path: str) -> bool:
        """Is there a file or directory of this name?"""

    def list(self, path: str) -> list[str]:
        """Names in a directory, sorted; empty when there is no such directory."""

    def make_directory(self, path: str) -> None:
        """Make it and its parents, durably; nothing happens when it exists."""

    def make_directories(self, paths: Sequence[str]) -> None:
        """The same for several, with fewer syncs."""

    def remove(self, path: str) -> None:
        """Unlink a file; nothing happens when it is missing."""

    def remove_directory(self, path: str) -> None:
        """Remove a directory and all that is in it; nothing happens when it is missing."""

    def rename(self, old: str, new: str) -> None:
        """Atomic; replaces `new`. Durable after `sync_directory`."""

    def sync_directory(self, path: str) -> None:
        """Names made, renamed and removed in this directory are durable on return."""


def replace_file(disk: Disk, path: str, content: bytes) -> None:
    """Put `content` under `path` atomically and durably: temporary name, sync, rename, sync of the directory."""
    replace_files(disk, [(path, content)])


def replace_files(disk: Disk, files: list[tuple[str, bytes]]) -> None:
    """`replace_file` for several paths. Syncs of one kind follow one another: the first one writes the file system's
    journal, and leaves little for the others."""
    directories: dict[str, bool] = {}
    for path, content in files:
        temporary = path + ".tmp"
        disk.remove(temporary)
        file = disk.open(temporary, create=True)
        try:
            file.pwrite([content], 0)
            file.truncate(len(content))
            file.sync()
        finally:
            file.close()
    for path, _content in files:
        disk.rename(path + ".tmp", path)
        directories[path.rpartition("/")[0]] = True
    for directory in directories:
        disk.sync_directory(directory)


def read_file(disk: Disk, path: str) -> bytes:
    """All of a file. Raises FileMissing."""
    file = disk.open(path)
    try:
        return file.pread(file.size(), 0)
    finally:
        file.close()


def typed(error: OSError, path: str, operation: str) -> StorageError:
    """The storage error that says what an OSError means."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):  # the last one: a limit that was set for the process
        return DiskFull(path, operation)
    if error.errno == errno.ENOENT:
        return FileMissing(path)
    return DiskFailure(path, operation, error.strerror or str(error))


class OsFile:
    """A File of the operating system."""

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    def pwrite(self, parts: list[bytes], offset: int) -> None:
        try:
            if len(parts) <= PARTS_MAX:
                self._write(parts, offset)
                return
            for start in range(0, len(parts), PARTS_MAX):
                chunk = parts[start : start + PARTS_MAX]
                self._write(chunk, offset)
                offset += sum([len(part) for part in chunk])
        except OSError as error:
            raise typed(error, self.path, "write") from error

    def _write(self, parts: list[bytes], offset: int) -> None:
        total = 0
        for part in parts:
            total += len(part)
        written = os.pwritev(self.descriptor, parts, offset)
        if written == total:
            return
        rest = b"".join(parts)  # a short write: a signal, or the last room on the disk
        while written < total:
            count = os.pwrite(self.descriptor, rest[written:], offset + written)
            if count == 0:
                raise OSError(errno.EIO, "write returned 0")
            written += count

    def pread(self, length: int, offset: int) -> bytes:
        try:
            data = os.pread(self.descriptor, length, offset)
            while len(data) < length:
                more = os.pread(self.descriptor, length - len(data), offset + len(data))
                if not more:
                    break
                data += more
            return data
        except OSError as error:
            raise typed(error, self.path, "read") from error

    def preallocate(self, length: int) -> None:
        try:
            os.posix_fallocate(self.descriptor, 0, length)
        except OSError as error:
            raise typed(error, self.path, "preallocate") from error

    def truncate(self, length: int) -> None:
        try:
            os.ftruncate(self.descriptor, length)
        except OSError as error:
            raise typed(error, self.path, "truncate") from error

    def sync(self) -> None:
        try:
            os.fdatasync(self.descriptor)
        except OSError as error:
            raise DiskFailure(self.path, "sync", error.strerror or str(error)) from error

    def size(self) -> int:
        try:
            return os.fstat(self.descriptor).st_size
        except OSError as error:
            raise typed(error, self.path, "stat") from error

    def close(self) -> None:
        if self.descriptor >= 0:
            descriptor = self.descriptor
            self.descriptor = -1
            os.close(descriptor)


class OsDisk:
    """A directory of the operating system. The root is made when it is missing."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)
        try:
            os.makedirs(self.root, exist_ok=True)
        except OSError as error:
            raise typed(error, self.root, "make directory") from error

    def _full(self, path: str) -> str:
        return os.path.join(self.root, path) if path else self.root

    def open(self, path: str, create: bool = False) -> File:
        full = self._full(path)
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        try:
            return OsFile(full, os.open(full, flags, 0o640))
        except OSError as error:
            raise typed(error, full, "open") from error

    def exists(self, path: str) -> bool:
        return os.path.exists(self._full(path))

    def list(self, path: str) -> list[str]:
        full = self._full(path)
        try:
            return sorted(os.listdir(full))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise typed(error, full, "list") from error

    def make_directory(self, path: str) -> None:
        self.make_directories([path])

    def make_directories(self, paths: Sequence[str]) -> None:
        changed: dict[str, bool] = {}
        for path in paths:
            done = ""
            for name in path.split("/"):
                parent = done
                done = f"{done}/{name}" if done else name
                if not self.exists(done):
                    try:
                        os.mkdir(self._full(done), 0o750)
                    except OSError as error:
                        raise typed(error, self._full(done), "make directory") from error
                    changed[parent] = True
        for parent in changed:
            self.sync_directory(parent)

    def remove(self, path: str) -> None:
        try:
            os.unlink(self._full(path))
        except FileNotFoundError:
            return
        except OSError as error:
            raise typed(error, self._full(path), "remove") from error

    def remove_directory(self, path: str) -> None:
        try:
            shutil.rmtree(self._full(path))
        except FileNotFoundError:
            return
        except OSError as error:
            raise typed(error, self._full(path), "remove directory") from error

    def rename(self, old: str, new: str) -> None:
        try:
            os.rename(self._full(old), self._full(new))
        except OSError as error:
            raise typed(error, self._full(old), "rename") from error

    def sync_directory(self, path: str) -> None:
        full = self._full(path)
        try:
            descriptor = os.open(full, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise DiskFailure(full, "sync directory", error.strerror or str(error)) from error
