"""Scripts of the `nats` tool as text: a title, then commands, and beneath each what has to be seen in what it prints.

    a stream is made and removed
        $ nats stream add S --subjects 's.>' --replicas $REPLICAS --defaults
            Stream S was created
            Subjects: s.>
        $ nats stream rm S --force
        ! nats stream info S


A title stands at the margin, everything under it is indented; a title that ends with `(one node)` or `(three nodes)` is
played there only. Lines that start with # are comments. A command is a line of shell that begins with

    $       it ends with exit status 0
    !       it ends with another one
    ~       it is repeated until it ends with 0 and prints what has to be seen: for what happens a little later
    W&      it goes on, under the name W; what has to be seen is waited for before the next command
    W:      (no command) more is waited for in what W prints
    W.      (no command) W is ended as by Ctrl-C, and the rest of what it prints is looked at

The lines beneath it, indented once more, have to be seen, each within a line of its own, in any order. `…` stands for
anything, `not: ` in front of a line says that the output has no such line. Borders of tables and runs of blanks count
as one blank, there and here. What is seen of three nodes only is said in a line that begins with `3: `, and of one with
`1: `.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

RUN, FAIL, REPEAT, START, MORE, END = "$", "!", "~", "&", ":", "."
_COMMAND = re.compile(r"([$!~]|([A-Z])([&:.]))(?: (.*))?$")
_WHERE = re.compile(r" \((one node|three nodes)\)$")
_FRAMES = re.compile(r"[\s│║╭╮╰╯├┤┬┴┼─═╞╡╪┌┐└┘|]+")


class Step:
    """A command and what has to be seen of it."""

    def __init__(self, place: str, kind: str, name: str, command: str) -> None:
        self.place = place
        self.kind = kind
        self.name = name
        self.command = command
        self.seen: list[tuple[str, int]] = []
        """Lines, each with the number of nodes that it is about; 0 is any."""
        self.unseen: list[str] = []

    def expect(self, text: str) -> None:
        """One of the lines beneath."""
        if text.startswith("not: "):
            self.unseen.append(text.removeprefix("not: "))
        elif text.startswith(("1: ", "3: ")):
            self.seen.append((text[3:], int(text[0])))
        else:
            self.seen.append((text, 0))

    def missing(self, output: str, nodes: int) -> str:
        """The first line that is not seen, or that should not be there; "" when all is well."""
        lines = [plain(line) for line in output.splitlines()]
        left = list(lines)
        for text, about in self.seen:
            if about not in (0, nodes):
                continue
            found = next((line for line in left if pattern(text).search(line)), None)
            if found is None:
                return text
            left.remove(found)
        for text in self.unseen:
            if any(pattern(text).search(line) for line in lines):
                return f"not: {text}"
        return ""


class Script:
    """A title and its steps; `nodes` is 0 where any number will do."""

    def __init__(self, title: str, nodes: int) -> None:
        self.title = title
        self.nodes = nodes
        self.steps: list[Step] = []


def plain(line: str) -> str:
    """Without borders and with single blanks."""
    return _FRAMES.sub(" ", line).strip()


def pattern(text: str) -> re.Pattern[str]:
    """What matches within a plain line."""
    return re.compile(".*".join(re.escape(part.strip()) for part in plain(text).split("…")))


def read_scripts(path: Path) -> Iterator[Script]:
    """All scripts of a file, in order."""
    current: Script | None = None
    for number, text in enumerate(path.read_text().splitlines(), 1):
        place = f"{path.name}:{number}"
        if not text.strip() or text.lstrip().startswith("#"):
            continue
        if not text.startswith(" "):
            if current is not None:
                yield current
            where = _WHERE.search(text)
            nodes = 0 if where is None else {"one node": 1, "three nodes": 3}[where[1]]
            current = Script(f"{path.stem}: {text}", nodes)
            continue
        assert current is not None, f"{place}: a script begins with its title"
        command = _COMMAND.match(text.strip())
        if text.startswith("        "):
            assert current.steps, f"{place}: seen of which command?"
            current.steps[-1].expect(text.strip())
        else:
            assert command is not None, f"{place}: {text!r} is no command"
            current.steps.append(Step(place, command[3] or command[1], command[2] or "", command[4] or ""))
    if current is not None:
        yield current
