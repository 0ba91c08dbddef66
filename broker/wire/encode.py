"""Operations → bytes: what the server says to clients, and message lines towards routes.

Is: pure functions and ready-made constants. The delivery of messages in bulk (`core.delivery`) builds on the parts
here.
Is not: the -ERR texts (`errors`).
Invariants: sizes are exact; a message without a header block is a MSG, one with a header block a HMSG.
Read next: `headers.py`.
"""

import json
from typing import Final

CRLF: Final = b"\r\n"
PING: Final = b"PING\r\n"
PONG: Final = b"PONG\r\n"
OK: Final = b"+OK\r\n"
ACCOUNT: Final = b"$G"  # the one account there is

_SIZES: Final = [str(size).encode() for size in range(1024)]


def size_text(size: int) -> bytes:
    """Decimal digits; small ones are ready made."""
    if size < 1024:
        return _SIZES[size]
    return str(size).encode()


def info_line(info: dict[str, object]) -> bytes:
    return b"INFO " + json.dumps(info, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace") + b" \r\n"


def message_head(subject: bytes, sid: bytes, reply: bytes, header_length: int, size: int) -> bytes:
    """The line of a MSG, or of a HMSG when there is a header block; `size` is headers and payload together."""
    head = b"HMSG " if header_length > 0 else b"MSG "
    head = head + subject + b" " + sid + b" "
    if reply:
        head = head + reply + b" "
    if header_length > 0:
        head = head + size_text(header_length) + b" "
    return head + size_text(size) + CRLF


def route_message_head(subject: bytes, reply: bytes, queues: list[bytes], header_length: int, size: int) -> bytes:
    """The line of a RMSG or HMSG towards a route: for its plain interest, and for one member of each of `queues`."""
    head = b"HMSG $G " if header_length > 0 else b"RMSG $G "
    head = head + subject + b" "
    if queues:
        head = head + (b"+ " + reply if reply else b"|") + b" " + b" ".join(queues) + b" "
    elif reply:
        head = head + reply + b" "
    if header_length > 0:
        head = head + size_text(header_length) + b" "
    return head + size_text(size) + CRLF


def no_responders(subject: bytes, reply: bytes, sid: bytes) -> bytes:
    """What a requester gets when nobody heard it."""
    headers = b"NATS/1.0 503\r\nNats-Subject: " + subject + b"\r\n\r\n"
    return message_head(reply, sid, b"", len(headers), len(headers)) + headers + CRLF
