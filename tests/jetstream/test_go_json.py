"""What the decoder says of bodies that are no JSON: the words are those nats-server 2.15.1 gave for the same bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.jetstream.go_json import NESTING_MAX, JsonError, RawNumber, decode, decode_one
from broker.jetstream.go_time import complaint, parse_time

WORDS = {
    b"{": "unexpected EOF",
    b'{"name" "S"}': "invalid character '\"' after object key at offset 9",
    b"{'name':1}": "invalid character '\\'' looking for beginning of object key string at offset 2",
    b'{"name":"S"},': "invalid character ',' looking for beginning of value at offset 13",
    b'{"name":tru}': "invalid character '}' in literal true (expecting 'e') at offset 12",
    b'{"max_msgs":01}': "invalid character '1' after object key:value pair at offset 14",
    b'{"max_msgs":1.}': "invalid character '}' in numeric literal at offset 15",
    b'{"max_msgs":NaN}': "invalid character 'N' looking for beginning of value at offset 13",
    b'{"name":"\\x"}': "invalid escape sequence `\\x` in string at offset 11",
    b'{"name":"\\u12"}': 'invalid escape sequence `\\u12"}` in string at offset 15',
    b'["\\\xff"]': 'invalid escape sequence "\\\\\\xff" in string at offset 4',
    b'{"name":"a\x01"}': "invalid character '\\x01' in string at offset 11",
    b"\xef\xbb\xbf{}": "invalid character '\\ufeff' looking for beginning of value at offset 3",
    b'{"name":\xff}': "invalid character '\\xff' looking for beginning of value at offset 9",
    b"[1 2]": "invalid character '2' after array element at offset 4",
    b"[" * 20_000: "exceeded max depth at offset 10001",
    b"\x0b{}": "invalid character '\\v' looking for beginning of value at offset 1",
}


@pytest.mark.parametrize("body", WORDS, ids=lambda body: repr(body[:20]))
def test_words_for_what_is_no_json(body: bytes) -> None:
    with pytest.raises(JsonError) as caught:
        decode(body)
    assert str(caught.value) == WORDS[body]


def test_several_values_one_after_another() -> None:
    assert decode(b' {"a":1}\n[null] "x"') == [{"a": 1}, [None], "x"]
    assert decode(b" \n") == []


def test_half_a_surrogate_pair_and_bytes_that_are_no_text_become_the_replacement_character() -> None:
    assert decode(b'{"\\ud800":["\xff","\\ud83d\\ude00"]}') == [{"\ufffd": ["\ufffd", "\U0001f600"]}]


def test_numbers_that_are_no_integers_keep_their_text() -> None:
    (value,) = decode(b"[1e3, 1.0, -7, " + b"9" * 5000 + b"]")
    assert isinstance(value, list)
    assert [one.text[:5] if isinstance(one, RawNumber) else one for one in value] == ["1e3", "1.0", -7, "99999"]


def test_of_what_nests_too_deep_the_upper_part_is_read() -> None:
    depth = NESTING_MAX - 1
    (value, after) = decode(b'{"a":' + b"[" * depth + b"]" * depth + b',"b":"\xc3\xbc"} 7')
    assert isinstance(value, dict) and value["b"] == "ü" and after == 7
    assert isinstance(value["a"], list)


@pytest.mark.parametrize("depth", [300, 600, 900, 980, 1500])
def test_escapes_in_what_nests_deep(depth: int) -> None:
    (value,) = decode(b"[" * depth + b'"\\ud800"' + b"]" * depth)
    assert isinstance(value, list)


def test_the_one_value_of_a_body_that_may_hold_no_more() -> None:
    assert decode_one(b' {"a":1} ') == {"a": 1}
    for body, words in {
        b"": "unexpected end of JSON input",
        b"{": "unexpected end of JSON input",
        b'{"batch":1} x': "invalid character 'x' after top-level value",
        b'{"batch":01}': "invalid character '1' after object key:value pair",
    }.items():
        with pytest.raises(JsonError) as caught:
            decode_one(body)
        assert str(caught.value) == words


@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,\\u0e1.-tfn x', max_size=40).map(str.encode))
def test_any_bytes_give_values_or_words(body: bytes) -> None:
    try:
        values = decode(body)
    except JsonError as error:
        assert str(error)
    else:
        assert isinstance(values, list)


TIMES = {
    "x": 'parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006"',
    "2020-01-01": 'parsing time "2020-01-01" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T"',
    "2020-13-01T00:00:00Z": 'parsing time "2020-13-01T00:00:00Z": month out of range',
    "2020-02-30T00:00:00Z": 'parsing time "2020-02-30T00:00:00Z": day out of range',
    "2020-01-01T00:00:60Z": 'parsing time "2020-01-01T00:00:60Z": second out of range',
    "2020-01-01T00:00:00Zx": 'parsing time "2020-01-01T00:00:00Zx": extra text: "x"',
    "2020-01-01T00:00:00.5+25:00": 'parsing time "2020-01-01T00:00:00.5+25:00": time zone offset hour out of range',
}


@pytest.mark.parametrize("text", TIMES)
def test_words_for_what_is_no_time(text: str) -> None:
    assert parse_time(text) is None
    assert complaint(text) == TIMES[text]
