"""`sync_interval: 2m`: what is acknowledged is in the page cache. Killed processes lose nothing; a power cut costs at
most what was not synced, on the nodes that had it, and replicas never differ."""

from sim.client import SimClient
from sim.plan import SECOND_NS
from sim.server import Machine
from sim.stage import NODES, Stage

LAZY_NS = 120 * SECOND_NS


def lazy_stage(seed: int = 1) -> tuple[Stage, SimClient]:
    stage = Stage(seed=seed, sync_interval_ns=LAZY_NS)
    client = stage.client()
    stage.create(client, "S")
    stage.publish(client, "S.a", 10)
    stage.rest()
    return stage, client


def lose_power(machine: Machine) -> None:
    """All that was not synced is gone: the disk's own chance might keep it."""
    for path in list(machine.disk._names):
        inode = machine.disk._names[path]
        if machine.disk._durable_names.get(path) is inode:
            inode.current = bytearray(inode.durable)
            inode.dirty.clear()
    machine.crash(True)


def counts(stage: Stage) -> list[int]:
    return [stage.group(name, "S").machine.store.messages for name in NODES]


def is_level(stage: Stage) -> bool:
    return all(stage.group(name, "S") is not None for name in NODES) and stage.level("S")


def doubts(stage: Stage) -> list[bool]:
    return [stage.group(name, "S").raft.doubtful for name in NODES]


def test_killed_processes_lose_nothing_and_doubt_nothing() -> None:
    stage, _ = lazy_stage()
    for name in NODES:
        stage.machines[name].crash(False)
    for name in NODES:
        stage.restart(name)
        assert not stage.group(name, "S").raft.doubtful
    stage.wait(lambda: is_level(stage) and counts(stage) == [10] * 3)


def test_who_lost_power_catches_up_and_counts_again() -> None:
    stage, _ = lazy_stage()
    leader = stage.leader("S")
    for name in stage.others(leader):
        lose_power(stage.machines[name])
        stage.restart(name)
        assert stage.group(name, "S").raft.doubtful
        assert stage.group(name, "S").raft.last_index < stage.group(leader, "S").raft.last_index
        stage.wait(lambda: is_level(stage) and doubts(stage) == [False] * 3)
    assert counts(stage) == [10] * 3
    assert stage.leader("S") == leader


def test_two_that_lost_what_they_had_do_not_outvote_the_one_that_has_it() -> None:
    stage, _ = lazy_stage()
    keeper = stage.others(stage.leader("S"))[0]
    losers = stage.others(keeper)
    stage.machines[keeper].crash(False)
    for name in losers:
        lose_power(stage.machines[name])
        stage.restart(name)
    stage.rest(10 * SECOND_NS)
    assert not any(stage.group(name, "S").is_leader for name in losers)
    stage.restart(keeper)
    stage.wait(lambda: is_level(stage) and doubts(stage) == [False] * 3)
    assert counts(stage) == [10] * 3


def test_when_all_lost_power_the_longest_log_wins_and_it_is_said_what_is_left() -> None:
    stage, client = lazy_stage()
    for name in NODES:
        lose_power(stage.machines[name])
    for name in NODES:
        stage.restart(name)
    stage.wait(lambda: is_level(stage) and doubts(stage) == [False] * 3)
    left = counts(stage)
    assert left[0] < 10 and left == [left[0]] * 3
    said = [event for name in NODES for event in stage.events(name, "stream_cut_short")]
    assert said == [{"stream": "S", "last_sequence": left[0]}]
    stage.publish(stage.client(), "S.a", 5)
    stage.wait(lambda: counts(stage) == [left[0] + 5] * 3)
    del client


def test_a_clean_stop_leaves_nothing_in_doubt() -> None:
    stage, _ = lazy_stage()
    for name in NODES:
        stage.stop(name)
    for name in NODES:
        stage.machines[name].boots += 1  # and the machine was started again
        stage.restart(name)
        assert not stage.group(name, "S").raft.doubtful
    stage.wait(lambda: is_level(stage) and counts(stage) == [10] * 3)


def test_doubts_outlive_the_process() -> None:
    stage, _ = lazy_stage()
    leader = stage.leader("S")
    other = stage.machines[stage.others(leader)[0]]
    lose_power(other)
    stage.isolate(other.name)
    for _ in range(2):
        other.start()
        stage.rest()
        assert stage.group(other.name, "S").raft.doubtful
        other.crash(False)
    stage.world.heal()
    other.start()
    stage.wait(lambda: is_level(stage) and doubts(stage) == [False] * 3)
    stage.rest()
    other.crash(False)
    other.start()
    assert not stage.group(other.name, "S").raft.doubtful


def test_a_memory_stream_loses_nothing_when_nodes_are_restarted_one_after_the_other_or_all_at_once() -> None:
    """Its log is the node's log, synced as any other: also without a machine's power it is whole."""
    stage = Stage()
    client = stage.client()
    stage.create(client, "M", storage="memory")
    stage.publish(client, "M.a", 10)
    for names in (["n1"], ["n2"], ["n3"], NODES):
        for name in names:
            stage.machines[name].crash(True)
        for name in names:
            stage.restart(name)
        stage.wait(lambda: all(stage.group(name, "M") is not None for name in NODES) and stage.level("M"))
        stage.wait(lambda: [stage.group(name, "M").machine.store.messages for name in NODES] == [10] * 3)
