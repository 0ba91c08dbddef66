"""What arrives on the cluster port, byte by byte: the greeting, each wrong thing and its fate, any cut, any garbage."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.cluster.routes import route_lines as lines
from broker.cluster.routes.route_session import CLOSED, HANDED_OVER, REGISTERED
from broker.cluster.routes.route_traffic import RouteSession
from broker.cluster.routes.routes import RouteTable
from broker.config import Options, RouteUrl
from cluster.route_mesh import SmallRouter

SECOND_NS = 1_000_000_000


def table_of(router: SmallRouter | None = None, user: str = "", password: str = "") -> RouteTable:
    options = Options(server_name="ours")
    options.cluster.name = "c"
    options.cluster.port = 6222
    options.cluster.routes = [RouteUrl("peer", 6222)]
    options.cluster.authorization.user = user
    options.cluster.authorization.password = password
    table = RouteTable(options, "NOURS", router or SmallRouter(), random.Random(1))
    table.set_client_urls(["10.0.0.1:4222"])
    return table


def connect_line(**fields: object) -> bytes:
    return b"CONNECT " + json.dumps({"name": "NPEER", "cluster": "c", "headers": True, **fields}).encode() + b"\r\n"


def info_line(**fields: object) -> bytes:
    document = {"server_id": "NPEER", "server_name": "peer", "host": "10.0.0.2", "port": 6222, "cluster": "c", **fields}
    return b"INFO " + json.dumps(document).encode() + b"\r\n"


def accepted(table: RouteTable) -> RouteSession:
    session = table.accepted(1, ("10.0.0.2", 40000), 0)
    greeting = session.take_output()
    assert greeting.startswith(b"INFO {") and greeting.endswith(b"}\r\n")
    return session


def registered(table: RouteTable) -> RouteSession:
    session = accepted(table)
    session.on_bytes(connect_line() + info_line())
    assert session.state == REGISTERED
    return session


def test_the_acceptor_says_info_first_and_its_interest_when_registered() -> None:
    router = SmallRouter()
    router.local = {(b"orders", b""): 1, (b"jobs", b"q"): 2}
    session = accepted(table_of(router))
    session.on_bytes(connect_line())
    assert session.take_output() == b""
    session.on_bytes(info_line())
    assert session.take_output() == b"RS+ $G orders\r\nRS+ $G jobs q 2\r\n"


def test_the_dialler_says_connect_then_info_when_it_wants_the_route() -> None:
    table = table_of(user="u", password="p")
    (dial,) = table.tick(1)
    session = table.dialled(7, dial.token, 1)
    verb, document = session.take_output().split(b" ", 1)
    assert verb == b"CONNECT"
    assert json.loads(document) == {
        "echo": True, "verbose": False, "pedantic": False, "tls_required": False, "headers": True,
        "name": "NOURS", "cluster": "c", "user": "u", "pass": "p",
    }  # fmt: skip
    session.on_bytes(info_line())
    verb, document = session.take_output().split(b" ", 1)
    assert verb == b"INFO"
    info = json.loads(document)
    assert info["server_id"] == "NOURS" and info["connect_urls"] == ["10.0.0.1:4222"] and info["auth_required"]
    assert "route_pool_size" not in info and "compression" not in info and "jetstream" not in info


def test_a_route_to_ourselves_is_closed_and_not_dialled_again() -> None:
    table = table_of()
    (dial,) = table.tick(1)
    session = table.dialled(7, dial.token, 1)
    session.on_bytes(info_line(server_id="NOURS", server_name="ours"))
    assert session.close_reason == "Duplicate Route"
    table.closed(7, 2)
    assert table.tick(10**15) == []


FATES = [
    ("a client", b'CONNECT {"lang":"python","verbose":false}\r\nPING\r\n',
     b"-ERR 'attempted to connect to route port'\r\n", "Incorrect Port"),
    ("garbage", b"GET / HTTP/1.1\r\n\r\n", b"-ERR 'Authorization Violation'\r\n", "Authentication Failure"),
    ("a ping", b"PING\r\n", b"-ERR 'Authorization Violation'\r\n", "Authentication Failure"),
    ("an empty line", b"\r\n", b"-ERR 'Authorization Violation'\r\n", "Authentication Failure"),
    ("a gateway", connect_line(gateway="G"),
     b"-ERR 'Rejecting connection from gateway \"G\" on the Route port'\r\n", "Wrong Gateway"),
    ("another cluster", connect_line(cluster="other"),
     b"-ERR 'Rejecting connection, cluster name \"other\" does not match \"c\"'\r\n", "Cluster Name Conflict"),
    ("no JSON", b"CONNECT {nope\r\n", b"-ERR 'Unknown Protocol Operation'\r\n", "Protocol Violation"),
    ("JSON that is no object", b"CONNECT [1]\r\n", b"-ERR 'Unknown Protocol Operation'\r\n", "Protocol Violation"),
    ("deep JSON", b"CONNECT " + b"[" * 60000 + b"\r\n", b"-ERR 'Unknown Protocol Operation'\r\n", "Protocol Violation"),
    ("INFO before CONNECT", info_line(), b"-ERR 'Authorization Violation'\r\n", "Authentication Failure"),
    ("messages before CONNECT", b"RMSG $G foo 2\r\nok\r\n", b"-ERR 'Authorization Violation'\r\n",
     "Authentication Failure"),
    ("messages before INFO", connect_line() + b"RMSG $G foo 2\r\nok\r\n", b"-ERR 'Unknown Protocol Operation'\r\n",
     "Protocol Violation"),
    ("no server id", connect_line() + b'INFO {"cluster":"c"}\r\n', b"-ERR 'Unknown Protocol Operation'\r\n",
     "Protocol Violation"),
    ("our own name", connect_line() + info_line(server_name="ours"),
     b"-ERR 'Remote server has a duplicate name: \"ours\"'\r\n", "Duplicate Server Name"),
    ("one account's route", connect_line() + info_line(route_account="$SYS"),
     b"-ERR 'Not possible to have a dedicated route for account \"$SYS\" between those servers'\r\n",
     "Protocol Violation"),
    ("a line without end", b"C" * 100_000, b"-ERR 'Authorization Violation'\r\n", "Authentication Failure"),
    ("its own error", b"-ERR 'I do not like you'\r\n", b"", "Parse Error"),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "answer", "reason"), [fate[1:] for fate in FATES], ids=[fate[0] for fate in FATES])
def test_fate(sent: bytes, answer: bytes, reason: str) -> None:
    table = table_of()
    session = accepted(table)
    session.on_bytes(sent)
    assert session.take_output() == answer
    assert session.close_reason == reason
    assert table.take_closing() == [(1, reason)]


AFTER_GREETING = [b"RS+ $G\r\n", b"RS+ $G a b\r\n", b"RS- $G a b c\r\n", b"RMSG $G foo\r\n", b"RMSG $G foo x\r\n",
                  b"RMSG $G foo 9999999999\r\n", b"RMSG $G foo 2\r\nokay\r\n", b"HMSG $G foo 5 2\r\nok\r\n",
                  b"HMSG $G foo 2\r\nok\r\n", b"RMSG $G foo ? a b 2\r\nok\r\n", b"SUB foo 1\r\n", b"\r\n",
                  b"INFO nope\r\n"]  # fmt: skip


@pytest.mark.parametrize("sent", AFTER_GREETING)
def test_a_malformed_line_closes_a_route(sent: bytes) -> None:
    session = registered(table_of())
    session.on_bytes(sent)
    assert session.take_output().endswith(b"-ERR 'Unknown Protocol Operation'\r\n")
    assert session.state == CLOSED


@pytest.mark.parametrize(("user", "password"), [("", ""), ("u", "x"), ("x", "p")])
def test_wrong_credentials(user: str, password: str) -> None:
    session = accepted(table_of(user="u", password="p"))
    session.on_bytes(connect_line(user=user, **{"pass": password}))
    assert session.take_output() == b"-ERR 'Authorization Violation'\r\n"
    assert session.close_reason == "Authentication Failure"


def test_right_credentials_and_what_comes_before_them() -> None:
    table = table_of(user="u", password="p")
    session = accepted(table)
    session.on_bytes(connect_line(user="u", **{"pass": "p"}) + info_line())
    assert session.state == REGISTERED
    stranger = table.accepted(2, ("10.0.0.3", 1), 0)
    stranger.take_output()
    stranger.on_bytes(b"RS+ $G foo\r\n")
    assert stranger.take_output() == b"-ERR 'Authorization Violation'\r\n"


def test_a_stranger_who_says_nothing_is_closed() -> None:
    table = table_of()
    session = accepted(table)
    table.tick(1 * SECOND_NS)
    assert session.state != CLOSED
    table.tick(3 * SECOND_NS)
    assert session.close_reason == "Authentication Timeout"


@pytest.mark.parametrize("cuts", [[0], [1, 2], [8], [9], [12], list(range(30))])
def test_our_own_links_are_handed_over_with_every_byte(cuts: list[int]) -> None:
    table = table_of()
    session = accepted(table)
    sent = b'TERNMQ/1 {"name":"n2"}\r\nmore bytes'
    for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        if session.state == HANDED_OVER:
            session.handover += sent[start:end]  # the caller's part from here on
        else:
            session.on_bytes(sent[start:end])
    assert session.state == HANDED_OVER and session.handover == sent
    table.handed_over(1)
    table.tick(10 * SECOND_NS)
    assert table.take_closing() == [] and not table.sessions


def test_pings() -> None:
    table = table_of()
    session = registered(table)
    session.on_bytes(b"PING\r\n")
    assert session.take_output().endswith(b"PONG\r\n")
    table.tick(2 * SECOND_NS)
    assert session.take_output() == b"PING\r\n"
    table.tick(33 * SECOND_NS)
    session.on_bytes(b"PONG\r\n")
    table.tick(64 * SECOND_NS)
    table.tick(95 * SECOND_NS)
    session.take_output()
    table.tick(126 * SECOND_NS)
    assert session.take_output() == b"-ERR 'Stale Connection'\r\n"
    assert session.close_reason == "Stale Connection"


def test_output_is_bounded() -> None:
    table = table_of()
    table.options.max_pending = 10_000
    session = registered(table)
    for _ in range(20):
        session.write(lines.message_bytes(b"foo", b"", [], 0, b"x" * 1000))
    assert session.close_reason == "Slow Consumer (Pending Bytes)"
    assert session.take_output() == b""


def test_other_accounts_are_not_ours() -> None:
    router = SmallRouter()
    session = registered(table_of(router))
    session.on_bytes(b"RS+ $SYS $SYS.REQ.SERVER.PING\r\nRMSG $SYS a 2\r\nok\r\nLS+ o $G a\r\nA+ x\r\nRS+ $G mine\r\n")
    assert session.state == REGISTERED
    assert list(router.remote) == [(b"mine", b"")] and router.routed_in == 0


def test_interest_that_is_said_twice_or_never_was() -> None:
    router = SmallRouter()
    session = registered(table_of(router))
    session.on_bytes(b"RS+ $G a\r\nRS+ $G a\r\nRS+ $G a q 2\r\nRS+ $G a q 5\r\nRS- $G nothing\r\nRS- $G a\r\n")
    assert router.remote == {(b"a", b""): {}, (b"a", b"q"): {"NPEER": (session, 5)}}


LINES = (
    b"RS+ $G foo\r\nRS+ $G foo.* q 12\r\nrs- $G foo\r\nRS- $G foo q\r\nPING\r\nPONG\r\n"
    b"RMSG $G foo 5\r\nhello\r\nRMSG $G foo reply 0\r\n\r\nRMSG $G foo + reply q1 q2 2\r\n\r\n\r\n"
    b"RMSG $G foo | q1 3\r\nabc\nHMSG $G foo r 12 14\r\nNATS/1.0\r\n\r\nok\r\nINFO {}\r\n-ERR 'x'\r\nA- y\r\n"
).replace(b"abc\n", b"abc\r\n")


def operations(pieces: list[bytes]) -> list[tuple[object, ...]]:
    reader = lines.RouteReader()
    seen: list[tuple[object, ...]] = []
    for piece in pieces:
        reader.feed(piece)
        while (operation := reader.next()) != lines.OP_NONE:
            if operation == lines.OP_INTEREST:
                seen.append((operation, reader.account, reader.subject, reader.queue, reader.weight))
            elif operation == lines.OP_INTEREST_END:
                seen.append((operation, reader.account, reader.subject, reader.queue))
            elif operation == lines.OP_MESSAGE:
                seen.append(
                    (operation, reader.subject, reader.reply, *reader.queues, reader.header_length, reader.data)
                )
            elif operation in (lines.OP_INFO, lines.OP_ERR, lines.OP_CONNECT):
                seen.append((operation, reader.document))
            else:
                seen.append((operation,))
            if operation == lines.OP_BAD:
                return seen
    return seen


def test_reading_does_not_depend_on_cuts() -> None:
    at_once = operations([LINES])
    assert (lines.OP_MESSAGE, b"foo", b"reply", b"q1", b"q2", 0, b"\r\n") in at_once
    assert (lines.OP_MESSAGE, b"foo", b"r", 12, b"NATS/1.0\r\n\r\nok") in at_once
    assert len(at_once) == 14 and (lines.OP_BAD,) not in at_once
    assert operations([LINES[at : at + 1] for at in range(len(LINES))]) == at_once
    rng = random.Random(1)
    for _ in range(50):
        cuts = sorted(rng.sample(range(1, len(LINES)), 9))
        assert operations([LINES[a:b] for a, b in zip([0, *cuts], [*cuts, len(LINES)], strict=True)]) == at_once


def test_repeated_lines_are_read_like_the_first() -> None:
    first = lines.message_bytes(b"a", b"r", [b"q"], 2, b"hhpayload")
    other = lines.message_bytes(b"b", b"", [], 0, b"x")
    sent = (
        first * 3
        + b"RS+ $G c other 5\r\n"
        + first * 2
        + other * 2
        + b"PING\r\n"
        + other
        + first
        + b"RMSG $G b 1\r\nxx\r\n"
    )
    message_a = (lines.OP_MESSAGE, b"a", b"r", b"q", 2, b"hhpayload")
    message_b = (lines.OP_MESSAGE, b"b", b"", 0, b"x")
    expected = [message_a] * 3 + [(lines.OP_INTEREST, b"$G", b"c", b"other", 5)] + [message_a] * 2 + [message_b] * 2
    expected += [(lines.OP_PING,), message_b, message_a, (lines.OP_BAD,)]
    assert operations([sent]) == expected
    for size in range(1, 30):
        assert operations([sent[at : at + size] for at in range(0, len(sent), size)]) == expected


@pytest.mark.parametrize(
    ("reply", "queues", "header_length"), [(b"", [], 0), (b"r", [], 3), (b"", [b"q"], 0), (b"r", [b"a", b"b"], 2)]
)
def test_what_is_written_is_read(reply: bytes, queues: list[bytes], header_length: int) -> None:
    written = lines.message_bytes(b"foo.bar", reply, queues, header_length, b"payload")
    assert operations([written]) == [(lines.OP_MESSAGE, b"foo.bar", reply, *queues, header_length, b"payload")]


WORDS = [b"RS+ ", b"RS- ", b"RMSG ", b"HMSG ", b"$G ", b"foo ", b"+ ", b"| ", b"2", b"5 7", b"\r\n", b"ok\r\n",
         b'INFO {"server_id":"NPEER"}', b'INFO {"server_id":"X","ip":"nats-route://[::1:9/"}', b"PING\r\n", b"\x00",
         b'INFO {"server_id":"Y","server_name":5,"ip":"nats-route://h:99/","connect_urls":[1]}',
         b"INFO ", b" ", b"CONNECT {}"]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(st.binary(max_size=40), st.lists(st.sampled_from(WORDS), max_size=12).map(b"".join)), max_size=8
    ),
    st.sampled_from([b"", connect_line(), connect_line() + info_line()]),
)
def test_any_bytes_are_endured(pieces: list[bytes], greeting: bytes) -> None:
    table = table_of()
    session = table.accepted(1, ("10.0.0.2", 40000), 0)
    session.on_bytes(greeting)
    for piece in pieces:
        session.on_bytes(piece)
        table.tick(1000)
    session.take_output()
    table.closed(1, 2000)
    assert not table.sessions and not table.routes and not any(table.traffic.remote.values())  # type: ignore[attr-defined]
