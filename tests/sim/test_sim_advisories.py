"""What a cluster tells of its own accord: who leads, that nobody can, who asked for what through which node."""

import json
from typing import Any

from sim.client import Message, SimClient
from sim.plan import SECOND_NS
from sim.stage import NODES, Stage

ADVISORY = "$JS.EVENT.ADVISORY."
DURABLE = {"durable_name": "C", "ack_policy": "explicit"}


def listen(client: SimClient, pattern: str) -> list[tuple[str, dict[str, Any]]]:
    heard: list[tuple[str, dict[str, Any]]] = []

    def note(message: Message | None) -> None:
        assert message is not None
        heard.append((message.subject, message.json()))

    client.subscribe(pattern, note)
    return heard


def told(heard: list[tuple[str, dict[str, Any]]], event: str) -> list[dict[str, Any]]:
    return [fields for subject, fields in heard if subject == ADVISORY + event]


def with_a_consumer() -> tuple[Stage, SimClient]:
    stage = Stage()
    client = stage.client()
    stage.create(client, "S")
    stage.ask(client, "$JS.API.CONSUMER.DURABLE.CREATE.S.C", {"stream_name": "S", "config": DURABLE})
    return stage, client


def test_another_leader_leads_the_stream_and_its_consumers_and_says_so_once() -> None:
    stage, client = with_a_consumer()
    stage.rest(6 * SECOND_NS)
    before = stage.leader("S")
    listener = stage.client(*stage.others(before))
    heard = listen(listener, ADVISORY + ">")
    stage.rest()
    stage.ask(client, "$JS.API.STREAM.LEADER.STEPDOWN.S")
    stage.wait(lambda: stage.leader("S") != before and bool(told(heard, "CONSUMER.LEADER_ELECTED.S.C")))
    stage.rest()
    (elected,) = told(heard, "STREAM.LEADER_ELECTED.S")
    (followed,) = told(heard, "CONSUMER.LEADER_ELECTED.S.C")
    assert elected["leader"] == followed["leader"] == stage.leader("S")
    assert [replica["name"] for replica in elected["replicas"]] == NODES
    assert followed["consumer"] == "C" and followed["replicas"] == elected["replicas"]
    kinds = {"STREAM.LEADER_ELECTED.S", "CONSUMER.LEADER_ELECTED.S.C", "API"}
    assert {subject.removeprefix(ADVISORY) for subject, _ in heard} == kinds


def test_a_new_consumer_has_a_leader_and_one_with_a_single_replica_is_none_of_raft() -> None:
    stage, client = with_a_consumer()
    heard = listen(client, ADVISORY + "CONSUMER.LEADER_ELECTED.>")
    stage.rest()
    stage.ask(client, "$JS.API.CONSUMER.CREATE.S.D", {"stream_name": "S", "config": {"durable_name": "D"}})
    single = {"name": "E", "durable_name": "E", "num_replicas": 1}
    stage.ask(client, "$JS.API.CONSUMER.CREATE.S.E", {"stream_name": "S", "config": single})
    stage.ask(client, "$JS.API.CONSUMER.CREATE.S.F", {"stream_name": "S", "config": {"name": "F"}})
    stage.rest()
    assert [fields["consumer"] for _, fields in heard] == ["D"]
    assert heard[0][1]["leader"] == stage.leader("S")


def test_a_leader_that_lost_its_majority_says_so_for_the_stream_and_its_consumers() -> None:
    stage, _ = with_a_consumer()
    leader = stage.leader("S")
    heard = listen(stage.client(leader), ADVISORY + "*.QUORUM_LOST.>")
    stage.rest()
    stage.isolate(leader)
    stage.rest(10 * SECOND_NS)
    assert [subject.removeprefix(ADVISORY) for subject, _ in heard] == [
        "STREAM.QUORUM_LOST.S",
        "CONSUMER.QUORUM_LOST.S.C",
    ]
    assert [replica["name"] for replica in heard[0][1]["replicas"]] == NODES


def test_who_asked_through_a_follower_is_told_once_with_the_answer() -> None:
    stage, _ = with_a_consumer()
    heard = listen(stage.client("n1"), ADVISORY + "API")
    stage.rest()
    for node in NODES:
        asker = stage.client(node)
        answer = stage.ask(asker, "$JS.API.STREAM.INFO.S")
        stage.rest()
        (fields,) = told(heard, "API")
        heard.clear()
        assert fields["subject"] == "$JS.API.STREAM.INFO.S"
        assert fields["client"]["server"] == node and fields["client"]["acc"] == "$G"
        assert json.loads(fields["response"]) == answer
        assert "request" not in fields


def test_an_info_says_since_when_its_leader_leads_and_nothing_of_the_group_of_a_single_replica() -> None:
    stage, client = with_a_consumer()
    single = stage.create(client, "O", num_replicas=1)
    assert set(single["cluster"]) == {"name", "leader"}
    before = stage.ask(client, "$JS.API.STREAM.INFO.S")["cluster"]
    assert set(before) == {"name", "raft_group", "leader", "leader_since", "replicas"}
    stage.rest()
    stage.ask(client, "$JS.API.STREAM.LEADER.STEPDOWN.S")
    stage.wait(lambda: stage.leader("S") != before["leader"])
    after = stage.ask(client, "$JS.API.STREAM.INFO.S")["cluster"]
    assert after["leader_since"] > before["leader_since"]
    assert stage.ask(client, "$JS.API.CONSUMER.INFO.S.C")["cluster"]["leader_since"] == after["leader_since"]
