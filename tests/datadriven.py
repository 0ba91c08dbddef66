"""Transcripts as tests: a command, a line of dashes, and exactly what is expected to come out.

    propose 1 x
    ----
    ok index=2

A file is a conversation with one object, from top to bottom. Lines that start with # and blank lines between the cases
are comments and stay where they are. Expected output ends at a blank line. `pytest --rewrite` writes what came out
into the file instead of comparing it; the change is then reviewed like code.

Not here: what the commands mean; that is the handler's, a function from a command to its output.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

RULE = "----"


class Command:
    """One command: its name, its plain arguments, its `key=value` arguments, and where it stands."""

    def __init__(self, text: str, place: str) -> None:
        self.text = text
        self.place = place
        words = text.split()
        self.name = words[0]
        self.words = [word for word in words[1:] if "=" not in word]
        self.options = dict(word.split("=", 1) for word in words[1:] if "=" in word)

    def word(self, position: int) -> str:
        assert position < len(self.words), f"{self.place}: {self.text!r} needs more arguments"
        return self.words[position]


Handler = Callable[[Command], str]


def run_transcript(path: Path, handler: Handler, rewrite: bool) -> None:
    """Play the file to the handler; compare, or rewrite the file."""
    lines = path.read_text().splitlines()
    result: list[str] = []
    position = 0
    while position < len(lines):
        line = lines[position]
        result.append(line)
        position += 1
        if not line.strip() or line.startswith("#"):
            continue
        place = f"{path.name}:{position}"
        assert position < len(lines) and lines[position] == RULE, f"{place}: a command needs a line {RULE!r} after it"
        result.append(RULE)
        position += 1
        expected: list[str] = []
        while position < len(lines) and lines[position].strip():
            expected.append(lines[position])
            position += 1
        actual = handler(Command(line, place)).rstrip("\n").split("\n")
        assert all(part.strip() for part in actual), f"{place}: output must not contain blank lines"
        if not rewrite:
            assert actual == expected, f"{place}: {line}\n--- expected\n{_block(expected)}\n--- got\n{_block(actual)}"
        result.extend(actual)
    if rewrite:
        path.write_text("\n".join(result) + "\n")


def _block(lines: list[str]) -> str:
    return "\n".join(lines)
