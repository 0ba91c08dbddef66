"""One lone server of each kind, for all modules of this package. Dead letters are off, as nats-server has none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clients.servers import Cluster, Node, Program

NO_DEAD_LETTERS = "ternmq { dead_letter: off }\n"


@pytest.fixture(scope="package")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Cluster(Program.nats_server(), tmp_path_factory.mktemp("reference"), 1) as server:
        yield server.nodes[0]


@pytest.fixture(scope="package")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Cluster(Program.ours(), tmp_path_factory.mktemp("ours"), 1, extra=NO_DEAD_LETTERS) as server:
        yield server.nodes[0]
