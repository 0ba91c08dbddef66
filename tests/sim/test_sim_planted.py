"""Each planted bug is found by the simulation, in stories that hold without it."""

from __future__ import annotations

import pytest

from sim.hunt import BUGS, SEEDS_MAX, Hunt, hunt_all


@pytest.fixture(scope="module")
def hunts() -> dict[str, Hunt]:
    return {found.name: found for found in hunt_all()}


@pytest.mark.timeout(300)  # the first one waits for all of them
@pytest.mark.parametrize("name", BUGS)
def test_bug_is_found(name: str, hunts: dict[str, Hunt]) -> None:
    found = hunts[name]
    assert found.seed, f"the simulation does not see it in {SEEDS_MAX} seeds: {BUGS[name].breaks}"
    assert found.innocent == [], found.text()
