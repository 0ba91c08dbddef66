"""A message that is asked of a stream's leader: never older than what was acknowledged before the question."""

from __future__ import annotations

from typing import Any

import pytest

from sim.client import Message, SimClient, fields_of
from sim.plan import SECOND_NS
from sim.stage import NODES, Stage

GET = "$JS.API.STREAM.MSG.GET.S"


def isolate(stage: Stage, node: str) -> None:
    """The node and its peers do not hear each other; clients reach all."""
    links = [(node, other) for other in stage.others(node)]
    stage.world.cut_links(links + [(other, one) for one, other in links])


def asked(client: SimClient, query: bytes = b'{"last_by_subj":"S.a"}') -> list[Message | None]:
    """A question whose answer is not waited for here."""
    found: list[Message | None] = []
    client.request(GET, query, found.append)
    return found


def sequence_of(answer: dict[str, Any]) -> int:
    return int(answer["message"]["seq"])


def cut_off(seed: int) -> tuple[Stage, str]:
    """A stream with two messages; the second one was acknowledged after its first leader had been cut off."""
    stage = Stage(seed)
    stage.create(stage.client(), "S")
    old = stage.leader("S")
    client = stage.client(*stage.others(old))
    stage.publish(client, "S.a", 1)
    isolate(stage, old)
    stage.wait(lambda: any(stage.group(node, "S").is_leader for node in stage.others(old)))
    stage.publish(client, "S.a", 1)
    return stage, old


def test_a_leader_that_was_deposed_and_does_not_know_yet_answers_no_question() -> None:
    """It knows within an election timeout; so does another one arise. Some seeds show the time in between."""
    seen = 0
    for seed in range(1, 13):
        stage, old = cut_off(seed)
        if not stage.group(old, "S").is_leader:
            continue
        seen += 1
        found = asked(stage.client(old))
        stage.wait(lambda stage=stage, old=old: not stage.group(old, "S").is_leader)  # type: ignore[misc]
        stage.rest()
        assert [fields_of(answer).get("error", {}).get("err_code") for answer in found] == [10008]
        stage.world.heal()
        client = stage.client(old)
        stage.rest()
        assert sequence_of(stage.ask(client, GET, {"last_by_subj": "S.a"})) == 2
    assert seen > 2


@pytest.mark.parametrize("node", NODES)
def test_a_stream_that_sleeps_answers_and_goes_to_sleep_again(node: str) -> None:
    stage = Stage()
    client = stage.client(node)
    stage.create(client, "S")
    stage.publish(client, "S.a", 3)
    stage.rest(3 * SECOND_NS)
    groups = [stage.group(name, "S") for name in NODES]
    assert all(group.raft.quiet for group in groups)
    assert sequence_of(stage.ask(client, GET, {"seq": 2})) == 2
    assert stage.ask(client, GET, {"seq": 9})["error"]["err_code"] == 10037
    stage.rest(3 * SECOND_NS)
    assert all(group.raft.quiet for group in groups)


def test_a_stream_of_one_replica_asks_nobody() -> None:
    stage = Stage()
    client = stage.client()
    stage.create(client, "S", num_replicas=1)
    stage.publish(client, "S.a", 1)
    owner = stage.leader("S")
    near = stage.client(owner)
    isolate(stage, owner)
    assert sequence_of(stage.ask(near, GET, {"seq": 1})) == 1


def test_questions_and_publishes_of_one_client_are_answered_in_the_order_they_take_effect() -> None:
    stage = Stage()
    client = stage.client(stage.leader("S")) if stage.group("n1", "S") else stage.client()
    stage.create(client, "S")
    for number in range(1, 20):
        assert stage.ask(client, "S.a", b"x")["seq"] == number
        assert sequence_of(stage.ask(client, GET, {"last_by_subj": "S.a"})) == number


def test_more_questions_than_may_wait_are_told_to_come_again() -> None:
    stage = Stage()
    stage.create(stage.client(), "S")
    leader = stage.leader("S")
    client = stage.client(leader)
    stage.publish(client, "S.a", 1)
    group = stage.group(leader, "S")
    isolate(stage, leader)
    group.raft.config.reads_pending_max = most = 8
    found = [asked(client) for _ in range(most + 5)]
    stage.wait(lambda: sum(len(each) for each in found) >= 5)
    stage.wait(lambda: not group.is_leader)
    stage.rest()
    codes = [fields_of(each[0]).get("error", {}).get("err_code") for each in found if each]
    assert len(codes) == most + 5 and set(codes) == {10008}


def test_a_bug_in_an_answer_costs_that_question_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    client = stage.client()
    stage.create(client, "S")
    stage.publish(client, "S.a", 1)
    leader = stage.leader("S")

    def broken(*_: object) -> None:
        raise KeyError("planted")

    with monkeypatch.context() as patch:
        patch.setattr("broker.cluster.streams.stream_api.handle_message", broken)
        assert stage.ask(client, GET, {"seq": 1})["error"]["err_code"] == 10008
    told = [fields for _, _, name, fields in stage.machines[leader].events if name == "request_failed"]
    assert len(told) == 1 and "planted" in str(told[0]["error"])
    assert sequence_of(stage.ask(client, GET, {"seq": 1})) == 1
    assert stage.leader("S") == leader
