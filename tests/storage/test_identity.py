"""Whom a store belongs to: a name for ever, and an id that an emptied disk does not get back."""

import random

import pytest
from crash_disk import CrashDisk

from storage.errors import WrongIdentity
from storage.identity import StoreIdentity, claim, stored_identity

FILE = "wal/identity"


def claimed(store_id: str) -> CrashDisk:
    disk = CrashDisk(random.Random(1))
    disk.make_directory("wal")
    claim(disk, "wal", StoreIdentity("n1", store_id))
    return disk


def test_the_first_claim_counts() -> None:
    disk = claimed("0123456789abcdef")
    disk.crash()
    claim(disk, "wal", StoreIdentity("n1", "another"))
    found = stored_identity(disk, "wal")
    assert found is not None
    assert (found.name, found.store_id) == ("n1", "0123456789abcdef")


def test_an_emptied_disk_knows_nobody() -> None:
    assert stored_identity(CrashDisk(random.Random(1)), "wal") is None


def test_a_store_of_an_older_version_has_no_id() -> None:
    disk = claimed("")
    assert disk.content(FILE).count(b"\n") == 2
    found = stored_identity(disk, "wal")
    assert found is not None
    assert (found.name, found.store_id) == ("n1", "")


ONE = len(StoreIdentity("n1", "0123456789abcdef").one_copy())


def known(disk: CrashDisk) -> tuple[str, str] | None:
    found = stored_identity(disk, "wal")
    return None if found is None else (found.name, found.store_id)


@pytest.mark.parametrize("seed", range(40))
def test_two_bits_that_flip_leave_a_whole_copy(seed: int) -> None:
    disk = claimed("0123456789abcdef")
    bits = 8 * len(disk.content(FILE))
    for bit in random.Random(seed).sample(range(bits), 2):
        disk.flip_bit(FILE, bit)
    assert known(disk) == ("n1", "0123456789abcdef")
    claim(disk, "wal", StoreIdentity("n1", "another"))


def test_a_file_cut_short_behind_its_first_copy_is_whole_enough() -> None:
    whole = claimed("0123456789abcdef").content(FILE)
    for length in range(ONE, len(whole)):
        disk = claimed("0123456789abcdef")
        disk.set_content(FILE, whole[:length])
        assert known(disk) == ("n1", "0123456789abcdef")


@pytest.mark.parametrize("bit", range(0, 8 * ONE, 5))
def test_bits_that_flip_in_every_copy_make_nobody_else_of_it(bit: int) -> None:
    disk = claimed("0123456789abcdef")
    for copy in range(len(disk.content(FILE)) // ONE):
        disk.flip_bit(FILE, bit + 8 * ONE * copy)
    with pytest.raises(WrongIdentity):
        claim(disk, "wal", StoreIdentity("n1", "0123456789abcdef"))


def test_a_store_with_a_single_copy_is_known_and_keeps_its_id() -> None:
    disk = claimed("0123456789abcdef")
    disk.set_content(FILE, disk.content(FILE)[:ONE])
    claim(disk, "wal", StoreIdentity("n1", "another"))
    assert known(disk) == ("n1", "0123456789abcdef")
