"""The subjects of the API, all thirty-nine, through every node of a cluster: each is answered, as its kind is."""

import json
from typing import Any

import pytest

from broker.jetstream.api.requests import parse
from sim.client import Message, SimClient
from sim.stage import NODES, Stage

NOTHING = b""
STREAM = {"name": "S", "subjects": ["S.>"], "num_replicas": 3, "allow_direct": True}
EXPLICIT = {"ack_policy": "explicit"}
STATE = {
    "messages": 0, "bytes": 0, "first_seq": 0, "first_ts": "0001-01-01T00:00:00Z", "last_seq": 0,
    "last_ts": "0001-01-01T00:00:00Z", "consumer_count": 0,
}  # fmt: skip

# Subject, request, type of the answer ("" for a message), error that is the answer here (0: none), in this order.
SUBJECTS: list[tuple[str, object, str, int]] = [
    ("INFO", NOTHING, "account_info", 0),
    ("STREAM.CREATE.S", STREAM, "stream_create", 0),
    ("STREAM.UPDATE.S", {**STREAM, "description": "d"}, "stream_update", 0),
    ("STREAM.NAMES", NOTHING, "stream_names", 0),
    ("STREAM.LIST", NOTHING, "stream_list", 0),
    ("STREAM.INFO.S", NOTHING, "stream_info", 0),
    ("STREAM.MSG.GET.S", {"seq": 1}, "stream_msg_get", 0),
    ("DIRECT.GET.S", {"seq": 1}, "", 0),
    ("DIRECT.GET.S.S.a", NOTHING, "", 0),
    ("CONSUMER.CREATE.S", {"stream_name": "S", "config": EXPLICIT}, "consumer_create", 0),
    ("CONSUMER.CREATE.S.C", {"stream_name": "S", "config": {**EXPLICIT, "durable_name": "C"}}, "consumer_create", 0),
    (
        "CONSUMER.CREATE.S.F.S.a",
        {"stream_name": "S", "config": {**EXPLICIT, "name": "F", "filter_subject": "S.a"}},
        "consumer_create",
        0,
    ),
    (
        "CONSUMER.DURABLE.CREATE.S.D",
        {"stream_name": "S", "config": {**EXPLICIT, "durable_name": "D"}},
        "consumer_create",
        0,
    ),
    ("CONSUMER.NAMES.S", NOTHING, "consumer_names", 0),
    ("CONSUMER.LIST.S", NOTHING, "consumer_list", 0),
    ("CONSUMER.INFO.S.C", NOTHING, "consumer_info", 0),
    ("CONSUMER.MSG.NEXT.S.C", {"batch": 1, "no_wait": True}, "", 0),
    ("CONSUMER.PAUSE.S.C", {}, "consumer_pause", 0),
    ("CONSUMER.RESET.S.C", NOTHING, "consumer_reset", 0),
    ("CONSUMER.UNPIN.S.C", {"group": "g"}, "consumer_unpin", 10160),
    ("CONSUMER.DELETE.S.C", NOTHING, "consumer_delete", 0),
    ("STREAM.MSG.DELETE.S", {"seq": 1}, "stream_msg_delete", 0),
    ("STREAM.PURGE.S", NOTHING, "stream_purge", 0),
    ("STREAM.SNAPSHOT.S", {"deliver_subject": "backup"}, "stream_snapshot", 0),
    ("STREAM.RESTORE.T", {"config": {"name": "T"}, "state": STATE}, "stream_restore", 0),
    ("STREAM.PEER.REMOVE.S", {"peer": "n9"}, "stream_remove_peer", 10040),
    ("STREAM.PEER.EVACUATE.S", {"peer": "n9"}, "stream_evacuate_peer", 10040),
    ("STREAM.CANCEL_MOVE.S", NOTHING, "stream_cancel_move", 10129),
    ("CONSUMER.PEER.REMOVE.S.D", {"peer": "n9"}, "consumer_remove_peer", 10040),
    ("CONSUMER.PEER.EVACUATE.S.D", {"peer": "n1"}, "consumer_evacuate_peer", 10075),
    ("CONSUMER.LEADER.STEPDOWN.S.D", NOTHING, "consumer_leader_stepdown", 0),
    ("STREAM.LEADER.STEPDOWN.S", NOTHING, "stream_leader_stepdown", 0),
    ("STREAM.DELETE.S", NOTHING, "stream_delete", 0),
    ("SERVER.REMOVE", {"peer": "n9"}, "meta_server_remove", 10044),
    ("SERVER.EVACUATE", {"peer": "n9"}, "meta_server_evacuate", 10044),
    ("META.RESCUE", {"quorum_needed": 2}, "meta_rescue", 10224),
    ("ACCOUNT.PURGE.A", NOTHING, "account_purge", 0),
    ("ACCOUNT.STREAM.MOVE.A.S", {"server": "n9"}, "stream_update", 10035),
    ("ACCOUNT.STREAM.CANCEL_MOVE.A.S", NOTHING, "stream_cancel_move", 10035),
    ("META.LEADER.STEPDOWN", NOTHING, "meta_leader_stepdown", 0),
]


def answer_of(stage: Stage, client: SimClient, subject: str, body: object) -> tuple[str, int]:
    """The answer's type and error; of a message ("", 0)."""
    answer = stage.request(client, "$JS.API." + subject, body)
    assert answer is not None, f"no answer to {subject}"
    if answer.header:
        assert answer.status in (0, 200), f"{subject}: {answer.header!r}"
        return "", 0
    fields: dict[str, Any] = answer.json()
    kind = fields["type"].removeprefix("io.nats.jetstream.api.v1.").removesuffix("_response")
    return kind, fields["error"]["err_code"] if "error" in fields else 0


def test_there_are_thirty_nine_and_one_that_carries_a_filter() -> None:
    assert len({subject for subject, _, _, _ in SUBJECTS}) == 40
    assert all(parse(b"$JS.API." + subject.encode()) is not None for subject, _, _, _ in SUBJECTS)


@pytest.mark.parametrize("node", NODES)
def test_every_subject_is_answered_through_every_node(node: str) -> None:
    stage = Stage()
    client = stage.client(node)
    for subject, body, kind, error in SUBJECTS:
        if subject == "STREAM.MSG.GET.S":
            stage.publish(client, "S.a", 3)
        if subject == "CONSUMER.MSG.NEXT.S.C":
            fetched: list[Message | None] = []
            client.subscribe("fetch", fetched.append)
            client.publish("$JS.API." + subject, json.dumps(body).encode(), "fetch")
            stage.wait(lambda: bool(fetched))  # noqa: B023
        else:
            assert answer_of(stage, client, subject, body) == (kind, error), subject
    stage.rest()
    assert answer_of(stage, client, "INFO", NOTHING) == ("account_info", 0)
