"""A server that is stopped on purpose hands over what it leads: nobody waits for an election."""

import pytest

from raft.config import RaftConfig
from sim.plan import SECOND_NS
from sim.server import TICK_NS
from sim.stage import Stage

STREAM = "ORDERS"
ELECTION_NS = RaftConfig("x", 1).election_ticks_min * TICK_NS
ASLEEP_NS = 3 * SECOND_NS


@pytest.mark.parametrize("rest_ns", [0, ASLEEP_NS])
def test_peers_lead_before_a_follower_would_have_missed_the_leader(rest_ns: int) -> None:
    stage = Stage()
    client = stage.client()
    stage.create(client, STREAM)
    stage.rest(rest_ns)
    old = stage.leader(STREAM)
    node = stage.machines[old].node
    node.hand_over()
    stage.machines[old].schedule_turn(0)
    stage.wait(node.is_handed_over, ELECTION_NS)
    stage.machines[old].crash(False)
    assert stage.leader(STREAM) != old
    stage.publish(stage.client(*stage.others(old)), f"{STREAM}.a", 1)


def test_who_has_nobody_to_hand_over_to_does_not_wait() -> None:
    stage = Stage()
    stage.create(stage.client(), STREAM)
    old = stage.leader(STREAM)
    for other in stage.others(old):
        stage.machines[other].crash(False)
    stage.rest(SECOND_NS // 10)
    node = stage.machines[old].node
    node.hand_over()
    assert node.is_handed_over()


@pytest.mark.parametrize("seed", range(1, 7))
def test_a_stream_that_is_deleted_while_its_leadership_moves_is_told_to_be_gone(seed: int) -> None:
    for rest_ns in (0, SECOND_NS // 1000):
        stage = Stage(seed)
        client = stage.client("n3")
        stage.create(client, STREAM)
        stage.leader(STREAM)
        assert stage.ask(client, f"$JS.API.STREAM.LEADER.STEPDOWN.{STREAM}")["success"]
        stage.rest(rest_ns)
        assert stage.ask(client, f"$JS.API.STREAM.DELETE.{STREAM}").get("success")
        assert stage.ask(client, f"$JS.API.STREAM.INFO.{STREAM}")["error"]["err_code"] == 10059
