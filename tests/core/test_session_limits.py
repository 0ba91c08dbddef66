"""What a client may not: sizes, numbers, logging in, falling silent, reading too slowly. Time is driven."""

from __future__ import annotations

import json

import bcrypt
import pytest

from broker.config import AuthorizationOptions, Options, UserOptions
from core.core_room import Room, connect_line, play

# Limits

LIMITED = Options(max_payload=10, max_control_line=40, max_subscriptions=2, max_subscription_tokens=3)
LIMITS = {
    "payload": r"""
        A> PUB a 10
        A> 0123456789
        A> PUB a 11
        A< INFO
        A< +OK
        A< -ERR 'Maximum Payload Violation'
        A! Maximum Message Payload Exceeded
        """,
    "payload, headers included": r"""
        A> CONNECT {"headers":true}
        A> HPUB a 5 11
        A< INFO
        A< +OK
        A< -ERR 'Maximum Payload Violation'
        A! Maximum Message Payload Exceeded
        """,
    "control line": r"""
        A> SUB 0123456789_0123456789_0123456789_0123 12
        A< INFO
        A< +OK
        A> SUB 0123456789_0123456789_0123456789_0123 123
        A< -ERR 'maximum control line exceeded'
        A! Maximum Control Line Exceeded
        """,
    "control line that never ends": r"""
        A~ SUB 0123456789_0123456789_0123456789_0123456789
        A< INFO
        A< -ERR 'maximum control line exceeded'
        A! Maximum Control Line Exceeded
        """,
    "subscriptions and tokens": r"""
        A> SUB a 1
        A> SUB b 2
        A> SUB c 3
        A> UNSUB 1
        A> SUB a.b.c.d 3
        A> SUB a.b.c 3
        A< INFO
        A< +OK
        A< +OK
        A< -ERR 'maximum subscriptions exceeded'
        A< +OK
        A< -ERR 'Permissions Violation for Subscription to "a.b.c.d", too many tokens'
        A< +OK
        """,
}


@pytest.mark.parametrize("name", LIMITS)
def test_limit(name: str) -> None:
    play(LIMITS[name], LIMITED)


def test_too_many_connections() -> None:
    room = Room(Options(max_connections=1))
    room.connect("A")
    room.open("B")
    assert room.take("B").endswith(b"-ERR 'maximum connections exceeded'\r\n")
    assert room.ended == {"B": "Maximum Connections Exceeded"}
    room.send("A", b"SUB a 1\r\nPUB a 0\r\n\r\n")
    assert room.take("A") == b"MSG a 1 0\r\n\r\n"


# Who may connect

HASH = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
ONE_USER = AuthorizationOptions(user="u", password="secret")
TOKEN = AuthorizationOptions(token="t")
USERS = AuthorizationOptions(users=[UserOptions("u", "plain"), UserOptions("h", HASH)])
HASHED_TOKEN = AuthorizationOptions(token=HASH)
LOGINS = [
    (ONE_USER, '{"user":"u","pass":"secret"}', True),
    (ONE_USER, '{"user":"u","pass":"Secret"}', False),
    (ONE_USER, '{"user":"v","pass":"secret"}', False),
    (ONE_USER, '{"user":"u"}', False),
    (ONE_USER, '{"auth_token":"secret"}', False),
    (ONE_USER, "{}", False),
    (TOKEN, '{"auth_token":"t"}', True),
    (TOKEN, '{"auth_token":"tt"}', False),
    (TOKEN, '{"user":"t","pass":"t"}', False),
    (TOKEN, "{}", False),
    (USERS, '{"user":"u","pass":"plain"}', True),
    (USERS, '{"user":"h","pass":"secret"}', True),
    (USERS, '{"user":"h","pass":"secreT"}', False),
    (USERS, json.dumps({"user": "h", "pass": HASH}), False),
    (USERS, '{"user":"h","pass":"\\u0000\\ud800"}', False),
    (HASHED_TOKEN, '{"auth_token":"secret"}', True),
    (HASHED_TOKEN, '{"auth_token":"wrong"}', False),
]


@pytest.mark.parametrize(("authorization", "document", "is_right"), LOGINS)
def test_who_may_connect(authorization: AuthorizationOptions, document: str, is_right: bool) -> None:
    room = Room(Options(authorization=authorization))
    room.open("A")
    assert b'"auth_required":true' in room.take("A")
    room.send("A", b"CONNECT " + document.encode() + b"\r\nPING\r\n")
    if is_right:
        assert room.take("A") == b"+OK\r\nPONG\r\n"
        assert not room.ended
    else:
        assert room.take("A") == b"-ERR 'Authorization Violation'\r\n"
        assert room.ended == {"A": "Authentication Failure"}


def test_a_slow_comparison_is_made_elsewhere_while_bytes_wait() -> None:
    welcome = b"+OK\r\n" * 3 + b"MSG a 1 0\r\n\r\n"
    for password, answer in ((b"secret", welcome), (b"no", b"-ERR 'Authorization Violation'\r\n")):
        room = Room(Options(authorization=USERS))
        services = room.clients.services
        services.defers_slow_checks = True
        room.open("A")
        room.take("A")
        room.send("A", b'CONNECT {"user":"h","pass":"%s"}\r\nSUB a 1\r\nPUB a ' % password)
        room.send("A", b"0\r\n\r\n")
        assert room.take("A") == b""
        [(cid, check)] = services.checks
        check.run()
        room.clients.sessions[cid].on_password_checked(check)
        room.turn()
        assert room.take("A") == answer
        assert bool(room.ended) == (password == b"no")


def test_too_much_before_the_comparison_is_done() -> None:
    room = Room(Options(authorization=USERS))
    room.clients.services.defers_slow_checks = True
    room.open("A")
    room.send("A", b'CONNECT {"user":"h","pass":"secret"}\r\n')
    for _piece in range(3):
        room.send("A", b"PING\r\n" * 10_000)
    assert room.ended == {"A": "Authentication Failure"}


def test_nothing_but_connect_is_heard_where_authentication_is_due() -> None:
    conversation = r"""
        A> PING
        A< INFO
        A< -ERR 'Authorization Violation'
        A! Authentication Failure
        """
    play(conversation, Options(authorization=TOKEN))


def test_nobody_waits_for_a_connect_forever() -> None:
    conversation = r"""
        A~ CONN
        A< INFO
        B> CONNECT {"auth_token":"t","verbose":false}
        B< INFO
        @ 1.95
        @ 0.05
        A< -ERR 'Authentication Timeout'
        A! Authentication Timeout
        """
    play(conversation, Options(authorization=TOKEN))


# Pings


def test_a_silent_client_is_stale_after_its_pings() -> None:
    """The first ping measures the round trip, 2 to 2.4 seconds after CONNECT; later ones come when nothing did."""
    room = Room(Options(ping_interval_ns=10_000_000_000, ping_max=2))
    room.connect("A")
    room.advance(1.9)
    assert room.take("A") == b""
    room.advance(0.6)
    assert room.take("A") == b"PING\r\n"
    room.advance(7)
    assert room.take("A") == b""
    room.advance(3)
    assert room.take("A") == b"PING\r\n"
    room.advance(10)
    assert room.take("A") == b"-ERR 'Stale Connection'\r\n"
    assert room.ended == {"A": "Stale Connection"}
    assert room.clients.totals().stale == 1


def test_a_client_that_answers_stays_and_its_round_trip_is_known() -> None:
    room = Room(Options(ping_interval_ns=10_000_000_000, ping_max=1))
    room.open("A")
    room.take("A")
    room.advance(0.1)
    room.send("A", connect_line())
    assert room.session("A").pings.rtt_ns == 100_000_000  # how long it took to introduce itself
    for _ping in range(5):
        while room.take("A") != b"PING\r\n":
            room.advance(0.05)
        room.advance(0.2)
        room.send("A", b"PONG\r\n")
    assert not room.ended
    assert room.session("A").pings.rtt_ns == 200_000_000


def test_a_busy_client_is_not_pinged() -> None:
    room = Room(Options(ping_interval_ns=10_000_000_000))
    room.connect("A")
    room.advance(2.5)
    assert room.take("A") == b"PING\r\n"
    for _second in range(60):
        room.send("A", b"PONG\r\nPUB a 0\r\n\r\n")
        room.advance(1)
    assert room.take("A") == b""


def test_what_is_delivered_is_activity_but_keeps_no_ping_away() -> None:
    room = Room(Options(ping_interval_ns=3_000_000_000))
    room.connect("A")
    room.connect("B")
    room.send("A", b"SUB a 1\r\n")
    heard_ns = room.session("A").last_activity_ns
    pinged = b""
    for _second in range(4):
        room.advance(1)
        room.send("B", b"PUB a 0\r\n\r\n")
        pinged += room.take("A")
    assert room.session("A").last_delivery_ns == room.now_ns
    assert room.session("A").last_activity_ns == heard_ns
    assert b"PING" in pinged


# Slow consumers


@pytest.mark.parametrize("is_run", [False, True])
def test_who_does_not_read_is_cut_off_without_a_word(is_run: bool) -> None:
    """Between two turns no more than max_pending waits; others get what is theirs."""
    room = Room(Options(max_pending=1000))
    room.connect("B")
    room.connect("C")
    room.connect("A")
    room.send("B", b"SUB a 1\r\n")
    room.send("C", b"SUB a 1\r\nUNSUB 1 3\r\n")
    message = b"PUB a 200\r\n" + b"x" * 200 + b"\r\n"
    outbox = room.session("B").outbox
    cid_a = room.session("A").cid
    for piece in [message * 5] if is_run else [message] * 5:
        room.clients.received(cid_a, piece)
        assert outbox.pending_bytes <= 1000
    room.turn()
    assert room.ended == {"B": "Slow Consumer (Pending Bytes)"}
    assert room.take("B") == b""
    assert room.take("C") == (b"MSG a 1 200\r\n" + b"x" * 200 + b"\r\n") * 3
    assert room.clients.totals().slow == 1
    assert room.router.count() == 0
    room.send("A", message)


def test_what_was_sent_no_longer_counts() -> None:
    room = Room(Options(max_pending=1000))
    room.connect("A")
    room.send("A", b"SUB a 1\r\n")
    for _message in range(20):
        room.send("A", b"PUB a 500\r\n" + b"x" * 500 + b"\r\n")
    assert len(room.take("A")) == 20 * len(b"MSG a 1 500\r\n" + b"x" * 502)


# The table of clients


def test_who_leaves_is_forgotten_and_shown_for_a_while() -> None:
    room = Room(Options(max_closed_clients=2))
    for name in "ABC":
        room.connect(name)
        room.send(name, b"SUB a 1\r\nPUB a 1\r\nx\r\n")
        room.leave(name)
    assert room.router.count() == 0
    assert [ended.session.cid for ended in room.clients.ended] == [2, 3]
    assert room.clients.ended[0].reason == "Client Closed"
    totals = room.clients.totals()
    assert (totals.connections, totals.in_messages, totals.in_bytes) == (3, 3, 3)
    assert (totals.out_messages, totals.out_bytes) == (3, 3)


def test_what_was_on_its_way_is_let_go_with_the_connection() -> None:
    """/connz remembers thousands of closed connections; each may have been in the middle of a megabyte, both ways."""
    room = Room(Options(authorization=ONE_USER))
    for name in "AB":
        room.connect(name, user="u", **{"pass": "secret"})
        room.send(name, b"".join(b"SUB a.%d %d\r\n" % (sid, sid) for sid in range(100)) + b"SUB b 100\r\n")
    body = b"x" * 100_000
    room.clients.received(room.cids["A"], b"PUB b %d\r\n%s\r\nPUB a %d\r\n%s" % (len(body), body, len(body) + 9, body))
    session = room.session("B")
    assert session.outbox.pending_bytes > len(body)
    ended = [room.session(name) for name in "AB"]
    for name in "AB":
        room.clients.closed(room.cids[name], "Client Closed", room.now_ns)
    for session in ended:
        assert session.outbox.parts == []
        assert session._parser.buffered_bytes() == 0
        assert "secret" not in (session.options.password, session.options.token)
        assert (session.num_left, session.left[0].subject, len(session.left)) == (101, b"a.0", 32)
    assert room.router.count() == 0


def test_news_reach_those_who_understand_them() -> None:
    room = Room()
    room.connect("A")
    room.connect("B", protocol=0)
    room.open("C")
    room.take("C")
    room.clients.connect_urls_changed(["10.0.0.1:4222"])
    room.turn()
    room.clients.connect_urls_changed(["10.0.0.2:4222"])
    room.clients.lame_duck()
    room.turn()
    infos = [json.loads(line[5:]) for line in room.take("A").splitlines()]
    assert infos[0]["connect_urls"] == ["10.0.0.1:4222"] and "ldm" not in infos[0]
    # What changed in one turn is told at once: nobody hears of a lame duck that still names itself.
    assert (infos[1]["connect_urls"], infos[1]["ldm"]) == (["10.0.0.2:4222"], True) and len(infos) == 2
    assert room.take("B") == b"" and room.take("C") == b""


def test_the_first_info_and_the_second() -> None:
    room = Room()
    room.open("A")
    first = json.loads(room.take("A")[5:])
    assert {key: first[key] for key in ("proto", "headers", "max_payload", "client_id", "client_ip")} == {
        "proto": 1,
        "headers": True,
        "max_payload": 1024 * 1024,
        "client_id": 1,
        "client_ip": "127.0.0.1",
    }
    assert "auth_required" not in first and "jetstream" not in first
    room.send("A", connect_line() + b"PING\r\n")
    pong, _space, second = room.take("A").partition(b"INFO ")
    assert pong == b"PONG\r\n"
    assert json.loads(second) == first | {"connect_info": True, "remote_account": "$G"}
