"""What a restart finds of a group's snapshots is still there after a power cut: the log is cut behind it."""

import random

import pytest
from crash_disk import CrashDisk, PowerLost
from sim.durable import worst_image

from broker.cluster.groups.group_store import FoundGroupsJob, GroupSnapshot, group_directory, stored_groups
from raft.types import Membership
from storage.snapshots import write_snapshot


def snapshot(index: int) -> GroupSnapshot:
    return GroupSnapshot(7, index, 1, Membership(("a", "b", "c")), b"", b"")


@pytest.mark.parametrize("cut_after", range(12))
def test_what_a_killed_process_left_in_the_page_cache_is_durable_once_it_was_read(cut_after: int) -> None:
    disk = CrashDisk(random.Random(cut_after))
    FoundGroupsJob(disk, snapshot(1)).run()
    disk.cut_after = cut_after
    try:
        write_snapshot(disk, group_directory(7), snapshot(2).encode())
    except PowerLost:
        disk.off = False  # only the process ended: the page cache stays
    disk.cut_after = None

    found, _ = stored_groups(disk)
    after_power_cut, _ = stored_groups(worst_image(disk, "groups/"))
    assert [group.index for group in after_power_cut] == [group.index for group in found]


@pytest.mark.parametrize("cut_after", range(0, 40, 3))
def test_groups_that_begin_together_are_each_there_or_not(cut_after: int) -> None:
    disk = CrashDisk(random.Random(cut_after))
    job = FoundGroupsJob(disk, GroupSnapshot(1, 1, 1, Membership(("a",)), b"", b"1"))
    job.snapshots.extend([GroupSnapshot(group, 1, 1, Membership(("a",)), b"", b"%d" % group) for group in range(2, 6)])
    disk.cut_after = cut_after
    done = False
    try:
        job.run()
        done = True
    except PowerLost:
        pass
    found, damaged = stored_groups(worst_image(disk, "groups/"))
    assert not damaged
    assert all(snapshot.machine == b"%d" % snapshot.group for snapshot in found)
    if done:
        assert [snapshot.group for snapshot in found] == [1, 2, 3, 4, 5]
