"""Blocks on a bad day: rot, cut files, full disks, failed syncs, power cuts while blocks of a peer move in."""

from __future__ import annotations

import contextlib
import random
from array import array

import pytest
from crash_disk import CrashDisk
from message_model import LiteralMatcher, PrefixMatcher

from storage.block_files import BlockFiles
from storage.disk import OsDisk
from storage.errors import CorruptBlock, CorruptState, DiskFailure, DiskFull, StorageFailed
from storage.memory import MemoryStreamStore
from storage.stream_store import FileStreamStore


def open_store(disk: CrashDisk | OsDisk, state: bytes | None = None, directory: str = "s") -> FileStreamStore:
    return FileStreamStore.open(disk, directory, state, block_bytes=2000, frame_bytes=300)


def checkpoint(store: FileStreamStore) -> bytes:
    job = store.begin_flush()
    state = store.state_bytes()
    if job is not None:
        job.run()
        store.flush_done(job)
    store.snapshot_durable()
    return state


def fill(store: FileStreamStore, count: int, length: int = 20) -> None:
    for sequence in range(store.last_sequence + 1, store.last_sequence + 1 + count):
        store.append(sequence, 1000 + sequence, b"s.%d" % (sequence % 3), 0, b"%d." % sequence * (length // 3))


def contents(store: FileStreamStore) -> list[tuple[int, int, bytes, bytes]]:
    found = []
    for sequence in range(store.first_sequence, store.last_sequence + 1):
        message = store.get(sequence)
        if message is not None:
            found.append((sequence, message.timestamp_ns, message.subject, message.data))
    return found


def block_names(disk: CrashDisk | OsDisk, directory: str = "s") -> list[str]:
    return [f"{directory}/{name}" for name in disk.list(directory) if name.endswith(".blk")]


def test_blocks_work_on_a_real_file_system(tmp_path: object) -> None:
    disk = OsDisk(str(tmp_path))
    store = open_store(disk)
    fill(store, 300)
    checkpoint(store)
    fill(store, 100)
    store.truncate_front(50)
    state = checkpoint(store)
    assert len(block_names(disk)) > 5
    again = open_store(disk, state)
    assert contents(again) == contents(store)
    assert again.first_sequence == 50
    again.destroy()
    assert not disk.exists("s")


def small_block() -> tuple[CrashDisk, bytes, str, list[tuple[int, int, bytes, bytes]]]:
    disk = CrashDisk(random.Random(1))
    store = open_store(disk)
    fill(store, 6, length=9)
    state = checkpoint(store)
    return disk, state, block_names(disk)[0], contents(store)


def test_any_flipped_bit_in_a_block_is_detected_or_harmless() -> None:
    disk, state, path, good = small_block()
    image = disk.content(path)
    detected = 0
    for bit in range(len(image) * 8):
        disk.flip_bit(path, bit)
        try:
            assert contents(open_store(disk, state)) == good, f"bit {bit}"
        except CorruptBlock as error:
            detected += 1
            assert (error.path, error.offset, error.first_sequence, error.last_sequence) == (path, 0, 1, 6)
        disk.set_content(path, image)
    assert detected > len(image) * 7.8  # the rest is padding


def test_any_flipped_bit_is_detected_when_the_store_is_already_open() -> None:
    disk, state, path, good = small_block()
    image = disk.content(path)
    for bit in range(0, len(image) * 8, 3):
        store = open_store(disk, state)
        disk.flip_bit(path, bit)
        with contextlib.suppress(CorruptBlock):
            assert contents(store) == good, f"bit {bit}"
        disk.set_content(path, image)


def test_a_block_cut_anywhere_is_noticed() -> None:
    disk, state, path, good = small_block()
    image = disk.content(path)
    for length in range(len(image)):
        disk.set_content(path, image[:length])
        try:
            assert contents(open_store(disk, state)) == good  # only padding is gone
            assert length > len(image) - 8
        except CorruptBlock as error:
            assert error.last_sequence == 6
        disk.set_content(path, image)


def test_damage_names_the_messages_it_hit_and_nothing_is_removed() -> None:
    disk = CrashDisk(random.Random(1))
    store = open_store(disk)
    fill(store, 200)
    state = checkpoint(store)
    names = block_names(disk)
    disk.flip_bit(names[2], 8 * 500)
    with pytest.raises(CorruptBlock) as caught:
        open_store(disk, state)
    error = caught.value
    assert error.path == names[2]
    assert 1 < error.first_sequence <= error.last_sequence < 200
    assert block_names(disk) == names
    disk.flip_bit(names[2], 8 * 500)
    disk.remove(names[1])
    with pytest.raises(CorruptBlock, match="do not hold the messages"):
        open_store(disk, state)


def test_damage_to_deleted_messages_is_harmless() -> None:
    disk = CrashDisk(random.Random(1))
    store = open_store(disk)
    fill(store, 60)
    for sequence in range(20, 40):
        store.delete(sequence)
    state = checkpoint(store)
    path = block_names(disk)[0]
    disk.flip_bit(path, disk.content(path).index(b"30.") * 8)
    with contextlib.suppress(CorruptBlock):  # the frame may hold living neighbours
        assert contents(open_store(disk, state)) == contents(store)


def test_a_state_that_was_tampered_with_is_refused() -> None:
    disk, state, _, _ = small_block()
    for at in range(len(state)):
        bad = bytearray(state)
        bad[at] ^= 1
        with pytest.raises(CorruptState):
            open_store(disk, bytes(bad))
    memory = MemoryStreamStore()
    memory.append(1, 5, b"a", 0, b"data")
    state = memory.state_bytes()
    for at in range(len(state) * 8):
        bad = bytearray(state)
        bad[at // 8] ^= 1 << at % 8
        try:
            message = MemoryStreamStore.open(bytes(bad)).get(1)
            assert message is not None and message.data == b"data"
        except (CorruptState, CorruptBlock):
            pass


def test_files_of_emptied_blocks_stay_until_a_snapshot_without_them_is_durable() -> None:
    disk = CrashDisk(random.Random(1))
    store = open_store(disk)
    fill(store, 200)
    state = checkpoint(store)
    names = block_names(disk)
    store.truncate_front(150)
    job = store.begin_flush()
    assert job is None and block_names(disk) == names
    assert len(contents(open_store(disk, state))) == 200
    store.snapshot_durable()
    job = store.begin_flush()
    assert job is not None
    job.run()
    store.flush_done(job)
    assert len(block_names(disk)) < len(names) / 2


def test_blocks_emptied_before_they_were_flushed_never_reach_the_disk() -> None:
    disk = CrashDisk(random.Random(1))
    store = open_store(disk)
    fill(store, 200)
    store.truncate_front(store.last_sequence + 1)
    assert store.begin_flush() is None
    assert block_names(disk) == [] and store.blocks == []


def test_a_full_disk_fails_the_job_and_the_next_one_succeeds() -> None:
    disk = CrashDisk(random.Random(1))
    store = open_store(disk)
    fill(store, 50)
    disk.capacity = 700
    job = store.begin_flush()
    assert job is not None
    with pytest.raises(DiskFull) as caught:
        job.run()
    store.flush_failed(job, caught.value)
    assert store.failed is None and store.durable_sequence == 0 and store.pending_bytes > 0
    assert len(contents(store)) == 50
    fill(store, 20)
    disk.capacity = None
    state = checkpoint(store)
    disk.crash()
    assert contents(open_store(disk, state)) == contents(store)


def test_a_failed_sync_ends_writing_but_not_reading() -> None:
    disk = CrashDisk(random.Random(1))
    store = open_store(disk)
    fill(store, 50)
    disk.sync_failures = [1]
    job = store.begin_flush()
    assert job is not None
    with pytest.raises(DiskFailure) as caught:
        job.run()
    store.flush_failed(job, caught.value)
    with pytest.raises(StorageFailed):
        store.begin_flush()
    assert len(contents(store)) == 50


def test_a_file_that_lost_its_end_under_us_is_damage_and_not_our_end(tmp_path: object) -> None:
    disk = OsDisk(str(tmp_path))
    store = FileStreamStore.open(disk, "s", None, BlockFiles(disk, cache_bytes=1), frame_bytes=8000)
    for sequence in range(1, 21):
        store.append(sequence, sequence, b"a", 0, bytes(4000))
    checkpoint(store)
    assert store.get(1) is not None
    (name,) = block_names(disk)
    file = disk.open(name)
    file.truncate(4096)
    file.close()
    with pytest.raises(CorruptBlock):
        store.get(20)


def test_many_streams_share_few_open_files_and_little_memory() -> None:
    disk = CrashDisk(random.Random(1))
    files = BlockFiles(disk, files_max=4, cache_bytes=2000)
    stores = [FileStreamStore.open(disk, f"s{number}", None, files) for number in range(20)]
    for store in stores:
        fill(store, 10)
        checkpoint(store)
    for _ in range(2):
        for store in stores:
            assert len(contents(store)) == 10
    assert files.cached_bytes <= 3000
    assert disk.open_files <= 4


def test_rare_subjects_are_found_without_reading_the_stream() -> None:
    disk = CrashDisk(random.Random(1))
    files = BlockFiles(disk)
    store = FileStreamStore.open(disk, "s", None, files, frame_bytes=2000)
    count = 20_000
    store.append(1, 1, b"rare", 0, b"first")
    lengths = array("H", [6]) * count
    raw = b"common" * count
    positions = array("I", range(0, 6 * count, 6))
    store.append_batch(2, 2, raw, positions, lengths, array("H", [0]) * count, array("I", [0]) * count)
    store.append(count + 2, count + 2, b"rare", 0, b"second")
    store.append(count + 3, count + 3, b"rare", 0, b"third")
    state = checkpoint(store)
    for opened in (store, FileStreamStore.open(disk, "s", state, files, frame_bytes=2000)):
        before = files.frames_read
        rare = LiteralMatcher(b"rare")
        assert opened.next_sequence(2, rare) == count + 2
        assert opened.previous_sequence(count + 1, rare) == 1
        opened.delete(count + 3)
        assert opened.last_sequence_for(b"rare") == count + 2
        assert opened.count_from(2, rare) == 1
        assert opened.next_sequence(2, PrefixMatcher(b"ra")) == count + 2
        assert opened.previous_sequence(count, PrefixMatcher(b"ra")) == 1
        assert opened.count_from(2, PrefixMatcher(b"ra")) == 1
        assert opened.next_sequence(2, PrefixMatcher(b"none")) == 0
        assert 0 < files.frames_read - before < 10
