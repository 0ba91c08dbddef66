"""A node's client side in memory: `Room` has a router and its clients; `play` runs a written conversation on it.

A conversation, line by line:
    A+              client A connects and says CONNECT as client libraries do; `A+ {…}` adds to what it says
    A> text         A sends the line; several in a row are one piece.  `A~ text` is sent without a line end
    A< text         what A gets, all of it, in order; who is not named after a piece got nothing
    A! reason       A's connection ended, for this reason
    @ 2.5           seconds pass
INFO lines are shown as `INFO`, or `INFO connect_info`. Bytes are latin-1; `\\r` and the like are escapes.
"""

from __future__ import annotations

import json
import random

from broker.config import Options
from broker.core.clients import Clients, first_info
from broker.core.router import Router
from broker.core.session import ClientSession

TYPICAL: dict[str, object] = {
    "verbose": False,
    "pedantic": False,
    "headers": True,
    "no_responders": True,
    "protocol": 1,
}
TICK_NS = 50_000_000


class Room:
    """Output is taken once a turn, as the node does it."""

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        self.router = Router(random.Random(1))
        info = first_info(self.options, "N" * 56, "room", "2.15.0")
        self.clients = Clients(self.options, self.router, info, random.Random(1))
        self.now_ns = 1_000_000_000
        self.output: dict[str, bytes] = {}
        self.ended: dict[str, str] = {}
        self.cids: dict[str, int] = {}

    def open(self, name: str) -> None:
        cid = len(self.cids) + 1
        self.cids[name] = cid
        self.clients.opened(cid, ("127.0.0.1", 40_000 + cid), self.now_ns)
        self.turn()

    def session(self, name: str) -> ClientSession:
        return self.clients.sessions[self.cids[name]]

    def send(self, name: str, data: bytes) -> None:
        self.clients.received(self.cids[name], data)
        self.turn()

    def leave(self, name: str) -> None:
        self.clients.closed(self.cids[name], "Client Closed", self.now_ns)
        self.turn()

    def advance(self, seconds: float) -> None:
        until = self.now_ns + round(seconds * 1e9)
        while self.now_ns < until:
            self.now_ns = min(self.now_ns + TICK_NS, until)
            self.clients.tick(self.now_ns)
            self.turn()

    def turn(self) -> None:
        sends: list[int] = []
        closes: list[tuple[int, str]] = []
        self.clients.collect(sends, closes)
        names = {cid: name for name, cid in self.cids.items()}
        for cid in sends:
            self.output[names[cid]] = self.output.get(names[cid], b"") + self.clients.take_output(cid)
        for cid, reason in closes:
            if self.clients.closed(cid, reason, self.now_ns):
                self.ended[names[cid]] = reason

    def take(self, name: str) -> bytes:
        """What came for a client since it was last asked."""
        return self.output.pop(name, b"")

    def connect(self, name: str, **fields: object) -> None:
        """Open and introduce; INFO is set aside."""
        self.open(name)
        self.take(name)
        self.send(name, connect_line(**fields))


def connect_line(**fields: object) -> bytes:
    return b"CONNECT " + json.dumps(TYPICAL | fields).encode() + b"\r\n"


def written(text: str) -> bytes:
    """Escapes of a conversation as bytes."""
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


def shown(output: bytes) -> list[str]:
    """Output as the lines of a conversation."""
    lines: list[str] = []
    for line in output.removesuffix(b"\r\n").split(b"\r\n") if output else []:
        if line.startswith(b"INFO "):
            info = json.loads(line[5:])
            lines.append("INFO connect_info" if "connect_info" in info else "INFO")
        else:
            lines.append(line.decode("latin-1"))
    assert not output or output.endswith(b"\r\n")
    return lines


def play(conversation: str, options: Options | None = None) -> Room:
    """Run it, and complain about the first piece whose answer is not as written."""
    room = Room(options)
    lines = [line.strip(" ") for line in conversation.strip().splitlines() if line.strip()]
    position = 0
    while position < len(lines):
        start = position
        head = lines[position][:2]
        piece = b""
        if head[1:] in (">", "~"):
            while position < len(lines) and lines[position][0] == head[0] and lines[position][1] in ">~":
                end = b"\r\n" if lines[position][1] == ">" else b""
                piece += written(lines[position][3:]) + end
                position += 1
            if head[0] not in room.cids:
                room.open(head[0])
            room.send(head[0], piece)
        elif head[1:] == "+":
            room.connect(head[0], **json.loads(lines[position][3:] or "{}"))
            position += 1
        else:
            assert head == "@ ", lines[position]
            room.advance(float(lines[position][2:]))
            position += 1
        answers = position
        while position < len(lines) and lines[position][1] in "<!":
            position += 1
        got = [f"{name}< {line}".rstrip(" ") for name in sorted(room.output) for line in shown(room.output[name])]
        got += [f"{name}! {room.ended[name]}" for name in sorted(room.ended)]
        expected = [written(line).decode("latin-1") for line in sorted(lines[answers:position], key=_by_client)]
        assert got == expected, f"after {lines[start:answers]}: {got}"
        room.output.clear()
        room.ended.clear()
    return room


def _by_client(line: str) -> tuple[bool, str]:
    return line[1] == "!", line[0]
