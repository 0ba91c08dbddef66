"""Subjects and what they lead to, against a model that is too simple to be wrong: every literal of a small world."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.core.router import RoutePeer, Router, ServiceSubscription, StreamIngress
from broker.core.subjects import SubjectMatcher, collides, is_insertable, is_literal, is_subset, is_valid, matches
from broker.core.subjects import is_valid_literal as is_publishable
from broker.core.sublist import Sublist, SublistResult, prefix_of
from broker.core.subscription import ClientSubscription, RouteSubscription, Subscriber, Subscription

QUICK = settings(max_examples=400, deadline=None, derandomize=True)

# Two words and one that no pattern names: enough for patterns of up to three tokens, and one token more for `>`.
WORLD = [b".".join(tokens) for count in range(1, 5) for tokens in product([b"a", b"b", b"z"], repeat=count)]

_token = st.sampled_from([b"a", b"b", b"*"])
_pattern = st.builds(
    lambda tokens, has_rest: b".".join([*tokens, b">"] if has_rest or not tokens else tokens),
    st.lists(_token, max_size=3),
    st.booleans(),
)
_literal = st.sampled_from(WORLD)
_nonsense = st.lists(st.sampled_from([b"", b"a", b"*", b">", b"a*", b"f>o", b"\xff"]), max_size=4).map(b".".join)


def naive(pattern: str, literal: str) -> bool:
    """The definition of matching, token by token."""
    if pattern == ">":
        return literal != ""
    if not pattern or not literal:
        return pattern == literal
    head, _dot, rest = pattern.partition(".")
    token, _dot, others = literal.partition(".")
    return head in ("*", token) and naive(rest, others)


def matched(pattern: bytes) -> set[bytes]:
    return {literal for literal in WORLD if naive(pattern.decode(), literal.decode())}


@QUICK
@given(_pattern, _pattern)
def test_patterns_among_each_other(one: bytes, other: bytes) -> None:
    ours, theirs = matched(one), matched(other)
    assert {literal for literal in WORLD if matches(one, literal)} == ours
    assert collides(one, other) == collides(other, one) == bool(ours & theirs)
    assert is_subset(one, other) == (ours <= theirs)


@QUICK
@given(st.lists(_pattern, max_size=4), _literal)
def test_a_matcher_is_its_filters(filters: list[bytes], literal: bytes) -> None:
    matcher = SubjectMatcher(filters)
    assert matcher.matches(literal) == any(matches(one, literal) for one in filters)
    if matcher.literal is not None:
        assert [one for one in WORLD if matcher.matches(one)] == [matcher.literal]
    assert SubjectMatcher([one.decode() for one in filters]).matches(literal) == matcher.matches(literal)


@pytest.mark.parametrize(
    ("subject", "valid", "insertable", "literal", "publishable"),
    [
        (b"a.b", True, True, True, True),
        (b"*", True, True, False, False),
        (b">", True, True, False, False),
        (b"a.>", True, True, False, False),
        (b"a.*.b", True, True, False, False),
        (b"a*.f>o.>>.**", True, True, True, True),  # wildcards are whole tokens only
        (b"a.>.b", False, False, False, False),
        (b"", False, False, True, False),
        (b".", False, False, True, False),
        (b"a.", False, False, True, False),
        (b".a", False, False, True, False),
        (b"a..b", False, False, True, False),
        (b"a b", False, True, True, True),  # no line can carry it
        (b"a\x0cb", False, True, True, True),
        (b"a\xff\x00", True, True, True, True),
    ],
)
def test_what_a_subject_is(subject: bytes, valid: bool, insertable: bool, literal: bool, publishable: bool) -> None:
    assert is_valid(subject) == valid
    assert is_insertable(subject) == insertable
    assert is_literal(subject) == literal
    assert is_publishable(subject) == publishable


@QUICK
@given(_nonsense, _nonsense)
def test_nothing_raises(one: bytes, other: bytes) -> None:
    for question in (matches, collides, is_subset):
        question(one, other)
    for check in (is_valid, is_insertable, is_literal, is_publishable):
        check(one)
    router = Router()
    found = router.subscribe(ServiceSubscription(one))
    assert found == is_insertable(one)
    assert router.lookup(other).is_empty or found


# The sublist


@QUICK
@given(st.lists(st.one_of(_pattern, _literal, _nonsense), max_size=12), st.data())
def test_a_sublist_is_a_list(subjects: list[bytes], data: st.DataObject) -> None:
    sublist = Sublist()
    kept: list[Subscription] = []
    for subject in subjects:
        subscription = Subscription(0, subject, b"")
        if sublist.insert(subscription):
            kept.append(subscription)
        else:
            assert not is_insertable(subject)
        assert not sublist.remove(Subscription(0, subject, b"")), "another one with the same subject"
    while True:
        assert sublist.count == len(kept)
        assert sorted(map(id, sublist.all())) == sorted(map(id, kept))
        for literal in (*WORLD[:40], b"a*", b"f>o.\xff"):
            expected = sorted(
                id(one) for one in kept if naive(one.subject.decode("latin-1"), literal.decode("latin-1"))
            )
            assert sorted(map(id, sublist.match(literal))) == expected
        if not kept:
            break
        gone = kept.pop(data.draw(st.integers(0, len(kept) - 1)))
        assert sublist.remove(gone)
        assert not sublist.remove(gone)
    assert not sublist._prefixes and sublist._root.is_unused()


@QUICK
@given(st.lists(_pattern, max_size=6), st.sampled_from([b"a.", b"b.", b"a.b.", b"z.z.", b"a.a.a.", b"."]))
def test_uniform_prefixes(patterns: list[bytes], prefix: bytes) -> None:
    """True is a promise about every last token; False is always allowed."""
    sublist = Sublist()
    for pattern in patterns:
        sublist.insert(Subscription(0, pattern, b""))
    if sublist.is_uniform(prefix):
        for last in (b"a", b"b", b"other"):
            assert sublist.match(prefix + last) == sublist.match(prefix + b"z")


def test_prefixes() -> None:
    assert prefix_of(b"a.b.c") == b"a.b."
    assert prefix_of(b"a") == prefix_of(b"") == b""
    assert prefix_of(b"a.") == b"a."


# The router's memory


class Client(Subscriber):
    def subscription_ended(self, subscription: ClientSubscription) -> None:
        raise AssertionError("nothing is delivered here")


class Ingress(StreamIngress):
    def ingest(self, subject: bytes, reply: bytes, header_length: int, data: bytes) -> None:
        raise AssertionError("nothing is published here")


class Peer(RoutePeer):
    def write(self, data: bytes) -> None:
        raise AssertionError("nothing is published here")


ACKS = [b"$JS.ACK.%s.c.1.%d.1.0.0" % (stream, number) for stream in (b"s", b"t") for number in (1, 2)]
ASKED = [*WORLD[:40], *ACKS, b"$JS.ACK.", b"$JS.ACK.s", b"$JS.ACK.s..c", b"a.", b".a", b"a..b", b"", b"a.*", b"*", b">"]
_interest = st.one_of(
    _pattern,
    _literal,
    st.sampled_from([b"$JS.ACK.>", b"$JS.ACK.s.>", b"$JS.ACK.*.c.>", b"$JS.>", ACKS[0], b"$JS.ACK.s", b"*.ACK.>"]),
)
_step = st.one_of(
    st.tuples(st.just("client"), _interest, st.sampled_from([b"", b"", b"q", b"r"])),
    st.tuples(st.just("service"), _interest, st.sampled_from([b"", b"q"])),
    st.tuples(st.just("stream"), _interest, st.just(b"")),
    st.tuples(st.just("route"), _interest, st.sampled_from([b"", b"q"])),
    st.tuples(st.just("end"), st.integers(0, 50), st.just(b"")),
    st.tuples(st.just("peer gone"), st.just(b""), st.just(b"")),
    st.tuples(st.just("ask"), st.sampled_from(ASKED), st.just(b"")),
    st.tuples(st.just("ask"), st.sampled_from(ASKED), st.just(b"")),
)


class World:
    """A router, everything that was subscribed to it, and every answer it gave."""

    def __init__(self) -> None:
        self.router = Router()
        self.client = Client(1, self.router.outbox(1, 1000))
        self.peer = Peer("other")
        self.ingress = Ingress()
        self.live: list[Subscription] = []
        self.streams: list[bytes] = []
        self.answers: list[tuple[bytes, SublistResult]] = []

    def step(self, kind: str, what: bytes | int, queue: bytes) -> None:
        if isinstance(what, int):
            if self.live:
                gone = self.live.pop(what % len(self.live))
                self.router.unsubscribe(gone)
            elif self.streams:
                self.router.remove_stream(self.streams.pop(0), self.ingress)
        elif kind == "client":
            self._keep(ClientSubscription(self.client, what, queue, b"1"))
        elif kind == "service":
            self._keep(ServiceSubscription(what, queue))
        elif kind == "stream":
            self.router.add_stream(what, self.ingress)
            self.streams.append(what)
        elif kind == "route":
            self.router.remote_interest(self.peer, what, queue, len(self.live) % 3)
        elif kind == "peer gone":
            self.router.remove_peer(self.peer)
        else:
            self.answers.append((what, self.router.lookup(what)))

    def _keep(self, subscription: Subscription) -> None:
        if self.router.subscribe(subscription):
            self.live.append(subscription)

    def wanted(self, subject: bytes) -> list[Subscription]:
        """A fresh match, without anything remembered."""
        return self.router._sublist.match(subject)


def told(result: SublistResult) -> tuple[object, ...]:
    """A result without the order inside of it."""
    groups = sorted(
        (group.queue, sorted(map(id, group.local)), sorted(map(id, group.remote)), group.remote_weight)
        for group in result.groups
    )
    return (
        sorted(map(id, result.plain)),
        groups,
        sorted(map(id, result.services)),
        [peer.name for peer in result.peers],
        result.ingress is not None,
        result.is_empty,
        result.is_plain,
        result.is_stream_only,
    )


@QUICK
@given(st.lists(_step, max_size=25))
def test_what_is_remembered_is_what_would_be_found(steps: list[tuple[str, bytes | int, bytes]]) -> None:
    world = World()
    for kind, what, queue in steps:
        world.step(kind, what, queue)
        for subject, result in world.answers:
            if result.is_current:
                assert told(result) == told(SublistResult(world.wanted(subject))), subject
    for _twice in range(2):
        for subject in ASKED:
            found = world.router.lookup(subject)
            assert found.is_current
            assert told(found) == told(SublistResult(world.wanted(subject))), subject
    sublist = world.router._sublist
    routed = list(world.peer.subscriptions.values())
    captured = [each for members in world.router._streams.values() for each in members]
    assert sublist.count == len(world.live) + len(captured) + len(routed)
    assert sublist.count == len(sublist.all()) == world.router.count()
    assert all(isinstance(one, RouteSubscription) for one in routed)


def test_the_memory_is_bounded() -> None:
    router = Router()
    router.subscribe(ServiceSubscription(b"literal.in.the.way"))
    for number in range(20_000):
        router.lookup(b"%d" % number)
        router.lookup(b"p%d.x" % number)
    assert len(router._results) + len(router._prefix_results) <= 8192


def test_subjects_that_nobody_distinguishes_share_a_result() -> None:
    router = Router()
    router.subscribe(ServiceSubscription(b"orders.>"))
    assert router.lookup(b"orders.1") is router.lookup(b"orders.2")
    assert router.lookup(ACKS[0]) is router.lookup(ACKS[3])
    router.subscribe(ServiceSubscription(b"orders.1"))
    assert router.lookup(b"orders.1") is not router.lookup(b"orders.2")
