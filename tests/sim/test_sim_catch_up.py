"""A replica that is too far behind is level again within seconds, whatever it is busy with."""

from sim.judge import machine_digest
from sim.plan import SECOND_NS
from sim.stage import Stage

LEVEL_NS = 10 * SECOND_NS


def far_behind(stage: Stage) -> tuple[str, str]:
    """The leader of `S`, and a replica that is cut off and needs a snapshot when it is back."""
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
    assert stage.group(leader, "S").raft.log.first_index() > stage.group(behind, "S").raft.log.last_index + 1
    return leader, behind


def test_a_snapshot_that_comes_during_a_checkpoint_is_not_forgotten() -> None:
    stage = Stage(log_file_bytes=4 * 1024)
    _, behind = far_behind(stage)
    group = stage.group(behind, "S")
    stage.machines[behind].sync_factor = 1000
    group.checkpoint_wanted = True
    stage.wait(lambda: group.checkpoint_running)
    stage.world.heal()
    stage.rest(SECOND_NS // 5)
    assert group.checkpoint_running
    stage.machines[behind].sync_factor = 1
    stage.wait(lambda: stage.level("S"), LEVEL_NS)


def test_no_checkpoint_is_made_while_raft_has_a_snapshot_that_the_machine_has_not() -> None:
    stage = Stage(log_file_bytes=4 * 1024)
    leader, behind = far_behind(stage)
    machine = stage.machines[behind]
    group = stage.group(behind, "S")
    stage.world.heal()
    stage.wait(lambda: group.raft.pending_snapshot is not None)
    group.checkpoint_wanted = True
    machine.node.tick(stage.world.now_ns, machine.wall_ns())
    machine.schedule_turn(0)
    stage.wait(lambda: stage.level("S"), LEVEL_NS)
    stage.rest()
    machine.crash(False)
    machine.start()
    stage.wait(lambda: stage.level("S"), LEVEL_NS)
    restarted = stage.group(behind, "S").machine
    assert machine_digest(restarted) == machine_digest(stage.group(leader, "S").machine)
