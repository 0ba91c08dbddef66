"""Under which name a node lives: the configured one, or the one its store began with, for ever."""

import random

import pytest
from crash_disk import CrashDisk

from broker.config import JetStreamOptions, Options
from broker.node import BrokerNode
from storage.errors import WrongIdentity


def node(disk: CrashDisk, name: str, seed: int) -> BrokerNode:
    options = Options(server_name=name)
    options.jetstream = JetStreamOptions(enabled=True, max_file=1 << 30, max_memory=1 << 30, log_file_bytes=1 << 18)
    return BrokerNode(options, disk, random.Random(seed))


def test_a_server_without_a_name_keeps_the_one_its_store_began_with() -> None:
    disk = CrashDisk(random.Random(1))
    first = node(disk, "", seed=1)
    assert first.name == first.server_id
    again = node(disk, "", seed=2)
    assert (again.name, again.server_id == first.server_id) == (first.name, False)
    assert again.clients.services.info["server_name"] == first.name


def test_a_store_refuses_another_name() -> None:
    disk = CrashDisk(random.Random(1))
    node(disk, "n1", seed=1)
    assert node(disk, "n1", seed=2).name == "n1"
    with pytest.raises(WrongIdentity, match='belongs to the server "n1", not to "n2"'):
        node(disk, "n2", seed=3)
