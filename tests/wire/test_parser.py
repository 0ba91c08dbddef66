"""The client protocol: the cuts of the bytes are never seen, no bytes raise, and everything malformed has its fate."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.wire import headers
from broker.wire.parser import OP_NONE, OP_PUB, Parser
from broker.wire.words import digits, parse_size, words_of
from wire.conversations import CONTROL_LINE, MALFORMED, PAYLOAD, VALID, cut, one_by_one, read

QUICK = settings(max_examples=300, deadline=None, derandomize=True)

CORPUS = [*VALID, *(data for data, _text in MALFORMED)]
PROLOGUE = b"SUB a 1\r\nPUB a 3\r\nabc\r\nPUB a 3\r\nabc\r\n"

_word = st.sampled_from([b"a", b"a.b", b"foo.*", b">", b"q", b"$JS.ACK.x", b"\xff", b"x" * 30])
_blank = st.sampled_from([b" ", b" ", b" ", b"\t", b"  ", b" \t "])
_end = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n"])
_size = st.sampled_from([b"0", b"1", b"03", b"100", b"101", b"-1", b"1234567890", b"x", b""])


@st.composite
def publish(draw: st.DrawFn) -> bytes:
    """A complete PUB or HPUB, usually as clients write it."""
    data = draw(st.binary(max_size=PAYLOAD))
    words = [draw(_word)]
    if draw(st.booleans()):
        words.append(draw(_word))
    verb = b"PUB"
    if draw(st.booleans()):
        verb = b"HPUB"
        words.append(b"%d" % draw(st.integers(0, len(data))))
    words.append(b"%d" % len(data))
    blank = draw(_blank)
    return verb + blank + blank.join(words) + draw(_end) + data + b"\r\n"


_any_line = st.builds(
    lambda verb, words, blank, end: blank.join([verb, *words]) + end,
    st.sampled_from(
        [b"PUB", b"HPUB", b"SUB", b"UNSUB", b"PING", b"PONG", b"CONNECT", b"INFO", b"+OK", b"-ERR", b"sub"]
    ),
    st.lists(st.one_of(_word, _size), max_size=4),
    _blank,
    _end,
)
_run = st.builds(lambda one, count: one * count, publish(), st.integers(1, 6))
_good = st.lists(
    st.one_of(publish(), _run, st.sampled_from([b"PING\r\n", b"SUB a 1\r\n", b"UNSUB 1 2\r\n"])), max_size=8
)
_conversation = st.one_of(
    _good.map(b"".join),
    st.lists(st.one_of(publish(), _any_line, st.binary(max_size=4)), max_size=6).map(b"".join),
)


def agree(data: bytes, places: list[int], accepts_headers: bool = True, awaits_connect: bool = False) -> None:
    """The three ways of reading."""
    whole = read([data], accepts_headers, awaits_connect)
    assert read(one_by_one(data), accepts_headers, awaits_connect) == whole
    assert read(cut(data, places), accepts_headers, awaits_connect) == whole


@pytest.mark.parametrize("data", CORPUS, ids=repr)
def test_the_cuts_are_not_seen(data: bytes) -> None:
    rng = random.Random(7)
    for said in (data, PROLOGUE + data, data + PROLOGUE):
        for _attempt in range(10):
            agree(said, [rng.randrange(len(said) + 1) for _place in range(rng.randrange(6))])
        agree(said, [], accepts_headers=False)
        agree(said, [], awaits_connect=True)


@pytest.mark.parametrize("data", [PROLOGUE + data for data in CORPUS], ids=repr)
def test_any_single_cut_is_not_seen(data: bytes) -> None:
    whole = read([data])
    for place in range(len(data)):
        assert read(cut(data, [place])) == whole, place


@QUICK
@given(_conversation, st.lists(st.integers(0, 10_000), max_size=5), st.booleans(), st.booleans())
def test_the_cuts_of_generated_conversations_are_not_seen(
    data: bytes, places: list[int], accepts_headers: bool, awaits_connect: bool
) -> None:
    agree(data, places, accepts_headers, awaits_connect)


@QUICK
@given(st.lists(st.binary(max_size=300), max_size=6), st.booleans())
def test_no_bytes_raise_and_little_is_kept(pieces: list[bytes], accepts_headers: bool) -> None:
    assert read(pieces, accepts_headers) == read([b"".join(pieces)], accepts_headers)


@pytest.mark.parametrize("data", VALID, ids=repr)
def test_valid_conversations_do_not_fail(data: bytes) -> None:
    assert not [operation for operation in read([data]) if operation[0] == "failed"]


@pytest.mark.parametrize(("data", "text"), MALFORMED, ids=repr)
def test_the_fate_of_what_is_malformed(data: bytes, text: str) -> None:
    assert read([data])[-1][:2] == ("failed", text)
    before = read([PROLOGUE])
    after = read([PROLOGUE + data])
    assert after[: len(before)] == before, "what came before it stands"
    assert after[-1][:2] == ("failed", text)


def test_endless_lines_and_blanks_are_not_kept() -> None:
    for endless in (b"PING ", b"SUB ", b"PUB \t", b"+OK"):
        parser = Parser(CONTROL_LINE, PAYLOAD)
        for _piece in range(100):
            parser.feed(endless if _piece == 0 else b" " * 50)
            assert parser.next() == OP_NONE
            assert parser.buffered_bytes() <= 8


def test_arguments_as_they_are_read() -> None:
    assert read([b"SUB \ra 1\r\n"]) == [("sub", b"a", b"", b"1")]  # the first byte is never a line end
    assert read([b"SUB \na 1\r\n"]) == [("sub", b"a", b"", b"1")]
    assert read([b"HPUB a r 12 15\r\nNATS/1.0\r\n\r\nabc\r\n"]) == [("pub", b"a", b"r", 12, b"NATS/1.0\r\n\r\nabc")]
    assert read([b"PUB a 003\r\nabc\r\n"]) == [("pub", b"a", b"", 0, b"abc")]
    assert read([b"UNSUB 1 x\r\nUNSUB 1 3\r\nUNSUB 1\r\n"]) == [
        ("unsub", b"1", -1),
        ("unsub", b"1", 3),
        ("unsub", b"1", -1),
    ]
    assert read([b"SUB a\x0cb 1\r\n"]) == [("sub", b"a\x0cb", b"", b"1")]  # a form feed is a part of a word
    assert read([b"PING x\r\nPONG\n"]) == [("ping",), ("pong",)]
    assert read([b"CONNECT{}\r\n-ERR 'x'\r\n"]) == [("connect", b"{}"), ("err", b"'x'")]


def test_headers_of_a_client_that_has_none_are_refused_without_a_word() -> None:
    message = b"HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n"
    assert read([message])[0][0] == "pub"
    assert read([message], headers=False) == [("failed", "", "Protocol Violation")]


@pytest.mark.parametrize("data", [b"PING\r\n", b"PUB a 0\r\n\r\n", b"SUB a 1\r\n", b"x", b"\r\n", b"HPUB a 0 0\r\n"])
def test_nothing_but_connect_is_read_before_it(data: bytes) -> None:
    assert read([data], awaits_connect=True) == [("failed", "Authorization Violation", "Authentication Failure")]
    assert read([b"connect {}\r\n"], awaits_connect=True) == [("connect", b"{}")]


def test_a_run_of_equal_lines_is_taken_as_one() -> None:
    line = b"PUB a 3\r\n"
    parser = Parser(CONTROL_LINE, PAYLOAD)
    parser.feed(line + b"abc\r\n" + line + b"def\r\n" + line + b"ghi\r\n" + line + b"jk")
    assert parser.next() == OP_PUB and parser.line() == line
    assert parser.take_run(line, 3) == [b"", b"def\r\n", b"ghi\r\n"]
    assert parser.take_run(line, 3) is None
    assert parser.next() == OP_NONE
    parser.feed(b"l\r\n")
    assert parser.next() == OP_PUB and parser.data() == b"jkl"
    assert parser.line() == b"", "its line is no longer there"
    parser.feed((line + b"abc\r\n") * 3 + line + b"abcd\n")
    assert parser.skip_run(line, 3) == 3
    assert read([line + b"abcd\n"])[-1][:2] == ("failed", "Unknown Protocol Operation")


def test_sizes_and_words() -> None:
    assert [parse_size(text) for text in (b"0", b"7", b"000000007", b"999999999")] == [0, 7, 7, 999999999]
    for text in (b"", b"-1", b"+1", b" 1", b"1 ", b"1.", b"1234567890", b"0000000000", b"a", b"\xb2", b"\xd9\xa3"):
        assert parse_size(text) == -1
    assert digits(b"a123b", 1, 4) == 123
    assert words_of(b" a\tb\r\n  c\x0cd \n") == [b"a", b"b", b"c\x0cd"]


# Header blocks

BLOCK = b"NATS/1.0\r\nA: 1\r\nB:2\r\na:  x y \r\nA: 3\r\nnonsense\r\nEmpty:\r\n\r\n"


def test_reading_a_header_block() -> None:
    assert headers.get(BLOCK, b"A") == b"1"
    assert headers.get(BLOCK, b"a") == b"x y"
    assert headers.get(BLOCK, b"B") == b"2"
    assert headers.get(BLOCK, b"Empty") == b""
    assert headers.get(BLOCK, b"b") is None
    assert headers.get(BLOCK, b"NATS/1.0") is None
    assert headers.pairs(BLOCK) == [(b"A", b"1"), (b"B", b"2"), (b"a", b"x y"), (b"A", b"3"), (b"Empty", b"")]


def test_the_status_of_a_header_block() -> None:
    assert headers.status(BLOCK) == (0, b"")
    assert headers.status(b"NATS/1.0 503\r\n\r\n") == (503, b"")
    assert headers.status(b"NATS/1.0 404 No Messages\r\nA: 1\r\n\r\n") == (404, b"No Messages")
    assert headers.status(b"NATS/1.0 10") == (0, b"")
    assert headers.status(b"HTTP/1.1 200 OK\r\n\r\n") == (0, b"")
    assert headers.strip_status(b"NATS/1.0 404 No Messages\r\nA: 1\r\n\r\n") == b"NATS/1.0\r\nA: 1\r\n\r\n"
    assert headers.strip_status(b"NATS/1.0 503\r\n\r\n") == b""
    assert headers.strip_status(BLOCK) == BLOCK


def test_building_a_header_block() -> None:
    assert headers.build([(b"A", b"1"), (b"B", b"")]) == b"NATS/1.0\r\nA: 1\r\nB: \r\n\r\n"
    assert headers.build([], 409, b"Consumer\r\nDeleted") == b"NATS/1.0 409 Consumer  Deleted\r\n\r\n"
    assert headers.build([(b"A\r\nB", b"1\n2")]) == b"NATS/1.0\r\nA  B: 1 2\r\n\r\n"
    assert headers.without(BLOCK, b"A") == b"NATS/1.0\r\nB:2\r\na:  x y \r\nnonsense\r\nEmpty:\r\n\r\n"
    assert headers.without(b"NATS/1.0\r\nA: 1\r\n\r\n", b"A") == b""
    assert headers.without(BLOCK, b"C") == BLOCK
    assert headers.only(BLOCK + b"payload", len(BLOCK)) == BLOCK[:-2] + b"Nats-Msg-Size: 7\r\n\r\n"
    assert headers.only(b"payload", 0) == b"NATS/1.0\r\nNats-Msg-Size: 7\r\n\r\n"


@QUICK
@given(st.binary(max_size=80), st.binary(max_size=5), st.booleans())
def test_header_functions_never_raise(noise: bytes, key: bytes, begins_well: bool) -> None:
    block = b"NATS/1.0" + noise if begins_well else noise
    headers.get(block, key)
    headers.status(block)
    headers.strip_status(block)
    headers.without(block, key)
    headers.pairs(block)


@QUICK
@given(
    st.lists(
        st.tuples(st.from_regex(rb"[!-9;-~]{1,8}", fullmatch=True), st.from_regex(rb"[!-~]{0,12}", fullmatch=True))
    )
)
def test_what_was_built_is_read_back(fields: list[tuple[bytes, bytes]]) -> None:
    block = headers.build(fields)
    assert headers.pairs(block) == fields
    for key, _value in fields:
        assert headers.get(block, key) == next(value for name, value in fields if name == key)
