"""The number of a stream's replicas changes while it is used: one member at a time, through a learner; whoever goes
forgets everything, and may come back as a stranger."""

from typing import Any

from sim.client import SimClient
from sim.stage import NODES, Stage
from sim.test_sim_readmission import is_whole, membership, publish, texts


def rescale(stage: Stage, client: SimClient, replicas: int, name: str = "S") -> dict[str, Any]:
    """Ask until there is an answer: the node that the client is on may be the one that went down."""
    config = {"name": name, "subjects": [f"{name}.>"], "num_replicas": replicas}
    answer: dict[str, Any] = {}
    while not answer:
        answer = stage.ask(client, f"$JS.API.STREAM.UPDATE.{name}", config)
    return answer


def holders(stage: Stage, stream: str) -> list[str]:
    return [name for name in NODES if stage.machines[name].node is not None and stage.group(name, stream) is not None]


def files(stage: Stage, node: str, group: int) -> list[str]:
    return list(stage.machines[node].disk.list(f"groups/{group}"))


def is_alone(stage: Stage, node: str, group: int) -> bool:
    """Only one node holds the stream, and the others have forgotten it, on disk too."""
    others = stage.others(node)
    wals = [stage.machines[name].node.jetstream.engine.wal for name in others]
    return (
        holders(stage, "S") == [node]
        and membership(stage, node, "S") == ([node], [])
        and not any(files(stage, name, group) for name in others)
        and not any(wal.has_group(group) for wal in wals)
    )


def test_from_one_to_three_and_back_and_again() -> None:
    stage = Stage()
    client = stage.client()
    stage.create(client, "S", num_replicas=1)
    leader = stage.leader("S")
    group = stage.group(leader, "S").id
    expected = []
    for round in range(2):
        publish(stage, client, "S.a", 20, b"one %d" % round)
        assert rescale(stage, client, 3)["config"]["num_replicas"] == 3
        stage.wait(lambda: len(holders(stage, "S")) == 3 and is_whole(stage, "S"))
        publish(stage, client, "S.a", 20, b"three %d" % round)
        expected += [b"one %d" % round] * 20 + [b"three %d" % round] * 20
        stage.wait(lambda: is_whole(stage, "S"))
        assert [texts(stage, name, "S") for name in NODES] == [expected] * 3
        leader = stage.leader("S")
        assert rescale(stage, client, 1)["config"]["num_replicas"] == 1
        stage.wait(lambda: is_alone(stage, leader, group))  # noqa: B023
        assert texts(stage, leader, "S") == expected
    publish(stage, client, "S.a", 5)


def test_a_new_replica_counts_and_the_stream_survives_its_first_one() -> None:
    stage = Stage(seed=3)
    client = stage.client("n1", "n2", "n3")
    stage.create(client, "S", num_replicas=1)
    publish(stage, client, "S.a", 10)
    first = stage.leader("S")
    rescale(stage, client, 3)
    stage.wait(lambda: len(holders(stage, "S")) == 3 and is_whole(stage, "S"))
    stage.machines[first].crash(False)
    publish(stage, client, "S.a", 10)
    assert stage.group(stage.leader("S"), "S").machine.store.messages == 20


def test_who_was_down_when_it_was_taken_out_forgets_when_it_is_back() -> None:
    stage = Stage(seed=4)
    client = stage.client("n1", "n2", "n3")
    stage.create(client, "S")
    publish(stage, client, "S.a", 10)
    leader = stage.leader("S")
    group = stage.group(leader, "S").id
    down = stage.others(leader)[0]
    stage.machines[down].crash(False)
    rescale(stage, client, 1)
    stage.wait(lambda: membership(stage, leader, "S")[0] == [leader])
    publish(stage, client, "S.a", 10)
    stage.restart(down)
    stage.wait(lambda: is_alone(stage, leader, group))
    assert len(texts(stage, leader, "S")) == 20


def test_a_crash_at_any_step_of_forgetting_leaves_nothing_half_forgotten() -> None:
    """The node goes down again and again while it leaves, and is assigned again meanwhile."""
    for seed in range(6):
        stage = Stage(seed=20 + seed)
        client = stage.client("n1", "n2", "n3")
        stage.create(client, "S")
        publish(stage, client, "S.a", 10)
        leader = stage.leader("S")
        group = stage.group(leader, "S").id
        victim = stage.others(leader)[0]
        rescale(stage, client, 1)
        stage.wait(lambda: stage.group(victim, "S") is None)  # noqa: B023
        for step in range(3):
            stage.rest(1_000_000 * seed * (step + 1))
            stage.machines[victim].crash(seed % 2 == 0)
            stage.restart(victim)
        stage.wait(lambda: is_alone(stage, leader, group))  # noqa: B023
        rescale(stage, client, 3)
        stage.wait(lambda: len(holders(stage, "S")) == 3 and is_whole(stage, "S"))  # noqa: B023
        assert [len(texts(stage, name, "S")) for name in NODES] == [10] * 3


def test_more_replicas_than_there_are_servers_are_refused() -> None:
    stage = Stage()
    client = stage.client()
    stage.create(client, "S", num_replicas=1)
    refused = rescale(stage, client, 5)["error"]
    assert (refused["err_code"], refused["description"]) == (10005, "no suitable peers for placement")
    assert stage.ask(client, "$JS.API.STREAM.INFO.S")["config"]["num_replicas"] == 1


def test_consumers_have_no_more_replicas_than_their_stream() -> None:
    stage = Stage()
    client = stage.client()
    stage.create(client, "S")
    for name, replicas in (("A", 3), ("B", 1), ("C", 0)):
        config = {"durable_name": name, "ack_policy": "explicit", "num_replicas": replicas}
        stage.ask(client, f"$JS.API.CONSUMER.CREATE.S.{name}", {"stream_name": "S", "config": config})
    rescale(stage, client, 1)
    found = {name: stage.ask(client, f"$JS.API.CONSUMER.INFO.S.{name}")["config"]["num_replicas"] for name in "ABC"}
    assert found == {"A": 1, "B": 1, "C": 0}


def test_dead_letters_follow_their_stream() -> None:
    stage = Stage()
    client = stage.client()
    stage.create(client, "S", num_replicas=1)
    config = {"durable_name": "C", "ack_policy": "explicit", "max_deliver": 1, "ack_wait": 100_000_000}
    stage.ask(client, "$JS.API.CONSUMER.CREATE.S.C", {"stream_name": "S", "config": config})
    publish(stage, client, "S.a", 1)
    stage.request(client, "$JS.API.CONSUMER.MSG.NEXT.S.C")
    stage.wait(lambda: "state" in stage.ask(client, "$JS.API.STREAM.INFO.DLQ_S"))
    rescale(stage, client, 3)
    stage.wait(lambda: len(holders(stage, "S")) == 3 and is_whole(stage, "S"))
    stage.wait(lambda: len(holders(stage, "DLQ_S")) == 3)
    info = stage.ask(client, "$JS.API.STREAM.INFO.DLQ_S")
    assert info["config"]["num_replicas"] == 3
    assert len(info["cluster"]["replicas"]) == 2
    refused = stage.ask(client, "$JS.API.STREAM.UPDATE.DLQ_S", info["config"] | {"num_replicas": 1})
    assert refused["error"]["description"] == "dead letters are where their stream is"
