"""Disks that are full or lost a part: what a node does then, and that it is as before when they are well again."""

from sim.plan import SECOND_NS
from sim.stage import NODES, Stage


def test_a_stream_made_while_a_disk_is_full_begins_there_when_there_is_room() -> None:
    stage = Stage()
    stage.create(stage.client(), "S")
    node = stage.others(stage.leader("S"))[0]
    machine = stage.machines[node]
    machine.disk.capacity = machine.disk.used_bytes() + 100
    client = stage.client(*stage.others(node))
    stage.create(client, "T")
    stage.rest(3 * SECOND_NS)
    assert stage.group(node, "T") is None
    assert sum(name == "disk_full" for _, _, name, _ in machine.events) <= 2
    machine.disk.capacity = None
    stage.publish(client, "T.a", 5)
    stage.wait(lambda: stage.group(node, "T") is not None and stage.level("T"))
    stage.publish(client, "S.a", 5)
    stage.wait(lambda: stage.level("S"))
    assert not machine.node.jetstream.engine.failed


def test_a_deleted_stream_whose_files_went_before_the_log_knew_does_not_hold_the_log() -> None:
    stage = Stage()
    client = stage.client("n1", "n2")
    stage.create(client, "S")
    stage.publish(client, "S.a", 5)
    group = stage.group("n3", "S").id
    stage.machines["n3"].crash(False)
    stage.rest()
    assert stage.ask(client, "$JS.API.STREAM.DELETE.S")["success"]
    stage.machines["n3"].disk.remove_directory(f"groups/{group}")
    stage.machines["n3"].start()
    for name in NODES:
        wal = stage.machines[name].node.jetstream.engine.wal
        stage.wait(lambda: not wal.has_group(group))  # noqa: B023
