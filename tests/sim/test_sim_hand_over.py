"""A server that is stopped on purpose hands over what it leads: nobody waits for an election."""

from datetime import UTC, datetime

import pytest

from raft.config import RaftConfig
from sim.client import fields_of
from sim.plan import SECOND_NS
from sim.server import TICK_NS, WALL_START_NS
from sim.stage import Stage

STREAM = "ORDERS"
ELECTION_NS = RaftConfig("x", 1).election_ticks_min * TICK_NS
ASLEEP_NS = 3 * SECOND_NS


@pytest.mark.parametrize("rest_ns", [0, ASLEEP_NS])
def test_peers_lead_before_a_follower_would_have_missed_the_leader(rest_ns: int) -> None:
    stage = Stage()
    client = stage.client()
    stage.create(client, STREAM)
    stage.rest(rest_ns)
    old = stage.leader(STREAM)
    node = stage.machines[old].node
    node.hand_over()
    stage.machines[old].schedule_turn(0)
    stage.wait(node.is_handed_over, ELECTION_NS)
    stage.machines[old].crash(False)
    assert stage.leader(STREAM) != old
    stage.publish(stage.client(*stage.others(old)), f"{STREAM}.a", 1)


def test_who_has_nobody_to_hand_over_to_does_not_wait() -> None:
    stage = Stage()
    stage.create(stage.client(), STREAM)
    old = stage.leader(STREAM)
    for other in stage.others(old):
        stage.machines[other].crash(False)
    stage.rest(SECOND_NS // 10)
    node = stage.machines[old].node
    node.hand_over()
    assert node.is_handed_over()


@pytest.mark.parametrize("seed", range(1, 7))
def test_a_stream_that_is_deleted_while_its_leadership_moves_is_told_to_be_gone(seed: int) -> None:
    for rest_ns in (0, SECOND_NS // 1000):
        stage = Stage(seed)
        client = stage.client("n3")
        stage.create(client, STREAM)
        stage.leader(STREAM)
        assert stage.ask(client, f"$JS.API.STREAM.LEADER.STEPDOWN.{STREAM}")["success"]
        stage.rest(rest_ns)
        assert stage.ask(client, f"$JS.API.STREAM.DELETE.{STREAM}").get("success")
        assert stage.ask(client, f"$JS.API.STREAM.INFO.{STREAM}")["error"]["err_code"] == 10059


def hand_over_in_vain(stage: Stage) -> str:
    """Who leads hands over to a peer that cannot be reached, and will lead on; its name."""
    old = stage.leader(STREAM)
    heir = stage.others(old)[0]
    stage.isolate(heir)
    group = stage.group(old, STREAM)
    group.raft.transfer_leadership(stage.machines[heir].node.links.peer)
    group.touch()
    return old


def test_while_a_leader_hands_over_a_push_consumer_is_sent_nothing_twice() -> None:
    stage = Stage()
    client = stage.client()
    stage.create(client, STREAM)
    config = {"durable_name": "D", "ack_policy": "explicit", "deliver_subject": "push"}
    stage.ask(client, f"$JS.API.CONSUMER.DURABLE.CREATE.{STREAM}.D", {"stream_name": STREAM, "config": config})
    stage.publish(client, f"{STREAM}.a", 5)
    old = hand_over_in_vain(stage)
    sent: list[str] = []
    stage.client(old).subscribe("push", lambda message: sent.append(message.reply) if message is not None else None)
    stage.rest(4 * ELECTION_NS)
    assert stage.leader(STREAM) == old
    assert len(sent) == 5, len(sent)


def test_what_is_due_while_a_leader_hands_over_in_vain_is_made_behind_it() -> None:
    stage = Stage()
    client = stage.client()
    stage.create(client, STREAM, allow_msg_schedules=True)
    due = datetime.fromtimestamp((WALL_START_NS + stage.world.now_ns) // SECOND_NS + 2, UTC)
    headers = {"Nats-Schedule": f"@at {due:%Y-%m-%dT%H:%M:%SZ}", "Nats-Schedule-Target": f"{STREAM}.made"}
    assert "seq" in stage.ask(client, f"{STREAM}.plan", b"x", headers)
    due_ns = int(due.timestamp()) * SECOND_NS - WALL_START_NS
    stage.rest(due_ns - stage.world.now_ns - ELECTION_NS // 4)
    old = hand_over_in_vain(stage)
    stage.wait(lambda: stage.group(old, STREAM).machine.store.last_sequence == 2, 4 * ELECTION_NS)


def test_a_fast_batch_is_not_acknowledged_beyond_what_a_hand_over_made_impossible() -> None:
    stage = Stage()
    client = stage.client()
    stage.create(client, STREAM, allow_batched=True)
    old = stage.leader(STREAM)
    publisher = stage.client(old)
    told: list[dict[str, object]] = []
    publisher.subscribe("_FAST.>", lambda message: told.append(fields_of(message)))

    def send(sequence: int, operation: int) -> None:
        publisher.publish(f"{STREAM}.a", b"%d" % sequence, f"_FAST.b.1.fail.{sequence}.{operation}.$FI")

    send(1, 0)
    stage.wait(lambda: {"type": "ack", "seq": 1, "msgs": 1} in told)
    hand_over_in_vain(stage)
    send(2, 1)
    stage.rest(4 * ELECTION_NS)
    assert stage.leader(STREAM) == old
    send(3, 2)
    stage.rest()
    store = stage.group(old, STREAM).machine.store
    stored = [bytes(store.get(sequence).data) for sequence in range(1, store.last_sequence + 1)]
    acked = max([int(str(fields["seq"])) for fields in told if fields.get("type") == "ack"])
    assert stored == [b"%d" % number for number in range(1, len(stored) + 1)] and acked <= len(stored), (stored, told)
