"""Reading from many files with few descriptors: those read last stay open.

With `pread`, never by mapping: a sector that cannot be read, or a file that lost its end, is then an error of one read,
where touching a mapped page would end the process (SIGBUS).

Not here: writing (wal_batch.py, flush.py have descriptors of their own). Reactor thread only.
"""

from storage.disk import Disk, File


class OpenFiles:
    """At most `files_max` of them."""

    def __init__(self, disk: Disk, files_max: int) -> None:
        self.disk = disk
        self.files_max = files_max
        self._files: dict[str, File] = {}  # the one read last is last

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Bytes of a file; fewer only at its end. Raises FileMissing, DiskFailure."""
        file = self._files.pop(path, None)
        if file is None:
            file = self.disk.open(path)
            if len(self._files) >= self.files_max:
                self._files.pop(next(iter(self._files))).close()
        self._files[path] = file
        return file.pread(length, offset)

    def forget(self, path: str) -> None:
        """The file goes away, or another one takes its name."""
        file = self._files.pop(path, None)
        if file is not None:
            file.close()

    def forget_below(self, directory: str) -> None:
        """All files below a directory go away."""
        for path in list(self._files):
            if path.startswith(f"{directory}/"):
                self.forget(path)

    def close(self) -> None:
        """Give all descriptors back."""
        for file in self._files.values():
            file.close()
        self._files.clear()
