"""A node with an empty store in a cluster that exists: it neither votes nor counts until it was taken in, and then it
is as good as any other; nobody has to do anything for that."""

from typing import Any

from broker.cluster.meta.identity import META_GROUP
from sim.client import SimClient
from sim.plan import SECOND_NS
from sim.replay import contents
from sim.stage import NODES, Stage


def membership(stage: Stage, node: str, stream: str = "") -> tuple[list[str], list[str]]:
    """Voters and learners of a stream's group (or the meta group) as a node knows them, by name."""
    jetstream = stage.machines[node].node.jetstream
    group = stage.group(node, stream) if stream else jetstream.engine.groups[META_GROUP]
    found = group.membership()
    here = {stage.machines[name].node.links.peer: name for name in NODES if stage.machines[name].node is not None}
    return (
        sorted(here.get(peer, f"gone {peer}") for peer in found.voters),
        sorted(here.get(peer, f"gone {peer}") for peer in found.learners),
    )


def is_whole(stage: Stage, *streams: str) -> bool:
    """Every node votes in the meta group and the streams, nobody else does, and replicas are level."""
    for stream in ("", *streams):
        for name in NODES:
            if stream and stage.group(name, stream) is None:
                return False
            if META_GROUP not in stage.machines[name].node.jetstream.engine.groups:
                return False
            if membership(stage, name, stream) != (NODES, []):
                return False
    return all(stage.level(stream) for stream in streams)


def texts(stage: Stage, node: str, stream: str) -> list[bytes]:
    group: Any = stage.group(node, stream)
    return [data.rpartition(b"\r\n\r\n")[2] for _, _, data in contents(group.machine).values()]


def publish(stage: Stage, client: SimClient, subject: str, count: int, data: bytes = b"x") -> None:
    """So many messages, each tried until it is acknowledged, and stored once."""
    for number in range(count):
        headers = {"Nats-Msg-Id": f"{data.decode()}-{number}-{stage.world.now_ns}"}
        while not stage.ask(client, subject, data, headers).get("seq"):  # 0 beside an error
            stage.rest(SECOND_NS // 10)


def test_a_node_that_lost_its_disk_comes_back_with_everything() -> None:
    stage = Stage()
    client = stage.client("n1", "n2", "n3")
    stage.create(client, "S")
    publish(stage, client, "S.a", 30, b"before")
    victim = stage.leader("S")
    stage.lose_disk(victim)
    publish(stage, client, "S.a", 30, b"meanwhile")
    stage.restart(victim)
    stage.wait(lambda: is_whole(stage, "S"))
    publish(stage, client, "S.a", 5, b"after")
    stage.wait(lambda: is_whole(stage, "S"))
    expected = [b"before"] * 30 + [b"meanwhile"] * 30 + [b"after"] * 5
    assert [texts(stage, name, "S") for name in NODES] == [expected] * 3


def test_a_node_says_that_it_is_healthy_only_when_it_votes_everywhere() -> None:
    """Or an operator who goes by that would take the next disk too early."""
    stage = Stage()
    client = stage.client("n2", "n3")
    stage.create(client, "S")
    publish(stage, client, "S.a", 20)
    stage.lose_disk("n1")
    stage.restart("n1")

    def is_healthy() -> bool:
        health = stage.machines["n1"].node.statistics("")["health"]
        return not health["meta_error"] and not health["faults"]

    stage.wait(is_healthy)
    leader = stage.leader("S")
    assert membership(stage, leader, "S") == (NODES, [])
    assert membership(stage, leader) == (NODES, [])


def test_the_new_replica_counts() -> None:
    stage = Stage()
    client = stage.client("n1", "n2", "n3")
    stage.create(client, "S")
    publish(stage, client, "S.a", 10)
    stage.lose_disk("n1")
    stage.restart("n1")
    stage.wait(lambda: is_whole(stage, "S"))
    stage.machines["n2"].crash(False)
    publish(stage, client, "S.a", 10)
    stage.restart("n2")
    stage.machines["n3"].crash(False)
    publish(stage, client, "S.a", 10)
    stage.restart("n3")
    stage.wait(lambda: is_whole(stage, "S"))
    assert stage.group("n1", "S").machine.store.messages == 30


def test_every_node_may_lose_its_disk_one_after_the_other() -> None:
    stage = Stage(seed=2)
    client = stage.client("n1", "n2", "n3")
    stage.create(client, "S")
    stage.create(client, "M", storage="memory")
    for name in NODES:
        publish(stage, client, "S.a", 10, name.encode())
        publish(stage, client, "M.a", 10, name.encode())
        stage.lose_disk(name)
        stage.restart(name)
        stage.wait(lambda: is_whole(stage, "S", "M"))
    for stream in ("S", "M"):
        assert [texts(stage, name, stream) for name in NODES] == [[b"n1"] * 10 + [b"n2"] * 10 + [b"n3"] * 10] * 3


def test_an_empty_store_alone_with_one_other_does_not_make_a_majority() -> None:
    """n3 is down when n1 comes back empty: n1 may not stand in for the n1 that made promises."""
    stage = Stage()
    client = stage.client("n2")
    stage.create(client, "S")
    publish(stage, client, "S.a", 10)
    stage.machines["n3"].crash(False)
    stage.lose_disk("n1")
    stage.restart("n1")
    stage.rest(15 * SECOND_NS)
    assert stage.group("n1", "S") is None
    assert not stage.group("n2", "S").is_leader
    stage.restart("n3")
    stage.wait(lambda: is_whole(stage, "S"))
    assert stage.group("n1", "S").machine.store.messages == 10


def test_a_node_that_dies_while_it_is_taken_in_is_taken_in_later() -> None:
    for delay_ns in range(100_000_000, 3 * SECOND_NS, 300_000_000):
        stage = Stage()
        client = stage.client("n2", "n3")
        stage.create(client, "S")
        publish(stage, client, "S.a", 20)
        stage.lose_disk("n1")
        stage.restart("n1")
        stage.rest(delay_ns)
        stage.machines["n1"].crash(True)
        stage.rest()
        stage.restart("n1")
        stage.wait(lambda: is_whole(stage, "S"))  # noqa: B023
        assert stage.group("n1", "S").machine.store.messages == 20


def test_a_disk_that_is_lost_again_while_it_is_filled() -> None:
    stage = Stage()
    client = stage.client("n2", "n3")
    stage.create(client, "S")
    publish(stage, client, "S.a", 20)
    for _ in range(4):
        stage.lose_disk("n1")
        stage.restart("n1")
        stage.rest(700_000_000)
    stage.wait(lambda: is_whole(stage, "S"))
    assert stage.group("n1", "S").machine.store.messages == 20


def test_with_two_disks_of_three_lost_nobody_decides_anything_and_it_is_said_once() -> None:
    stage = Stage()
    client = stage.client("n1", "n2", "n3")
    stage.create(client, "S")
    publish(stage, client, "S.a", 10)
    stage.wait(lambda: stage.level("S"))
    for name in ("n1", "n2"):
        stage.lose_disk(name)
    for name in ("n1", "n2"):
        stage.restart(name)
    stage.rest(30 * SECOND_NS)
    assert stage.group("n1", "S") is None and stage.group("n2", "S") is None
    assert stage.group("n3", "S").machine.store.messages == 10
    said = sorted(stage.events("n3", "quorum_lost"), key=str)
    assert said == [{"group": "S", "lost": "n1, n2"}, {"group": "_meta_", "lost": "n1, n2"}]


def test_a_stream_whose_only_replica_was_lost_begins_again_empty_and_says_so_once() -> None:
    stage = Stage()
    client = stage.client("n1", "n2", "n3")
    stage.create(client, "O", num_replicas=1)
    stage.create(client, "S")
    publish(stage, client, "O.a", 10)
    victim = stage.leader("O")
    stage.lose_disk(victim)
    stage.restart(victim)
    stage.wait(lambda: is_whole(stage, "S"))
    stage.wait(lambda: stage.group(victim, "O") is not None and stage.group(victim, "O").is_leader)
    publish(stage, client, "O.a", 1, b"new")
    assert texts(stage, victim, "O") == [b"new"]
    stage.machines[victim].crash(False)
    stage.restart(victim)
    stage.rest(3 * SECOND_NS)
    assert stage.events(victim, "stream_lost") == [{"stream": "O"}]


def test_a_lost_disk_that_is_found_again_takes_its_place_back() -> None:
    stage = Stage()
    client = stage.client("n1", "n2", "n3")
    stage.create(client, "S")
    stage.create(client, "O", num_replicas=1)
    holder = stage.leader("O")
    publish(stage, client, "O.a", 7)
    publish(stage, client, "S.a", 10)
    machine = stage.machines[holder]
    machine.crash(False)
    lost = machine.wipe()
    stage.restart(holder)
    stage.wait(lambda: is_whole(stage, "S"))
    publish(stage, client, "S.a", 10)
    machine.crash(False)
    machine.wipe()
    machine.disk.put(lost)
    stage.restart(holder)
    stage.wait(lambda: is_whole(stage, "S"))
    stage.wait(lambda: stage.group(holder, "O").is_leader)
    assert stage.group(holder, "S").machine.store.messages == 20
    assert stage.group(holder, "O").machine.store.messages == 7


def test_a_server_with_a_new_name_is_taken_in() -> None:
    stage = Stage()
    client = stage.client("n1", "n2", "n3")
    stage.create(client, "S")
    machines = stage.machines
    machines["n4"] = stage.cluster._machine("n4")
    machines["n4"].start()
    peer = machines["n4"].node.links.peer
    metas = [machines[name].node.jetstream.engine.groups[META_GROUP] for name in NODES]
    stage.wait(lambda: all(peer in meta.membership().voters for meta in metas))
    assert membership(stage, "n1", "S") == (NODES, [])
    stage.create(client, "T")
    assert stage.group("n4", "T") is not None, "it held least"
    stage.wait(lambda: stage.leader("T") == "n4")


def test_groups_without_their_log_are_refused() -> None:
    stage = Stage()
    stage.create(stage.client(), "S")
    machine = stage.machines["n1"]
    machine.crash(False)
    machine.disk.remove_directory("wal")
    machine.start()
    assert "belongs to a server whose name cannot be read" in stage.broken[0]


def test_a_log_without_its_groups_is_refused() -> None:
    stage = Stage()
    stage.create(stage.client(), "S")
    machine = stage.machines["n1"]
    machine.crash(False)
    machine.disk.remove_directory("groups")
    machine.start()
    assert "the log knows groups whose files are missing" in stage.broken[0]


def test_a_replica_that_falls_behind_again_at_once_is_given_another_snapshot() -> None:
    """The blocks of the first one are still to be moved to their place when the second one comes."""
    stage = Stage(log_file_bytes=4096)
    client = stage.client("n2", "n3")
    stage.create(client, "S")
    publish(stage, client, "S.a", 100)
    stage.lose_disk("n1")
    stage.restart("n1")
    stage.wait(lambda: is_whole(stage, "S"))
    stage.isolate("n1")
    index = stage.group("n1", "S").raft.applied
    publish(stage, client, "S.a", 150)
    leader = stage.leader("S")
    stage.wait(lambda: stage.group(leader, "S").log.first_index > index + 1)
    for name in stage.others("n1"):  # and what they have in memory, or is on its way, goes too
        stage.machines[name].crash(True)
        stage.restart(name)
    for end in stage.world.ends_of(stage.machines["n1"]):
        stage.world.reset(end)
    stage.world.heal()
    stage.wait(lambda: is_whole(stage, "S"))
    assert len(stage.events("n1", "catch_up")) >= 3
    assert stage.group("n1", "S").machine.store.messages == 250
