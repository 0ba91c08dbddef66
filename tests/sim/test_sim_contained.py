"""A bug of ours that a client's message brings out ends one stream or one request, never a node."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from broker.compiled import is_compiled
from broker.jetstream.effects import EffectSink
from broker.jetstream.ops import OP_PUBLISH
from broker.jetstream.stream import StreamMachine
from sim.replacing import replaced
from sim.stage import NODES, Stage
from sim.test_sim_readmission import is_whole

pytestmark = pytest.mark.skipif(is_compiled(), reason="compiled modules cannot be changed")
POISON = b"poison"


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Three nodes with the streams S and T; their machines cannot digest poison, in a message or in a snapshot."""
    apply, snapshot = StreamMachine.apply, StreamMachine.snapshot

    def poisoned(self: StreamMachine, kind: int, body: bytes, ordinal: int, sink: EffectSink) -> None:
        if kind == OP_PUBLISH and POISON in body:
            raise KeyError("poison")
        apply(self, kind, body, ordinal, sink)

    def unwritable(self: StreamMachine) -> bytes:
        if self.store.last_sequence_for(b"S.bad"):
            raise OverflowError("too large")
        return snapshot(self)

    with replaced(StreamMachine, "apply", poisoned), replaced(StreamMachine, "snapshot", unwritable):
        stage = Stage()
        client = stage.client()
        stage.create(client, "S")
        stage.create(client, "T")
        yield stage


def ended(stage: Stage, node: str) -> list[Any]:
    return [fields["group"] for fields in stage.events(node, "group_failed")]


def test_applying_what_it_cannot_ends_the_stream_and_nothing_else(stage: Stage) -> None:
    client = stage.client()
    answer = stage.ask(client, "S.a", POISON)
    assert "error" in answer or answer == {}
    stage.wait(lambda: len([node for node in NODES if ended(stage, node) == ["S"]]) == 2)  # then nobody can lead it
    stage.publish(client, "T.a", 3)
    for node in NODES:
        for said in stage.events(node, "group_failed"):
            assert str(said["error"]).startswith("KeyError: 'poison' (a bug; ")
        stage.machines[node].crash(False)
        stage.restart(node)
    stage.leader("T")
    stage.publish(stage.client(), "T.a", 3)


def test_a_state_that_cannot_be_written_ends_the_stream_and_not_the_node(stage: Stage) -> None:
    client = stage.client()
    stage.publish(client, "S.bad", 1)
    leader = stage.leader("S")
    stage.group(leader, "S").checkpoint_wanted = True
    stage.wait(lambda: ended(stage, leader) == ["S"])
    stage.publish(client, "T.a", 3)


def test_a_request_that_breaks_its_handler_is_refused_and_said(stage: Stage) -> None:
    client = stage.client()
    leader = stage.leader("T")
    stage.machines[leader].node.jetstream.dispatch.stream_api.handle = None
    answer = stage.ask(client, "$JS.API.STREAM.INFO.T", json.loads("{}"))
    assert answer["error"]["err_code"] == 10008
    (said,) = stage.events(leader, "request_failed")
    assert said["subject"] == "$JS.API.STREAM.INFO.T"
    stage.publish(client, "T.a", 3)


def test_a_state_that_cannot_be_restored_ends_that_replica_and_is_repaired_from_the_others(stage: Stage) -> None:
    client = stage.client()
    stage.publish(client, "S.a", 5)
    leader = stage.leader("S")
    node = stage.others(leader)[0]
    stage.stop(node)
    restore = StreamMachine.restore

    def indigestible(self: StreamMachine, data: bytes) -> None:
        if self.config.name == "S":
            raise ValueError("written by a newer version?")
        restore(self, data)

    with replaced(StreamMachine, "restore", indigestible):
        stage.restart(node)
    health = stage.machines[node].node.statistics("")["health"]
    assert [fault["stream"] for fault in health["faults"] if "(a bug; " in fault["error"]] == ["S"]
    stage.wait(lambda: bool(stage.events(node, "stream_damaged")))
    (said,) = stage.events(node, "stream_damaged")
    assert said["group"] == "S"
    assert str(said["error"]).startswith("ValueError: written by a newer version? (a bug; ")
    stage.publish(stage.client(node), "T.a", 3)
    stage.wait(lambda: is_whole(stage, "S", "T"))
    assert len(stage.events(node, "replica_repaired")) == len(stage.events(node, "stream_damaged")) == 1
    stage.publish(stage.client(node), "S.a", 3)


def test_a_single_replica_that_cannot_be_restored_is_offline_and_its_files_stay(stage: Stage) -> None:
    client = stage.client()
    stage.create(client, "O", num_replicas=1)
    stage.publish(client, "O.a", 5)
    node = stage.leader("O")
    group = stage.group(node, "O").id
    stage.stop(node)
    restore = StreamMachine.restore

    def indigestible(self: StreamMachine, data: bytes) -> None:
        if self.config.name == "O":
            raise ValueError("written by a newer version?")
        restore(self, data)

    with replaced(StreamMachine, "restore", indigestible):
        stage.restart(node)
    stage.publish(stage.client(node), "T.a", 3)
    assert stage.ask(stage.client(node), "$JS.API.STREAM.INFO.O")["error"]["err_code"] == 10118
    assert stage.machines[node].disk.list(f"groups/{group}/blocks")
    stage.stop(node)
    stage.restart(node)  # the program was mended
    stage.wait(lambda: is_whole(stage, "S", "T"))
    assert stage.ask(stage.client(node), "$JS.API.STREAM.INFO.O")["state"]["messages"] == 5
