"""What the log says of clients, with debugging and tracing on: the same lines as nats-server's, for the same bytes.

Compared sorted, as the reference writes what it sends before it has done what it was told. Left out are lines about its
own timers (THEIRS).
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from broker.config import AuthorizationOptions, Options
from broker.core.session_services import EVENTS_MAX
from broker.logs import sentence
from core.core_room import Room, connect_line
from core.reference_server import ReferenceClient, ReferenceServer

PATIENCE_S = 10.0
THEIRS = re.compile(r"Ping Timer|Auto-unsubscribe limit")
LABELS = {"debug": "[DBG]", "trace": "[TRC]", "error": "[ERR]", "info": "[INF]"}
H = b"NATS/1.0\r\nA: b\r\n\r\n"
ON = connect_line()

CONVERSATIONS: dict[str, list[bytes]] = {
    "all there is": [
        b'CONNECT {"verbose":false,"headers":true,"name":"N","lang":"go","version":"1.2","user":"u"}\r\nPING\r\n',
        b"SUB a 1\r\nSUB b q 2\r\nUNSUB 9\r\nUNSUB 1 3\r\nPUB a 2\r\nhi\r\nPUB b r 2\r\nho\r\nPUB c 0\r\n\r\n",
        b"HPUB a %d %d\r\n%shi\r\n" % (len(H), len(H) + 2, H),
        b"PONG\r\n+OK\r\nPUB a 3\r\n\xff\x00\n\r\n",
    ],
    "verbose, and refused": [
        b'CONNECT {"name":"N"}\r\nSUB a 1\r\nUNSUB 1\r\nPUB a 0\r\n\r\nSUB a..b 9\r\n',
        b"PUB $NRG.x 0\r\n\r\nPUB a _R_.x 0\r\n\r\nSUB a _sys_ 4\r\nPUB a.* 0\r\n\r\n",
    ],
    "secrets": [b'CONNECT {"verbose":false,"user":"u","pass":"a","auth_token" : "t", "name":"pass"}\r\nPING\r\n'],
    "a wrong word": [ON + b"FOO bar\r\n"],
    "PUB without a size": [ON + b"PUB a\r\n"],
    "PUB with too many words": [ON + b"PUB a b c 1\r\n"],
    "PUB with a wrong size": [ON + b"PUB a x\r\n"],
    "HPUB with a header that is too long": [ON + b"HPUB a 5 3\r\nabc\r\n"],
    "HPUB where nobody spoke of headers": [b'CONNECT {"verbose":false}\r\nHPUB a 0 0\r\n\r\n'],
    "SUB without a sid": [ON + b"SUB a\r\n"],
    "UNSUB with too many words": [ON + b"UNSUB 1 2 3\r\n"],
    "more than may be": [ON + b"PUB a 9999999\r\n"],
    "another protocol": [b'CONNECT {"protocol":7}\r\n'],
    "an error of the client": [ON + b"-ERR foo\r\n"],
}


def ours(pieces: list[bytes], options: Options) -> list[str]:
    """Our log, as its writer words it."""
    room = Room(options)
    room.open("A")
    for piece in pieces:
        if "A" not in room.ended:
            room.send("A", piece)
    if "A" not in room.ended:
        room.leave("A")
    lines = []
    for level, name, fields in room.clients.take_events():
        if level in ("trace", "debug") and not (options.trace if level == "trace" else options.debug):
            continue
        lines.append(f"{LABELS[level]} {sentence(name, fields)}")
    return _blurred(lines)


def theirs(pieces: list[bytes], *flags: str) -> list[str]:
    with ReferenceServer(*flags) as server:
        client = ReferenceClient(server.port)
        for piece in pieces:
            client.send(piece)
            time.sleep(0)  # its log, not its answer, is what is waited for below
        deadline = time.monotonic() + PATIENCE_S
        if pieces[-1].endswith(b"PING\r\n"):
            client.read_pongs(1)
        client.socket.shutdown(1)
        client.read_rest()
        while b"connection closed" not in (log := os.pread(server.log.fileno(), 1 << 20, 0)):
            assert time.monotonic() < deadline, log
        time.sleep(0)
    lines = [line[line.index("[", 1) :] for line in log.decode().splitlines() if "cid:" in line]
    return _blurred([line for line in lines if not THEIRS.search(line)])


def _blurred(lines: list[str]) -> list[str]:
    """Without addresses and numbers of connections, and without where its parser stood."""
    return sorted(
        re.sub(r", state=\d+, i=\d+: ", ": ", re.sub(r"127\.0\.0\.1:\d+ - cid:\d+", "CLIENT", line)) for line in lines
    )


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_the_same_lines(name: str) -> None:
    pieces = CONVERSATIONS[name]
    wanted = theirs(pieces, "-DV")
    told = ours(pieces, Options(debug=True, trace=True))
    # A subscription that is forgotten with its client may be told after the end of its log that was read.
    ends = re.compile("DELSUB|PUB a (9999999|x|b c 1)|[A-Z]*(PUB|SUB) [a-z0-9 ]+\\]$")
    assert [line for line in told if not ends.search(line)] == [line for line in wanted if not ends.search(line)]


def test_a_long_payload_is_cut() -> None:
    pieces = [ON + b"SUB a 1\r\nPUB a 8\r\nabcd\r\nef\r\nPUB a 5\r\nabcde\r\nPING\r\n"]
    options = Options(trace=True, max_traced_msg_len=5)
    payload = re.compile("MSG_PAYLOAD")
    wanted = [line for line in theirs(pieces, "-DV", "--max_traced_msg_len", "5") if payload.search(line)]
    assert [line for line in ours(pieces, options) if payload.search(line)] == wanted


def test_of_headers_nothing_but_the_headers_is_shown(tmp_path: Path) -> None:
    config = tmp_path / "server.conf"
    config.write_text("trace_headers: true\ndebug: true\n")
    pieces = [ON + b"SUB a 1\r\nHPUB a %d %d\r\n%sabc\r\nPUB a 2\r\nhi\r\nPING\r\n" % (len(H), len(H) + 3, H)]
    told = ours(pieces, Options(debug=True, trace=True, trace_headers=True))
    assert [line for line in told if "DELSUB" not in line] == [
        line for line in theirs(pieces, "-c", str(config)) if "DELSUB" not in line
    ]


def test_without_tracing_there_are_no_lines_of_the_protocol() -> None:
    pieces = CONVERSATIONS["all there is"]
    assert ours(pieces, Options(debug=True)) == [
        '[DBG] CLIENT - "v1.2:go:N" - "$G/user:u" - Client connection closed: Client Closed',
        "[DBG] CLIENT - Client connection created",
    ]


def test_a_wrong_login_names_the_user() -> None:
    options = Options(authorization=AuthorizationOptions(user="u", password="p"), debug=True)
    pieces = [b'CONNECT {"user":"x","pass":"y"}\r\n']
    assert ours(pieces, options) == theirs(pieces, "-D", "-user", "u", "-pass", "p")


def test_no_part_of_a_secret_is_shown() -> None:
    pieces = [b'CONNECT {"pass":"a1\\"a2","jwt":"b1","sig" : "c1","PASS":"d1, d2",pass:e1,"nkey":"f1"}\r\n']
    (line,) = [line for line in ours(pieces, Options(trace=True)) if "CONNECT" in line]
    assert line.count("[REDACTED]") == 5
    assert re.findall(r"[a-f]\d", line) == ["f1"]


def test_what_has_no_room_is_counted() -> None:
    room = Room(Options(trace=True))
    room.connect("A")
    room.clients.take_events()
    room.send("A", b"PING\r\n" * 5000)
    events = room.clients.take_events()
    assert events[-1] == ("warning", "events_lost", {"count": 10_000 - (len(events) - 1)})
    assert room.clients.take_events() == []


def test_who_is_refused_without_end_does_not_fill_the_log() -> None:
    room = Room()
    room.connect("A")
    room.clients.take_events()
    room.send("A", b"PUB $NRG.x 0\r\n\r\n" * 2000)
    events = room.clients.take_events()
    assert (len(events), events[-1]) == (EVENTS_MAX + 1, ("warning", "events_lost", {"count": 2000 - EVENTS_MAX}))
    assert room.take("A").count(b"-ERR 'Permissions Violation for Publish to") == 2000
