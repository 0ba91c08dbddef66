"""Three real nodes, virtual time, disks that lose what was not synced, a network that lies: the promises hold."""

import pytest

from sim.plan import SECOND_NS
from sim.run import simulate
from sim.shapes import plan_of


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_promises_hold(seed: int) -> None:
    plan = plan_of(seed)
    plan.fault_ns = 10 * SECOND_NS
    result = simulate(seed, plan)
    assert result.faults == [], result.text()
    assert result.acked > 50
