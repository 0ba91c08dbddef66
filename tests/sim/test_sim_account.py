"""What the account uses is asked of the nodes, not of every stream."""

from typing import Any

from sim.plan import SECOND_NS
from sim.stage import NODES, Stage


def info(stage: Stage, client: Any) -> tuple[int, int, int, int]:
    """Streams, consumers, bytes in memory and on disk."""
    answer = stage.ask(client, "$JS.API.INFO")
    return answer["streams"], answer["consumers"], answer["memory"], answer["storage"]


def test_the_sums_are_those_of_all_streams_wherever_they_lead() -> None:
    stage = Stage()
    client = stage.client()
    assert info(stage, client) == (0, 0, 0, 0)
    memory = storage = 0
    for number in range(9):
        replicas, kind = (1, 3)[number % 2], ("file", "memory")[number % 4 // 2]
        name = f"S{number}"
        stage.create(client, name, num_replicas=replicas, storage=kind)
        stage.publish(client, f"{name}.a", number + 1, b"x" * 100)
        config = {"stream_name": name, "config": {"durable_name": "D", "ack_policy": "explicit"}}
        assert "error" not in stage.ask(client, f"$JS.API.CONSUMER.DURABLE.CREATE.{name}.D", config)
        stored = stage.ask(client, f"$JS.API.STREAM.INFO.{name}")["state"]["bytes"] * replicas
        memory, storage = memory + stored * (kind == "memory"), storage + stored * (kind == "file")
    assert {stage.leader(f"S{number}") for number in range(9)} == set(NODES)
    for node in NODES:
        assert info(stage, stage.client(node)) == (9, 9, memory, storage)


def test_a_node_that_is_gone_does_not_keep_the_answer_waiting_for_long() -> None:
    stage = Stage()
    client = stage.client("n1")
    stage.create(client, "S")
    leader = next(name for name in NODES if stage.machines[name].node.jetstream.assignments.meta.is_leader)
    gone = stage.others(leader)[0]
    client = stage.client(leader)
    stage.isolate(gone)
    before_ns = stage.world.now_ns
    assert info(stage, client)[0] == 1
    assert stage.world.now_ns - before_ns <= 3 * SECOND_NS
    stage.rest(10 * SECOND_NS)
    before_ns = stage.world.now_ns
    assert info(stage, client)[0] == 1
    assert stage.world.now_ns - before_ns < SECOND_NS // 10


def test_many_who_ask_at_once_are_all_answered() -> None:
    stage = Stage()
    client = stage.client("n2")
    stage.create(client, "S")
    answers: list[object] = []
    for _ in range(200):
        client.request("$JS.API.INFO", b"", answers.append)
    stage.wait(lambda: len(answers) == 200)
    assert all(answer is not None for answer in answers)
