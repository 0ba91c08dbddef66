"""A bug of ours that a client's message brings out ends one stream or one request, never a node."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from broker.compiled import is_compiled
from broker.jetstream.effects import EffectSink
from broker.jetstream.ops import OP_PUBLISH
from broker.jetstream.stream import StreamMachine
from sim.planting import replaced
from sim.stage import NODES, Stage

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
