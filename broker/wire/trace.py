"""How the protocol looks in a log: lines in brackets, payloads quoted and cut, secrets left out.

Is: text, as nats-server's trace has it. Is not: the decision to trace, or whose line it is.
Read next: `core/session_log.py`, `cluster/routes/route_log.py`.
"""

import re
from typing import Final

from broker.wire.errors import go_quote

IN: Final = "<<-"
OUT: Final = "->>"
ENDED: Final = "<->"
_SECRETS: Final = re.compile(
    rb'(\b(?:pass|auth_token|jwt|sig)"?\s*[:=]\s*)(?:(")(?:[^"\\]|\\.)*|[^",}\s]+)', re.IGNORECASE
)
_REDACTED: Final = rb"\1\2[REDACTED]"
_HEADER_END: Final = b"\r\n\r\n"


class TraceOptions:
    """How much of a payload is shown."""

    def __init__(self, headers_only: bool, length_max: int) -> None:
        self.headers_only: Final = headers_only
        self.length_max: Final = length_max  # 0: all


def shown(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def words(*parts: bytes) -> str:
    """Those that are not empty, with a space between."""
    return shown(b" ".join([part for part in parts if part]))


def document(data: bytes) -> str:
    """The JSON of CONNECT or INFO."""
    return shown(_SECRETS.sub(_REDACTED, data))


def line_of(way: str, line: str) -> str:
    return f"{way} [{line}]"


def payload_of(way: str, data: bytes, header_length: int, options: TraceOptions) -> str:
    """The line for headers and payload; "" when there is nothing to show."""
    if options.headers_only:
        data = data[:header_length].removesuffix(_HEADER_END)
    if not data:
        return ""
    if 0 < options.length_max < len(data):
        return f'{way} MSG_PAYLOAD: [{go_quote(data[: options.length_max])[:-1]}..."]'
    return f"{way} MSG_PAYLOAD: [{go_quote(data)}]"


def output_lines(data: bytes, options: TraceOptions) -> list[str]:
    """What is sent, whole operations, as lines of a log. INFO is not shown."""
    told: list[str] = []
    position = 0
    while position < len(data):
        line_end = data.find(b"\r\n", position)
        line = data[position:line_end]
        position = line_end + 2
        if line.startswith((b"MSG ", b"HMSG ", b"RMSG ")):
            parts = line.split(b" ")
            size = int(parts[-1])
            told.append(line_of(OUT, shown(line)))
            payload = payload_of(OUT, data[position : position + size], int(parts[-2]) if line[0] == 72 else 0, options)
            if payload:
                told.append(payload)
            position += size + 2
        elif line.startswith(b"-ERR '"):
            told.append(line_of(OUT, "-ERR " + shown(line[6:-1])))
        elif line.startswith(b"CONNECT "):
            told.append(line_of(OUT, "CONNECT " + document(line[8:])))
        elif not line.startswith(b"INFO "):
            told.append(line_of(OUT, shown(line.removeprefix(b"+"))))
    return told
