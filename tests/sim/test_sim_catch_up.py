"""A replica that is too far behind is level again within seconds, whatever it is busy with."""

from sim.plan import SECOND_NS
from sim.replay import machine_digest
from sim.stage import NODES, Stage

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


def test_a_checkpoint_at_the_moment_of_the_takeover_holds_what_the_snapshot_knew() -> None:
    """Raft's applied index and the machine must be seen together."""
    stage = Stage(log_file_bytes=4 * 1024)
    leader, behind = far_behind(stage)
    machine = stage.machines[behind]
    group = stage.group(behind, "S")
    applied = group.raft.applied
    stage.world.heal()
    stage.wait(lambda: group.raft.applied > applied)
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


def left_behind(stage: Stage, memory: bool = False) -> str:
    """A node whose copy of S ends where nobody's log begins any more; it is down."""
    client = stage.client()
    stage.create(client, "S", storage="memory" if memory else "file")
    stage.publish(client, "S.a", 10, bytes(2000))
    node = stage.others(stage.leader("S"))[0]
    stage.stop(node)
    client = stage.client(*stage.others(node))
    stage.publish(client, "S.a", 30, bytes(2000))
    for name in stage.others(node):
        stage.stop(name)
    for name in stage.others(node):
        stage.machines[name].start()
    stage.leader("S")
    return node


def caught_up(stage: Stage) -> bool:
    return stage.level("S") and {stage.group(name, "S").machine.store.messages for name in NODES} == {40}


def test_a_full_disk_at_the_end_of_the_fetch_leaves_the_replica_as_it_was() -> None:
    stage = Stage()
    machine = stage.machines[left_behind(stage)]
    machine.start()
    catch_ups = machine.node.jetstream.catch_ups
    group = stage.group(machine.name, "S")
    stage.wait(lambda: group.id in catch_ups._installing)
    before = group.machine.store.messages
    machine.disk.capacity = machine.disk.used_bytes() + 300  # enough for the list of blocks, not for the snapshot
    stage.wait(lambda: any(event[2] == "catch_up_failed" for event in machine.events))
    assert group.machine.store.messages == before <= 10
    machine.disk.capacity = None
    stage.wait(lambda: caught_up(stage), 10 * SECOND_NS)


def test_a_second_snapshot_waits_until_the_blocks_of_the_first_are_in_their_place() -> None:
    """Fetched blocks lie where the next ones would be fetched to, until a checkpoint has moved them."""
    stage = Stage()
    machine = stage.machines[left_behind(stage)]
    machine.start()
    group = stage.group(machine.name, "S")
    stage.wait(lambda: group.store.promoting)
    group.checkpoint_wanted = False
    stage.isolate(machine.name)
    others = stage.others(machine.name)
    stage.publish(stage.client(*others), "S.a", 30, bytes(2000))
    for name in others:
        stage.stop(name)
    for name in others:
        stage.machines[name].start()
    stage.leader("S")
    assert group.store.promoting
    stage.world.heal()
    stage.wait(lambda: stage.level("S"))
    assert {stage.group(name, "S").machine.store.messages for name in NODES} == {70}
