"""Subjects below a prefix and pages of subjects: found without looking at all, and never others than there are."""

import random

import pytest
from effort import calls
from message_model import PrefixMatcher

from storage import message_search
from storage.memory import MemoryStreamStore
from storage.subject_order import SubjectOrder


def test_a_page_and_a_prefix_are_what_looking_at_all_gives_whatever_comes_and_goes() -> None:
    for seed in range(8):
        rng = random.Random(seed)
        order = SubjectOrder()
        index: dict[bytes, object] = {}
        for _ in range(200):
            chance = rng.random()
            for _ in range(rng.choice([1, 1, 10, 3000]) if seed < 3 else rng.randint(1, 10)):
                subject = b"%d.%d" % (rng.randrange(30), rng.randrange(500))
                if chance < 0.5:
                    if subject not in index:
                        index[subject] = seed
                        order.added(subject)
                elif chance < 0.8:
                    index.pop(subject, None)
            if chance > 0.97:
                index.clear()
                order.forget()
            elif chance > 0.9:
                assert order.all(index) == sorted(index)
            elif chance > 0.8:
                prefix = b"%d." % rng.randrange(30)
                expected = sorted(subject for subject in index if subject.startswith(prefix))
                assert sorted(order.below(index, prefix)) == expected


def test_it_does_not_grow_with_subjects_that_are_gone() -> None:
    order = SubjectOrder()
    index: dict[bytes, object] = {b"a.0": 1}
    for number in range(20_000):
        index[b"a.%d" % number] = 1
        order.added(b"a.%d" % number)
        assert b"a.%d" % number in order.below(index, b"a.")
        del index[b"a.%d" % number]
    assert len(order._sorted) + len(order._fresh) < 5000
    order.below(index, b"a.")
    for number in range(50_000):
        order.added(b"b.%d" % number)
    assert len(order._fresh) < 5000


def filled(groups: int) -> MemoryStreamStore:
    """Ten subjects in each group."""
    store = MemoryStreamStore.open(None)
    for number in range(10 * groups):
        store.append(number + 1, number + 1, b"g%d.%d" % (number % groups, number), 0, b"x")
    return store


@pytest.mark.parametrize("question", ["count_from", "next_sequence", "previous_sequence"])
def test_a_filter_with_a_prefix_looks_at_the_subjects_below_it(question: str) -> None:
    def effort(groups: int) -> int:
        store = filled(groups)
        store.subjects(PrefixMatcher(b"g7."))  # puts them in order
        start = {"count_from": 1, "next_sequence": 1, "previous_sequence": store.last_sequence}[question]
        return calls(lambda: getattr(store, question)(start, PrefixMatcher(b"g77777.")))

    few = message_search.BOUNDS_AFTER // 10 + 200
    assert effort(4 * few) <= effort(few) + 100


def test_the_next_page_of_subjects_does_not_sort_again() -> None:
    store = filled(500)
    everything = PrefixMatcher(b"")
    first = store.subjects_in_order(everything)
    assert first == sorted(store.index)
    assert store.order.all(store.index) is store.order.all(store.index)
    store.append(store.last_sequence + 1, 10**6, b"a.new", 0, b"x")
    store.delete(3)
    assert store.subjects_in_order(everything) == sorted(store.index)


def test_subjects_with_too_many_messages_are_found_without_listing_the_others() -> None:
    store = filled(500)
    assert store.subjects_above(1) == []
    for at, subject in enumerate([b"g7.7", b"g9.9", b"g7.7"]):
        store.append(store.last_sequence + 1, 10**6 + at, subject, 0, b"x")
    assert sorted(store.subjects_above(1)) == [b"g7.7", b"g9.9"]
    assert store.subjects_above(2) == [b"g7.7"]
    assert calls(lambda: store.subjects_above(1)) < 20
