"""Conversations as text: a title, then what clients say, one line each. No answers: those are the reference's.

    message ids are remembered
        STREAM.CREATE.S {"name":"S"}
        pub S [Nats-Msg-Id: 1] hello
        pub S [Nats-Msg-Id: 1] hello

A title stands at the margin, its lines are indented, a blank line ends it. Lines that start with # are comments. What a
line may be:

    STREAM.INFO.S {…}       a request on $JS.API.STREAM.INFO.S; one answer is waited for
    req subject body        a request on any subject
    pub subject body        a publish with a reply subject, so that a PubAck comes
    send subject body       a publish without a reply subject; nothing is waited for
    send subject (reply) …  a publish with just that reply subject
    sub subject [queue]     a subscription; `unsub subject` ends it
    hear 3                  three messages more are waited for, whatever they are
    quiet 100               whatever comes within 100 ms; for what must not come

`=> 3` at the end of a line: so many messages come because of it; `=> end`: as many as the batch of the request in
front of it, or fewer and a status line. `B: ` in front: another connection says it. `5 times: ` in front: said five
times, `#` is which time. `[Name: value]` before a body: headers. `<x*5000>`: x, 5,000 times. `$2`: the reply subject of
the second delivery (`$~2`: of whichever that is, counted round and round); `$C`: the consumer created last; `$T`: the
time of the message got last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_FRONT = re.compile(r"(?:([A-Z]): )?(?:(\d+) times: )?")
_COUNT = re.compile(r" => (\d+|end)$")
_BATCH = re.compile(r'"batch":(\d+)')
_HEADER = re.compile(r"\[([^\]:]+: ?[^\]]*)\] ?")
_REPLY = re.compile(r"\(([^()]+)\) ?")
_MANY = re.compile(r"<([^<>*]+)\*(\d+)>")
_API = re.compile(r"[A-Z]+(\.|$)")

REQUEST, PUBLISH, SUBSCRIBE, UNSUBSCRIBE = "request", "publish", "subscribe", "unsubscribe"
HEAR, QUIET = "hear", "quiet"
_WORDS = {
    "req": REQUEST, "pub": REQUEST, "send": PUBLISH, "sub": SUBSCRIBE, "unsub": UNSUBSCRIBE, "hear": HEAR,
    "quiet": QUIET,
}  # fmt: skip


class Line:
    """One thing that is said: who, what kind, on which subject, with which headers and body, how many answers."""

    def __init__(self, text: str, place: str) -> None:
        self.text = text
        front = _FRONT.match(text)
        assert front is not None
        self.who = front[1] or "A"
        rest = text[front.end() :]
        count = _COUNT.search(rest)
        if count is not None:
            rest = rest[: count.start()]
        word, _, rest = rest.partition(" ")
        if word in _WORDS:
            self.kind = _WORDS[word]
            self.subject, _, rest = rest.partition(" ")
        else:
            assert _API.match(word), f"{place}: {text!r} is none of the things a line may be"
            self.kind = REQUEST
            self.subject = "$JS.API." + word
        if self.kind in (HEAR, QUIET):
            assert self.subject.isdigit(), f"{place}: {word} how much?"
        reply = _REPLY.match(rest) if self.kind == PUBLISH else None
        self.reply = "" if reply is None else _MANY.sub(lambda found: found[1] * int(found[2]), reply[1])
        if reply is not None:
            rest = rest[reply.end() :]
        self.headers: list[str] = []
        while (header := _HEADER.match(rest)) is not None and self.kind in (REQUEST, PUBLISH):
            self.headers.append(header[1])
            rest = rest[header.end() :]
        self.body = _MANY.sub(lambda found: found[1] * int(found[2]), rest)
        self.subject = _MANY.sub(lambda found: found[1] * int(found[2]), self.subject)
        self.answers = int(self.kind == REQUEST)
        self.until_status = count is not None and count[1] == "end"
        if self.until_status:
            batch = _BATCH.search(self.body)
            assert batch is not None, f"{place}: the end of what?"
            self.answers = int(batch[1])
        elif count is not None:
            self.answers = int(count[1])
        self.times = int(front[2] or 1)


class Conversation:
    """A title, with its file's name in front, and its lines."""

    def __init__(self, title: str, lines: list[Line]) -> None:
        self.title = title
        self.lines = lines


def read_conversations(path: Path) -> Iterator[Conversation]:
    """All conversations of a file, in order."""
    current: Conversation | None = None
    for number, text in enumerate(path.read_text().splitlines(), 1):
        place = f"{path.name}:{number}"
        if text.lstrip().startswith("#"):
            continue
        if not text.strip():
            if current is not None:
                yield current
            current = None
        elif not text.startswith(" "):
            assert current is None, f"{place}: a blank line ends a conversation"
            current = Conversation(f"{path.stem}: {text.strip()}", [])
        else:
            assert current is not None, f"{place}: a conversation begins with its title"
            current.lines.append(Line(text.strip(), place))
    if current is not None:
        yield current
