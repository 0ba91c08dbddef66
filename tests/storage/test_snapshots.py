"""Snapshot files: whole or not there, two generations, no silent rot."""

from __future__ import annotations

import contextlib
import random

import pytest
from crash_disk import CrashDisk, PowerLost

from storage.errors import CorruptSnapshot
from storage.snapshots import read_snapshot, write_snapshot


def test_the_newest_of_two_generations_is_read() -> None:
    disk = CrashDisk(random.Random(1))
    assert read_snapshot(disk, "g") is None
    for number in range(5):
        write_snapshot(disk, "g", b"state %d" % number)
        assert read_snapshot(disk, "g") == b"state %d" % number
    assert len(disk.list("g")) == 2


def test_a_power_cut_while_writing_leaves_the_last_complete_one() -> None:
    for cut in range(12):
        for seed in range(10):
            disk = CrashDisk(random.Random(seed))
            write_snapshot(disk, "g", b"old" * 300)
            disk.cut_after = cut
            done = False
            with contextlib.suppress(PowerLost):
                write_snapshot(disk, "g", b"new" * 300)
                done = True
            disk.crash()
            found = read_snapshot(disk, "g")
            assert found == b"new" * 300 if done else found in (b"old" * 300, b"new" * 300)


def test_rot_falls_back_to_the_older_generation_or_says_so() -> None:
    disk = CrashDisk(random.Random(1))
    write_snapshot(disk, "g", b"older")
    write_snapshot(disk, "g", b"newer")
    paths = [f"g/{name}" for name in disk.list("g")]
    image = disk.content(paths[1])
    for bit in range(len(image) * 8):
        disk.flip_bit(paths[1], bit)
        assert read_snapshot(disk, "g") == b"older"
        disk.set_content(paths[1], image)
    for path in paths:
        disk.set_content(path, b"")
    with pytest.raises(CorruptSnapshot):
        read_snapshot(disk, "g")
