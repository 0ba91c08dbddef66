"""The first boot, where one node has not heard what the others had: it must come in all the same."""

from __future__ import annotations

import pytest

from sim.plan import SECOND_NS
from sim.run import Cluster
from sim.shapes import plan_of


def has_meta(cluster: Cluster, name: str) -> bool:
    return bool(cluster.machines[name].node.jetstream.links.has_meta)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_who_missed_the_founding_is_told_that_there_is_a_group(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their views went with links that were given up, and those who have founded send none any more."""
    cluster = Cluster(seed, plan_of(seed))
    late, *others = cluster.machines
    for machine in cluster.machines.values():
        machine.start()
    deaf = cluster.machines[late].node.jetstream._bootstrap
    monkeypatch.setattr(deaf, "peer_view", lambda _peer, _seen: None)
    assert cluster.world.run(20 * SECOND_NS, lambda: all(has_meta(cluster, name) for name in others))
    assert not has_meta(cluster, late)
    monkeypatch.undo()
    assert cluster.world.run(20 * SECOND_NS, lambda: has_meta(cluster, late))
    assert cluster.checks.broken == []
