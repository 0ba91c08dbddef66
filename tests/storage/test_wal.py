"""The write-ahead log: what it keeps through crashes at every point, and what it refuses to lose in silence."""

from __future__ import annotations

import contextlib
import random

import pytest
from crash_disk import CrashDisk, PowerLost

from storage.disk import OsDisk
from storage.errors import CorruptLog, DiskFailure, DiskFull, StorageFailed, WrongIdentity
from storage.wal import Wal

FILE_BYTES = 4096


def open_wal(disk: CrashDisk | OsDisk, identity: str = "n1") -> Wal:
    return Wal.open(disk, "wal", identity, file_bytes=FILE_BYTES, recent_bytes_max=200)


def commit(wal: Wal, sync: bool = True) -> None:
    batch = wal.take_batch(force=sync)
    if batch is not None:
        batch.sync = sync
        batch.run()
        wal.batch_done(batch)


def contents(wal: Wal) -> dict[int, object]:
    """Everything the log says, group by group."""
    result: dict[int, object] = {}
    for group in wal.groups():
        log = wal.group(group)
        records = log.read(log.first_index, log.last_index + 1, 1 << 30) if log.last_index >= log.first_index else []
        entries = [(record.index, record.term, record.kind, record.data) for record in records]
        result[group] = (log.hard_state, log.snapshot_index, log.snapshot_term, log.last_index, log.last_term, entries)
    return result


def test_what_was_committed_is_there_after_reopening(tmp_path: object) -> None:
    disk = OsDisk(str(tmp_path))
    wal = open_wal(disk)
    wal.set_hard_state(7, 3, "ABCDEFGH")
    for index in range(1, 50):
        wal.append(7, index, 3, index % 3, b"x" * index)
        commit(wal)
    wal.append(9, 1, 1, 0, b"")
    commit(wal)
    before = contents(wal)
    assert before[7][0] == (3, "ABCDEFGH")  # type: ignore[index]
    wal.close()
    assert contents(open_wal(disk)) == before


def test_an_append_at_an_older_index_cuts_the_log_there() -> None:
    disk = CrashDisk(random.Random(1))
    wal = open_wal(disk)
    for index in range(1, 11):
        wal.append(1, index, 1, 0, b"old%d" % index)
    commit(wal)
    wal.append(1, 5, 2, 0, b"new")
    commit(wal)
    for log in (wal.group(1), open_wal(disk).group(1)):
        assert (log.last_index, log.last_term, log.term(4)) == (5, 2, 1)
        assert [record.data for record in log.read(4, 6, 1000)] == [b"old4", b"new"]
        with pytest.raises(IndexError):
            log.term(6)


def test_a_snapshot_beyond_the_log_empties_it_and_one_inside_keeps_the_tail() -> None:
    disk = CrashDisk(random.Random(1))
    wal = open_wal(disk)
    for group in (1, 2):
        for index in range(1, 11):
            wal.append(group, index, 1, 0, b"e")
    wal.set_snapshot(1, 100, 4)
    wal.set_snapshot(2, 6, 1)
    commit(wal)
    reopened = open_wal(disk)
    for log in (wal.group(1), reopened.group(1)):
        assert (log.first_index, log.last_index, log.last_term, log.term(100)) == (101, 100, 4, 4)
    for log in (wal.group(2), reopened.group(2)):
        assert (log.first_index, log.last_index, log.snapshot_term) == (7, 10, 1)


def test_released_files_are_recycled_and_their_old_frames_never_come_back() -> None:
    disk = CrashDisk(random.Random(1))
    wal = open_wal(disk)
    for index in range(1, 400):
        wal.append(1, index, 1, 0, b"%04d" % index * 40)
        commit(wal)
        if index % 10 == 0:
            wal.release(1, index - 5)
    assert wal.file_count() <= 4
    assert len(disk.list("wal")) <= 8
    before = contents(wal)
    disk.crash()
    assert contents(open_wal(disk)) == before


def test_one_slow_group_pins_the_oldest_file_and_is_named() -> None:
    wal = open_wal(CrashDisk(random.Random(1)))
    wal.append(2, 1, 1, 0, b"slow")
    for index in range(1, 100):
        wal.append(1, index, 1, 0, b"%04d" % index * 40)
        commit(wal)
        wal.release(1, index)
    assert wal.file_count() > 3
    assert wal.pinning_groups() == [2]
    wal.release(2, 1)
    commit(wal)
    commit(wal)
    assert wal.file_count() == 1


def test_a_removed_group_is_gone_for_good() -> None:
    disk = CrashDisk(random.Random(1))
    wal = open_wal(disk)
    wal.append(1, 1, 1, 0, b"a")
    wal.append(2, 1, 1, 0, b"b")
    commit(wal)
    wal.remove_group(1)
    commit(wal)
    assert open_wal(disk).groups() == [2]


def test_the_store_belongs_to_one_name_for_ever() -> None:
    disk = CrashDisk(random.Random(1))
    open_wal(disk, "alpha")
    with pytest.raises(WrongIdentity, match='belongs to the server "alpha", not to "beta"'):
        open_wal(disk, "beta")
    wal = open_wal(disk, "alpha")
    wal.append(1, 1, 1, 0, b"a")
    commit(wal)
    disk.remove("wal/identity")
    with pytest.raises(WrongIdentity):
        open_wal(disk, "alpha")


def test_a_batch_is_one_write_and_one_sync() -> None:
    disk = CrashDisk(random.Random(1))
    wal = open_wal(disk)
    wal.append(1, 1, 1, 0, b"first")
    commit(wal)
    operations, syncs = disk.operations, disk.syncs
    for index in range(2, 30):
        wal.append(1, index, 1, 0, b"data")
    commit(wal)
    assert (disk.operations - operations, disk.syncs - syncs) == (2, 1)
    wal.append(1, 30, 1, 0, b"data")
    commit(wal, sync=False)
    assert disk.syncs - syncs == 1


def drive(wal: Wal, rng: random.Random, steps: int, lazily: bool, acknowledged: list[dict[int, object]]) -> None:
    """A random life of a log; `acknowledged[-1]` is what a finished sync vouches for, `[0]` the state being written."""
    term = 1
    for _ in range(steps):
        for _ in range(rng.randrange(1, 5)):
            group = rng.randrange(3)
            log = wal.group(group)
            choice = rng.randrange(12)
            if choice == 0:
                term += 1
                wal.set_hard_state(group, term, rng.choice(["", "AAAAAAAA", "BBBBBBBB"]))
            elif choice == 1:
                wal.release(group, rng.randrange(log.snapshot_index, log.last_index + 1))
            elif choice == 2:
                wal.set_snapshot(group, log.last_index + rng.randrange(3), term)
            elif choice == 3 and rng.random() < 0.3:
                wal.remove_group(group)
            else:
                low = max(log.snapshot_index + 1, log.last_index + 1 - (rng.randrange(3) if choice == 4 else 0))
                for index in range(low, low + rng.randrange(1, 4)):
                    wal.append(group, index, term, 0, rng.randbytes(rng.randrange(300)))
        acknowledged[0] = contents(wal)
        sync = not lazily or rng.random() < 0.3
        commit(wal, sync)
        if sync:
            acknowledged[1] = acknowledged[0]
            acknowledged[2:] = []
        else:
            acknowledged.append(acknowledged[0])


@pytest.mark.parametrize("lazily", [False, True])
def test_a_power_cut_at_any_operation_loses_nothing_that_was_synced(lazily: bool) -> None:
    for seed in range(250):
        disk = CrashDisk(random.Random(seed))
        rng = random.Random(seed * 7 + 1)
        wal = open_wal(disk)
        disk.cut_after = rng.randrange(1, 60)
        states: list[dict[int, object]] = [{}, {}]
        for _ in range(3):
            with contextlib.suppress(PowerLost):
                drive(wal, rng, 12, lazily, states)
            disk.crash()
            wal = open_wal(disk)
            found = contents(wal)
            allowed = [states[1], *states[2:], states[0]]
            assert nonempty(found) in [nonempty(state) for state in allowed], f"seed {seed}"
            states = [found, found]
            disk.cut_after = rng.randrange(1, 60)


def nonempty(state: dict[int, object]) -> dict[int, object]:
    """Groups that were only looked at leave no trace."""
    return {group: value for group, value in state.items() if value != ((0, ""), 0, 0, 0, 0, [])}


def small_log(sealed: bool = True) -> tuple[CrashDisk, dict[int, object], str]:
    disk = CrashDisk(random.Random(1))
    wal = open_wal(disk)
    for index in range(1, 4):
        wal.append(1, index, 1, 0, b"entry %d" % index)
        wal.append(2, index, 1, 0, b"other")
        wal.set_hard_state(1, index, "AAAAAAAA")
        commit(wal)
    if sealed:
        wal.seal()
        commit(wal)
    state = contents(wal)
    wal.close()
    disk2 = disk
    open_wal(disk2)  # cuts the preallocated end, so that every byte of the file counts
    return disk, state, "wal/0000000000000001.wal"


def test_any_flipped_bit_in_a_sealed_log_is_detected_or_harmless() -> None:
    disk, state, path = small_log()
    image = disk.content(path)
    detected = 0
    for bit in range(len(image) * 8):
        disk.flip_bit(path, bit)
        try:
            assert contents(open_wal(disk)) == state, f"bit {bit}"
        except CorruptLog as error:
            detected += 1
            assert error.path == path
        disk.set_content(path, image)
    assert detected > len(image) * 6  # the rest: padding, and the seal itself


def test_a_flipped_bit_in_an_entry_names_its_group_index_and_place() -> None:
    disk, _, path = small_log()
    image = disk.content(path)
    disk.flip_bit(path, image.index(b"entry 2") * 8)
    with pytest.raises(CorruptLog) as caught:
        open_wal(disk)
    assert [(item.group, item.first, item.last) for item in caught.value.damage] == [(1, 2, 2)]
    assert caught.value.complete
    assert 0 < caught.value.offset < image.index(b"entry 2")
    assert "group 1 entries 2-2" in str(caught.value)
    assert disk.content(path) != image and len(disk.content(path)) == len(image)  # nothing was cut


def test_a_destroyed_frame_in_the_middle_names_the_groups_with_gaps() -> None:
    disk, _, path = small_log()
    image = bytearray(disk.content(path))
    start = image.index(b"TmqF", image.index(b"TmqF", 1) + 1)
    image[start : start + 64] = bytes(64)
    disk.set_content(path, bytes(image))
    with pytest.raises(CorruptLog) as caught:
        open_wal(disk)
    assert caught.value.offset == start
    assert caught.value.groups() == [1, 2]
    assert not caught.value.complete


def test_cutting_the_newest_file_anywhere_leaves_a_whole_prefix() -> None:
    disk, _, path = small_log(sealed=False)
    image = disk.content(path)
    lengths = set()
    for length in range(len(image)):
        disk.set_content(path, image[:length])
        wal = open_wal(disk)
        lengths.add(wal.group(1).last_index)
        assert wal.group(1).last_index == wal.group(2).last_index == wal.group(1).hard_term
        if not disk.exists(path):
            disk.open(path, create=True)
        disk.set_content(path, image)
    assert lengths == {0, 1, 2, 3}  # 3: only padding was cut


def test_an_older_file_cut_short_or_missing_is_damage() -> None:
    disk = CrashDisk(random.Random(1))
    wal = open_wal(disk)
    for index in range(1, 60):
        wal.append(1, index, 1, 0, b"%04d" % index * 50)
        commit(wal)
    names = [f"wal/{name}" for name in disk.list("wal") if name.endswith(".wal")]
    assert len(names) > 3
    image = disk.content(names[1])
    disk.set_content(names[1], image[:1000])
    with pytest.raises(CorruptLog) as caught:
        open_wal(disk)
    assert caught.value.path == names[1] and caught.value.groups() == [1]
    disk.set_content(names[1], image)
    disk.remove(names[1])
    with pytest.raises(CorruptLog, match="missing"):
        open_wal(disk)


def test_damage_found_while_reading_is_reported_not_returned() -> None:
    disk = CrashDisk(random.Random(1))
    wal = open_wal(disk)
    wal.append(1, 1, 1, 0, b"precious")
    commit(wal)
    wal.group(1).forget_data()
    path = "wal/0000000000000001.wal"
    disk.flip_bit(path, disk.content(path).index(b"precious") * 8)
    with pytest.raises(CorruptLog, match="group 1 entries 1-1"):
        wal.group(1).read(1, 2, 100)


def test_a_full_disk_is_typed_and_passes_when_there_is_space_again() -> None:
    disk = CrashDisk(random.Random(1))
    wal = open_wal(disk)
    wal.append(1, 1, 1, 0, b"one")
    commit(wal)
    disk.capacity = disk.used_bytes()
    full = 0
    for index in range(2, 100):
        wal.append(1, index, 1, 0, bytes(100))
        batch = wal.take_batch()
        assert batch is not None
        try:
            batch.run()
        except DiskFull as error:
            full += 1
            wal.batch_failed(batch, error)
            assert wal.failed is None
            assert wal.group(1).read(1, 2, 10)[0].data == b"one"
            disk.capacity += 3 * FILE_BYTES
            batch = wal.take_batch()
            assert batch is not None
            batch.run()
        wal.batch_done(batch)
    assert full > 0
    before = contents(wal)
    disk.crash()
    assert contents(open_wal(disk)) == before


def test_a_failed_sync_ends_the_log() -> None:
    disk = CrashDisk(random.Random(1))
    wal = open_wal(disk)
    wal.append(1, 1, 1, 0, b"one")
    commit(wal)
    wal.append(1, 2, 1, 0, b"two")
    batch = wal.take_batch()
    assert batch is not None
    disk.sync_failures = [1]
    with pytest.raises(DiskFailure):
        batch.run()
    with pytest.raises(StorageFailed):
        batch.run()
    wal.batch_failed(batch, DiskFailure("wal", "sync", "EIO"))
    with pytest.raises(StorageFailed):
        wal.take_batch()
    disk.crash()
    assert open_wal(disk).group(1).last_index == 1


def test_descriptors_and_memory_stay_bounded() -> None:
    disk = CrashDisk(random.Random(1))
    wal = open_wal(disk)
    for index in range(1, 500):
        wal.append(1, index, 1, 0, bytes(100))
        commit(wal)
    assert [len(record.data) for record in wal.group(1).read(1, 500, 1 << 20)] == [100] * 499
    assert disk.open_files <= 10
