"""Seeded runs of `raft_simulation.py`. A failure names its seed; the same seed fails again."""

from __future__ import annotations

import pytest
from raft_simulation import Simulation


@pytest.mark.parametrize("seed", range(24))
def test_three_voters_two_strangers(seed: int) -> None:
    simulation = Simulation(seed)
    simulation.run(8000)
    simulation.heal_and_agree()


@pytest.mark.parametrize("seed", range(100, 108))
def test_five_voters(seed: int) -> None:
    simulation = Simulation(seed, voters=5, strangers=0)
    simulation.run(8000)
    simulation.heal_and_agree()


@pytest.mark.parametrize("seed", range(300, 320))
def test_storm(seed: int) -> None:
    """Crashes and partitions so frequent that terms hardly live long enough to commit."""
    simulation = Simulation(seed, strangers=seed % 3, storm=0.03)
    simulation.run(8000)
    simulation.heal_and_agree()


@pytest.mark.parametrize("seed", range(200, 206))
def test_without_pre_vote_and_quorum_check(seed: int) -> None:
    """Safety rests on neither."""
    simulation = Simulation(seed, pre_vote=False, check_quorum=False, eager_commit=False)
    simulation.run(8000)
    simulation.heal_and_agree()


@pytest.mark.parametrize("seed", range(400, 408))
def test_lulls(seed: int) -> None:
    """Few disturbances, and long times in which nobody proposes anything: groups fall asleep and are woken."""
    simulation = Simulation(seed, strangers=0, storm=0.001, lulls=True)
    simulation.run(12_000)
    assert simulation.slept > 100
    simulation.heal_and_agree()


def test_the_simulation_reaches_what_it_is_for() -> None:
    """A hostile world in which nothing happens would prove nothing."""
    simulation = Simulation(1)
    simulation.run(60_000)
    assert simulation.commit_max > 150
    assert len(simulation.leaders) > 10
    assert simulation.snapshots_installed > 5
    assert simulation.changes_committed > 10
    assert simulation.reads_answered > 20
