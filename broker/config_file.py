"""nats-server's configuration language: a file in, a tree of positioned values out.

Is: the grammar. `key = v`, `key: v`, `key v`, `key { … }`; separators newline, `,` or `;`; arrays; comments `#` and
`//`; `$NAME` from the enclosing maps, then from the environment (whose text is parsed as a value); `include path`.
JSON is a subset.
Is not: the meaning of any key (`config_keys`).
Invariants: any text gives a tree or a ConfigError with file, line and column, nothing else; nesting and includes are
bounded.
Read next: `config_lexer.py` for the words, `config_keys.py` for the keys.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from broker.config_lexer import ConfigError, Scalar, Scanner, Variable
from broker.os_errors import failed

DEPTH_MAX: Final = 64
INCLUDE_DEPTH_MAX: Final = 16
FILE_BYTES_MAX: Final = 16 * 1024 * 1024
ENVIRONMENT_KEY: Final = "pk"

__all__ = ["ConfigError", "Node", "Tree", "Value", "digest", "parse_file", "parse_text"]


class Node:
    """A value and where it stands: for the value of a key, where the key stands."""

    def __init__(self, value: Value, file: str, line: int, column: int) -> None:
        self.value = value
        self.file = file
        self.line = line
        self.column = column
        self.used_as_variable = False  # an unknown key is legal when something refers to it as $KEY

    def failure(self, text: str) -> ConfigError:
        return ConfigError(self.file, self.line, self.column, text)


Tree = dict[str, Node]
Value = Scalar | Tree | list[Node]


def parse_file(path: str, environment: Mapping[str, str] | None = None) -> Tree:
    """The tree of a file. Errors: ConfigError, also when the file cannot be read."""
    return _FileReader(os.environ if environment is None else environment).read(path, path, None)


def parse_text(text: str, file: str = "configuration", environment: Mapping[str, str] | None = None) -> Tree:
    """The tree of a text; relative includes start from the folder of `file`."""
    reader = _FileReader(os.environ if environment is None else environment)
    return _Parser(Scanner(text, file), reader).top()


def plain(value: Value) -> object:
    """The value without positions."""
    if isinstance(value, dict):
        return {key: plain(node.value) for key, node in value.items()}
    if isinstance(value, list):
        return [plain(node.value) for node in value]
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return value


def digest(tree: Tree) -> str:
    """`sha256:…` of the tree as Go's encoder writes it, so that it equals nats-server's for the same file."""
    text = json.dumps(plain(tree), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return "sha256:" + hashlib.sha256((text + "\n").encode("utf-8", "replace")).hexdigest()


class _FileReader:
    """Opens files and remembers which are being read, so that a cycle of includes ends in an error."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.variables_open: list[str] = []  # environment variables being parsed: a cycle of references
        self._files_open: list[str] = []

    def read(self, path: str, shown: str, including: tuple[Scanner, int] | None) -> Tree:
        if len(self._files_open) >= INCLUDE_DEPTH_MAX:
            raise self._failure(shown, including, f"more than {INCLUDE_DEPTH_MAX} files include one another")
        try:
            real = os.path.realpath(path)
            if real in self._files_open:
                raise self._failure(shown, including, f"'{shown}' includes itself")
            with open(path, "rb") as file:
                data = file.read(FILE_BYTES_MAX + 1)
        except (OSError, ValueError) as error:
            reason = failed("open", path, error) if isinstance(error, OSError) else str(error)
            raise self._failure(shown, including, reason) from None
        if len(data) > FILE_BYTES_MAX:
            raise self._failure(shown, including, f"'{shown}' is larger than {FILE_BYTES_MAX} bytes")
        text = self._decoded(data, path)
        self._files_open.append(real)
        tree = _Parser(Scanner(text, path), self).top()
        self._files_open.pop()
        return tree

    def _decoded(self, data: bytes, path: str) -> str:
        try:
            return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
            raise ConfigError(path, line, column, "Parse error: the file is not UTF-8") from None

    def _failure(self, shown: str, including: tuple[Scanner, int] | None, text: str) -> ConfigError:
        if including is None:
            return ConfigError(shown, 0, 0, text)
        scanner, offset = including
        return scanner.failure(offset, f"error parsing include file '{shown}', {text}")


class _Parser:
    def __init__(self, scanner: Scanner, reader: _FileReader) -> None:
        self._scanner = scanner
        self._reader = reader
        self._maps: list[Tree] = []  # the enclosing maps, outermost first: where variables are looked up
        self._depth = 0

    def top(self) -> Tree:
        scanner = self._scanner
        tree: Tree = {}
        self._maps.append(tree)
        braces = 0  # a whole file may stand in braces, as JSON does
        while True:
            scanner.skip_space_and_comments()
            character = scanner.peek()
            if character == "":
                break
            if character == "{":
                scanner.offset += 1
                braces += 1
            elif character == "}" and (braces or not scanner.text[scanner.offset + 1 :].strip()):
                scanner.offset += 1
                braces = max(0, braces - 1)
                self._end_of_top_value()
            else:
                self._entry(tree, True)
                self._end_of_top_value()
        self._maps.pop()
        return tree

    def _end_of_top_value(self) -> None:
        scanner = self._scanner
        scanner.skip_blanks()
        if scanner.skip_comment():
            return
        character = scanner.peek()
        if character in ("", "\n", "\r", "}"):
            return
        if character not in (";", ","):
            raise scanner.failure(
                scanner.offset,
                f"Expected a top-level value to end with a new line, comment or EOF, but got {character!r} instead.",
            )
        scanner.offset += 1

    def _entry(self, tree: Tree, is_top: bool) -> None:
        """One `key value`, or one include, into `tree`."""
        scanner = self._scanner
        start = scanner.offset
        key, is_include = scanner.key()
        if is_include:
            self._include(tree, start)
            return
        scanner.skip_space()
        has_separator = scanner.peek() != "" and scanner.peek() in "=:"
        if has_separator:
            scanner.offset += 1
        elif scanner.peek() == "":
            raise scanner.failure(start, f"the key {key!r} has no value")
        if is_top:
            scanner.skip_blanks()
            if scanner.peek() in ("\n", "\r"):
                raise scanner.failure(scanner.offset, f"Expected value but found new line after the key {key!r}")
        else:
            scanner.skip_space()
            if scanner.peek() == ",":
                raise scanner.failure(scanner.offset, "Unexpected map value terminator ','.")
            if scanner.peek() == "":
                raise scanner.failure(start, "Unexpected end of the file in a map")
        node = self._value()
        node.line, node.column = scanner.position(start)
        tree[key] = node

    def _value(self) -> Node:
        scanner = self._scanner
        start = scanner.offset
        line, column = scanner.position(start)
        value: Value
        character = scanner.peek()
        if character == "{" or character == "[":
            if self._depth >= DEPTH_MAX:
                raise scanner.failure(start, f"more than {DEPTH_MAX} maps and arrays stand in one another")
            self._depth += 1
            value = self._map(start) if character == "{" else self._array(start)
            self._depth -= 1
        else:
            scalar = scanner.scalar()
            value = self._variable(scalar.name, start) if isinstance(scalar, Variable) else scalar
        return Node(value, scanner.file, line, column)

    def _map(self, start: int) -> Tree:
        scanner = self._scanner
        tree: Tree = {}
        self._maps.append(tree)
        scanner.offset += 1
        while True:
            scanner.skip_space_and_comments()
            character = scanner.peek()
            if character == "":
                raise scanner.failure(start, "Unexpected end of the file: this map is not closed")
            if character == "}":
                break
            self._entry(tree, False)
            scanner.skip_blanks()
            scanner.skip_comment()
            character = scanner.peek()
            if character in (";", ",", "\n", "\r"):
                scanner.offset += 1
            elif character not in ("", "}"):
                reason = f"Expected a map value terminator ',' or a map terminator '}}', but got {character!r} instead."
                raise scanner.failure(scanner.offset, reason)
        scanner.offset += 1
        self._maps.pop()
        return tree

    def _array(self, start: int) -> list[Node]:
        scanner = self._scanner
        array: list[Node] = []
        scanner.offset += 1
        while True:
            scanner.skip_space_and_comments()
            character = scanner.peek()
            if character == "":
                raise scanner.failure(start, "Unexpected end of the file: this array is not closed")
            if character == ",":
                raise scanner.failure(scanner.offset, "Unexpected array value terminator ','.")
            if character == "]":
                break
            array.append(self._value())
            scanner.skip_blanks()
            scanner.skip_comment()
            character = scanner.peek()
            if character in (",", "\n", "\r"):
                scanner.offset += 1
            elif character not in ("", "]"):
                reason = f"Expected an array value terminator ',' or an array terminator ']', but got {character!r}."
                raise scanner.failure(scanner.offset, reason)
        scanner.offset += 1
        return array

    def _include(self, tree: Tree, start: int) -> None:
        path = self._scanner.include_path()
        full = os.path.join(os.path.dirname(self._scanner.file), path)
        tree.update(self._reader.read(full, path, (self._scanner, start)))

    def _variable(self, name: str, start: int) -> Value:
        for tree in reversed(self._maps):
            node = tree.get(name)
            if node is not None:
                node.used_as_variable = True
                return node.value
        reader = self._reader
        if name in reader.variables_open:
            raise self._scanner.failure(start, f"variable reference cycle for '{name}'")
        text = reader.environment.get(name)
        if text is None:
            raise self._scanner.failure(start, f"variable reference for '{name}' can not be found")
        reader.variables_open.append(name)
        try:
            tree = _Parser(Scanner(f"{ENVIRONMENT_KEY}={text}", f"${name}"), reader).top()
        except ConfigError as error:
            reason = f"variable reference for '{name}' could not be parsed: {error.text}"
            raise self._scanner.failure(start, reason) from None
        reader.variables_open.pop()
        return tree[ENVIRONMENT_KEY].value
