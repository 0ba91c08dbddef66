"""`persist_mode: async`: a stream's acknowledgements leave once they are written, and are synced within a second. A
power cut may cost its end, and nothing of any other stream."""

from sim.client import SimClient
from sim.plan import SECOND_NS
from sim.stage import Stage
from sim.test_sim_lazy import lose_power


def async_stage() -> tuple[Stage, SimClient, str]:
    """Streams of one replica on one node: A is async, D is not; T has three replicas."""
    stage = Stage()
    stage.cluster.checks.is_lazy = True  # the judge knows nodes that acknowledge early, not streams
    for disk in stage.cluster.checks.disks.values():
        disk.is_lazy = True
    client = stage.client("n1")
    stage.create(client, "A", num_replicas=1, persist_mode="async")
    stage.create(client, "T")
    stage.create(client, "D", num_replicas=1)
    stage.rest(3 * SECOND_NS)
    return stage, client, stage.leader("A")


def syncs(stage: Stage, node: str, stream: str, count: int) -> int:
    """How many it takes to acknowledge so many messages."""
    client = stage.client(node)
    disk = stage.machines[node].disk
    before = disk.syncs
    stage.publish(client, f"{stream}.a", count)
    return int(disk.syncs - before)


def stored(stage: Stage, stream: str) -> int:
    leader = stage.leader(stream)
    return int(stage.group(leader, stream).machine.store.messages)


def test_its_acknowledgements_wait_for_no_sync() -> None:
    stage, _, node = async_stage()
    assert syncs(stage, node, "A", 30) <= 2
    assert syncs(stage, stage.leader("D"), "D", 30) >= 30
    assert syncs(stage, stage.leader("T"), "T", 30) >= 30


def test_a_killed_process_loses_nothing() -> None:
    stage, client, node = async_stage()
    stage.publish(client, "A.a", 20)
    stage.machines[node].crash(False)
    stage.restart(node)
    assert stored(stage, "A") == 20
    stage.publish(stage.client(), "A.a", 3)


def test_a_power_cut_costs_its_end_and_nothing_of_other_streams() -> None:
    stage, client, node = async_stage()
    stage.publish(client, "A.a", 5)
    stage.rest(3 * SECOND_NS)
    stage.publish(client, "T.a", 10)
    stage.publish(client, "A.a", 20)
    lose_power(stage.machines[node])
    stage.restart(node)
    log = stage.group(node, "A").log
    stage.cluster.checks._cut(stage.group(node, "A").id, log.last_index, log.last_term + 1)
    kept = stored(stage, "A")
    assert 5 <= kept < 25
    assert stored(stage, "T") == 10
    stage.wait(lambda: stage.level("T"))
    stage.publish(stage.client(), "A.a", 3)
    assert stored(stage, "A") == kept + 3


def test_what_is_a_while_ago_survives_a_power_cut() -> None:
    stage, client, node = async_stage()
    stage.publish(client, "A.a", 20)
    stage.rest(2 * SECOND_NS)
    lose_power(stage.machines[node])
    stage.restart(node)
    assert stored(stage, "A") == 20
