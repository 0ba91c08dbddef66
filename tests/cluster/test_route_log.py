"""Every line of the route protocol in the log, as nats-server traces it."""

from __future__ import annotations

import pytest

from broker.cluster.routes import route_lines as lines
from broker.cluster.routes.route_log import input_lines, sent_lines
from broker.config import Options
from cluster.route_mesh import Mesh

H = b"NATS/1.0\r\n\r\n"
READ = [
    (b"RS+ $G foo\r\n", ["<<- [RS+ $G foo]"]),
    (b"RS+ $G foo q 3\r\n", ["<<- [RS+ $G foo q 3]"]),
    (b"RS- $G foo\r\n", ["<<- [RS- $G foo]"]),
    (b"RS- $G foo q\r\n", ["<<- [RS- $G foo q]"]),
    (b"RMSG $G foo 2\r\nhi\r\n", ["<<- [RMSG $G foo 2]", '<<- MSG_PAYLOAD: ["hi"]']),
    (b"RMSG $G foo r 0\r\n\r\n", ["<<- [RMSG $G foo r 0]"]),
    (b"RMSG $G foo + r q1 q2 2\r\nhi\r\n", ["<<- [RMSG $G foo + r q1 q2 2]", '<<- MSG_PAYLOAD: ["hi"]']),
    (b"RMSG $G foo | q1 2\r\nhi\r\n", ["<<- [RMSG $G foo | q1 2]", '<<- MSG_PAYLOAD: ["hi"]']),
    (
        b"HMSG $G foo %d %d\r\n%shi\r\n" % (len(H), len(H) + 2, H),
        ["<<- [HMSG $G foo 12 14]", r'<<- MSG_PAYLOAD: ["NATS/1.0\r\n\r\nhi"]'],
    ),
    (b"PING\r\n", ["<<- [PING]"]),
    (b"PONG\r\n", ["<<- [PONG]"]),
    (b'CONNECT {"user":"a","pass":"b"}\r\n', ['<<- [CONNECT {"user":"a","pass":"[REDACTED]"}]']),
    (b"-ERR 'no'\r\n", ["<<- [-ERR 'no']"]),
    (b"INFO {}\r\n", []),
]


@pytest.mark.parametrize(("data", "told"), READ)
def test_what_is_read(data: bytes, told: list[str]) -> None:
    reader = lines.RouteReader()
    reader.feed(data)
    assert input_lines(reader.next(), reader, Options(trace=True)) == told


def test_what_is_sent() -> None:
    sent = b'INFO {}\r\nCONNECT {"pass":"b"}\r\nRS+ $G foo\r\nRMSG $G foo 5\r\nhello\r\n-ERR \'no\'\r\nPING\r\n'
    assert sent_lines(sent, Options(max_traced_msg_len=2)) == [
        '->> [CONNECT {"pass":"[REDACTED]"}]',
        "->> [RS+ $G foo]",
        "->> [RMSG $G foo 5]",
        '->> MSG_PAYLOAD: ["he..."]',
        "->> [-ERR no]",
        "->> [PING]",
    ]


@pytest.mark.parametrize("is_traced", [False, True])
def test_both_ends_tell_the_same(is_traced: bool) -> None:
    mesh = Mesh(3)
    a, b = mesh.node("a", 6001, [6002]), mesh.node("b", 6002, [])
    for node in mesh.nodes:
        node.table.options.trace = is_traced
    mesh.run(1000)
    a.want(b"foo")
    mesh.run(100)

    def traced(way: str, table_events: list[tuple[str, str, dict[str, object]]]) -> list[str]:
        told = [str(fields["line"]) for _level, name, fields in table_events if name == "route_trace"]
        return [line.removeprefix(way) for line in told if line.startswith(way) and "RS+" in line]

    sent, read = traced("->> ", a.table.take_events()), traced("<<- ", b.table.take_events())
    assert sent == read == (["[RS+ $G foo]"] if is_traced else [])
