"""Client conversations as bytes, and what a reader makes of them: what the tests of the parser share.

Is: `read`, which feeds pieces to a parser and writes down every operation, and a corpus with one expectation per line.
Is not: a judgement; the expectations stand in `test_parser.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

from broker.wire.parser import (
    OP_CONNECT,
    OP_ERR,
    OP_FAILED,
    OP_INFO,
    OP_NONE,
    OP_OK,
    OP_PING,
    OP_PONG,
    OP_PUB,
    OP_SUB,
    OP_UNSUB,
    Parser,
)

CONTROL_LINE = 64
PAYLOAD = 100

Operation = tuple[object, ...]

_BARE = {OP_PING: "ping", OP_PONG: "pong", OP_OK: "ok"}
_DOCUMENTS = {OP_CONNECT: "connect", OP_INFO: "info", OP_ERR: "err"}

VALID = (
    b"",
    b"PING\r\nPONG\r\n+OK\r\nping\npOnG\r\n",
    b"PING and whatever follows\r\nPONG\tmore\n",
    b'CONNECT {"verbose":false}\r\nCONNECT{}\r\nconnect\t{}\n',
    b"INFO {}\r\nINFO{}\r\n-ERR 'what'\r\n",
    b"PUB a 0\r\n\r\nPUB a 1\r\nx\r\nPUB a.b reply.to 5\r\nhello\r\n",
    b"pub \t a\t\treply  3 \r\nabc\r\nPuB a 3\nabc\r\n",
    b"PUB a 4\r\n\r\n\r\n\r\nPUB a 6\r\nPING\r\n\r\nPING\r\n",
    b"PUB a 1\r\nx\r\n" * 9 + b"PUB a 2\r\nxy\r\n" * 3 + b"PUB b 1\r\nx\r\n",
    b"HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\nHPUB a b 12 15\r\nNATS/1.0\r\n\r\nabc\r\n",
    b"HPUB a 0 3\r\nabc\r\nhpub\ta b\t0 0\r\n\r\n",
    b"SUB a 1\r\nSUB a q 2\r\nsub\ta\tq\t3\nSUB  a.>   4  \r\n",
    b"UNSUB 1\r\nUNSUB 2 5\r\nunsub 3 x\r\nUNSUB 4 -1\r\nUNSUB 5 1234567890\r\n",
    b"SUB a\x0cb 1\r\nSUB \xff\x00 1\r\n",
    b"PUB " + b"s" * (CONTROL_LINE - 2) + b" 0\r\n\r\nSUB " + b"s" * (CONTROL_LINE - 2) + b" 1\r\n",
    b"PUB a %d\r\n" % PAYLOAD + b"p" * PAYLOAD + b"\r\nPING\r\n",
    b"SUB a 1\rb\r\nPING\r\n",
    b"SUB \ra 1\r\nSUB \n a 1\r\nPING\r\n",
    b"HMSG whatever\r\n\r\nPING\r\n",
    b"PUB a 1\r\nx\r\nPUB a 1\r\nx",
    b"PUB a 10\r\nabc",
    b"CONN",
)

# What breaks the grammar, with the text of the -ERR that ends the connection; "" ends it without a word.
UNKNOWN = "Unknown Protocol Operation"
MALFORMED = (
    (b"HELLO\r\n", UNKNOWN),
    (b"\r\n", UNKNOWN),
    (b" PING\r\n", UNKNOWN),
    (b"GET / HTTP/1.1\r\n", UNKNOWN),
    (b"PIN\r\n", UNKNOWN),
    (b"PUBX a 1\r\n", UNKNOWN),
    (b"PUB\r\n", UNKNOWN),
    (b"SUBa 1\r\n", UNKNOWN),
    (b"UNSUB\r\n", UNKNOWN),
    (b"MSG a 1 0\r\n\r\n", UNKNOWN),
    (b"RMSG $G a 0\r\n\r\n", UNKNOWN),
    (b"\x00", UNKNOWN),
    (b"\x16\x03\x01\x02\x00\x01", UNKNOWN),
    (b"PUB a 1\r\nxyz", UNKNOWN),
    (b"PUB a 1\r\nx\n", UNKNOWN),
    (b"PUB a 1\r\nx\rx", UNKNOWN),
    (b"PUB a 1\r\nx\r\nPUB a 1\r\nxx\n", UNKNOWN),
    (b"PUB a %d\r\n" % (PAYLOAD + 1), "Maximum Payload Violation"),
    (b"PUB a 999999999\r\n", "Maximum Payload Violation"),
    (b"HPUB a 2 %d\r\n" % (PAYLOAD + 1), "Maximum Payload Violation"),
    (b"SUB " + b"s" * (CONTROL_LINE - 1) + b" 1\r\n", "maximum control line exceeded"),
    (b"PUB " + b"s" * (CONTROL_LINE - 1) + b" 0\r\n\r\n", "maximum control line exceeded"),
    (b"CONNECT {" + b" " * CONTROL_LINE + b"}\r\n", "maximum control line exceeded"),
    (b"SUB " + b"s" * (CONTROL_LINE + 10), "maximum control line exceeded"),
    (b"PUB a\r\n", ""),
    (b"PUB a b c 1\r\n", ""),
    (b"PUB a 1234567890\r\n", ""),
    (b"PUB a -1\r\n", ""),
    (b"PUB a +1\r\n", ""),
    (b"PUB a 0x1\r\n", ""),
    (b"PUB a 1.0\r\n", ""),
    (b"PUB  \r\n", ""),
    (b"HPUB a 1\r\n", ""),
    (b"HPUB a 5 4\r\n", ""),
    (b"HPUB a b c 1 2\r\n", ""),
    (b"HPUB a -1 4\r\n", ""),
    (b"HPUB a x 4\r\n", ""),
    (b"SUB a\r\n", ""),
    (b"SUB a b c d\r\n", ""),
    (b"UNSUB 1 2 3\r\n", ""),
)


def read(pieces: Iterable[bytes], headers: bool = True, awaits_connect: bool = False) -> list[Operation]:
    """Everything a parser says to these pieces. What it keeps in between is bounded by one line or one message."""
    parser = Parser(CONTROL_LINE, PAYLOAD)
    parser.accepts_headers = headers
    parser.awaits_connect = awaits_connect
    said: list[Operation] = []
    for piece in pieces:
        parser.feed(piece)
        while True:
            operation = parser.next()
            if operation in (OP_NONE, OP_FAILED):
                break
            said.append(_written(parser, operation))
        assert parser.buffered_bytes() <= len(b"CONNECT ") + CONTROL_LINE + PAYLOAD + 4 + len(piece)
        if operation == OP_FAILED:
            error = parser.error
            assert error is not None and error.close_reason
            assert parser.buffered_bytes() == 0
            said.append(("failed", error.text, error.close_reason))
            parser.feed(b"PING\r\n")
            assert parser.next() == OP_FAILED  # the last word
            break
    return said


def _written(parser: Parser, operation: int) -> Operation:
    if operation == OP_PUB:
        data = parser.data()
        assert parser.body() == data + b"\r\n"
        assert len(data) == parser.size and 0 <= parser.header_length <= parser.size <= PAYLOAD
        line = parser.line()
        assert line == b"" or line.endswith(b"\r\n")
        return "pub", parser.subject, parser.reply, int(parser.header_length), data
    if operation == OP_SUB:
        return "sub", parser.subject, parser.queue, parser.sid
    if operation == OP_UNSUB:
        return "unsub", parser.sid, parser.maximum
    if operation in _DOCUMENTS:
        return _DOCUMENTS[operation], parser.document
    return (_BARE[operation],)


def one_by_one(data: bytes) -> list[bytes]:
    return [data[position : position + 1] for position in range(len(data))]


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """`data` in pieces that end at `places`."""
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    pieces: list[bytes] = []
    start = 0
    for end in ends:
        pieces.append(data[start:end])
        start = end
    return pieces
