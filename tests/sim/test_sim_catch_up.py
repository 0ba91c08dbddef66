"""A replica that is too far behind is level again within seconds, whatever it is busy with."""

from sim.plan import SECOND_NS
from sim.stage import Stage

LEVEL_NS = 10 * SECOND_NS


def test_a_snapshot_that_comes_during_a_checkpoint_is_not_forgotten() -> None:
    stage = Stage(log_file_bytes=4 * 1024)
    stage.create(stage.client(), "S")
    leader = stage.leader("S")
    behind, other = stage.others(leader)
    client = stage.client(leader, other)
    stage.publish(client, "S.a", 20)
    stage.isolate(behind)
    stage.publish(client, "S.a", 300, b"x" * 100)
    for name in (leader, other):  # what is in memory would do instead of the log
        stage.machines[name].crash(False)
        stage.machines[name].start()
    leader = stage.leader("S")
    group = stage.group(behind, "S")
    assert stage.group(leader, "S").raft.log.first_index() > group.raft.log.last_index + 1

    stage.machines[behind].sync_factor = 1000
    group.checkpoint_wanted = True
    stage.wait(lambda: group.checkpoint_running)
    stage.world.heal()
    stage.rest(SECOND_NS // 5)
    assert group.checkpoint_running
    stage.machines[behind].sync_factor = 1
    stage.wait(lambda: stage.level("S"), LEVEL_NS)
