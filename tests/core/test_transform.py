"""Subject transforms, as a table: what nats-server 2.15.1 answered for the same source, destination and subject."""

import pytest

from broker.core.transform import TransformError, make_transform

TABLE = [
    # source, destination, subject, what it becomes ("" = the source does not match)
    ("a.*", "b.$1", "a.b", "b.b"),
    ("a.*", "b.$1", "a.x.y", ""),
    ("a.*", "b.$0", "a.b", "b.a"),
    ("a.*", "b.{{wildcard(-1)}}", "a.foo", "b.a"),
    ("a.*", "b.{{ Wildcard( 1 ) }}", "a.foo", "b.foo"),
    ("a.>", "t.{{partition(7)}}.>", "a.x.y.z", "t.6.x.y.z"),
    ("a.*", "t.{{partition(7)}}", "a.b", "t.5"),
    ("a.*", "t.{{partition(7,1)}}", "a.b", "t.6"),
    ("a.*", "t.{{partition(7,1,0)}}.$1", "a.foo-bar-baz", "t.4.foo-bar-baz"),
    ("a.*", "t.{{partition(0,1)}}", "a.b", "t.0"),
    ("a.*", "t.{{partition(-3,1)}}", "a.b", "t.3876335077"),
    ("a.b", "c.{{partition(5)}}.d", "a.b", "c.2.d"),
    ("a.*", "s.{{split(1,-)}}", "a.-x--y-", "s.x.y"),
    ("a.*", "s.{{split(1,-)}}", "a.--", "s."),
    ("a.*", "s.{{split(1,--)}}.x", "a.b---c", "s.b.-c.x"),
    ("a.*", "s.{{split(1,)}}", "a.b-c", "s.b.-.c"),
    ("a.*", "s.{{split(1,-x)}}", "a.-x--y-", "s.--y-"),
    ("a.*", "s.{{splitFromLeft(1,3)}}", "a.abcdefgh", "s.abc.defgh"),
    ("a.*", "s.{{splitfromleft(1,3)}}", "a.abc", "s.abc"),
    ("a.*", "s.{{SplitFromRight(1,3)}}", "a.abcdefgh", "s.abcde.fgh"),
    ("a.*", "s.{{sliceFromLeft(1,3)}}", "a.abcdefgh", "s.abc.def.gh"),
    ("a.*", "s.{{sliceFromRight(1,3)}}", "a.abcdefgh", "s.ab.cde.fgh"),
    ("a.*", "s.{{sliceFromRight(1,3)}}", "a.abcdef", "s.abc.def"),
    ("a.*", "b.{{ sliceFromLeft( 1 , 2 ) }}", "a.abcde", "b.ab.cd.e"),
    ("a.*", "s.{{left(1,3)}}", "a.abcdefgh", "s.abc"),
    ("a.*", "s.{{right(1,3)}}", "a.abcdefgh", "s.fgh"),
    ("a.*", "s.{{right(1,-3)}}", "a.abcdefgh", "s.abcdefgh"),
    ("a.*.*.>", "z.$2.$1.>", "a.x.y.z", "z.y.x.z"),
    ("a.*.>", "q.{{wildcard(1)}}.x.>", "a.ä.b", "q.ä.x.b"),
    ("", "all.>", "a.b", "all.a.b"),
    ("a.>", ">", "a.x.y", "x.y"),
    (">", ">", "a..b", "a..b"),
    ("a.>", "b.>", "a..b", ""),
    ("a.*", "b.x{{wildcard(1)}}", "a.b", "b.x{{wildcard(1)}}"),
    ("a.*", "b.{{wildcard(1)", "a.b", "b.{{wildcard(1)"),
    ("a.*", "$JS.$1", "a.b", "$JS.b"),
    ("a.*", "b", "a.b", "b"),
    ("a.*", "b.{{random(1)}}", "a.b", "b.0"),
    ("a.*", "b.{{random(0)}}", "a.b", "b.0"),
]

WRONG = [
    ("a.*", "b.{{wildcard(2)}}", "wildcard index out of range in {{wildcard(2)}}: [2]"),
    ("a.*", "b.$2", "wildcard index out of range in $2: [2]"),
    ("a.b", "b.$1", "wildcard index out of range in $1"),
    ("a.*", "b.{{partition(3,2)}}", "wildcard index out of range in {{partition(3,2)}}: [2]"),
    ("a.*", "b.{{foo(1)}}", "unknown function in {{foo(1)}}"),
    ("a.*", "b.{{WILDCARD(1)}}", "unknown function in {{WILDCARD(1)}}"),
    ("a.*", "b.{{partition()}}", "function argument is invalid or in the wrong format in {{partition()}}"),
    ("a.*", "b.{{partition(x)}}", "function argument is invalid or in the wrong format in {{partition(x)}}"),
    ("a.*", "b.{{partition(99999999999,1)}}",
     "function argument is invalid or in the wrong format in {{partition(99999999999,1)}}"),
    ("a.*", "b.{{split(1)}}", "not enough arguments passed to the function in {{split(1)}}"),
    ("a.*", "b.{{wildcard()}}", "not enough arguments passed to the function in {{wildcard()}}"),
    ("a.*", "b.{{wildcard(1,2)}}", "too many arguments passed to the function in {{wildcard(1,2)}}"),
    ("a.*", "b.{{left(1,3,4)}}", "too many arguments passed to the function in {{left(1,3,4)}}"),
    ("a.*", "b..c", "invalid transform"),
    ("a.*", "b c", "invalid transform"),
    ("a.>", "b.>.c", "invalid transform in c"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "destination", "subject", "expected"), TABLE)
def test_a_subject_becomes_what_nats_server_makes_of_it(
    source: str, destination: str, subject: str, expected: str
) -> None:
    transform = make_transform(source, destination)
    assert transform is not None
    found = transform.apply(subject.encode(), 1)
    assert found == (expected.encode() if expected else None)


@pytest.mark.parametrize(("source", "destination", "expected"), WRONG)
def test_a_wrong_destination_is_refused_in_nats_servers_words(source: str, destination: str, expected: str) -> None:
    with pytest.raises(TransformError) as raised:
        make_transform(source, destination)
    assert str(raised.value) == "invalid mapping destination: " + expected


@pytest.mark.parametrize(
    ("source", "destination"), [("a.*", "b.*"), ("a.*", "b.>"), ("a.>", "b"), ("", "b"), ("a..b", "c"), ("a.>.b", "c")]
)
def test_what_cannot_belong_together_is_no_transform(source: str, destination: str) -> None:
    with pytest.raises(TransformError, match=r"^invalid subject$"):
        make_transform(source, destination)


def test_without_a_destination_there_is_nothing_to_do() -> None:
    assert make_transform("a.*", "") is None


def test_chance_is_the_seeds() -> None:
    transform = make_transform("a.*", "b.{{random(10)}}")
    assert transform is not None
    found = [transform.apply(b"a.x", seed) for seed in range(100)]
    assert found == [transform.apply(b"a.x", seed) for seed in range(100)]
    assert set(found) == {b"b.%d" % digit for digit in range(10)}
