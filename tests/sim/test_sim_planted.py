"""Planted bugs are found by the checkers that should find them, in stories that hold without them.

One bug for every checker; `make sim PLANTED=1` hunts all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from broker.node import BrokerNode
from sim.bugs.planting import PlantedBug, crashes
from sim.hunt import BUGS, SEEDS_MAX, Hunt, hunt, hunt_all, sample
from sim.replacing import replaced
from sim.verdict import CHECKERS


@pytest.fixture(scope="module")
def hunts() -> dict[str, Hunt]:
    return {found.name: found for found in hunt_all(sample())}


@pytest.mark.timeout(600)  # the first one waits for all of them
@pytest.mark.parametrize("name", sample())
def test_bug_is_found(name: str, hunts: dict[str, Hunt]) -> None:
    found = hunts[name]
    assert found.seed, f"the simulation does not see it in {SEEDS_MAX} seeds: {BUGS[name].breaks}"
    assert found.innocent == [], found.text()


def test_every_checker_has_a_bug_that_it_finds() -> None:
    known = {by for bug in BUGS.values() for by in bug.by}
    assert sorted(CHECKERS.keys() - known) == []


def test_a_node_that_falls_over_does_not_count_as_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def fall_over(*_: object) -> None:
        raise AssertionError("not what anybody looks for")

    @contextmanager
    def plant() -> Iterator[None]:
        with replaced(BrokerNode, "tick", fall_over):
            yield

    monkeypatch.setitem(BUGS, "falls over", PlantedBug("falls over", "everything", crashes, ("commits",), plant))
    found = hunt("falls over", 1)
    assert not found.seed and set(found.others) == {"process"}
