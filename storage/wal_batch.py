"""Records on their way to the log: the pending batch, the job that writes it, and the files it writes to.

A batch is one frame: meta is the directory (40 bytes a record), the body is the records' data one behind the other.

    directory record: group u64 | index u64 | term u64 | length u32 | crc u32 | type u8 | kind u8 | zeros 6

Two callers: the reactor thread fills `Records`; the IO thread runs `WalBatch`, which alone touches `WalWriter`.
Not here: what a group's log looks like (group_log.py), reading back (wal_recovery.py).
Invariants: a frame goes where the batch says; `synced` moves only after a sync that succeeded; after a failed sync the
writer is dead. A failed write or preallocation leaves the place as it was for another try.
"""

import struct
import zlib
from typing import Final

from storage.disk import Disk, File
from storage.errors import DiskFull, StorageError, StorageFailed
from storage.frame import HEADER_LENGTH, encode_header, frame_length, padding

RECORD_LENGTH: Final = 40
RECORD: Final = struct.Struct("<QQQIIBBHI")
RECORD_ENTRY: Final = 1
RECORD_HARD_STATE: Final = 2
RECORD_START: Final = 3
RECORD_REMOVE: Final = 4
RECORD_TABLE: Final = 5
RECORD_PREVIOUS: Final = 6
RECORD_DAMAGED: Final = 7
START_EMPTY: Final = 0
START_KEEP: Final = 1
JOIN_BYTES_MAX: Final = 64 * 1024
SPARE_FILES_MAX: Final = 2


class Records:
    """Records of one frame, as parallel lists."""

    def __init__(self) -> None:
        self.types: list[int] = []
        self.groups: list[int] = []
        self.indexes: list[int] = []
        self.terms: list[int] = []
        self.kinds: list[int] = []
        self.bodies: list[bytes] = []
        self.crcs: list[int] = []
        self.body_bytes: int = 0

    def add(self, kind_of_record: int, group: int, index: int, term: int, kind: int, body: bytes) -> None:
        """One more record."""
        self.types.append(kind_of_record)
        self.groups.append(group)
        self.indexes.append(index)
        self.terms.append(term)
        self.kinds.append(kind)
        self.bodies.append(body)
        self.body_bytes += len(body)

    def length(self) -> int:
        """Bytes of the frame these records make."""
        return frame_length(RECORD_LENGTH * len(self.types), self.body_bytes)

    def encode(self, seed: int, file: int, offset: int, synced: int) -> list[bytes]:
        """The frame as parts for one gathered write. Small frames are joined."""
        crcs: list[int] = []
        rows: list[bytes] = []
        for at in range(len(self.types)):
            body = self.bodies[at]
            crc = zlib.crc32(body)
            crcs.append(crc)
            group, index, term = self.groups[at], self.indexes[at], self.terms[at]
            rows.append(RECORD.pack(group, index, term, len(body), crc, self.types[at], self.kinds[at], 0, 0))
        directory = rows[0] if len(rows) == 1 else b"".join(rows)
        self.crcs = crcs
        header = encode_header(seed, file, offset, synced, directory, self.body_bytes)
        parts = [header, directory]
        parts.extend(self.bodies)
        parts.append(padding(len(directory), self.body_bytes))
        return [b"".join(parts)] if self.body_bytes <= JOIN_BYTES_MAX else parts


def log_path(directory: str, sequence: int) -> str:
    """Name of a log file."""
    return f"{directory}/{sequence:016x}.wal"


class WalWriter:
    """The log's files as the IO thread sees them. Between jobs nobody looks at it, except for `failed`."""

    def __init__(self, disk: Disk, directory: str, seed: int, file_bytes: int, spares: list[str]) -> None:
        self.disk = disk
        self.directory = directory
        self.seed = seed
        self.file_bytes = file_bytes
        self.spares = spares
        self.file: File | None = None
        self.sequence: int = 0
        self.synced: int = 0
        self.written: int = 0
        self.failed: StorageError | None = None

    def check(self) -> None:
        """Raises StorageFailed after an earlier failure."""
        if self.failed is not None:
            raise StorageFailed(self.directory, self.failed)

    def sync(self) -> None:
        """Everything written so far is durable on return. A failure is final."""
        file = self.file
        if file is None or self.synced == self.written:
            return
        try:
            file.sync()
        except StorageError as error:
            self.failed = error
            raise
        self.synced = self.written

    def begin_file(self, sequence: int, head: Records) -> None:
        """Make `sequence` the current file; its head is durable, and so is all of the file before it."""
        self.sync()
        path = log_path(self.directory, sequence)
        file = self._fresh_file(path)
        try:
            # The name first: a recycled file written before its renaming is durable would overwrite, after a crash,
            # what its old name stands for.
            self._sync_names()
            file.pwrite(head.encode(self.seed, sequence, 0, 0), 0)
            try:
                file.sync()
            except StorageError as error:
                self.failed = error
                raise
        except StorageError:
            file.close()
            raise
        if self.file is not None:
            self.file.close()
        self.file = file
        self.sequence = sequence
        self.written = self.synced = head.length()

    def _sync_names(self) -> None:
        try:
            self.disk.sync_directory(self.directory)
        except StorageError as error:
            self.failed = error
            raise

    def _fresh_file(self, path: str) -> File:
        """A preallocated file under this name: a recycled one when there is one."""
        if self.spares:
            self.disk.rename(self.spares[-1], path)
            self.spares.pop()
        file = self.disk.open(path, create=True)
        try:
            file.preallocate(self.file_bytes)
        except StorageError:
            file.close()
            self.disk.remove(path)
            raise
        return file

    def retire(self, sequence: int) -> None:
        """A file whose records nobody needs: keep it for reuse, or remove it."""
        path = log_path(self.directory, sequence)
        if len(self.spares) < SPARE_FILES_MAX:
            spare = f"{self.directory}/{sequence:016x}.spare"
            self.disk.rename(path, spare)
            self.spares.append(spare)
        else:
            self.disk.remove(path)


class WalBatch:
    """One group commit. `run` belongs to the IO thread; set `sync` before it. Then hand it to `Wal.batch_done`."""

    def __init__(self, writer: WalWriter, records: Records, file: int, offset: int) -> None:
        self.writer = writer
        self.records = records
        self.file = file
        self.offset = offset
        self.head: Records | None = None
        self.retired: list[int] = []
        self.sync: bool = True
        self.done: bool = False
        self.bytes: int = records.length() if records.types else 0

    def run(self) -> None:
        """Write; sync unless told not to. Raises DiskFull (may be run again), DiskFailure, StorageFailed (final)."""
        writer = self.writer
        writer.check()
        if self.head is not None and writer.sequence != self.file:
            writer.begin_file(self.file, self.head)
        file = writer.file
        assert file is not None and writer.sequence == self.file
        records = self.records
        if records.types:
            parts = records.encode(writer.seed, self.file, self.offset, writer.synced)
            try:
                file.pwrite(parts, self.offset)
            except DiskFull:
                raise
            except StorageError as error:
                writer.failed = error
                raise
            writer.written = self.offset + self.bytes
        if self.sync or self.retired:
            writer.sync()
        for sequence in self.retired:
            writer.retire(sequence)
        self.done = True

    def body_offset(self) -> int:
        """Where the first record's data lies in the file."""
        return self.offset + HEADER_LENGTH + RECORD_LENGTH * len(self.records.types)
