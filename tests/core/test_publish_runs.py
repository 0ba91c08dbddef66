"""Runs of equal publish lines are a short cut: whatever happens in between, the result is that of single messages.

The judge is a session that gets its bytes one operation at a time and forgets its memo after each.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.config import Options
from broker.core.router import ServiceSubscription, StreamIngress
from core.core_room import Room, connect_line, play

QUICK = settings(max_examples=200, deadline=None, derandomize=True)

HEAD = b"NATS/1.0\r\nA: 1\r\n\r\n"
LINES = [
    b"PUB a.b 2\r\nxy\r\n",
    b"PUB a.b 2\r\n\r\n\r\n",
    b"PUB a.c 2\r\nuv\r\n",
    b"PUB a.b r.1 2\r\nxy\r\n",
    b"PUB s.t 2\r\nst\r\n",
    b"PUB v 2\r\nvv\r\n",
    b"PUB a.* 2\r\n**\r\n",
    b"HPUB a.b %d %d\r\n%sxy\r\n" % (len(HEAD), len(HEAD) + 2, HEAD),
]
CHANGES = [
    b"SUB a.b 1\r\n",
    b"SUB a.* 2\r\n",
    b"SUB > 3\r\n",
    b"SUB a.b q 4\r\n",
    b"SUB r.* 5\r\n",
    b"SUB a.b 6\r\nUNSUB 6 4\r\n",
    b"UNSUB 1\r\n",
    b"UNSUB 2\r\n",
    b"UNSUB 3 3\r\n",
    b"UNSUB 3\r\n",
    b"UNSUB 4\r\n",
    b"UNSUB 6\r\n",
    b"PING\r\n",
    connect_line(echo=False),
    connect_line(),
    connect_line(pedantic=True),
]

_run = st.builds(lambda line, count: [line] * count, st.sampled_from(LINES), st.integers(1, 7))
_mix = st.lists(st.one_of(_run, _run, st.sampled_from(CHANGES).map(lambda change: [change])), max_size=8)
_script = st.lists(
    st.tuples(st.sampled_from("ABC"), _mix.map(lambda groups: [line for group in groups for line in group])), max_size=6
)

Heard = list[tuple[bytes, bytes, int, bytes]]


class Stream(StreamIngress):
    """Writes down what enters it."""

    def __init__(self, heard: Heard) -> None:
        self.heard = heard

    def ingest(self, subject: bytes, reply: bytes, header_length: int, data: bytes) -> None:
        self.heard.append((subject, reply, header_length, data))


class Service(ServiceSubscription):
    """Changes interest while a run passes: every second message sends it away, or back."""

    def __init__(self, room: Room, subject: bytes, heard: Heard) -> None:
        super().__init__(subject)
        self.room = room
        self.heard = heard
        self.other = ServiceSubscription(b"nothing")

    def on_message(self, subject: bytes, reply: bytes, header_length: int, data: bytes, origin: str) -> None:
        self.heard.append((subject, reply, header_length, data))
        session = self.room.session("B")
        sid = b"changing"
        if sid in session.subscriptions:
            session.subscription_ended(session.subscriptions[sid])
        elif not session.outbox.is_closed():
            session._subscribe(b"v", b"", sid)


def prepared() -> tuple[Room, Heard]:
    room = Room(Options())
    heard: Heard = []
    for name, has_headers in (("A", True), ("B", True), ("C", False)):
        room.connect(name, headers=has_headers, no_responders=has_headers)
    room.router.add_stream(b"s.>", Stream(heard))
    room.router.subscribe(Service(room, b"v", heard))
    return room, heard


def outcome(room: Room, heard: Heard) -> dict[str, object]:
    totals = room.clients.totals()
    counts = (totals.in_messages, totals.in_bytes, totals.out_messages, totals.out_bytes)
    delivered = {
        name: sorted((sid, int(one.delivered)) for sid, one in room.session(name).subscriptions.items())
        for name in "ABC"
        if name not in room.ended
    }
    return {
        "output": room.output,
        "ended": room.ended,
        "heard": heard,
        "counts": counts,
        "router": (room.router.in_messages, room.router.in_bytes),
        "delivered": delivered,
    }


@QUICK
@given(_script)
def test_runs_are_as_good_as_single_messages(script: list[tuple[str, list[bytes]]]) -> None:
    fast, fast_heard = prepared()
    slow, slow_heard = prepared()
    for name, lines in script:
        if name not in fast.ended:
            fast.send(name, b"".join(lines))
        for line in lines:
            if name not in slow.ended:
                slow.send(name, line)
                session = slow.clients.sessions.get(slow.cids[name])
                if session is not None:
                    session._memo = None
                    session._last_line = b""
    assert outcome(fast, fast_heard) == outcome(slow, slow_heard)


def test_interest_that_ends_and_begins_in_the_middle_of_a_piece() -> None:
    play(r"""
        A+
        A> SUB a 1
        A> PUB a 1
        A> 1
        A> PUB a 1
        A> 2
        A> PUB a 1
        A> 3
        A> UNSUB 1
        A> PUB a 1
        A> 4
        A> PUB a 1
        A> 5
        A> SUB a 2
        A> PUB a 1
        A> 6
        A< MSG a 1 1
        A< 1
        A< MSG a 1 1
        A< 2
        A< MSG a 1 1
        A< 3
        A< MSG a 2 1
        A< 6
        """)


def test_interest_that_comes_from_elsewhere_between_two_pieces() -> None:
    room = Room()
    room.connect("A")
    room.connect("B")
    message = b"PUB a.b 1\r\nx\r\n"
    room.send("A", message * 3)
    room.send("B", b"SUB a.b 1\r\n")
    room.send("A", message * 2)
    assert room.take("B") == b"MSG a.b 1 1\r\nx\r\n" * 2
    room.send("B", b"SUB *.b 2\r\nUNSUB 1 3\r\n")
    room.send("A", message * 2)
    assert room.take("B") == b"MSG a.b 1 1\r\nx\r\nMSG a.b 2 1\r\nx\r\nMSG a.b 2 1\r\nx\r\n"
    room.leave("B")
    room.send("A", message * 2)
    assert room.session("A").in_messages == 9


def test_a_connection_with_two_subscriptions_sees_the_messages_in_order() -> None:
    room = Room()
    room.connect("A")
    room.send("A", b"SUB a.b 1\r\nSUB a.* 2\r\n" + b"PUB a.b 1\r\nx\r\n" * 5)
    assert room.take("A") == b"MSG a.b 1 1\r\nx\r\nMSG a.b 2 1\r\nx\r\n" * 5


def test_a_line_is_not_a_run_when_its_message_is_cut() -> None:
    room = Room()
    room.connect("A")
    room.send("A", b"SUB a 1\r\n")
    data = b"PUB a 3\r\nabc\r\n" * 4
    for position in range(len(data)):
        room.send("A", data[position : position + 1])
    assert room.take("A") == b"MSG a 1 3\r\nabc\r\n" * 4
    for cut in range(len(data)):
        room.send("A", data[:cut])
        room.send("A", data[cut:])
        assert room.take("A") == b"MSG a 1 3\r\nabc\r\n" * 4
