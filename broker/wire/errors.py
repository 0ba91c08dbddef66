"""Every `-ERR` a client can get: its text, whether the connection survives it, and the reason /connz shows then.

Is: one table. Close reasons that come without any `-ERR` stand here too.
Is not: the decision when one applies (`core.session`).
Invariants: texts are nats-server's, byte for byte; clients compare them in lower case and capture the double quotes.
Read next: `parser.py`, `core/session.py`.
"""

from typing import Final


class ProtocolError:
    """A text for the client and its fate: `close_reason` "" means that the connection stays open.

    `is_routine`: networks fail and clients fall silent; that is nobody's mistake, so the log has it for debugging only.
    """

    def __init__(self, text: str, close_reason: str = "", is_routine: bool = False) -> None:
        self.text: Final = text
        self.close_reason: Final = close_reason
        self.is_routine: Final = is_routine

    def encode(self) -> bytes:
        return error_line(self.text)


def error_line(text: str) -> bytes:
    return b"-ERR '" + text.encode("utf-8", "replace") + b"'\r\n"


# Reasons that are not told to the client (it sees the connection end) or that stand behind a text below.
CLIENT_CLOSED: Final = "Client Closed"
AUTHENTICATION_TIMEOUT: Final = "Authentication Timeout"
AUTHENTICATION_FAILURE: Final = "Authentication Failure"
SLOW_CONSUMER_PENDING: Final = "Slow Consumer (Pending Bytes)"
SLOW_CONSUMER_DEADLINE: Final = "Slow Consumer (Write Deadline)"
WRITE_ERROR: Final = "Write Error"
READ_ERROR: Final = "Read Error"
PARSE_ERROR: Final = "Parse Error"
STALE_CONNECTION: Final = "Stale Connection"
PROTOCOL_VIOLATION: Final = "Protocol Violation"
BAD_PROTOCOL_VERSION: Final = "Bad Client Protocol Version"
MAX_CONNECTIONS: Final = "Maximum Connections Exceeded"
MAX_PAYLOAD: Final = "Maximum Message Payload Exceeded"
MAX_CONTROL_LINE: Final = "Maximum Control Line Exceeded"
NO_RESPONDERS_REQUIRES_HEADERS: Final = "No Responders Requires Headers"
SERVER_SHUTDOWN: Final = "Server Shutdown"

ERR_UNKNOWN_OPERATION: Final = ProtocolError("Unknown Protocol Operation", PROTOCOL_VIOLATION)
ERR_AUTHORIZATION: Final = ProtocolError("Authorization Violation", AUTHENTICATION_FAILURE)
ERR_AUTHENTICATION_TIMEOUT: Final = ProtocolError("Authentication Timeout", AUTHENTICATION_TIMEOUT, is_routine=True)
ERR_MAX_CONNECTIONS: Final = ProtocolError("maximum connections exceeded", MAX_CONNECTIONS)
ERR_MAX_SUBSCRIPTIONS: Final = ProtocolError("maximum subscriptions exceeded")
ERR_MAX_PAYLOAD: Final = ProtocolError("Maximum Payload Violation", MAX_PAYLOAD)
ERR_MAX_CONTROL_LINE: Final = ProtocolError("maximum control line exceeded", MAX_CONTROL_LINE)
ERR_INVALID_PUBLISH_SUBJECT: Final = ProtocolError("Invalid Publish Subject")
ERR_INVALID_SUBJECT: Final = ProtocolError("Invalid Subject")
ERR_STALE_CONNECTION: Final = ProtocolError("Stale Connection", STALE_CONNECTION, is_routine=True)
ERR_CLIENT_PROTOCOL: Final = ProtocolError("invalid client protocol", BAD_PROTOCOL_VERSION)
ERR_NO_RESPONDERS_HEADERS: Final = ProtocolError(
    "no responders requires headers support", NO_RESPONDERS_REQUIRES_HEADERS
)

TABLE: Final = (
    ERR_UNKNOWN_OPERATION,
    ERR_AUTHORIZATION,
    ERR_AUTHENTICATION_TIMEOUT,
    ERR_MAX_CONNECTIONS,
    ERR_MAX_SUBSCRIPTIONS,
    ERR_MAX_PAYLOAD,
    ERR_MAX_CONTROL_LINE,
    ERR_INVALID_PUBLISH_SUBJECT,
    ERR_INVALID_SUBJECT,
    ERR_STALE_CONNECTION,
    ERR_CLIENT_PROTOCOL,
    ERR_NO_RESPONDERS_HEADERS,
)


def go_quote(value: bytes) -> str:
    """`value` in double quotes as Go's %q writes it: what clients' regular expressions capture."""
    out = ['"']
    for char in value.decode("utf-8", "surrogateescape"):
        code = ord(char)
        if char in '"\\':
            out.append("\\" + char)
        elif 0xDC80 <= code <= 0xDCFF:
            out.append(f"\\x{code - 0xDC00:02x}")
        elif char in _GO_ESCAPES:
            out.append(_GO_ESCAPES[char])
        elif code < 0x20 or code == 0x7F:
            out.append(f"\\x{code:02x}")
        elif char.isprintable():
            out.append(char)
        else:
            out.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    out.append('"')
    return "".join(out)


_GO_ESCAPES: Final = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}


# Permission texts name what was asked for. None of them closes the connection.


def publish_violation(subject: bytes) -> str:
    return f"Permissions Violation for Publish to {go_quote(subject)}"


def reply_violation(reply: bytes) -> str:
    return f"Permissions Violation for Publish with Reply of {go_quote(reply)}"


def subscription_violation(subject: bytes, queue: bytes) -> str:
    if queue:
        return f"Permissions Violation for Subscription to {go_quote(subject)} using queue {go_quote(queue)}"
    return f"Permissions Violation for Subscription to {go_quote(subject)}"


def too_many_tokens(subject: bytes) -> str:
    return f"Permissions Violation for Subscription to {go_quote(subject)}, too many tokens"
