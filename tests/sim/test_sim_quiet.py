"""A cluster with nothing to do says nothing but that it is there, and notices all the same who is gone."""

from collections.abc import Iterator

import pytest

from raft.config import RaftConfig
from raft.node import LEADER
from sim.invariants import watching
from sim.plan import SECOND_NS
from sim.run import Cluster
from sim.server import TICK_NS
from sim.shapes import plan_of

STREAM = "S"
ASLEEP_NS = 3 * SECOND_NS  # two quorum checks after the last word
ELECTION_NS = RaftConfig("x", 1).election_ticks_max * TICK_NS
NOTICED_NS = ELECTION_NS + 4 * TICK_NS  # the longest timeout, the ticks between notice and act, and the vote itself


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Three nodes with a stream; everything is asleep."""
    plan = plan_of(0)
    cluster = Cluster(1, plan)
    with watching(cluster.checks):
        assert cluster.set_up(), cluster.checks.broken
        cluster.run(ASLEEP_NS)
        yield cluster
        assert cluster.checks.broken == []


def engines(cluster: Cluster) -> list[object]:
    return [machine.node.jetstream.engine for machine in cluster.machines.values() if machine.node is not None]


def leader(cluster: Cluster) -> str | None:
    for name, group in cluster.groups(STREAM).items():
        if group.raft.role == LEADER:  # type: ignore[attr-defined]
            return name
    return None


def sent_bytes(cluster: Cluster) -> int:
    return sum(
        link.out_bytes for machine in cluster.machines.values() for link in machine.node.links.links.values()
    )


def asleep(cluster: Cluster) -> bool:
    return all(engine.groups and engine.awake() == [] for engine in engines(cluster))  # type: ignore[attr-defined]


def test_nothing_is_said_but_that_we_are_there(cluster: Cluster) -> None:
    assert asleep(cluster)
    before = sent_bytes(cluster)
    cluster.run(10 * SECOND_NS)
    assert asleep(cluster)
    links = 6
    frame = 9
    assert sent_bytes(cluster) - before == pytest.approx(10 * 10 * links * frame, rel=0.05)


def gone(cluster: Cluster, how: str) -> None:
    """The stream's leader goes; a new one, and another one, is there within an election timeout."""
    old = leader(cluster)
    assert old is not None
    machine = cluster.machines[old]
    links = [(old, name) for name in cluster.machines if name != old]
    if how == "killed":
        machine.crash(False)
    elif how == "without power":
        machine.crash(True)
    elif how == "paused":
        machine.pause()
    else:
        cluster.world.cut_links(links)
        if how == "cut":
            cluster.world.cut_links([(name, old) for _, name in links])

    def others_lead() -> bool:
        for name, other in cluster.machines.items():
            if name != old and other.node is not None:
                for group in other.node.jetstream.assignments.groups.values():
                    if group.machine.config.name == STREAM and group.raft.role == LEADER:
                        return True
        return False

    assert cluster.run(NOTICED_NS, others_lead), f"nobody noticed within {NOTICED_NS / SECOND_NS} s"


@pytest.mark.parametrize("how", ["killed", "without power", "paused", "cut", "mute"])
def test_a_leader_that_is_gone_is_missed(cluster: Cluster, how: str) -> None:
    gone(cluster, how)


@pytest.mark.parametrize("how", ["killed", "without power", "paused", "cut", "mute"])
def test_who_comes_back_finds_its_place_and_all_sleep_again(cluster: Cluster, how: str) -> None:
    old = leader(cluster)
    assert old is not None
    gone(cluster, how)
    cluster.run(10 * SECOND_NS)
    left = [machine.node.jetstream.engine for name, machine in cluster.machines.items() if name != old]
    if how != "mute":  # who hears the others but is not heard stands for election again and again
        assert all(engine.awake() == [] for engine in left), "two that are level sleep, whatever became of the third"
    cluster.world.heal()
    machine = cluster.machines[old]
    if machine.node is None:
        machine.start()
    elif machine.stalled:
        machine.resume()
    cluster.run(10 * SECOND_NS)
    assert asleep(cluster)
    assert {group.raft.leader for group in cluster.groups(STREAM).values()} != {""}  # type: ignore[attr-defined]
    assert len({group.raft.commit for group in cluster.groups(STREAM).values()}) == 1  # type: ignore[attr-defined]


def test_a_failed_group_lets_the_others_lead(cluster: Cluster) -> None:
    old = leader(cluster)
    assert old is not None
    cluster.machines[old].node.jetstream.engine.fail("no such luck")
    cluster.machines[old].schedule_turn(0)
    assert cluster.run(NOTICED_NS, lambda: leader(cluster) not in (None, old))


def test_who_is_left_alone_leads_nothing_any_more(cluster: Cluster) -> None:
    left = leader(cluster)
    assert left is not None
    for name, machine in cluster.machines.items():
        if name != left:
            machine.crash(False)
    cluster.run(2 * ELECTION_NS)
    node = cluster.machines[left].node
    assert [group.raft.leader for group in node.jetstream.engine.groups.values()] == ["", ""]
    health = node.statistics("")["health"]
    assert health["meta_error"] == "JetStream has no meta leader"
    assert [fault["error"] for fault in health["faults"]] == [f"JetStream stream '$G > {STREAM}' has no leader"]
