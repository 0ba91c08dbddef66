"""The grammar: what a text means as a tree, and where a mistake in it stands."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from broker.config_file import ConfigError, parse_file, parse_text, plain

MEANINGS = [
    ("a = 1", {"a": 1}),
    ("a: 1", {"a": 1}),
    ("a 1", {"a": 1}),
    ("a=1;b=2,c=3\nd=4", {"a": 1, "b": 2, "c": 3, "d": 4}),
    ("a: -1", {"a": -1}),
    ("a: 1.5, b: -2.25", {"a": 1.5, "b": -2.25}),
    ("a: yes, b: Off, c: TRUE, d: no", {"a": True, "b": False, "c": True, "d": False}),
    ("a: 1k, b: 1kb, c: 1Ki, d: 1KiB", {"a": 1000, "b": 1024, "c": 1024, "d": 1024}),
    ("a: 2m, b: 2MB, c: 10Gi, d: 1t, e: 1TB", {"a": 2000000, "b": 2097152, "c": 10737418240, "d": 10**12, "e": 2**40}),
    ("a: 1p, b: 1PiB, c: 1e, d: 1EB", {"a": 10**15, "b": 2**50, "c": 10**18, "d": 2**60}),
    ("a: 30s, b: 1m30s, c: 300ms, d: 1h", {"a": "30s", "b": "1m30s", "c": "300ms", "d": "1h"}),
    ("a: 127.0.0.1:4222, b: 10.0.0.1:-1", {"a": "127.0.0.1:4222", "b": "10.0.0.1:-1"}),
    ("a: tar.api.>", {"a": "tar.api.>"}),
    ("a: nats://u:p@h:6222", {"a": "nats://u:p@h:6222"}),
    ("a: 'it # is // $one' ", {"a": "it # is // $one"}),
    ('a: "tab\\there \\x41\\"q\\" \\\\"', {"a": 'tab\there A"q" \\'}),
    ('a: "\\xc3\\xa9"', {"a": "é"}),
    ("\"a b\": 1, 'c' 2", {"a b": 1, "c": 2}),
    ("a { b: 1\n c { d 2 } }", {"a": {"b": 1, "c": {"d": 2}}}),
    ("a: { b: 1, c: 2; }", {"a": {"b": 1, "c": 2}}),
    ("a {\n}\n", {"a": {}}),
    ("a [1, 2\n3\n]", {"a": [1, 2, 3]}),
    ("a: [ x\n y\n {b: 1}\n {b: 2} ]", {"a": ["x", "y", {"b": 1}, {"b": 2}]}),
    ("a: []", {"a": []}),
    ("a: [1k]", {"a": [1000]}),
    ("# one\na: 1 # two\n// three\nb: 2 // four", {"a": 1, "b": 2}),
    ("a [ # one\n 1 // two\n # three\n 2 ]", {"a": [1, 2]}),
    ("a { # one\n b: 1 # two\n // three\n }", {"a": {"b": 1}}),
    ('{"a": 1, "b": {"c": [1, "x"]}}', {"a": 1, "b": {"c": [1, "x"]}}),
    ("a (\nraw { text\n)\nb: 1", {"a": "\nraw { text\n", "b": 1}),
    ("a: 2016-05-04T18:53:41Z", {"a": "2016-05-04T18:53:41Z"}),
    ("A = {x: 1}\nb: $A\nc {d: $A}", {"A": {"x": 1}, "b": {"x": 1}, "c": {"d": {"x": 1}}}),
    ("x: 1\na { x: 2, b: $x }\nc: $x", {"x": 1, "a": {"x": 2, "b": 2}, "c": 1}),
    ("a: $NUMBER, b: $WORD, c: $MAP, d: $SIZE", {"a": 7, "b": "seven", "c": {"k": "v"}, "d": 1024}),
    ("a: '$WORD', b: \"$WORD\"", {"a": "$WORD", "b": "$WORD"}),
    (
        "p: $2a$11$W2zko751KUvVy59mUTWmpOdWjpEm5qhcCZRd05GjI/sSOT.xtiHyG",
        {"p": "$2a$11$W2zko751KUvVy59mUTWmpOdWjpEm5qhcCZRd05GjI/sSOT.xtiHyG"},
    ),
    ("a: 1\na: 2", {"a": 2}),
    ("", {}),
    ("\ufeffa: 1".removeprefix("\ufeff"), {"a": 1}),
    ("a\n\n 1", {"a": 1}),
    ("listen 4222", {"listen": 4222}),
    ("a: 4222abc", {"a": "4222abc"}),
    ("a: 0K1abc", {"a": "0K1abc"}),
]

ENVIRONMENT = {
    "NUMBER": "7",
    "WORD": "seven",
    "MAP": "{k: v}",
    "SIZE": "1KB",
    "LOOP": "$LOOP",
    "BAD": "[1",
    "TWO": "$WORD",
}


@pytest.mark.parametrize(("text", "meaning"), MEANINGS, ids=[text[:30] for text, _ in MEANINGS])
def test_text_means(text: str, meaning: object) -> None:
    assert plain(parse_text(text, environment=ENVIRONMENT)) == meaning


def test_datetime_is_a_datetime() -> None:
    tree = parse_text("at: 2016-05-04T18:53:41Z")
    assert tree["at"].value == datetime(2016, 5, 4, 18, 53, 41, tzinfo=UTC)


MISTAKES = [
    ("a: 1\nb: }", 2, 4, "Expected a value"),
    ("a: 1\n  = 2", 2, 3, "Unexpected key separator"),
    ("a =\n 1", 1, 4, "found new line"),
    ("a", 1, 1, "has no value"),
    ("a: 1 b: 2", 1, 6, "Expected a top-level value to end"),
    ("a {\n b: 1 c: 2 }", 2, 7, "Expected a map value terminator"),
    ("a {\n b: , }", 2, 5, "Unexpected map value terminator"),
    ("a [1 2]", 1, 6, "Expected an array value terminator"),
    ("a [1,,2]", 1, 6, "Unexpected array value terminator"),
    ("a {\n b: 1", 1, 3, "this map is not closed"),
    ("a [\n 1", 1, 3, "this array is not closed"),
    ('x: 1\na: "open', 2, 4, "end of the file in a quoted string"),
    ("a: 'open", 1, 4, "end of the file in a quoted string"),
    ("a (\nopen", 1, 3, "end of the file in a block"),
    ('a: "\\q"', 1, 5, "Invalid escape character"),
    ('a: "\\xZZ"', 1, 5, "two hexadecimal digits"),
    ('a: "\\xff"', 1, 4, "not UTF-8"),
    ("a: 1kbb", 1, 4, "neither a number nor a size"),
    ("a: 99999999999999999999", 1, 4, "out of the range"),
    ("a: 10000e", 1, 4, "out of the range"),
    ("a: 1.", 1, 6, "Floats must have a digit"),
    ("a: .5", 1, 4, "Floats must start"),
    ("a: -x", 1, 5, "Expected a digit"),
    ("a: 2016-5-04T18:53:41Z", 1, 4, "Zulu"),
    ("a: 2016-13-04T18:53:41Z", 1, 4, "Zulu"),
    ("a: $NOWHERE", 1, 4, "can not be found"),
    ("a: $LOOP", 1, 4, "cycle"),
    ("a: $BAD", 1, 4, "could not be parsed"),
    ("a { b: ] }", 1, 8, "Expected a value"),
    ("a: 1\n}\nb: 2", 2, 1, "where a key should stand"),
    ("include nowhere.conf", 1, 1, "error parsing include file 'nowhere.conf', open nowhere.conf: no such file"),
    ("a: 1\ninclude {", 2, 9, "Expected the path"),
    ("a " + "[" * 100, 1, 67, "more than 64"),
]


@pytest.mark.parametrize(("text", "line", "column", "reason"), MISTAKES, ids=[mistake[0][:30] for mistake in MISTAKES])
def test_mistake_has_a_place(text: str, line: int, column: int, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_text(text, "nats.conf", ENVIRONMENT)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert reason in str(caught.value)
    assert str(caught.value).startswith(f"nats.conf:{line}:{column}: Parse error: ")


def test_include_is_relative_to_the_including_file(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "users.conf").write_text("user: derek\ninclude 'more.conf'")
    (tmp_path / "parts" / "more.conf").write_text("pass: s3cr3t")
    (tmp_path / "nats.conf").write_text("port: 1\nauthorization {\n include parts/users.conf\n timeout: 1\n}\n")
    tree = parse_file(str(tmp_path / "nats.conf"))
    assert plain(tree) == {"port": 1, "authorization": {"user": "derek", "pass": "s3cr3t", "timeout": 1}}


def test_included_values_serve_as_variables(tmp_path: Path) -> None:
    (tmp_path / "values.conf").write_text("PORT: 4333")
    (tmp_path / "nats.conf").write_text("include ./values.conf;\nport: $PORT")
    assert plain(parse_file(str(tmp_path / "nats.conf"))) == {"PORT": 4333, "port": 4333}


def test_mistake_in_an_included_file_names_that_file(tmp_path: Path) -> None:
    (tmp_path / "inner.conf").write_text("a: 1\nb: [")
    (tmp_path / "nats.conf").write_text("include inner.conf")
    with pytest.raises(ConfigError, match=r"inner\.conf:2:4: Parse error: .*array is not closed"):
        parse_file(str(tmp_path / "nats.conf"))


def test_cycle_of_includes_ends(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("include b.conf")
    (tmp_path / "b.conf").write_text("x: 1\ninclude ./a.conf")
    with pytest.raises(ConfigError, match=r"b\.conf:2:1: .*includes itself"):
        parse_file(str(tmp_path / "a.conf"))


def test_chain_of_includes_is_bounded(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"file{number}.conf").write_text(f"include file{number + 1}.conf")
    with pytest.raises(ConfigError, match=r"more than 16 files"):
        parse_file(str(tmp_path / "file0.conf"))


def test_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "nats.conf").write_bytes(b"a: 1\nb: \xff\xfe")
    with pytest.raises(ConfigError, match=r"nats\.conf:2:4: Parse error: the file is not UTF-8"):
        parse_file(str(tmp_path / "nats.conf"))


def test_file_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"^open nowhere/nats\.conf: no such file or directory$"):
        parse_file("nowhere/nats.conf")


WORDS = ["a", "{", "}", "[", "]", ":", "=", ",", ";", "\n", " ", "'", '"', "\\", "\\x", "(", ")", "#", "//", "$", "$A",
         "1", "-", ".", "2m", "2016-", "include ", "true", "é", "\x00", "\ud800"]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(), st.lists(st.sampled_from(WORDS), max_size=40).map("".join)))
@example("a: 1" * 3)
@example("[" * 5000)
@example("a{" * 5000)
@example("a: $A" + "\nA: $A")
def test_any_text_is_a_tree_or_an_error_with_a_place(text: str) -> None:
    try:
        tree = parse_text(text, "any.conf", {"A": "$B", "B": "$A", "C": text.replace("\x00", "")})
    except ConfigError as error:
        assert error.file and error.line >= 1 and error.column >= 1
        assert str(error).startswith(f"{error.file}:{error.line}:{error.column}: ")
    else:
        plain(tree)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,8}", fullmatch=True).filter(lambda key: key != "include"),
        st.recursive(
            st.one_of(st.integers(-(2**63), 2**63 - 1), st.booleans(), st.text("abc xyz{}[],;#/$'é", max_size=8)),
            lambda inner: st.one_of(
                st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("pqr"), inner, max_size=3)
            ),
            max_leaves=8,
        ),
    )
)
def test_json_is_a_subset(tree: dict[str, object]) -> None:
    import json

    assert plain(parse_text(json.dumps(tree, ensure_ascii=False))) == tree
    assert plain(parse_text(json.dumps(tree, ensure_ascii=False, indent=2))) == tree
