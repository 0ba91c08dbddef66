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


@pytest.mark.parametrize("bit", range(0, 8 * len(StoreIdentity("n1", "0123456789abcdef").encode()), 5))
def test_one_flipped_bit_makes_nobody_else_of_it(bit: int) -> None:
    disk = claimed("0123456789abcdef")
    disk.flip_bit(FILE, bit)
    with pytest.raises(WrongIdentity):
        claim(disk, "wal", StoreIdentity("n1", "0123456789abcdef"))
