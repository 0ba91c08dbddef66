"""Consumers that wait are woken by the messages that are for them, and by no others."""

import random

from effort import calls

from broker.core.subjects import matches
from jetstream.consumer_world import SECOND, World

PATTERNS = ["s.>", "s.*.x", "s.a.>", "s.a.x", "s.b.*", "s.b.y", "s.c.z", ""]


def test_every_message_reaches_at_once_all_who_wait_for_it() -> None:
    for seed in range(10):
        rng = random.Random(seed)
        world = World()
        filters: dict[str, str] = {}

        def waiting(name: str, world: World = world, filters: dict[str, str] = filters) -> None:
            config = {"filter_subject": filters[name]} if filters[name] else {}
            world.create(name, max_ack_pending=-1, **config)
            world.ask(name, f"in-{name}", batch=10_000, expires=3600 * SECOND)

        for number in range(12):
            filters[f"C{number}"] = rng.choice(PATTERNS)
            waiting(f"C{number}")
        world.turn()
        world.sent.clear()
        for _ in range(60):
            chance = rng.random()
            name = rng.choice(list(filters))
            if chance < 0.1:
                filters[name] = rng.choice(PATTERNS)
                world.create(name, max_ack_pending=-1, filter_subject=filters[name])
                world.turn()
                world.sent.clear()
            elif chance < 0.15:
                world.request("CONSUMER.DELETE", f"S.{name}")
                world.create(name, max_ack_pending=-1, filter_subject=filters[name])
                world.ask(name, f"in-{name}", batch=10_000, expires=3600 * SECOND)
                world.turn()
                world.sent.clear()
            elif chance < 0.2:
                world.change_leader()
                for other in filters:
                    world.ask(other, f"in-{other}", batch=10_000, expires=3600 * SECOND)
                world.turn()
                world.sent.clear()
            subject = f"s.{rng.choice('abc')}.{rng.choice('xyz')}"
            world.publish(rng.randint(1, 3), subject)
            for other, wanted in filters.items():
                got = {message.sequence for message in world.take(f"in-{other}")}
                meant = not wanted or matches(wanted.encode(), subject.encode())
                assert (world.machine.store.last_sequence in got) == meant, (seed, other, wanted, subject)


def test_a_message_for_one_of_many_who_wait_costs_the_same_as_for_one_of_few() -> None:
    def effort(count: int) -> int:
        world = World()
        for number in range(count):
            world.create(f"C{number}", filter_subject=f"s.{number}")
            world.ask(f"C{number}", f"in-{number}", batch=10, expires=3600 * SECOND)
        world.turn()
        world.publish(1, "s.3")
        assert len(world.take("in-3")) == 1
        spent = calls(lambda: world.publish(1, "s.4"))
        assert len(world.take("in-4")) == 1
        return spent

    assert effort(400) <= effort(40) + 300
