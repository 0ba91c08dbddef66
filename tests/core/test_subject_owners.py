"""Which streams own a subject: the tree says what comparing every pair of patterns says."""

import random

from broker.core.subject_owners import SubjectOwners
from broker.core.subjects import collides, is_subset

TOKENS = [b"a", b"b", b"c", b"*"]


def random_pattern(rng: random.Random) -> bytes:
    tokens = [rng.choice(TOKENS) for _ in range(rng.randint(1, 4))]
    return b".".join([*tokens[:-1], b">"] if rng.random() < 0.25 else tokens)


def test_owners_are_those_whose_patterns_collide() -> None:
    rng = random.Random(5)
    owners = SubjectOwners()
    owned: list[tuple[bytes, str]] = []
    for number in range(3000):
        pattern = random_pattern(rng)
        expected = sorted([name for other, name in owned if collides(other, pattern)])
        assert sorted(owners.owners(pattern)) == expected, pattern
        but = rng.choice(owned)[1] if owned else ""
        assert owners.is_taken(pattern, but) == any(name != but for name in expected)
        if len(owned) > 20 or (owned and rng.random() < 0.4):
            gone = owned.pop(rng.randrange(len(owned)))
            owners.remove(*gone)
        else:
            owned.append((pattern, f"S{number}"))
            owners.add(*owned[-1])
    for pattern, name in owned:
        owners.remove(pattern, name)
    assert owners.owners(b">") == []


def test_a_pattern_is_met_or_covered_as_comparing_with_each_says() -> None:
    rng = random.Random(7)
    for _ in range(1500):
        owners = SubjectOwners()
        owned = [random_pattern(rng) for _ in range(rng.randrange(4))]
        for pattern in owned:
            owners.add(pattern, "")
        for _ in range(4):
            pattern = random_pattern(rng)
            assert owners.is_met(pattern) == any(collides(other, pattern) for other in owned), (pattern, owned)
            assert owners.is_covered(pattern) == any(is_subset(pattern, other) for other in owned), (pattern, owned)
