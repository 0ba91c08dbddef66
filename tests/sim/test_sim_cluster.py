"""Three real nodes, virtual time, disks that lose what was not synced, a network that lies: the promises hold."""

import pytest

from sim.run import simulate


@pytest.mark.parametrize("seed", [1, 2])
def test_promises_hold(seed: int) -> None:
    verdict = simulate(seed, strikes=4)
    assert verdict.faults == [], f"{verdict.story}; again: {verdict.replay()}"
    assert verdict.acked > 100
