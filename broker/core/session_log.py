"""What a client's connection writes into the log: who it is, what it did wrong, and, when asked, all it says and hears.

Is: the events of one session. `-D` shows who comes and goes, `-V` every line of the protocol as nats-server's trace
does: passwords and tokens are left out, payloads are quoted and may be cut.
Is not: the sentences around them (`broker/logs.py`), or a decision of the session.
Invariants: without `services.traces` nothing here is called per message.
Read next: `session_services.py`.
"""

import re
from typing import Final

from broker.core.connect import ConnectOptions
from broker.core.session_services import SessionServices
from broker.wire.errors import ERR_MAX_SUBSCRIPTIONS, go_quote, reply_violation, too_many_tokens
from broker.wire.parser import OP_CONNECT, OP_INFO, OP_PING, OP_PONG, OP_PUB, OP_SUB, OP_UNSUB, Parser

_IN: Final = "<<-"
_OUT: Final = "->>"
_END: Final = "<->"
_SECRETS: Final = re.compile(
    rb'(\b(?:pass|auth_token|jwt|sig)"?\s*[:=]\s*)(?:(")(?:[^"\\]|\\.)*|[^",}\s]+)', re.IGNORECASE
)
_REDACTED: Final = rb"\1\2[REDACTED]"
_HEADER_END: Final = b"\r\n\r\n"


class SessionLog:
    """`options` is what the client said of itself; `user` is set once it was believed."""

    def __init__(self, services: SessionServices, cid: int, host: str, port: int, options: ConnectOptions) -> None:
        self._services: Final = services
        self._cid: Final = cid
        self._remote: Final = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._options: Final = options
        self.is_introduced: bool = False  # CONNECT was accepted

    def event(self, level: str, name: str, fields: dict[str, object]) -> None:
        """An event of this client."""
        known: dict[str, object] = {"remote": self._remote, "cid": self._cid}
        if self.is_introduced:
            options = self._options
            version = "v" + options.version if options.version else ""
            client = ":".join([part for part in (version, options.lang, options.name) if part])
            if client:
                known["client"] = client
            if options.user:
                known["user"] = options.user
        known.update(fields)
        self._services.event(level, name, known)

    def error(self, text: str) -> None:
        self.event("error", "client_error", {"error": text})

    def debug(self, text: str) -> None:
        self.event("debug", "client_error", {"error": text})

    def login_refused(self) -> None:
        user = self._options.user
        self.event("error", "authentication_error", {"as_user": f' - User "{user}"'} if user else {"as_user": ""})

    def publish_refused(self, refusal: str, subject: bytes, reply: bytes) -> None:
        what = f"Reply {go_quote(reply)}" if refusal == reply_violation(reply) else f"Subject {go_quote(subject)}"
        self.error(f"Publish Violation - {what}")

    def subscription_refused(self, refusal: str, subject: bytes, queue: bytes, sid: bytes) -> None:
        if refusal == ERR_MAX_SUBSCRIPTIONS.text:
            self.error(refusal)
            return
        many = " Too Many Tokens" if refusal == too_many_tokens(subject) else ""
        group = f", Queue: {go_quote(queue)}" if queue and not many else ""
        self.error(f"Subscription Violation{many} - Subject {go_quote(subject)}{group}, SID {_shown(sid)}")

    # The protocol, line by line

    def operation(self, operation: int, parser: Parser) -> None:
        """What the client said, as the parser has read it."""
        if operation == OP_PUB:
            self._publish(parser)
        elif operation in (OP_CONNECT, OP_INFO):
            verb = "CONNECT" if operation == OP_CONNECT else "INFO"
            self._line(_IN, verb + " " + _shown(_SECRETS.sub(_REDACTED, parser.document)))
        elif operation == OP_SUB:
            self._line(_IN, "SUB " + _words(parser.subject, parser.queue, parser.sid))
        elif operation == OP_UNSUB:
            maximum = b"" if parser.maximum < 0 else b"%d" % parser.maximum
            self._line(_IN, "UNSUB " + _words(parser.sid, maximum))
        elif operation in (OP_PING, OP_PONG):
            self._line(_IN, "PING" if operation == OP_PING else "PONG")

    def _publish(self, parser: Parser) -> None:
        size, header_length = int(parser.size), int(parser.header_length)
        if header_length:
            self._line(_IN, "HPUB " + _words(parser.subject, parser.reply, b"%d %d" % (header_length, size)))
        else:
            self._line(_IN, "PUB " + _words(parser.subject, parser.reply, b"%d" % size))
        self._payload(_IN, parser.data(), header_length)

    def output(self, data: bytes) -> None:
        """What the client is sent: whole operations."""
        position = 0
        while position < len(data):
            line_end = data.find(b"\r\n", position)
            line = data[position:line_end]
            position = line_end + 2
            if line.startswith((b"MSG ", b"HMSG ")):
                words = line.split(b" ")
                size = int(words[-1])
                self._line(_OUT, _shown(line))
                self._payload(_OUT, data[position : position + size], int(words[-2]) if line[0] == 72 else 0)
                position += size + 2
            elif line.startswith(b"-ERR '"):
                self._line(_OUT, "-ERR " + _shown(line[6:-1]))
            elif not line.startswith(b"INFO "):
                self._line(_OUT, _shown(line.removeprefix(b"+")))

    def subscription_ended(self, sid: bytes) -> None:
        self._line(_END, "DELSUB " + _shown(sid))

    def _payload(self, way: str, data: bytes, header_length: int) -> None:
        limit = self._services.max_traced_msg_len
        if self._services.traces_headers_only:
            data = data[:header_length].removesuffix(_HEADER_END)
        if not data:
            return
        cut = 0 < limit < len(data)
        quoted = go_quote(data[:limit] if cut else data)
        self._trace(f'{way} MSG_PAYLOAD: [{quoted[:-1]}..."]' if cut else f"{way} MSG_PAYLOAD: [{quoted}]")

    def _line(self, way: str, line: str) -> None:
        self._trace(f"{way} [{line}]")

    def _trace(self, line: str) -> None:
        self.event("trace", "client_trace", {"line": line})


def _words(*words: bytes) -> str:
    return _shown(b" ".join([word for word in words if word]))


def _shown(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
