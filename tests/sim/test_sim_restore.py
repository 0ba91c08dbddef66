"""A restore is all or nothing: its stream is seen only when it is whole, whatever happens meanwhile."""

from typing import Any

from broker.jetstream.backups.archive import END, MAGIC, Entry, state_entry
from broker.jetstream.backups.s2 import BLOCK_BYTES, write_block
from broker.jetstream.backups.s2 import MAGIC as S2_MAGIC
from sim.client import SimClient
from sim.plan import SECOND_NS
from sim.stage import NODES, Stage
from sim.test_sim_readmission import texts


def archive(messages: int) -> bytes:
    state = {"messages": messages, "first_seq": 1, "last_seq": messages, "consumer_count": 0}
    entries = [state_entry(state, 1)]
    entries += [Entry(b"S.a", number, number, 0, b"text %d" % number) for number in range(1, messages + 1)]
    plain = MAGIC + b"".join(entry.encode() for entry in [*entries, END])
    blocks = [write_block(plain[at : at + BLOCK_BYTES]) for at in range(0, len(plain), BLOCK_BYTES)]
    return S2_MAGIC + b"".join(blocks)


def begun(stage: Stage, client: SimClient) -> str:
    body = {"config": {"name": "S", "subjects": ["S.>"], "num_replicas": 3}, "state": {}}
    return str(stage.ask(client, "$JS.API.STREAM.RESTORE.S", body)["deliver_subject"])


def is_seen(stage: Stage, client: SimClient) -> bool:
    names: Any = stage.ask(client, "$JS.API.STREAM.NAMES").get("streams")
    info = stage.ask(client, "$JS.API.STREAM.INFO.S")
    assert bool(names) == ("state" in info)
    return bool(names)


def is_forgotten(stage: Stage) -> bool:
    nodes = [machine.node for machine in stage.machines.values() if machine.node is not None]
    return not any("S" in node.jetstream.assignments.meta.machine.streams for node in nodes)


def test_a_stream_that_is_restored_is_seen_when_it_is_whole() -> None:
    stage = Stage()
    client = stage.client()
    subject = begun(stage, client)
    data = archive(300)
    for at in range(0, len(data), 1000):
        answer = stage.request(client, subject, data[at : at + 1000])
        assert answer is not None and answer.data == b""
        assert not is_seen(stage, client)
    nothing = stage.request(client, "S.a", b"not yet")
    assert nothing is None or b"seq" not in nothing.data
    made = stage.ask(client, subject)
    assert made["type"] == "io.nats.jetstream.api.v1.stream_create_response"
    assert made["state"]["messages"] == 300
    assert is_seen(stage, client)
    assert stage.ask(client, "S.a", b"now")["seq"] == 301
    stage.wait(lambda: stage.level("S"))
    expected = [b"text %d" % number for number in range(1, 301)] + [b"now"]
    assert [texts(stage, name, "S") for name in NODES] == [expected] * 3


def test_a_sender_that_falls_silent_leaves_nothing() -> None:
    stage = Stage()
    client = stage.client()
    subject = begun(stage, client)
    stage.request(client, subject, archive(300)[:500])
    stage.rest(4 * SECOND_NS)
    assert not is_forgotten(stage)
    stage.wait(lambda: is_forgotten(stage))
    late = stage.ask(client, subject, b"more")
    assert late["error"]["err_code"] == 10062


def test_a_leader_that_goes_away_takes_the_restore_with_it() -> None:
    stage = Stage(seed=2)
    client = stage.client()
    subject = begun(stage, client)
    stage.request(client, subject, archive(300)[:500])
    leader = stage.leader("S")
    stage.machines[leader].crash(False)
    stage.wait(lambda: is_forgotten(stage))
    stage.restart(leader)
    stage.wait(lambda: is_forgotten(stage) and all(stage.machines[name].node is not None for name in NODES))
    client = stage.client(*stage.others(leader))
    subject = begun(stage, client)
    stage.request(client, subject, archive(300))
    assert stage.ask(client, subject)["state"]["messages"] == 300
