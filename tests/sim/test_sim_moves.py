"""Streams are taken off servers and moved while they are used; nothing that was stored is lost on the way."""

from typing import Any

from broker.cluster.meta.identity import META_GROUP
from sim.client import SimClient
from sim.plan import SECOND_NS
from sim.stage import NODES, Stage
from sim.test_sim_readmission import publish, texts

FOUR = [*NODES, "n4"]


def four_nodes(seed: int = 1) -> tuple[Stage, SimClient]:
    stage = Stage(seed=seed)
    client = stage.client(*NODES)
    stage.machines["n4"] = stage.cluster._machine("n4")
    stage.machines["n4"].start()
    peer = stage.machines["n4"].node.links.peer
    metas = [stage.machines[name].node.jetstream.engine.groups[META_GROUP] for name in NODES]
    stage.wait(lambda: all(peer in meta.membership().voters for meta in metas))
    return stage, client


def holders(stage: Stage, stream: str) -> list[str]:
    return [name for name in sorted(stage.machines) if stage.group(name, stream) is not None]


def is_on(stage: Stage, stream: str, names: list[str]) -> bool:
    """These nodes, and no others, hold the stream and vote in its group, and are level."""
    groups = [stage.group(name, stream) for name in holders(stage, stream)]
    peers = sorted(stage.machines[name].node.links.peer for name in names)
    return (
        holders(stage, stream) == sorted(names)
        and all(list(group.membership().voters) == peers for group in groups)
        and all(not group.membership().learners for group in groups)
        and len({group.raft.applied for group in groups}) == 1
    )


def error_of(answer: dict[str, Any]) -> int:
    code: int = answer["error"]["err_code"]
    return code


def test_a_stream_is_taken_off_a_server_with_all_that_is_in_it() -> None:
    for verb, kind in (("REMOVE", "stream_remove_peer_response"), ("EVACUATE", "stream_evacuate_peer_response")):
        stage, client = four_nodes()
        stage.create(client, "S")
        stage.create(client, "O", num_replicas=1)
        publish(stage, client, "S.a", 20)
        publish(stage, client, "O.a", 20)
        before = holders(stage, "S")
        spare = next(name for name in FOUR if name not in before)
        for gone in (stage.leader("S"), next(name for name in before if name != stage.leader("S"))):
            now = holders(stage, "S")
            answer = stage.ask(client, f"$JS.API.STREAM.PEER.{verb}.S", {"peer": gone})
            assert answer == {"type": f"io.nats.jetstream.api.v1.{kind}", "success": True}
            wanted = sorted({*now, spare} - {gone})
            stage.wait(lambda: is_on(stage, "S", wanted))  # noqa: B023
            spare = gone
        assert all(len(texts(stage, name, "S")) == 20 for name in holders(stage, "S"))
        lone = holders(stage, "O")[0]
        assert stage.ask(client, f"$JS.API.STREAM.PEER.{verb}.O", {"peer": lone})["success"]
        stage.wait(lambda: holders(stage, "O") not in ([lone], []) and len(holders(stage, "O")) == 1)  # noqa: B023
        assert len(texts(stage, holders(stage, "O")[0], "O")) == 20, "nats-server loses these"
        publish(stage, client, "O.a", 1)


def test_where_nobody_can_take_the_place_the_stream_stays() -> None:
    stage = Stage()
    client = stage.client()
    stage.create(client, "S")
    assert error_of(stage.ask(client, "$JS.API.STREAM.PEER.REMOVE.S", {"peer": "n1"})) == 10075
    assert error_of(stage.ask(client, "$JS.API.STREAM.PEER.REMOVE.S", {"peer": "nobody"})) == 10040
    assert error_of(stage.ask(client, "$JS.API.ACCOUNT.STREAM.MOVE.$G.S", {"server": "n1"})) == 10005
    stage.rest()
    assert is_on(stage, "S", NODES)


def test_a_move_is_taken_back() -> None:
    stage, client = four_nodes(seed=2)
    stage.create(client, "S")
    publish(stage, client, "S.a", 20)
    before = holders(stage, "S")
    spare = next(name for name in FOUR if name not in before)
    assert error_of(stage.ask(client, "$JS.API.STREAM.CANCEL_MOVE.S")) == 10129
    stage.isolate(spare)  # it cannot take the stream over
    moved = stage.ask(client, "$JS.API.ACCOUNT.STREAM.MOVE.$G.S", {"server": before[0]})
    if "error" in moved:  # the meta leader knows already that nobody is there to move to
        stage.world.heal()
        moved = {}
        while "config" not in moved:
            moved = stage.ask(client, "$JS.API.ACCOUNT.STREAM.MOVE.$G.S", {"server": before[0]})
    assert error_of(stage.ask(client, "$JS.API.ACCOUNT.STREAM.MOVE.$G.S", {"server": before[1]})) == 10124
    config = moved["config"]
    assert error_of(stage.ask(client, "$JS.API.STREAM.UPDATE.S", config | {"num_replicas": 1})) == 10124
    taken_back = stage.ask(client, "$JS.API.STREAM.CANCEL_MOVE.S")
    assert taken_back["type"] == "io.nats.jetstream.api.v1.stream_cancel_move_response"
    stage.world.heal()
    stage.wait(lambda: is_on(stage, "S", before))
    assert [len(texts(stage, name, "S")) for name in before] == [20] * 3
    stage.wait(lambda: error_of(stage.ask(client, "$JS.API.STREAM.CANCEL_MOVE.S")) == 10129)


def test_placement_and_replicas_do_not_change_together() -> None:
    stage = Stage()
    client = stage.client()
    config = stage.create(client, "S")["config"]
    here = {"placement": {"cluster": "sim"}}
    both = stage.ask(client, "$JS.API.STREAM.UPDATE.S", config | here | {"num_replicas": 1})
    assert error_of(both) == 10123
    elsewhere = stage.ask(client, "$JS.API.STREAM.UPDATE.S", config | {"placement": {"cluster": "elsewhere"}})
    assert elsewhere["error"]["description"] == "no suitable peers for placement"
    tagged = stage.ask(client, "$JS.API.STREAM.UPDATE.S", config | {"placement": {"tags": ["ssd"]}})
    assert tagged["error"]["description"] == "no suitable peers for placement, tags not matched ['ssd']"
    assert stage.ask(client, "$JS.API.STREAM.UPDATE.S", config | here)["config"]["placement"] == {"cluster": "sim"}


def test_a_server_is_evacuated_and_an_account_purged() -> None:
    stage, client = four_nodes(seed=3)
    for name in ("A", "B", "C"):
        stage.create(client, name)
        publish(stage, client, f"{name}.a", 5)
    assert stage.ask(client, "$JS.API.SERVER.EVACUATE", {"peer": "n2"})["success"]
    stage.wait(lambda: all(is_on(stage, name, ["n1", "n3", "n4"]) for name in ("A", "B", "C")))
    assert all(len(texts(stage, "n4", name)) == 5 for name in ("A", "B", "C"))
    assert error_of(stage.ask(client, "$JS.API.SERVER.EVACUATE", {"peer": "n9"})) == 10044
    assert stage.ask(client, "$JS.API.ACCOUNT.PURGE.$G")["initiated"]
    stage.wait(lambda: not stage.ask(client, "$JS.API.STREAM.NAMES")["streams"])


def is_member(stage: Stage, node: str, name: str) -> bool:
    """Whether `name` is a member of the meta group, as `node` knows it."""
    peer = stage.machines[name].node.links.peer
    found: bool = stage.machines[node].node.jetstream.engine.groups[META_GROUP].membership().contains(peer)
    return found


def votes_with(stage: Stage, node: str, stream: str, names: list[str]) -> bool:
    """Whether a node holds the stream, and knows these as those who vote in its group."""
    group = stage.group(node, stream)
    peers = sorted(stage.machines[name].node.links.peer for name in names)
    return group is not None and list(group.membership().voters) == peers


def test_a_server_that_is_removed_holds_nothing_until_it_connects_anew() -> None:
    for victim in ("n1", "n3"):
        stage, client = four_nodes(seed=4)
        other = "n2"
        client = stage.client(other)
        for name in ("A", "B"):
            stage.create(client, name)
            publish(stage, client, f"{name}.a", 5)
        assert error_of(stage.ask(client, "$JS.API.SERVER.REMOVE", {"peer": "n9"})) == 10044
        removed = stage.ask(client, "$JS.API.SERVER.REMOVE", {"peer": victim})
        assert removed == {"type": "io.nats.jetstream.api.v1.meta_server_remove_response", "success": True}
        rest = [name for name in FOUR if name != victim]
        stage.wait(lambda: not is_member(stage, other, victim))  # noqa: B023
        for name in ("A", "B"):
            stage.wait(lambda: all(votes_with(stage, each, name, rest) for each in rest))  # noqa: B023
            publish(stage, client, f"{name}.a", 5)
        stage.stop(victim)
        stage.restart(victim)
        stage.wait(lambda: is_member(stage, other, victim))  # noqa: B023
        stage.wait(lambda: all(is_on(stage, name, rest) for name in ("A", "B")))  # noqa: B023


def test_a_server_that_is_gone_for_good_is_removed_and_its_streams_get_other_replicas() -> None:
    stage, client = four_nodes(seed=5)
    stage.create(client, "A")
    gone = next(name for name in holders(stage, "A") if name != stage.leader("A"))
    rest = [name for name in FOUR if name != gone]
    client = stage.client(*rest)
    publish(stage, client, "A.a", 5)
    stage.machines[gone].crash(False)
    del stage.machines[gone]
    while not stage.ask(client, "$JS.API.SERVER.REMOVE", {"peer": gone}).get("success"):
        stage.rest()
    stage.wait(lambda: is_on(stage, "A", rest))
    assert [len(texts(stage, name, "A")) for name in rest] == [5] * 3


def test_a_stream_with_too_few_replicas_gets_more_when_somebody_is_there() -> None:
    stage = Stage(seed=6)
    client = stage.client()
    stage.create(client, "S")
    publish(stage, client, "S.a", 10)
    assert stage.ask(client, "$JS.API.SERVER.EVACUATE", {"peer": "n2"})["success"]
    stage.wait(lambda: is_on(stage, "S", ["n1", "n3"]))
    stage.rest(5 * SECOND_NS)
    assert holders(stage, "S") == ["n1", "n3"], "not the one that it was taken off"
    stage.machines["n4"] = stage.cluster._machine("n4")
    stage.machines["n4"].start()
    stage.wait(lambda: is_on(stage, "S", ["n1", "n3", "n4"]))
    assert len(texts(stage, "n4", "S")) == 10
