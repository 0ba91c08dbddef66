"""Who counts some of a stream's messages learns which of them went."""

from effort import calls
from message_model import PrefixMatcher

from storage.deletions import KEPT, Deletions
from storage.memory import MemoryStreamStore


def test_those_since_a_total_are_known_or_known_not_to_be() -> None:
    deletions = Deletions()
    for number in range(5 * KEPT):
        if number % 1000 == 0 and number:
            assert deletions.since(number - 1000) == [(at, b"s%d" % at) for at in range(number - 1000, number)]
        deletions.add(number, b"s%d" % number)
    assert deletions.since(deletions.total) == []
    assert len(deletions.since(4 * KEPT) or []) == KEPT
    assert deletions.since(2 * KEPT) is None
    deletions.lose(3)
    assert deletions.since(deletions.total - 4) is None
    assert deletions.since(deletions.total) == []


def test_a_store_says_what_it_removes_in_any_way() -> None:
    store = MemoryStreamStore.open(None)
    for number in range(1, 9):
        store.append(number, number, b"s%d" % number, 0, b"x")
    store.delete(5)
    assert store.deletions.since(0) == [(5, b"s5")]
    store.truncate_front(4)
    assert store.deletions.since(1) == [(1, b"s1"), (2, b"s2"), (3, b"s3")]
    store.truncate_front(9)
    assert store.deletions.total == 8
    assert store.deletions.since(4) is None


def test_counting_the_few_last_ones_does_not_ask_all_subjects() -> None:
    def effort(subjects: int) -> int:
        store = MemoryStreamStore.open(None)
        for number in range(1, subjects + 1):
            store.append(number, number, b"orders.%d" % number, 0, b"x")
        found: list[int] = []
        spent = calls(lambda: found.append(store.count_from(subjects - 9, PrefixMatcher(b"orders"))))
        assert found == [10]
        return spent

    assert effort(4000) <= effort(400) + 20
