"""Disks that are full or lost a part: what a node does then, and that it is as before when they are well again."""

import pytest

from raft.messages import VOTE, VOTE_FORCED
from raft.types import Message
from sim.invariants import watching
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


def test_what_arrives_while_the_disk_is_full_is_promised_only_when_it_is_written_itself() -> None:
    """The batch that met the full disk is written again first; what gathered behind it is not in it."""
    stage = Stage(log_file_bytes=16 * 1024)
    stage.create(stage.client(), "S")
    machine = stage.machines[stage.others(stage.leader("S"))[0]]
    client = stage.client(*stage.others(machine.name))
    engine = machine.node.jetstream.engine
    with watching(stage.cluster.checks):
        machine.disk.capacity = machine.disk.used_bytes()
        while not engine.batches.disk_full:
            stage.publish(client, "S.a", 1, bytes(4000))
        stage.publish(client, "S.a", 10, bytes(500))
        machine.disk.capacity = None
        assert engine.wal.pending_bytes
        stage.wait(lambda: not engine.batches.disk_full)
        stage.wait(lambda: stage.level("S"))


def test_a_vote_that_met_a_full_disk_is_not_given_by_asking_again() -> None:
    stage = Stage(log_file_bytes=16 * 1024)
    stage.create(stage.client(), "S")
    machine = stage.machines[stage.others(stage.leader("S"))[0]]
    engine = machine.node.jetstream.engine
    with watching(stage.cluster.checks):
        group = stage.group(machine.name, "S")
        machine.disk.capacity = 0
        engine.wal._offset = engine.wal.file_bytes  # the next batch needs a file that there is no room for
        engine.wal._next_head = engine.wal._head_records()
        raft = group.raft
        candidate = next(peer for peer in raft.membership.voters if peer != machine.node.links.peer)
        vote = Message(VOTE, group.id, candidate, machine.node.links.peer, raft.term + 1, raft.last_index, raft.term)
        vote.hint = VOTE_FORCED
        engine.step(vote)
        machine.schedule_turn(0)
        stage.wait(lambda: engine.batches.disk_full)
        engine.step(vote)
        machine.schedule_turn(0)
        stage.rest(100_000_000)


@pytest.mark.parametrize("victims", ["leader and follower", "followers", "all"])
def test_when_most_disks_are_full_publishes_are_refused_by_whoever_is_asked_and_reading_goes_on(victims: str) -> None:
    stage = Stage(log_file_bytes=16 * 1024)
    stage.create(stage.client(), "S")
    leader = stage.leader("S")
    clients = {name: stage.client(name) for name in NODES}
    stage.publish(clients[leader], "S.a", 10, b"hello")
    full = {
        "leader and follower": [leader, stage.others(leader)[0]],
        "followers": stage.others(leader),
        "all": NODES,
    }[victims]
    for name in full:
        disk = stage.machines[name].disk
        disk.capacity = disk.used_bytes()
    for _ in range(20):  # some go into the files that there are; nobody knows of some what became of them
        clients[leader].request("S.a", bytes(2000), lambda message: None)
        stage.rest(SECOND_NS // 10)
    assert sum(stage.machines[name].node.jetstream.engine.batches.disk_full for name in full) == len(full)
    for name in NODES:
        answer = stage.ask(clients[name], "S.a", b"x")
        assert answer["error"]["err_code"] == 10077, (name, answer)
        assert stage.ask(clients[name], "$JS.API.STREAM.MSG.GET.S", {"seq": 3})["message"]["seq"] == 3
    stage.rest(5 * SECOND_NS)
    for name in NODES:
        answer = stage.ask(clients[name], "S.a", b"x")
        assert answer["error"]["err_code"] == 10077, (name, answer)
    for name in full:
        stage.machines[name].disk.capacity = None
        assert sum(event == "disk_full" for _, _, event, _ in stage.machines[name].events) == 1
    stage.wait(lambda: not any(machine.node.jetstream.engine.batches.disk_full for machine in stage.machines.values()))
    stage.rest(SECOND_NS // 10)
    for name in NODES:
        stage.publish(clients[name], "S.a", 3)
    stage.wait(lambda: stage.level("S"))


def test_a_leader_whose_disk_alone_is_full_lets_another_lead() -> None:
    stage = Stage(log_file_bytes=16 * 1024)
    stage.create(stage.client(), "S")
    leader = stage.leader("S")
    client = stage.client(*stage.others(leader))
    disk = stage.machines[leader].disk
    disk.capacity = disk.used_bytes()
    for _ in range(20):
        client.request("S.a", bytes(2000), lambda message: None)
        stage.rest(SECOND_NS // 10)
    assert stage.leader("S") != leader
    stage.publish(client, "S.a", 3)
    disk.capacity = None
    stage.wait(lambda: stage.level("S"))
