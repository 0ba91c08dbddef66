"""Changes of leader and lost operations: at least once, and what was confirmed never comes again."""

import pytest

from broker.jetstream.delivery.delivery_proposals import RETRY_NS
from jetstream.consumer_world import MS, SECOND, World, state_of


def held(count: int = 3, **config: object) -> World:
    """A world whose operations wait for `commit`, with a consumer and messages."""
    world = World(commit_at_once=False)
    world.create(**config)
    world.publish(count)
    return world


def test_waiting_requests_are_told():
    world = held(0)
    world.pull(batch=1, expires=60 * SECOND)
    world.change_leader()
    assert [m.header for m in world.take()] == [b"NATS/1.0 409 Leadership Change\r\n\r\n"]


def test_uncommitted_deliveries_come_again_with_the_count_they_had():
    world = held()
    assert [m.sequence for m in world.pull(batch=2)] == [1, 2]
    world.change_leader()
    assert [(m.sequence, m.deliveries, m.consumer_sequence) for m in world.pull(batch=3)] == [
        (1, 1, 1),
        (2, 1, 2),
        (3, 1, 3),
    ]


def test_committed_deliveries_come_again_only_when_their_wait_is_over():
    world = held(ack_wait=10 * SECOND)
    world.pull(batch=2)
    world.commit()
    world.advance(4 * SECOND)
    world.change_leader()
    world.ask(batch=3, expires=60 * SECOND)
    world.turn()
    assert [(m.sequence, m.deliveries) for m in world.take()] == [(3, 1)]
    world.advance(5990 * MS)
    assert world.take() == []
    world.advance(20 * MS)
    assert [(m.sequence, m.deliveries) for m in world.take()] == [(1, 2), (2, 2)]


def test_a_lost_plain_ack_is_a_redelivery_and_a_confirmed_one_is_not():
    world = held(2, ack_wait=SECOND)
    one, two = world.pull(batch=2)
    world.commit()
    world.ack(one, reply="sure")
    world.commit()
    assert len(world.take("sure")) == 1
    world.ack(two)
    world.change_leader()
    world.ask(batch=10, expires=60 * SECOND)
    world.advance(5 * SECOND)
    assert {m.sequence for m in world.take() if not m.status} == {2}


def test_a_double_ack_that_was_lost_is_not_answered():
    world = held(1)
    (message,) = world.pull(batch=1)
    world.commit()
    world.ack(message, reply="sure")
    world.change_leader()
    world.commit()
    world.turn()
    assert world.take("sure") == []


def test_an_ack_of_the_old_leaders_delivery_counts_at_the_new_one():
    world = held(1)
    (message,) = world.pull(batch=1)
    world.commit()
    world.change_leader()
    world.ack(message, reply="sure")
    world.commit()
    assert len(world.take("sure")) == 1
    assert world.consumer().pending == {}


def test_naks_and_delays_are_facts():
    world = held(2, ack_wait=60 * SECOND)
    one, two = world.pull(batch=2)
    world.ack(one, b"-NAK 5s")
    world.ack(two, b"-NAK")
    world.commit()
    world.change_leader()
    world.ask(batch=5, expires=60 * SECOND)
    world.advance(2 * MS)
    assert [(m.sequence, m.deliveries) for m in world.take()] == [(2, 2)]
    world.advance(4990 * MS)
    assert world.take() == []
    world.advance(20 * MS)
    assert [(m.sequence, m.deliveries) for m in world.take()] == [(1, 2)]


def test_giving_up_is_not_forgotten():
    world = held(1, ack_wait=SECOND, max_deliver=1)
    world.pull(batch=1)
    world.advance(1100 * MS)
    world.commit()
    world.change_leader()
    world.ask(batch=1, expires=3600 * SECOND)
    world.advance(60 * SECOND)
    assert world.take() == []
    assert len(world.events("MAX_DELIVERIES")) == 1


def test_the_consumer_sequence_goes_on_without_a_gap():
    world = held(4)
    world.pull(batch=2)
    world.commit()
    world.change_leader()
    assert [m.consumer_sequence for m in world.pull(batch=2)] == [3, 4]


def test_an_operation_refused_while_leading_makes_everything_anew():
    world = held(3, ack_wait=SECOND)
    world.ask(inbox="waits", batch=10, expires=60 * SECOND)
    world.turn()
    assert [m.sequence for m in world.take("waits")] == [1, 2, 3]
    (_kind, _body, _urgent, waiter) = world.proposed.pop()
    waiter.abandoned()
    world.turn()
    world.advance(RETRY_NS)
    assert [(m.sequence, m.deliveries, m.consumer_sequence) for m in world.take("waits")] == [
        (1, 1, 1),
        (2, 1, 2),
        (3, 1, 3),
    ]


def test_nothing_is_delivered_until_all_operations_under_way_are_told():
    world = held(2)
    first, second = (world.pull(batch=1)[0], world.pull(batch=1)[0])
    assert (first.sequence, second.sequence) == (1, 2)
    lost = world.proposed.pop(1)
    lost[3].abandoned()
    assert world.pull(batch=1, expires=60 * SECOND) == []
    world.commit()
    world.turn()
    world.advance(RETRY_NS)
    assert [m.sequence for m in world.take()] == [2]


def test_a_leader_that_can_propose_nothing_for_a_while_does_not_flood_its_clients():
    world = held(1, deliver_subject="d")
    world.listen("d")
    world.turn()
    for _ in range(1000):  # what it proposes is dropped at once
        for _kind, _body, _urgent, waiter in world.proposed:
            waiter.abandoned()
        world.proposed.clear()
        world.advance(SECOND // 1000)
    assert 2 <= len(world.take("d")) <= 1 + SECOND // RETRY_NS


def test_push_consumers_go_on_under_the_new_leader():
    world = held(1, deliver_subject="d", idle_heartbeat=SECOND)
    world.listen("d")
    world.turn()
    assert [m.sequence for m in world.take("d")] == [1]
    world.commit()
    world.change_leader()
    world.publish(1)
    assert [m.sequence for m in world.take("d") if not m.status] == [2]


def test_an_ephemeral_is_forgotten_by_the_next_leader():
    world = held(0, durable_name="", inactive_threshold=2 * SECOND)
    world.change_leader()
    world.turn()
    world.advance(4 * SECOND)
    world.commit()
    assert world.machine.consumers == {}


@pytest.mark.parametrize("commit_first", [True, False])
def test_replicas_that_applied_the_same_are_equal(commit_first):
    world = held(5, ack_wait=SECOND, max_deliver=2)
    got = world.pull(batch=50, expires=60 * SECOND)
    if commit_first:
        world.commit()
    world.ack(got[0])
    world.ack(got[3], b"-NAK 1s")
    world.ack(got[2], b"+TERM")
    world.advance(5 * SECOND)
    world.commit()
    states = [state_of(machine) for machine in world.machines]
    assert states[0] == states[1] == states[2]
    assert states[0]["C"]["floor"][:2] == [5, 8]


def test_nobody_leads_nobody_answers():
    world = held(1)
    (message,) = world.pull(batch=1)
    world.commit()
    world.delivery.resign()
    world.ack(message, reply="sure")
    assert world.delivery.pump(world.now_ns, world.wall_ns) is False
    assert world.delivery.next_deadline_ns() == 0
    assert world.proposed == []


def test_operations_of_a_consumer_do_not_reach_its_namesake():
    """Deleted and made again while deliveries were under way: the log may have them behind the new one's creation."""
    world = held(3)
    world.pull(batch=2)
    (late,) = world.proposed
    world.proposed = []
    world.request("CONSUMER.DELETE", "S.C")
    world.wall_ns += 1
    world.create()
    world.proposed = [late]
    world.commit()
    assert world.consumer().pending == {}
    assert [m.sequence for m in world.pull(batch=3)] == [1, 2, 3]
