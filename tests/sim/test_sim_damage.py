"""Bits that rot under a running node: the group they belong to ends there, says so once, and is served by others."""

import pytest

from sim.client import Message
from sim.plan import SECOND_NS
from sim.replay import contents
from sim.stage import NODES, Stage
from sim.test_sim_readmission import is_whole, publish


def rot(stage: Stage, node: str, stream: str) -> None:
    """One node's messages of a stream are in files, and damaged."""
    group = stage.group(node, stream)
    group.checkpoint_wanted = True
    stage.rest()
    group.store._files.close()
    disk = stage.machines[node].disk
    paths = [path for path in disk.list(f"groups/{group.id}/blocks") if path.endswith(".blk")]
    assert len(paths) == 1
    path = f"groups/{group.id}/blocks/{paths[0]}"
    stage.machines[node].rotten = True  # what is on its disk is not what was written
    disk.flip_bit(path, 8 * (len(disk.content(path)) - 30))


class Damage:
    """Two streams; on one node the messages of S are in files, and damaged."""

    def __init__(self) -> None:
        self.stage = Stage()
        client = self.stage.client()
        self.stage.create(client, "S")
        self.stage.create(client, "T")
        self.stage.publish(client, "S.a", 20, b"hello")
        self.leader = self.stage.leader("S")

    def rot(self, node: str, stream: str = "S") -> None:
        rot(self.stage, node, stream)

    def told(self, node: str) -> list[dict[str, object]]:
        return [fields for _, _, name, fields in self.stage.machines[node].events if name == "group_failed"]

    def check(self, node: str) -> None:
        """Said once; clients of this node are served as before."""
        assert [fields["group"] for fields in self.told(node)] == ["S"]
        client = self.stage.client(node)
        self.stage.publish(client, "S.a", 3)
        self.stage.publish(client, "T.a", 3)


def test_a_follower_that_cannot_read_what_is_to_be_deleted() -> None:
    damage = Damage()
    stage, node = damage.stage, damage.stage.others(damage.leader)[0]
    damage.rot(node)
    answer = stage.ask(stage.client(damage.leader), "$JS.API.STREAM.MSG.DELETE.S", {"seq": 3})
    assert answer.get("success") is True
    stage.rest()
    damage.check(node)


def test_a_leader_that_cannot_read_what_it_is_asked_for() -> None:
    damage = Damage()
    stage = damage.stage
    damage.rot(damage.leader)
    client = stage.client(damage.leader)
    answer = stage.ask(client, "$JS.API.STREAM.MSG.GET.S", {"seq": 3})
    assert answer["error"]["err_code"] == 10008
    assert stage.leader("S") != damage.leader
    damage.check(damage.leader)
    assert stage.ask(client, "$JS.API.STREAM.MSG.GET.S", {"seq": 3})["message"]["seq"] == 3


def test_a_leader_that_cannot_read_what_it_is_to_deliver() -> None:
    damage = Damage()
    stage = damage.stage
    damage.rot(damage.leader)
    client = stage.client(damage.leader)
    config = {"durable_name": "D", "ack_policy": "explicit"}
    stage.ask(client, "$JS.API.CONSUMER.DURABLE.CREATE.S.D", {"stream_name": "S", "config": config})
    found: list[Message] = []
    client.subscribe("fetch", found.append)
    pull = b'{"batch":5,"expires":1000000000}'
    client.publish("$JS.API.CONSUMER.MSG.NEXT.S.D", pull, "fetch")
    stage.rest(3 * SECOND_NS)
    assert [message.status for message in found] == [409]
    client.publish("$JS.API.CONSUMER.MSG.NEXT.S.D", pull, "fetch")
    stage.wait(lambda: [message.data for message in found[1:]] == [b"hello"] * 5)
    damage.check(damage.leader)


@pytest.mark.parametrize("role", ["leader", "follower"])
def test_a_log_that_cannot_be_written_ends_every_group_of_the_node_and_its_clients_are_served_by_others(
    role: str,
) -> None:
    damage = Damage()
    stage = damage.stage
    node = damage.leader if role == "leader" else stage.others(damage.leader)[0]
    stage.machines[node].disk.sync_failures = [1]
    client = stage.client(node)
    stage.request(client, "S.a", b"x")
    stage.rest(3 * SECOND_NS)
    assert [fields for _, _, name, fields in stage.machines[node].events if name == "write_error"]
    assert "sync" in stage.machines[node].node.statistics("")["health"]["stopped"]
    stage.publish(client, "S.a", 3)


def test_a_node_whose_newest_snapshot_of_a_stream_rotted_starts_and_repairs_it() -> None:
    damage = Damage()
    stage = damage.stage
    node = stage.others(damage.leader)[0]
    group = stage.group(node, "S").id
    stage.stop(node)
    machine = stage.machines[node]
    newest = [name for name in machine.disk.list(f"groups/{group}") if name.endswith(".snap")][-1]
    machine.disk.flip_bit(f"groups/{group}/{newest}", 8 * 40)
    machine.start()
    told = [fields for _, _, name, fields in machine.events if name == "stream_damaged"]
    stage.wait(lambda: is_whole(stage, "S", "T"))
    told = [fields for _, _, name, fields in machine.events if name == "stream_damaged"]
    assert len(told) == 1 and "snapshot cannot be read" in str(told[0]["error"])
    assert told[0]["group"] == "S"
    stage.publish(stage.client(node), "T.a", 3)


def health(stage: Stage, node: str) -> list[str]:
    found = stage.machines[node].node.statistics("")["health"]
    return [fault["error"] for fault in found["faults"]] + [found["meta_error"]] * bool(found["meta_error"])


def equal_files(stage: Stage, stream: str) -> bool:
    """After a checkpoint everywhere, the messages that every node has in block files are the same."""
    return len({repr(contents(stage.group(name, stream).machine)) for name in NODES}) == 1


@pytest.mark.parametrize("role", ["leader", "follower"])
def test_a_replica_that_rotted_is_repaired_from_the_others_while_other_streams_go_on(role: str) -> None:
    damage = Damage()
    stage = damage.stage
    node = damage.leader if role == "leader" else stage.others(damage.leader)[0]
    damage.rot(node)
    client = stage.client(node)
    if role == "leader":
        stage.ask(stage.client(), "$JS.API.STREAM.MSG.GET.S", {"seq": 3})
    else:
        assert stage.ask(stage.client(damage.leader), "$JS.API.STREAM.MSG.DELETE.S", {"seq": 3})["success"] is True
    stage.wait(lambda: bool(damage.told(node)))
    assert health(stage, node)
    stage.publish(client, "T.a", 3)
    stage.publish(client, "S.a", 3)
    stage.wait(lambda: is_whole(stage, "S", "T"), 10 * SECOND_NS)
    stage.wait(lambda: not health(stage, node), 2 * SECOND_NS)
    damage.check(node)
    stage.wait(lambda: is_whole(stage, "S", "T"))
    assert equal_files(stage, "S")
    assert len(stage.events(node, "replica_repaired")) == 1
    assert stage.group(node, "S").id not in stage.machines[node].node.jetstream.assignments.damaged


def test_all_generations_of_a_snapshot_are_unreadable() -> None:
    damage = Damage()
    stage = damage.stage
    node = stage.others(damage.leader)[0]
    group = stage.group(node, "S").id
    stage.stop(node)
    machine = stage.machines[node]
    for name in machine.disk.list(f"groups/{group}"):
        if name.endswith(".snap"):
            machine.disk.flip_bit(f"groups/{group}/{name}", 8 * 40)
    stage.publish(stage.client(*stage.others(node)), "S.a", 5)
    machine.start()
    assert health(stage, node)
    stage.publish(stage.client(node), "T.a", 3)
    stage.wait(lambda: is_whole(stage, "S", "T"))
    assert equal_files(stage, "S")


def test_the_meta_group_is_repaired_too() -> None:
    damage = Damage()
    stage = damage.stage
    node = stage.others(damage.leader)[0]
    stage.stop(node)
    machine = stage.machines[node]
    for name in machine.disk.list("groups/0"):
        machine.disk.flip_bit(f"groups/0/{name}", 8 * 40)
    machine.start()
    assert health(stage, node)[-1].startswith("JetStream meta group is damaged here")
    stage.wait(lambda: is_whole(stage, "S", "T"))
    stage.create(stage.client(node), "U")
    assert not health(stage, node)


def test_a_repaired_replica_survives_restarts_at_any_moment() -> None:
    for delay_ns in range(50_000_000, 3 * SECOND_NS, 290_000_000):
        damage = Damage()
        stage = damage.stage
        node = stage.others(damage.leader)[0]
        damage.rot(node)
        stage.machines[node].crash(False)
        stage.restart(node)
        stage.rest(delay_ns)
        stage.machines[node].crash(True)
        stage.rest()
        stage.restart(node)
        stage.wait(lambda: is_whole(stage, "S", "T"))  # noqa: B023
        assert equal_files(stage, "S")


def test_nothing_is_discarded_while_nobody_leads() -> None:
    """The others are down: what this replica still has may be all there is."""
    damage = Damage()
    stage = damage.stage
    node, other = stage.others(damage.leader)
    stage.machines[other].crash(False)
    damage.rot(node)
    stage.machines[damage.leader].crash(False)
    stage.machines[node].crash(False)
    stage.restart(node)
    stage.rest(10 * SECOND_NS)
    disk = stage.machines[node].disk
    group = next(iter(stage.machines[node].node.jetstream.assignments.damaged))
    assert [name for name in disk.list(f"groups/{group}/blocks") if name.endswith(".blk")]
    stage.restart(damage.leader)
    stage.rest(10 * SECOND_NS)
    assert not stage.group(damage.leader, "S").is_leader, "the damaged replica votes for nobody"
    stage.restart(other)
    stage.wait(lambda: is_whole(stage, "S", "T"))
    assert equal_files(stage, "S")


def test_a_stream_with_one_replica_stays_away_and_says_why() -> None:
    stage = Stage()
    client = stage.client()
    stage.create(client, "O", num_replicas=1)
    stage.create(client, "S")
    stage.publish(client, "O.a", 20, b"hello")
    node = stage.leader("O")
    rot(stage, node, "O")
    stage.machines[node].crash(False)
    stage.restart(node)
    stage.rest(5 * SECOND_NS)
    assert "damaged here" in health(stage, node)[0]
    assert len(stage.events(node, "stream_damaged")) == 1
    assert stage.machines[node].disk.list("groups/1/blocks")
    stage.publish(stage.client(node), "S.a", 3)


def test_a_leader_whose_blocks_are_of_no_use_to_a_peer_reads_them_and_steps_down() -> None:
    stage = Stage(log_file_bytes=4096)
    client = stage.client("n2", "n3")
    stage.create(client, "S")
    publish(stage, client, "S.a", 20)
    stage.machines["n1"].crash(False)
    publish(stage, client, "S.a", 150)
    stage.wait(lambda: all(stage.group(name, "S").log.first_index > 30 for name in ("n2", "n3")))
    for name in ("n2", "n3"):  # and what they have in memory goes too
        stage.machines[name].crash(True)
        stage.restart(name)
    leader = stage.leader("S")
    rot(stage, leader, "S")
    stage.restart("n1")
    stage.wait(lambda: is_whole(stage, "S"), 40 * SECOND_NS)
    stage.wait(lambda: len(stage.events(leader, "replica_repaired")) == 1)
    assert equal_files(stage, "S")
    assert len(stage.events(leader, "group_failed")) == 1
    assert stage.events("n1", "catch_up_failed")


def test_what_nobody_reads_is_read_in_the_background_and_repaired() -> None:
    damage = Damage()
    stage = damage.stage
    for node in stage.others(damage.leader):
        damage.rot(node)
        scrub = stage.machines[node].node.jetstream._scrub
        stage.rest(5 * SECOND_NS)
        assert not damage.told(node)
        scrub.round_at_ns = stage.world.now_ns  # a day has passed
        stage.wait(lambda: len(stage.events(node, "replica_repaired")) == 1)  # noqa: B023
        assert len(damage.told(node)) == 1
        stage.wait(lambda: is_whole(stage, "S", "T"))
        assert equal_files(stage, "S")


# The log.


def log_file(stage: Stage, node: str) -> str:
    disk = stage.machines[node].disk
    return "wal/" + [name for name in disk.list("wal") if name.endswith(".wal")][-1]


def frames(data: bytes) -> list[int]:
    return [at for at in range(0, len(data), 8) if data[at : at + 4] == b"TmqF"]


def invariants_know(stage: Stage, node: str, *groups: int) -> None:
    """What a disk had of these groups is gone, and that is nobody's fault."""
    machine = stage.machines[node]
    for group in groups:
        stage.cluster.checks.disks[machine.node.links.peer].groups.pop(group, None)


def test_a_bit_that_flips_in_the_log_hits_one_stream_and_only_that_one() -> None:
    damage = Damage()
    stage = damage.stage
    node = stage.others(damage.leader)[0]
    stage.publish(stage.client(damage.leader), "S.b", 3, b"the one that is hit")
    stage.publish(stage.client(damage.leader), "T.b", 3)
    stage.rest(2 * SECOND_NS)
    machine = stage.machines[node]
    group, other = stage.group(node, "S").id, stage.group(node, "T").id
    invariants_know(stage, node, group)
    machine.crash(False)
    path = log_file(stage, node)
    machine.disk.flip_bit(path, 8 * machine.disk.content(path).find(b"the one that is hit"))
    machine.start()
    jetstream = machine.node.jetstream
    assert list(jetstream.assignments.damaged) == [group]
    assert other in jetstream.assignments.groups and 0 in jetstream.engine.groups
    publish(stage, stage.client(node), "T.a", 3)
    publish(stage, stage.client(node), "S.a", 3)
    stage.wait(lambda: is_whole(stage, "S", "T"))
    assert equal_files(stage, "S")
    assert len(stage.events(node, "log_damaged")) == len(stage.events(node, "stream_damaged")) == 1
    assert not jetstream.engine.wal.group(group).damage
    machine.crash(True)
    machine.start()
    stage.wait(lambda: is_whole(stage, "S", "T"))
    assert len(stage.events(node, "log_damaged")) == 1, "and it is over"


def test_a_log_that_lost_the_directory_of_a_frame_is_made_anew_from_the_others() -> None:
    damage = Damage()
    stage = damage.stage
    node = stage.others(damage.leader)[0]
    stage.publish(stage.client(damage.leader), "T.b", 3)
    stage.rest(2 * SECOND_NS)
    machine = stage.machines[node]
    invariants_know(stage, node, 0, 1, 2)
    machine.crash(False)
    path = log_file(stage, node)
    starts = frames(machine.disk.content(path))
    for bit in range(64):
        machine.disk.flip_bit(path, 8 * (starts[len(starts) // 2] + 44) + 3 * bit)
    machine.start()
    assert sorted(machine.node.jetstream.assignments.damaged) == [0, 1, 2]
    stage.wait(lambda: is_whole(stage, "S", "T"))
    assert equal_files(stage, "S") and equal_files(stage, "T")
    stage.create(stage.client(node), "U")
    assert not health(stage, node)


def test_a_stream_with_one_replica_that_is_damaged_is_offline_until_an_operator_decides() -> None:
    stage = Stage(log_file_bytes=8 * 1024)
    client = stage.client()
    stage.create(client, "O", num_replicas=1)
    stage.create(client, "S")
    stage.publish(client, "O.a", 20, b"hello")
    node = stage.leader("O")
    rot(stage, node, "O")
    stage.publish(client, "O.a", 5, b"only in the log")
    stage.machines[node].crash(False)
    stage.restart(node)
    stage.rest(3 * SECOND_NS)
    for name in NODES:
        asker = stage.client(name)
        assert stage.ask(asker, "O.a", b"x")["error"]["err_code"] == 10118
        assert stage.ask(asker, "$JS.API.STREAM.INFO.O")["error"]["err_code"] == 10118
    publish(stage, stage.client(node), "S.a", 200, bytes(300))
    wal = stage.machines[node].node.jetstream.engine.wal
    group = next(iter(stage.machines[node].node.jetstream.assignments.damaged))
    assert wal.file_count() <= 6, "it does not hold the log of the others"
    last = wal.group(group).last_index
    assert wal.group(group).read(last, last + 1, 0)[0].data.endswith(b"only in the log")
    stage.machines[node].crash(True)
    stage.restart(node)
    stage.rest(3 * SECOND_NS)
    assert stage.machines[node].node.jetstream.assignments.is_offline(group)
    assert stage.ask(stage.client(node), "$JS.API.STREAM.DELETE.O")["success"] is True
    stage.wait(lambda: not health(stage, node))
    client = stage.client(node)
    stage.create(client, "O", num_replicas=1)
    stage.publish(client, "O.a", 3)


@pytest.mark.parametrize("bit", [3, 37, 90, 200])
def test_a_damaged_mark_of_the_last_boot_makes_a_node_doubt_its_logs_until_a_leader_has_filled_them(bit: int) -> None:
    damage = Damage()
    stage = damage.stage
    node = stage.others(damage.leader)[0]
    machine = stage.machines[node]
    machine.crash(False)
    machine.disk.flip_bit("wal/boot", bit)
    machine.start()
    assert stage.group(node, "S").raft.doubtful
    stage.publish(stage.client(damage.leader), "S.a", 3)
    stage.wait(lambda: is_whole(stage, "S", "T") and not stage.group(node, "S").raft.doubtful)
    assert len(stage.events(node, "boot_mark_damaged")) == 1
