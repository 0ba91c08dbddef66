"""What is ahead of a consumer is counted by looking at what is new and what is gone, and yet is always exact."""

import random
from typing import Any

import pytest
from effort import calls

from broker.core.subjects import SubjectMatcher
from broker.jetstream.config.consumer_config import ConsumerConfig
from broker.jetstream.consumers.backlog import Backlog
from broker.jetstream.consumers.consumer import Consumer
from storage.memory import MemoryStreamStore

SUBJECTS = [b"kv.%d.%d" % (group, number) for group in range(3) for number in range(10)]


def consumer_of(*filters: str) -> Consumer:
    config = ConsumerConfig()
    config.filter_subjects = list(filters)
    return Consumer("S", "C", config, 1)


def ahead(backlog: Backlog, store: MemoryStreamStore) -> int:
    """Counted one by one."""
    consumer = backlog.consumer
    listed = set(consumer.skip_list)
    behind = max(listed, default=0)
    count = 0
    for sequence in range(max(backlog.next_sequence, 1), store.last_sequence + 1):
        message = store.get(sequence)
        if message is not None and (sequence in listed if sequence <= behind else consumer.matches(message.subject)):
            count += 1
    return count


def change(rng: random.Random, store: MemoryStreamStore) -> None:
    """Something is stored, deleted, or falls off the front."""
    chance = rng.random()
    if chance < 0.5 or store.messages == 0:
        for _ in range(rng.randint(1, 20)):
            subject = rng.choice(SUBJECTS)
            store.append(store.last_sequence + 1, store.last_sequence + 1, subject, 0, b"x")
            while store.count_for(subject) > 3:
                store.delete(store.first_sequence_for(subject))
    elif chance < 0.85:
        store.delete(rng.randint(store.first_sequence, store.last_sequence))
    elif chance < 0.98:
        store.truncate_front(rng.randint(store.first_sequence, store.last_sequence))
    else:
        store.truncate_front(store.last_sequence + 1)


@pytest.mark.parametrize("filters", [(), ("kv.1.*",), ("kv.0.>", "kv.2.3"), ("kv.1.4",)])
@pytest.mark.parametrize("listed", [False, True])
def test_the_count_is_exact_whatever_comes_and_goes(filters: tuple[str, ...], listed: bool) -> None:
    for seed in range(12):
        rng = random.Random(seed)
        store = MemoryStreamStore.open(None)
        for _ in range(4):
            change(rng, store)
        consumer = consumer_of(*filters)
        if listed:
            matcher = consumer.matcher or SubjectMatcher([">"])
            lasts = sorted(store.last_sequence_for(subject) for subject, _ in store.subjects(matcher))
            consumer.set_skip_list(lasts)
            consumer.start_at(lasts[0] if lasts else store.last_sequence + 1)
        backlog = Backlog(consumer, store)
        for step in range(120):
            change(rng, store)
            backlog.refresh()
            assert backlog.ahead == ahead(backlog, store), (seed, step)
            for _ in range(rng.randint(0, 6)):
                message = backlog.next_message()
                if message is None:
                    break
                backlog.took(message.sequence)
                assert backlog.ahead == ahead(backlog, store), (seed, step)


def many_subjects(count: int) -> MemoryStreamStore:
    store = MemoryStreamStore.open(None)
    for number in range(count):
        store.append(number + 1, number + 1, b"kv.%d" % number, 0, b"x")
    return store


def put(store: MemoryStreamStore, subject: bytes) -> None:
    """As with max_msgs_per_subject 1."""
    store.append(store.last_sequence + 1, store.last_sequence + 1, subject, 0, b"y")
    store.delete(store.first_sequence_for(subject))


@pytest.mark.parametrize("reader", ["behind", "level", "listed"])
def test_a_put_among_many_keys_costs_a_watcher_the_same_as_among_few(reader: str) -> None:
    def effort(keys: int) -> int:
        store: Any = many_subjects(keys)
        consumer = consumer_of("kv.>")
        if reader == "level":
            consumer.start_at(store.last_sequence + 1)
        elif reader == "listed":
            consumer.set_skip_list(list(range(1, keys + 1)))
        backlog = Backlog(consumer, store)
        backlog.refresh()

        def one() -> None:
            put(store, b"kv.7")
            backlog.refresh()
            assert backlog.next_message() is not None

        return calls(one)

    assert effort(4000) <= effort(400) + 50
