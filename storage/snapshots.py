"""Snapshot files: written whole or not at all, two generations kept, the newest readable one read.

    magic 4s "TmqP" | crc u32 | number u64 | length u64 | data            name: <number, 16 hex digits>.snap

`crc` covers number, length and data. Not here: what the data means. A write that crashed leaves a temporary name, never
a bad newest file, so an unreadable newest file is damage; the older generation is returned then, and it is for the
caller to see whether the log still reaches back that far. Read next: FORMAT.md.
"""

import struct
import zlib
from typing import Final

from storage.disk import Disk, read_file, replace_file, replace_files
from storage.errors import CorruptSnapshot

MAGIC: Final = b"TmqP"
SUFFIX: Final = ".snap"
GENERATIONS: Final = 2
_PREFIX: Final = struct.Struct("<4sI")
_CHECKED: Final = struct.Struct("<QQ")
HEADER_LENGTH: Final = 24


def write_snapshot(disk: Disk, directory: str, data: bytes) -> int:
    """Make `data` the newest snapshot, durably; its number. Does IO. Raises DiskFull, DiskFailure."""
    disk.make_directory(directory)
    numbers = snapshot_numbers(disk, directory)
    number = numbers[-1] + 1 if numbers else 1
    replace_file(disk, snapshot_path(directory, number), encode_snapshot(number, data))
    for old in numbers[: -(GENERATIONS - 1)]:
        disk.remove(snapshot_path(directory, old))
    return number


def write_first_snapshots(disk: Disk, snapshots: list[tuple[str, bytes]]) -> None:
    """Make each directory's data its newest snapshot, durably: `write_snapshot` for many that have none yet. Does IO.
    Raises DiskFull, DiskFailure; then it may be done again."""
    files: list[tuple[str, bytes]] = []
    for directory, data in snapshots:
        numbers = snapshot_numbers(disk, directory)
        number = numbers[-1] + 1 if numbers else 1
        files.append((snapshot_path(directory, number), encode_snapshot(number, data)))
    replace_files(disk, files)


def write_only_snapshot(disk: Disk, directory: str, data: bytes) -> str:
    """Make `data` the only snapshot, durably; the name of its file. Until then the others are there. Does IO.
    Raises DiskFull, DiskFailure."""
    number = write_snapshot(disk, directory, data)
    for old in snapshot_numbers(disk, directory):
        if old != number:
            disk.remove(snapshot_path(directory, old))
    disk.sync_directory(directory)
    return f"{number:016x}{SUFFIX}"


def read_snapshot(disk: Disk, directory: str) -> bytes | None:
    """The newest readable snapshot; None when there was never one. Raises CorruptSnapshot when none can be read."""
    numbers = snapshot_numbers(disk, directory)
    for number in reversed(numbers):
        data = decode_snapshot(read_file(disk, snapshot_path(directory, number)), number)
        if data is not None:
            return data
    if numbers:
        path = snapshot_path(directory, numbers[-1])
        raise CorruptSnapshot(f"{path}: fails its checksum, and so does every older generation")
    return None


def encode_snapshot(number: int, data: bytes) -> bytes:
    """The content of a snapshot file."""
    checked = _CHECKED.pack(number, len(data))
    return _PREFIX.pack(MAGIC, zlib.crc32(data, zlib.crc32(checked))) + checked + data


def decode_snapshot(content: bytes, number: int) -> bytes | None:
    """The data of a snapshot file; None when it is damaged."""
    if len(content) < HEADER_LENGTH:
        return None
    magic, crc = _PREFIX.unpack_from(content)
    found, length = _CHECKED.unpack_from(content, _PREFIX.size)
    data = content[HEADER_LENGTH:]
    if magic != MAGIC or found != number or length != len(data):
        return None
    return data if zlib.crc32(data, zlib.crc32(content[_PREFIX.size : HEADER_LENGTH])) == crc else None


def snapshot_numbers(disk: Disk, directory: str) -> list[int]:
    """Numbers of the snapshot files, ascending."""
    return [int(name[: -len(SUFFIX)], 16) for name in disk.list(directory) if name.endswith(SUFFIX)]


def snapshot_path(directory: str, number: int) -> str:
    """Name of a snapshot file."""
    return f"{directory}/{number:016x}{SUFFIX}"
