"""The same conversations with the real nats-server and with ours in memory: the same bytes, the same ends.

After each piece every client pings, so that all that was said before has come; where ours ends the connection, the
reference must end it too, with the same last words. INFO is compared by its kind only, the server's pings not at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from wire.conversations import CONTROL_LINE, MALFORMED, PAYLOAD, VALID

from broker.config import AuthorizationOptions, Options, UserOptions
from core.core_room import Room, connect_line, written
from core.reference_server import ReferenceClient, ReferenceServer
from core.test_session import CONVERSATIONS
from core.test_session_limits import HASH, LIMITS

Step = tuple[str, bytes]  # who, what

FENCE = b"PING\r\n"
H = b"NATS/1.0\r\nA: 1\r\n\r\n"

ON = connect_line()


def publishes(*subjects: bytes, reply: bytes = b"") -> bytes:
    return b"".join(b"PUB %s %s 0\r\n\r\n" % (subject, reply) for subject in subjects)


RAW: dict[str, list[Step]] = {
    "UNSUB max counts what was delivered before": [
        ("A", ON + b"SUB a 1\r\n" + b"PUB a 0\r\n\r\n" * 3 + b"UNSUB 1 4\r\n" + b"PUB a 0\r\n\r\n" * 3)
    ],
    "UNSUB max that is reached already": [
        ("A", ON + b"SUB a 1\r\n" + b"PUB a 0\r\n\r\n" * 3 + b"UNSUB 1 3\r\n" + b"PUB a 0\r\n\r\n")
    ],
    "UNSUB max of 0, twice, raised, lowered": [
        ("A", ON + b"SUB a 1\r\nUNSUB 1 0\r\nPUB a 0\r\n\r\n"),
        ("A", b"SUB a 2\r\nUNSUB 2 5\r\nUNSUB 2 2\r\n" + b"PUB a 0\r\n\r\n" * 4),
        ("A", b"SUB a 3\r\nUNSUB 3 2\r\nUNSUB 3 3\r\n" + b"PUB a 0\r\n\r\n" * 4),
    ],
    "a run that ends a subscription in the middle": [
        ("B", ON + b"SUB a.* 1\r\nUNSUB 1 3\r\nSUB a.b 2\r\n"),
        ("A", ON + b"PUB a.b 2\r\nhi\r\n" * 6),
    ],
    "a run with headers to one with and one without": [
        ("B", connect_line(headers=False, no_responders=False) + b"SUB a 1\r\n"),
        ("C", ON + b"SUB a 1\r\n"),
        ("A", ON + (b"HPUB a %d %d\r\n%shi\r\n" % (len(H), len(H) + 2, H)) * 4),
    ],
    "a run with replies": [("A", ON + b"SUB a 1\r\n" + b"PUB a r 2\r\nhi\r\n" * 4)],
    "a run to nobody asks for nobody": [("A", ON + b"SUB r 1\r\n" + b"PUB a r 2\r\nhi\r\n" * 3)],
    "no responders: the echo is off": [("A", connect_line(echo=False) + b"SUB r 1\r\nSUB a 2\r\nPUB a r 0\r\n\r\n")],
    "no responders: somebody hears": [
        ("B", ON + b"SUB a 1\r\n"),
        ("A", ON + b"SUB r 1\r\nPUB a r 0\r\n\r\n"),
    ],
    "no responders: a queue group hears": [
        ("B", ON + b"SUB a q 1\r\n"),
        ("A", ON + b"SUB r 1\r\nPUB a r 0\r\n\r\n"),
    ],
    "no responders, with headers": [
        ("A", ON + b"SUB r 1\r\nHPUB a r %d %d\r\n%s\r\n" % (len(H), len(H), H)),
    ],
    "no responders: another one's inbox": [
        ("B", ON + b"SUB r 1\r\n"),
        ("A", ON + b"PUB a r 0\r\n\r\n"),
    ],
    "no responders, verbose": [("A", connect_line(verbose=True) + b"SUB r 1\r\nPUB a r 0\r\n\r\n")],
    "a queue group in which only the other one may hear": [
        ("A", connect_line(echo=False) + b"SUB a q 1\r\n"),
        ("B", ON + b"SUB a q 2\r\n"),
        ("A", b"PUB a 1\r\nx\r\n" * 5),
        ("B", b"UNSUB 2\r\n"),
        ("A", b"PUB a 1\r\nx\r\n"),
    ],
    "wildcards": [
        ("A", ON + b"SUB > 1\r\n"),
        ("B", ON + b"SUB *.b 2\r\n"),
        ("C", ON + b"SUB a.> 3\r\n"),
        ("A", b"".join(b"PUB %s 1\r\nx\r\n" % one for one in (b"a", b"a.b", b"a.b.c", b"b", b"x.b", b"*.b", b"a.>"))),
    ],
    "subjects with empty tokens lead nowhere": [
        ("A", ON + b"SUB > 1\r\nSUB a.> 2\r\nSUB $JS.ACK.> 3\r\n"),
        ("A", publishes(b".", b"a.", b".a", b"a..b", b"$JS.ACK.", b"$JS.ACK.a..b")),
    ],
    "subjects that are odd but literal": [
        ("A", ON + b"SUB a*b 1\r\nSUB >> 2\r\nSUB \xff\xfe.\x00 3\r\nSUB a\x0cb 4\r\n"),
        ("A", publishes(b"a*b", b">>", b"\xff\xfe.\x00", b"a\x0cb", b"axb")),
    ],
    "pedantic, with odd subjects": [
        ("A", connect_line(pedantic=True) + publishes(b"*", b"a.>", b"a*", b"a..b")),
        ("A", b"PUB > 1\r\nx\r\n" * 4),
    ],
    "pedantic and verbose run": [("A", b"CONNECT {}\r\n" + b"PUB a.* 1\r\nx\r\n" * 3 + b"PUB a.b 1\r\nx\r\n" * 3)],
    "refused subjects of SUB, verbose": [
        ("A", connect_line(verbose=True) + b"SUB a..b 1\r\nSUB > 1\r\nSUB >.a 2\r\nSUB a.> q 2\r\nSUB . 3\r\n")
    ],
    "names with quotes in violations": [("A", ON + b'SUB a"\xff\x01b\\ _sys_ 1\r\nPUB $NRG."x\xc3\xa9\x7f 0\r\n\r\n')],
    "reserved prefixes, to the letter": [
        ("A", ON + publishes(b"_GR_", b"_GR_.", b"$NRG", b"$NRG.", b"_R_.x", b"$JS.ACK.x")),
        *(("A", publishes(b"a", reply=reply)) for reply in (b"_R_", b"_R_.", b"$JS.ACK.", b"$JS.ACK", b"_GR_.", b"_R")),
    ],
    "the order over two subscriptions": [("A", ON + b"SUB a.b 1\r\n" + b"PUB a.b 1\r\nx\r\n" * 5)],
    "many sizes": [
        ("A", ON + b"SUB a 1\r\n"),
        *(("A", b"PUB a %d\r\n%s\r\n" % (size, b"p" * size)) for size in (0, 9, 10, 1023, 1024, 2047, 2048, 70_000)),
    ],
    "CONNECT in capitals, with null and unknown keys": [
        ("A", b'connect {"VERBOSE":false,"Pedantic":false,"name":null,"nonsense":[1]}\r\nSUB a 1\r\nPUB a.* 0\r\n\r\n'),
    ],
    "CONNECT null": [("A", b"CONNECT null\r\nSUB a 1\r\n")],
    "CONNECT []": [("A", b"CONNECT []\r\n")],
    "CONNECT with a number for a name": [("A", b'CONNECT {"name":1}\r\n')],
    "CONNECT with protocol 1.5": [("A", b'CONNECT {"protocol":1.5}\r\n')],
    "CONNECT with protocol -1": [("A", b'CONNECT {"protocol":-1}\r\n')],
    "CONNECT with more behind it": [("A", b"CONNECT {} x\r\n")],
    "CONNECT twice, the second one wrong": [("A", ON), ("A", b"CONNECT {\r\n")],
    "CONNECT twice, echo goes off and headers on": [
        ("A", b'CONNECT {"verbose":false,"headers":false}\r\nSUB a 1\r\nPUB a 0\r\n\r\n'),
        ("A", b'CONNECT {"echo":false,"headers":true}\r\nSUB a 1\r\nHPUB a 0 0\r\n\r\n'),
    ],
    "INFO of a client": [("A", ON + b"INFO {}\r\n"), ("A", b"INFO {\r\n")],
    "INFO that is an array": [("A", ON + b"INFO []\r\n")],
    "PONG and +OK of a client": [("A", ON + b"PONG\r\n+OK\r\nPONG\r\n")],
    "HPUB before CONNECT": [("A", b"HPUB a 0 0\r\n\r\n")],
    "header block that is none": [("A", ON + b"SUB a 1\r\nHPUB a 3 5\r\nabcde\r\n")],
    "HMSG of a client, behind a message": [
        ("A", ON + b"SUB > 1\r\nPUB a 1\r\nx\r\n"),
        ("A", b"PUB a 1\r\nx\r\nHMSG a 1 1 1\r\n\r\nPUB a 1\r\nx\r\n"),
    ],
    "HMSG of a client with a payload": [("A", ON + b"HMSG a 1 1 1\r\nx\r\n")],
    "an HTTP client": [("A", b"GET / HTTP/1.1\r\n")],
    "new_account": [("A", b'CONNECT {"new_account":true}\r\n')],
    "no_responders in a second CONNECT without headers": [
        ("A", b"CONNECT {}\r\n"),
        ("A", b'CONNECT {"no_responders":true}\r\n'),
    ],
}  # fmt: skip


def steps_of(conversation: str) -> list[Step]:
    """What is said in a written conversation (see `core_room`), without the answers."""
    steps: list[Step] = []
    last = ""
    for line in conversation.strip().splitlines():
        line = line.strip(" ")
        if not line or line[1] in "<!":
            last = ""
            continue
        if line[1] == "+":
            steps.append((line[0], connect_line(**json.loads(line[3:] or "{}"))))
            last = ""
            continue
        data = written(line[3:]) + (b"\r\n" if line[1] == ">" else b"")
        if last == line[0]:
            data = steps.pop()[1] + data
        steps.append((line[0], data))
        last = line[0]
    return steps


def said(output: bytes) -> list[bytes]:
    """Output in operations, each with its payload; INFO by its kind, without pings."""
    found: list[bytes] = []
    while output:
        line, end, output = output.partition(b"\r\n")
        assert end, f"cut: {line!r}"
        if line.startswith((b"MSG ", b"HMSG ")):
            size = int(line.split(b" ")[-1])
            line += b"\r\n" + output[:size]
            assert output[size : size + 2] == b"\r\n"
            output = output[size + 2 :]
        elif line.startswith(b"INFO "):
            line = b"INFO connect_info" if "connect_info" in json.loads(line[5:]) else b"INFO"
        if line != b"PING":
            found.append(line)
    return found


def compare(port: int, options: Options, steps: list[Step]) -> None:
    room = Room(options)
    others: dict[str, ReferenceClient] = {}
    try:
        for name, data in steps:
            if name not in others:
                room.open(name)
                others[name] = ReferenceClient(port)
            for client in [name, *(other for other in others if other != name)]:
                piece = data if client == name else b""
                room.send(client, piece)
                if client not in room.ended:
                    room.send(client, FENCE)
                    piece += FENCE
                others[client].send(piece)
                ours = room.take(client)
                if client in room.ended:
                    others[client].read_rest()
                else:
                    others[client].read_pongs(said(ours).count(b"PONG"))
                assert said(ours) == said(others[client].take()), f"{client} after {data!r}"
            if room.ended:
                return  # the reference forgets who left a little later
    finally:
        for other in others.values():
            other.close()


@pytest.fixture(scope="module")
def reference() -> Iterator[ReferenceServer]:
    with ReferenceServer() as server:
        yield server


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_written_conversation(reference: ReferenceServer, name: str) -> None:
    compare(reference.port, Options(), steps_of(CONVERSATIONS[name]))


@pytest.mark.parametrize("name", RAW)
def test_a_raw_conversation(reference: ReferenceServer, name: str) -> None:
    compare(reference.port, Options(), RAW[name])


# With limits


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReferenceServer]:
    config = tmp_path_factory.mktemp("limited") / "server.conf"
    config.write_text(f"max_control_line: {CONTROL_LINE}\nmax_payload: {PAYLOAD}\n")
    with ReferenceServer("-c", str(config)) as server:
        yield server


NARROW = Options(max_control_line=CONTROL_LINE, max_payload=PAYLOAD)
COMPLETE = [data for data in VALID if data.endswith(b"\n")]
BEGINNINGS = {"defaults": b"", "headers": b'CONNECT {"headers":true,"echo":false}\r\nSUB a 1\r\n'}


@pytest.mark.parametrize("beginning", BEGINNINGS)
@pytest.mark.parametrize("data", [*COMPLETE, *(data for data, _text in MALFORMED)], ids=repr)
def test_what_is_valid_and_what_is_malformed(limited: ReferenceServer, data: bytes, beginning: str) -> None:
    compare(limited.port, NARROW, [("A", BEGINNINGS[beginning] + b"SUB > 7\r\n"), ("A", data)])


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit(tmp_path: Path, name: str) -> None:
    config = tmp_path / "server.conf"
    config.write_text("max_control_line: 40\nmax_payload: 10\nmax_subscriptions: 2\nmax_subscription_tokens: 3\n")
    options = Options(max_payload=10, max_control_line=40, max_subscriptions=2, max_subscription_tokens=3)
    with ReferenceServer("-c", str(config)) as server:
        compare(server.port, options, steps_of(LIMITS[name]))


# With logins

LOGINS = [
    b'CONNECT {"user":"u","pass":"plain"}\r\nSUB a 1\r\n',
    b'CONNECT {"user":"h","pass":"secret"}\r\nSUB a 1\r\n',
    b'CONNECT {"user":"u","pass":"wrong"}\r\n',
    b'CONNECT {"user":"h","pass":"wrong"}\r\n',
    b'CONNECT {"user":"nobody","pass":"plain"}\r\n',
    b'CONNECT {"user":"u"}\r\n',
    b'CONNECT {"auth_token":"plain"}\r\n',
    b"CONNECT {}\r\n",
    b"CONNECT {\r\n",
    b"PING\r\n",
    b"PUB a 0\r\n",
    b"nonsense",
]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReferenceServer]:
    config = tmp_path_factory.mktemp("guarded") / "server.conf"
    users = f'{{user: u, password: plain}}, {{user: h, password: "{HASH}"}}'
    config.write_text(f"authorization {{ users: [{users}] }}\n")
    with ReferenceServer("-c", str(config)) as server:
        yield server


@pytest.mark.parametrize("data", LOGINS, ids=repr)
def test_a_login(guarded: ReferenceServer, data: bytes) -> None:
    options = Options(authorization=AuthorizationOptions(users=[UserOptions("u", "plain"), UserOptions("h", HASH)]))
    compare(guarded.port, options, [("A", data)])


def test_info_says_the_same_things(tmp_path: Path) -> None:
    """Key by key; theirs has besides which commit it was built from, and a key for encrypted callouts."""
    config = tmp_path / "server.conf"
    config.write_text("server_name: s\nclient_advertise: 'example.com:4333'\nauthorization { token: t }\n")
    options = Options(
        server_name="s", client_advertise="example.com:4333", authorization=AuthorizationOptions(token="t")
    )
    introduction = connect_line(auth_token="t") + FENCE
    room = Room(options)
    room.open("A")
    room.send("A", introduction)
    with ReferenceServer("-c", str(config)) as server:
        client = ReferenceClient(server.port)
        client.send(introduction)
        while client.received.count(b"INFO ") < 2:
            client.read_some()
        infos = [
            [json.loads(line[5:]) for line in output.split(b"\r\n") if line.startswith(b"INFO ")]
            for output in (client.take(), room.take("A"))
        ]
        client.close()
    for theirs, ours in zip(*infos, strict=True):
        assert set(theirs) - set(ours) == {"git_commit", "xkey"}
        assert set(ours) - set(theirs) == {"ternmq"}
        differing = {"server_id", "server_name", "client_id", "go", "version", "ternmq"}
        assert {key: ours[key] for key in ours if key not in differing} == {
            key: theirs[key] for key in ours if key not in differing
        }
