"""A damaged log goes on with what is sound in it: nothing that was hit passes for whole, nothing sound is lost."""

from __future__ import annotations

import contextlib
import random

import pytest
from crash_disk import CrashDisk, PowerLost
from test_wal import commit, contents, open_wal

from storage.errors import CorruptLog
from storage.wal import Wal
from storage.wal_salvage import Covered, salvage

MEMBERSHIP = 9
NONE: dict[int, Covered] = {}


def written(seed: int = 1, frames: int = 60) -> tuple[CrashDisk, Wal]:
    """Three groups in a few small files, sealed: 1 and 2 get entries all the time, 3 only at the beginning."""
    disk = CrashDisk(random.Random(seed))
    wal = open_wal(disk)
    for group in (1, 2, 3):
        wal.set_hard_state(group, 1, "me")
        wal.append(group, 1, 1, 0, b"first of %d" % group)
    commit(wal)
    for index in range(2, frames):
        wal.append(1, index, 1, 0, b"one %d" % index)
        if index % 3 == 0:
            wal.append(2, index // 3 + 1, 1, 0, b"two %d" % index)
        if index == frames // 2:
            wal.set_hard_state(2, 2, "other")
        commit(wal)
    wal.seal()
    commit(wal)
    wal.close()
    return disk, wal


def logs(disk: CrashDisk) -> list[str]:
    return [f"wal/{name}" for name in disk.list("wal") if name.endswith(".wal")]


def frame_starts(disk: CrashDisk, path: str) -> list[int]:
    data = disk.content(path)
    return [at for at in range(0, len(data), 8) if data[at : at + 4] == b"TmqF"]


def destroy(disk: CrashDisk, path: str, start: int) -> None:
    """Two far bits of a frame's directory: nobody can tell any more what was in it."""
    disk.flip_bit(path, 8 * (start + 44))
    disk.flip_bit(path, 8 * (start + 60) + 3)


def reopened(disk: CrashDisk, covered: dict[int, Covered] = NONE) -> tuple[dict[int, object], list[int]]:
    """What the log says after salvage, and the groups it says were hit; and it says so as often as it is asked."""
    hit = salvage(disk, "wal", "n1", covered, [], MEMBERSHIP)
    for _ in range(2):
        wal = open_wal(disk)
        assert [group for group in wal.groups() if wal.group(group).damage] == hit
        found = contents(wal)
        wal.append(7, wal.group(7).last_index + 1, 1, 0, b"the log goes on")
        commit(wal)
        wal.close()
    return found, hit


def test_after_any_flipped_bit_a_group_is_whole_or_known_to_be_hit() -> None:
    disk, wal = written()
    before = contents(wal)
    image = {path: bytes(disk.content(path)) for path in logs(disk)}
    rng = random.Random(5)
    hits = 0
    for path, content in image.items():
        used = len(content.rstrip(b"\0"))
        head = frame_starts(disk, path)[1] * 8
        for bit in [*rng.sample(range(head), 30), *rng.sample(range(8 * used), 50)]:
            fresh, _ = written()
            fresh.flip_bit(path, bit)
            try:
                open_wal(fresh).close()
                continue  # padding, or the last frame of all
            except CorruptLog as error:
                assert error.complete, f"bit {bit} of {path}: one bit leaves no doubt whom it hit"
            found, hit = reopened(fresh)
            hits += len(hit)
            for group in before:
                if group not in hit:
                    assert found[group] == before[group], f"bit {bit} of {path}: group {group}"
    assert hits > 50


def test_where_the_log_is_blind_everything_is_in_doubt_but_what_one_node_has_alone_and_goes_on_behind_it() -> None:
    lone = {1: Covered(0, 0, True), 2: Covered(0, 0, False), 3: Covered(0, 0, True)}
    disk, wal = written()
    before = contents(wal)
    path = logs(disk)[-1]
    starts = frame_starts(disk, path)
    destroy(disk, path, starts[len(starts) // 2])
    assert reopened(disk, lone)[1] == [1, 2, 3], "entries of 1 are missing, and 3 says nothing behind the place"

    disk, _ = written()
    path = logs(disk)[0]
    spare = open_wal(disk)
    for index in (2, 3):
        spare.append(3, index, 1, 0, b"three %d" % index)
        commit(spare)
    spare.seal()
    commit(spare)
    spare.close()
    destroy(disk, path, frame_starts(disk, path)[5])
    found, hit = reopened(disk, lone)
    assert hit == [1, 2]
    assert found[3][3] == 3  # type: ignore[index]
    assert before[3] != found[3]


def test_what_a_snapshot_covers_is_no_loss() -> None:
    disk, wal = written()
    before = contents(wal)
    path = logs(disk)[0]
    data = disk.content(path)
    disk.flip_bit(path, 8 * data.find(b"one 7"))
    covered = {1: Covered(40, 1, False), 2: Covered(1, 1, False), 3: Covered(1, 1, False)}
    found, hit = reopened(disk, covered)
    assert hit == []
    assert found[1][1:4] == (40, 1, 59)  # type: ignore[index]
    assert found[2][5] == before[2][5][1:], "the log begins behind the snapshot"  # type: ignore[index]


def test_an_entry_that_is_needed_is_a_loss_and_the_group_keeps_what_comes_before() -> None:
    disk, wal = written()
    before = contents(wal)
    path = logs(disk)[0]
    disk.flip_bit(path, 8 * disk.content(path).find(b"one 7"))
    hit = salvage(disk, "wal", "n1", {1: Covered(3, 1, True)}, [], MEMBERSHIP)
    assert hit == [1]
    reopened_wal = open_wal(disk)
    assert reopened_wal.group(1).last_index == 6
    assert "group 1 entries 7-7" in reopened_wal.group(1).damage
    reopened_wal.remove_group(1)
    commit(reopened_wal)
    reopened_wal.close()
    again = open_wal(disk)
    assert not again.group(1).damage
    assert contents(again)[2] == before[2]


def test_nothing_is_changed_when_a_group_was_hit_that_is_needed() -> None:
    disk, _ = written()
    path = logs(disk)[0]
    disk.flip_bit(path, 8 * disk.content(path).find(b"one 7"))
    before = {name: bytes(disk.content(name)) for name in logs(disk)}
    with pytest.raises(CorruptLog, match="group 1 entries 7-7"):
        salvage(disk, "wal", "n1", NONE, [1], MEMBERSHIP)
    assert {name: bytes(disk.content(name)) for name in logs(disk)} == before


@pytest.mark.parametrize("cut_after", range(14))
def test_a_power_cut_at_any_moment_leaves_the_old_log_or_the_new_one(cut_after: int) -> None:
    disk, wal = written(cut_after)
    before = contents(wal)
    path = logs(disk)[0]
    disk.flip_bit(path, 8 * disk.content(path).find(b"one 7"))
    disk.cut_after = cut_after
    with contextlib.suppress(PowerLost):
        salvage(disk, "wal", "n1", NONE, [], MEMBERSHIP)
    disk.crash()
    salvage(disk, "wal", "n1", NONE, [], MEMBERSHIP)
    wal = open_wal(disk)
    assert wal.group(1).damage
    assert contents(wal)[2] == before[2] and contents(wal)[3] == before[3]
