"""A stream's configuration is what its group's log says, however old what a node knows of the assignment is."""

import pytest

from sim.client import SimClient
from sim.plan import SECOND_NS
from sim.stage import NODES, Stage


def raise_limit(stage: Stage, client: SimClient, messages: int) -> None:
    wanted = {"name": "S", "subjects": ["S.>"], "num_replicas": 3, "max_msgs": messages}
    assert "error" not in stage.ask(client, "$JS.API.STREAM.UPDATE.S", wanted)


@pytest.mark.parametrize("seed", [4, 8, 10, 11])  # of these, the stream had its leader before the meta group had one
def test_a_leader_who_does_not_know_the_latest_limits_yet_does_not_bring_back_older_ones(seed: int) -> None:
    stage = Stage(seed)
    client = stage.client()
    stage.create(client, "S", max_msgs=10)
    raise_limit(stage, client, 1000)
    stage.publish(client, "S.a", 50)
    for machine in stage.machines.values():
        machine.crash(False)
    for machine in stage.machines.values():
        machine.start()
    stage.rest(6 * SECOND_NS)
    assert stage.group(stage.leader("S"), "S").machine.store.messages == 50


def test_a_replica_that_begins_late_begins_with_the_configuration_of_the_beginning() -> None:
    stage = Stage()
    client = stage.client("n1", "n2")
    stage.isolate("n3")
    stage.create(client, "S", max_msgs=10)
    stage.publish(client, "S.a", 20)
    raise_limit(stage, client, 1000)
    stage.publish(client, "S.a", 5)
    for name in ("n1", "n2"):  # n3 will learn of the stream from a snapshot, which has the new limit only
        stage.machines[name].node.jetstream.engine.groups[0].checkpoint_wanted = True
    stage.rest()
    for name in ("n1", "n2"):
        stage.machines[name].crash(False)
        stage.machines[name].start()
    stage.rest(3 * SECOND_NS)
    stage.world.heal()
    stage.wait(lambda: all(stage.group(name, "S") for name in NODES) and stage.level("S"))
    assert [stage.group(name, "S").machine.store.messages for name in NODES] == [15, 15, 15]
