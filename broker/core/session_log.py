"""What a client's connection writes into the log: who it is, what it did wrong, and, when asked, all it says and hears.

Is: the events of one session. `-D` shows who comes and goes, `-V` every line of the protocol as nats-server's trace
does: passwords and tokens are left out, payloads are quoted and may be cut.
Is not: the sentences around them (`broker/logs.py`), or a decision of the session.
Invariants: without `services.traces` nothing here is called per message.
Read next: `session_services.py`.
"""

from typing import Final

from broker.core.connect import ConnectOptions
from broker.core.session_services import SessionServices
from broker.wire import trace
from broker.wire.errors import ERR_MAX_SUBSCRIPTIONS, go_quote, reply_violation, too_many_tokens
from broker.wire.parser import OP_CONNECT, OP_INFO, OP_PING, OP_PONG, OP_PUB, OP_SUB, OP_UNSUB, Parser


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
        self.error(f"Subscription Violation{many} - Subject {go_quote(subject)}{group}, SID {trace.shown(sid)}")

    # The protocol, line by line

    def operation(self, operation: int, parser: Parser) -> None:
        """What the client said, as the parser has read it."""
        line = ""
        if operation == OP_PUB:
            self._publish(parser)
        elif operation in (OP_CONNECT, OP_INFO):
            line = ("CONNECT " if operation == OP_CONNECT else "INFO ") + trace.document(parser.document)
        elif operation == OP_SUB:
            line = "SUB " + trace.words(parser.subject, parser.queue, parser.sid)
        elif operation == OP_UNSUB:
            maximum = b"" if parser.maximum < 0 else b"%d" % parser.maximum
            line = "UNSUB " + trace.words(parser.sid, maximum)
        elif operation in (OP_PING, OP_PONG):
            line = "PING" if operation == OP_PING else "PONG"
        if line:
            self._trace(trace.line_of(trace.IN, line))

    def _publish(self, parser: Parser) -> None:
        size, header_length = int(parser.size), int(parser.header_length)
        verb, sizes = (b"HPUB", b"%d %d" % (header_length, size)) if header_length else (b"PUB", b"%d" % size)
        self._trace(trace.line_of(trace.IN, trace.words(verb, parser.subject, parser.reply, sizes)))
        payload = trace.payload_of(trace.IN, parser.data(), header_length, self._services.trace_options)
        if payload:
            self._trace(payload)

    def output(self, data: bytes) -> None:
        """What the client is sent: whole operations."""
        for line in trace.output_lines(data, self._services.trace_options):
            self._trace(line)

    def subscription_ended(self, sid: bytes) -> None:
        self._trace(trace.line_of(trace.ENDED, "DELSUB " + trace.shown(sid)))

    def _trace(self, line: str) -> None:
        self.event("trace", "client_trace", {"line": line})
