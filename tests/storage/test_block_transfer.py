"""Blocks that travel between replicas: given away as of a checkpoint, fetched, taken over, through crashes."""

import contextlib
import random

import pytest
from crash_disk import CrashDisk, PowerLost
from test_blocks import checkpoint, contents, fill, open_store

from storage.errors import BlockGone, CorruptBlock, DiskFull
from storage.stream_store import FileStreamStore


def fetch(source: FileStreamStore, peer: FileStreamStore) -> list:
    manifest = source.manifest()
    for info in peer.missing_blocks(manifest):
        peer.receive_block(info.id, 0, source.read_block(info.id, 0, info.length))
        assert peer.received(info) == info.length
    return manifest


def test_a_checkpoint_is_given_away_though_its_blocks_were_emptied_since() -> None:
    source = open_store(CrashDisk(random.Random(1)))
    fill(source, 100)
    state = checkpoint(source)
    before = contents(source)
    source.truncate_front(90)
    fill(source, 5)
    job = source.begin_flush()  # a checkpoint that does not become durable
    assert job is not None
    job.run()
    source.flush_done(job)
    peer = open_store(CrashDisk(random.Random(2)))
    peer.adopt(peer.prepare(state, fetch(source, peer)))
    assert contents(peer) == before
    source.snapshot_durable()
    gone = {info.id for info in peer.manifest()} - {info.id for info in source.manifest()}
    with pytest.raises(BlockGone):
        source.read_block(min(gone), 0, 10)


def test_a_takeover_tried_again_on_a_full_disk_removes_no_block_that_it_brought() -> None:
    """A block that was emptied here has the name of one that comes: the name is cleared once, before."""
    source = open_store(CrashDisk(random.Random(1)))
    fill(source, 100)
    state = checkpoint(source)
    disk = CrashDisk(random.Random(2))
    peer = open_store(disk)
    fill(peer, 60, length=30)
    checkpoint(peer)
    peer.truncate_front(59)  # emptied blocks keep their files until the next checkpoint
    peer.adopt(peer.prepare(state, fetch(source, peer)))
    peer.snapshot_durable()
    fill(peer, 400)
    disk.capacity = disk.used_bytes()
    for _ in range(2):
        job = peer.begin_flush()
        assert job is not None
        with pytest.raises(DiskFull) as caught:
            job.run()
        peer.flush_failed(job, caught.value)
    disk.capacity = None
    state = checkpoint(peer)
    disk.crash()
    assert contents(open_store(disk, state)) == contents(peer)


def test_a_damaged_or_incomplete_transfer_is_refused_and_changes_nothing() -> None:
    source = open_store(CrashDisk(random.Random(1)))
    fill(source, 100)
    state = checkpoint(source)
    disk = CrashDisk(random.Random(2))
    peer = open_store(disk)
    fill(peer, 3)
    checkpoint(peer)
    before = contents(peer)
    manifest = fetch(source, peer)
    disk.flip_bit(f"s/incoming/{manifest[1].id:016x}.blk", 4000)
    with pytest.raises(CorruptBlock, match="not the one that was announced"):
        peer.adopt(peer.prepare(state, manifest))
    assert contents(peer) == before
    peer.discard_received()
    with pytest.raises(CorruptBlock, match="not fetched"):
        peer.adopt(peer.prepare(state, manifest))
    peer.adopt(peer.prepare(state, fetch(source, peer)))
    assert contents(peer) == contents(source)
    with pytest.raises(BlockGone):
        source.read_block(999, 0, 10)


def test_a_takeover_that_meets_a_full_disk_is_finished_later() -> None:
    source = open_store(CrashDisk(random.Random(1)))
    fill(source, 80)
    state = checkpoint(source)
    disk = CrashDisk(random.Random(2))
    peer = open_store(disk)
    peer.adopt(peer.prepare(state, fetch(source, peer)))
    peer.snapshot_durable()
    fill(peer, 50)
    disk.capacity = disk.used_bytes()
    job = peer.begin_flush()
    assert job is not None
    with pytest.raises(DiskFull) as caught:
        job.run()
    peer.flush_failed(job, caught.value)
    assert len(contents(peer)) == 130
    disk.capacity = None
    state = checkpoint(peer)
    disk.crash()
    assert contents(open_store(disk, state)) == contents(peer)


def test_a_power_cut_during_a_takeover_leaves_the_old_or_the_new_stream() -> None:
    source = open_store(CrashDisk(random.Random(1)))
    fill(source, 80)
    source.truncate_front(10)
    new_state = checkpoint(source)
    outcomes = set()
    for cut in range(60):
        disk = CrashDisk(random.Random(cut))
        peer = open_store(disk)
        fill(peer, 30, length=30)
        old_state = checkpoint(peer)
        old = contents(peer)
        durable = old_state
        with contextlib.suppress(PowerLost):
            disk.cut_after = cut
            peer.adopt(peer.prepare(new_state, fetch(source, peer)))
            durable = new_state
            peer.snapshot_durable()
            fill(peer, 5)
            job = peer.begin_flush()
            assert job is not None
            job.run()
            peer.flush_done(job)
        disk.crash()
        found = contents(open_store(disk, durable))
        assert found == (old if durable is old_state else contents(source)), f"cut {cut}"
        assert not disk.exists("s/incoming")
        outcomes.add(durable is old_state)
    assert outcomes == {True, False}


def test_what_was_only_prepared_changes_nothing() -> None:
    source = open_store(CrashDisk(random.Random(1)))
    fill(source, 100)
    state = checkpoint(source)
    disk = CrashDisk(random.Random(2))
    peer = open_store(disk)
    fill(peer, 30)
    before, own_state = contents(peer), checkpoint(peer)
    peer.prepare(state, fetch(source, peer))
    assert contents(peer) == before
    peer.discard_received()
    fill(peer, 1)
    checkpoint(peer)
    disk.crash()
    assert contents(open_store(disk, own_state)) == before
