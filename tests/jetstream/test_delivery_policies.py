"""Where consumers begin, what they see, and how many messages they are told are ahead."""

import pytest

from jetstream.consumer_world import MS, SECOND, World


def prepared(**stream: object) -> World:
    """s.a and s.b in turns, 6 messages, a second apart."""
    world = World(**stream)
    for position in range(6):
        world.publish(1, subject="s.a" if position % 2 == 0 else "s.b", payload=b"%d" % position)
        world.advance(SECOND)
    return world


def sequences(world: World, name: str = "C") -> list[tuple[int, int]]:
    """(stream sequence, pending after it) of everything there is."""
    return [(m.sequence, m.pending) for m in world.pull(name, batch=100, no_wait=True) if not m.status]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"filter_subject": "s.b"}, [2, 4, 6]),
        ({"filter_subjects": ["s.a", "s.b"]}, [1, 2, 3, 4, 5, 6]),
        ({"filter_subject": "s.c"}, []),
        ({"deliver_policy": "last"}, [6]),
        ({"deliver_policy": "last", "filter_subject": "s.a"}, [5]),
        ({"deliver_policy": "new"}, []),
        ({"deliver_policy": "by_start_sequence", "opt_start_seq": 4}, [4, 5, 6]),
        ({"deliver_policy": "by_start_sequence", "opt_start_seq": 100}, []),
        ({"deliver_policy": "by_start_time", "opt_start_time": "2023-11-14T22:13:23Z"}, [4, 5, 6]),
        ({"deliver_policy": "by_start_time", "opt_start_time": "2030-01-01T00:00:00Z"}, []),
        ({"deliver_policy": "last_per_subject", "filter_subject": "s.*"}, [5, 6]),
        ({"deliver_policy": "last_per_subject", "filter_subject": "s.a"}, [5]),
    ],
)
def test_the_six_policies(config, expected):
    world = prepared()
    created = world.create(**config)
    assert created["num_pending"] == len(expected)
    assert sequences(world) == [(s, len(expected) - 1 - i) for i, s in enumerate(expected)]
    world.publish(1, subject="s.a")
    if config.get("opt_start_seq") != 100 and config.get("filter_subject", "s.a") in ("s.a", "s.*"):
        assert sequences(world) == [(7, 0)]


def test_last_per_subject_goes_on_with_everything_new():
    world = prepared()
    world.create(deliver_policy="last_per_subject", filter_subject="s.>")
    world.publish(2, subject="s.a")
    assert world.info()["num_pending"] == 4
    assert sequences(world) == [(5, 3), (6, 2), (7, 1), (8, 0)]


def test_last_per_subject_survives_a_change_of_leader_half_way():
    world = prepared()
    world.create(deliver_policy="last_per_subject", filter_subject="s.>")
    assert [m.sequence for m in world.pull(batch=1)] == [5]
    world.change_leader()
    world.publish(1, subject="s.b")
    assert sequences(world) == [(6, 1), (7, 0)]


def test_a_message_of_the_skip_list_may_go_before_it_is_delivered():
    world = prepared()
    world.create(deliver_policy="last_per_subject", filter_subject="s.>")
    world.local("delete", 5)
    assert world.info()["num_pending"] == 1
    assert sequences(world) == [(6, 0)]


def test_start_before_the_first_message_moves_up():
    world = prepared()
    world.local("truncate", 3)
    world.create(deliver_policy="by_start_sequence", opt_start_seq=1)
    assert world.info()["delivered"]["stream_seq"] == 2
    assert sequences(world)[0] == (3, 3)


def test_pending_counts_survive_deletes_purges_and_limits():
    world = prepared()
    world.create(filter_subject="s.b")
    world.create("ALL")
    world.local("delete", 4)
    assert [world.info(name)["num_pending"] for name in ("C", "ALL")] == [2, 5]
    world.local("truncate", 3)
    assert [world.info(name)["num_pending"] for name in ("C", "ALL")] == [1, 3]
    assert sequences(world) == [(6, 0)]
    world.publish(3, subject="s.b")
    assert [world.info(name)["num_pending"] for name in ("C", "ALL")] == [3, 6]
    world.local("purge")
    assert [world.info(name)["num_pending"] for name in ("C", "ALL")] == [0, 0]
    assert world.info("ALL")["delivered"]["stream_seq"] == 9
    world.publish(1, subject="s.b")
    assert sequences(world, "ALL") == [(10, 0)]


def test_a_purge_settles_what_was_out():
    world = prepared()
    world.create()
    world.pull(batch=4)
    world.local("purge")
    world.turn()
    info = world.info()
    assert info["num_ack_pending"] == 0
    assert info["ack_floor"]["stream_seq"] == 6


def test_changed_filters_count_anew():
    world = prepared()
    world.create(filter_subject="s.a")
    world.pull(batch=1)
    assert world.info()["num_pending"] == 2
    world.create(filter_subject="s.>")
    assert world.info()["num_pending"] == 5
    assert [s for s, _ in sequences(world)] == [2, 3, 4, 5, 6]


def test_info_without_any_delivery_is_read_from_the_facts():
    world = prepared()
    world.create()
    world.delivery.leads.clear()
    info = world.info()
    assert (info["num_pending"], info["num_waiting"], info["num_ack_pending"]) == (6, 0, 0)


def test_time_between_messages_is_kept_in_the_ack_subject():
    world = prepared()
    world.create()
    got = world.pull(batch=2)
    assert got[1].token(7) - got[0].token(7) == SECOND
    assert MS > 0
