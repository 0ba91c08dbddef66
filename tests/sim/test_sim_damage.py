"""Bits that rot under a running node: the group they belong to ends there, says so once, and is served by others."""

import pytest

from sim.client import Message
from sim.plan import SECOND_NS
from sim.stage import Stage


class Damage:
    """Two streams; on one node the messages of S are in files, and damaged."""

    def __init__(self) -> None:
        self.stage = Stage()
        client = self.stage.client()
        self.stage.create(client, "S")
        self.stage.create(client, "T")
        self.stage.publish(client, "S.a", 20, b"hello")
        self.leader = self.stage.leader("S")

    def rot(self, node: str) -> None:
        group = self.stage.group(node, "S")
        group.checkpoint_wanted = True
        self.stage.rest()
        group.store._files.close()
        disk = self.stage.machines[node].disk
        paths = [path for path in disk.list(f"groups/{group.id}/blocks") if path.endswith(".blk")]
        assert len(paths) == 1
        path = f"groups/{group.id}/blocks/{paths[0]}"
        disk.flip_bit(path, 8 * (len(disk.content(path)) - 30))

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
    stage.publish(client, "S.a", 3)


def test_a_node_whose_newest_snapshot_of_a_stream_rotted_starts_without_that_stream() -> None:
    damage = Damage()
    stage = damage.stage
    node = stage.others(damage.leader)[0]
    group = stage.group(node, "S").id
    stage.stop(node)
    machine = stage.machines[node]
    newest = [name for name in machine.disk.list(f"groups/{group}") if name.endswith(".snap")][-1]
    machine.disk.flip_bit(f"groups/{group}/{newest}", 8 * 40)
    machine.start()
    stage.rest(3 * SECOND_NS)
    told = [fields for _, _, name, fields in machine.events if name == "stream_damaged"]
    assert told[0]["group"] == group and "snapshot cannot be read" in str(told[0]["error"])
    client = stage.client(node)
    stage.publish(client, "T.a", 3)
