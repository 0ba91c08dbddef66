"""One client's connection: bytes in, an outbox out, and the states between INFO and the end.

Is: `ClientSession`, sans-IO. The node feeds `on_bytes`, calls `on_tick` once `deadline_ns` has passed, and sends
what the outbox holds; a session that ends says so in `outbox.close_reason` and never raises.
Is not: parsing (`wire.parser`), matching and delivery (`router`, `delivery`), the table of sessions (`clients`).
Invariants: nothing but CONNECT is listened to while authentication is due; what a client may publish or subscribe to is
asked of `permissions` only; texts and fates are those of `wire.errors`.
Read next: `session_services.py` (what all sessions share), `wire/parser.py`, `router.py`.
"""

from typing import Final

from mypy_extensions import i64

from broker.core.auth import PasswordCheck
from broker.core.connect import ConnectError, ConnectOptions, parse_object
from broker.core.delivery import PublishMemo
from broker.core.permissions import publish_refusal, subscribe_refusal
from broker.core.pings import Pings
from broker.core.publish_run import publish_run
from broker.core.session_log import SessionLog
from broker.core.session_services import RTT_INTERVAL_NS, SessionServices
from broker.core.subjects import is_valid_literal
from broker.core.subscription import ClientSubscription, Subscriber
from broker.wire import encode, errors
from broker.wire.errors import ProtocolError
from broker.wire.parser import (
    OP_CONNECT,
    OP_ERR,
    OP_FAILED,
    OP_INFO,
    OP_NONE,
    OP_PING,
    OP_PONG,
    OP_PUB,
    OP_SUB,
    OP_UNSUB,
    Parser,
)

_UNCHECKED_BYTES_MAX: Final = 128 * 1024  # what may wait while a password is compared elsewhere
_LEFT_MAX: Final = 32  # subscriptions that are remembered of a connection that ended
_DEAF: Final = Parser(0, 0)  # nothing is fed to it


class ClientSession(Subscriber):
    def __init__(self, services: SessionServices, cid: int, host: str, port: int) -> None:
        super().__init__(cid, services.router.outbox(cid, services.max_pending))
        now_ns = services.now_ns
        self.services: Final = services
        self.host: Final = host
        self.port: Final = port
        self.started_ns: Final = now_ns
        self.options: Final = ConnectOptions()
        self.log: Final = SessionLog(services, cid, host, port, self.options)
        self.subscriptions: Final[dict[bytes, ClientSubscription]] = {}  # by sid
        self.deadline_ns: int = 0  # when `on_tick` is due
        self.last_activity_ns: int = now_ns  # when it was heard; only that keeps pings away
        self.last_delivery_ns: int = 0
        self.out_messages_seen: i64 = 0
        self.pings: Final = Pings(now_ns + services.ping_interval_ns)
        self.left: list[ClientSubscription] = []  # those it had when it ended, the first ones
        self.num_left: int = 0
        self._parser: Parser = Parser(services.max_control_line, services.max_payload)
        self._connected: bool = False  # CONNECT was received
        self._ponged: bool = False
        self._check: PasswordCheck | None = None  # being compared elsewhere; bytes wait meanwhile
        self._unchecked: bytes = b""
        self._last_line: bytes = b""  # of the last publish without a reply
        self._memo: PublishMemo | None = None
        self._auth_deadline_ns: int = 0

    # What the node calls

    def open(self) -> None:
        """Say INFO. The clocks of authentication and pings start."""
        self._send_info({})
        if self.services.authenticator.required:
            self._parser.awaits_connect = True
            self._auth_deadline_ns = self.services.now_ns + self.services.auth_timeout_ns
        self._set_deadline()

    def on_bytes(self, data: bytes) -> None:
        """Everything that arrived since the last call, in any cuts."""
        if self.outbox.is_closed():
            return
        if self._check is not None:
            self._unchecked += data
            if len(self._unchecked) > _UNCHECKED_BYTES_MAX:
                self.close(errors.ERR_AUTHORIZATION)
            return
        messages = self.in_messages
        bytes_ = self.in_bytes
        self._parser.feed(data)
        self._operations()
        if self.in_messages != messages:
            self.last_activity_ns = self.services.now_ns
            self.services.router.in_messages += int(self.in_messages - messages)
            self.services.router.in_bytes += int(self.in_bytes - bytes_)

    def on_tick(self, now_ns: int) -> None:
        """`deadline_ns` has passed: somebody did not authenticate in time, or a ping is due."""
        if self.outbox.is_closed():
            return
        if self._auth_deadline_ns and now_ns >= self._auth_deadline_ns:
            self.close(errors.ERR_AUTHENTICATION_TIMEOUT)
            return
        if now_ns >= self.pings.due_ns:
            self._on_ping_timer(now_ns)
        self._set_deadline()

    def on_password_checked(self, check: PasswordCheck) -> None:
        """The verdict on the CONNECT that waits for it."""
        if check is not self._check:
            return
        self._check = None
        waiting = self._unchecked
        self._unchecked = b""
        if not self.outbox.is_closed():
            self._admit(check.accepted)
            self._operations()
            self.on_bytes(waiting)

    def send_info(self, fields: dict[str, object]) -> None:
        """Tell the client what changed (new addresses, lame duck), if it understands INFO at any time."""
        if self._connected and self.options.protocol >= 1:
            self._send_info(fields)

    def limits_changed(self) -> None:
        """The configuration was reloaded: what the owner's services say holds from the next operation on."""
        self._parser.max_control_line = self.services.max_control_line
        self._parser.max_payload = self.services.max_payload
        self._last_line = b""  # its size was checked against the old limit
        self._memo = None

    def close(self, error: ProtocolError, complaint: str = "") -> None:
        """End the connection, with the error's text as the last word when it has one; the log gets the complaint."""
        if error.text:
            self.outbox.append(error.encode())
        if error.is_routine:
            self.log.debug(complaint or error.text)
        elif complaint or error.text:
            self.log.error(complaint or error.text)
        self.end(error.close_reason)

    def end(self, reason: str) -> None:
        """End the connection without a word; also called when the socket is gone."""
        if self.subscriptions:
            self.num_left = len(self.subscriptions)
            self.left = list(self.subscriptions.values())[:_LEFT_MAX]
        self.outbox.close(reason, drop_output=False)
        self._unsubscribe_all()
        self._memo = None
        self._last_line = b""

    def forget(self) -> None:
        """The socket is gone: let go of what was on its way, and of secrets. What /connz shows for a while stays."""
        self._parser = _DEAF
        self._unchecked = b""
        self.outbox.parts = []
        self.options.password = ""
        self.options.token = ""

    # Operations

    def _operations(self) -> None:
        """All complete operations. Runs of messages with one line are taken in one go."""
        parser = self._parser
        outbox = self.outbox
        while not outbox.is_closed():
            memo = self._memo
            if memo is not None and not publish_run(self, self.services.router, parser, memo):
                self._memo = None
            operation = parser.next()
            if self.services.traces:
                self.log.operation(operation, parser)
            if operation == OP_PUB:
                self._publish()
            elif operation == OP_NONE:
                return
            elif operation == OP_SUB:
                self._subscribe(parser.subject, parser.queue, parser.sid)
            elif operation == OP_UNSUB:
                self._unsubscribe(parser.sid, parser.maximum)
            elif operation == OP_PING:
                self._on_ping()
            elif operation == OP_PONG:
                self.pings.answered(self.services.now_ns)
            elif operation == OP_CONNECT:
                self._on_connect(parser.document)
                if self._check is not None:
                    return
            elif operation == OP_INFO:
                self._on_info(parser.document)
            elif operation == OP_ERR:
                self.log.error("Client Error " + parser.document.decode("utf-8", "backslashreplace"))
                self.end(errors.PARSE_ERROR)
            elif operation == OP_FAILED:
                error = parser.error
                assert error is not None
                if error is errors.ERR_AUTHORIZATION:
                    self._refuse_login()
                else:
                    self.close(error, parser.complaint)

    def _publish(self) -> None:
        """One message whose line the parser has just read."""
        parser = self._parser
        subject = parser.subject
        reply = parser.reply
        self.in_messages += 1
        self.in_bytes += parser.size
        options = self.options
        is_usual = True
        if options.pedantic and not is_valid_literal(subject) and subject:  # none: see HMSG in the parser
            self.outbox.append(errors.ERR_INVALID_PUBLISH_SUBJECT.encode())
            is_usual = False
        refusal = publish_refusal(subject, reply)
        if refusal:
            self.outbox.append(errors.error_line(refusal))
            self.log.publish_refused(refusal, subject, reply)
            return
        if options.verbose:
            self.outbox.append(encode.OK)
            is_usual = False
        router = self.services.router
        result = router.lookup(subject)
        header_length = int(parser.header_length)
        if is_usual and not reply and not self.services.traces:
            line = parser.line()
            if line == self._last_line and line:
                self._memo = PublishMemo(line, subject, reply, header_length, int(parser.size), result)
            self._last_line = line
        receivers = 0
        if result.is_stream_only:
            ingress = result.ingress
            assert ingress is not None
            ingress.ingest(subject, reply, header_length, parser.data())
            receivers = 1
        elif not result.is_empty:
            receivers = router.delivery.publish_body(result, self, subject, reply, header_length, parser.body())
        if receivers == 0 and reply and options.no_responders:
            self._tell_no_responders(subject, reply)

    def _tell_no_responders(self, subject: bytes, reply: bytes) -> None:
        """503, on this connection's own plain subscription for the reply; where there is none, nothing is said."""
        for subscription in self.services.router.lookup(reply).plain:
            if subscription.owner is self:
                self.outbox.append(encode.no_responders(subject, reply, subscription.sid))
                return

    def _subscribe(self, subject: bytes, queue: bytes, sid: bytes) -> None:
        services = self.services
        self.last_activity_ns = services.now_ns
        refusal = subscribe_refusal(subject, queue)
        if not refusal and 0 < services.max_subscription_tokens < subject.count(b".") + 1:
            refusal = errors.too_many_tokens(subject)
        if not refusal and 0 < services.max_subscriptions <= len(self.subscriptions):
            refusal = errors.ERR_MAX_SUBSCRIPTIONS.text
        if not refusal and sid not in self.subscriptions:
            subscription = ClientSubscription(self, subject, queue, sid)
            if services.router.subscribe(subscription):
                self.subscriptions[sid] = subscription
            else:
                self.outbox.append(errors.ERR_INVALID_SUBJECT.encode())
                return
        if refusal:
            self.outbox.append(errors.error_line(refusal))
            self.log.subscription_refused(refusal, subject, queue, sid)
        elif self.options.verbose:
            self.outbox.append(encode.OK)

    def _unsubscribe(self, sid: bytes, maximum: int) -> None:
        self.last_activity_ns = self.services.now_ns
        subscription = self.subscriptions.get(sid)
        if subscription is not None:
            if maximum > 0 and maximum > subscription.delivered:
                subscription.max = maximum
            else:
                self.subscription_ended(subscription)
        if self.options.verbose:
            self.outbox.append(encode.OK)

    def subscription_ended(self, subscription: ClientSubscription) -> None:
        self.subscriptions.pop(subscription.sid, None)
        self.services.router.unsubscribe(subscription)
        if self.services.traces:
            self.log.subscription_ended(subscription.sid)

    def _unsubscribe_all(self) -> None:
        for subscription in list(self.subscriptions.values()):
            self.subscription_ended(subscription)

    # CONNECT

    def _on_connect(self, document: bytes) -> None:
        services = self.services
        options = self.options
        self._auth_deadline_ns = 0
        self.pings.rtt_ns = max(services.now_ns - self.started_ns, 1)  # an estimate, until a ping is answered
        self.pings.due_ns = services.now_ns + services.first_ping_after_ns()
        self._set_deadline()
        try:
            options.update(document)
        except ConnectError as error:
            self.log.error(str(error))
            self.end(errors.PROTOCOL_VIOLATION)
            return
        if self._connected:
            self._unsubscribe_all()
        self._connected = True
        self.echo = options.echo
        self.headers = options.headers
        self._parser.accepts_headers = options.headers
        self._memo = None
        self._last_line = b""
        authenticator = services.authenticator
        if not authenticator.required:
            self._admit(True)
            return
        check = authenticator.check(options.user, options.password, options.token)
        if check is None:
            self._admit(False)
        elif check.is_slow and services.defers_slow_checks:
            self._check = check
            services.checks.append((self.cid, check))
        else:
            check.run()
            self._admit(check.accepted)

    def _admit(self, accepted: bool) -> None:
        options = self.options
        if not accepted or options.names_account:
            self._refuse_login()
            return
        self.log.is_introduced = True
        self._parser.awaits_connect = False
        if not 0 <= options.protocol <= 1:
            self.close(errors.ERR_CLIENT_PROTOCOL)
        elif options.no_responders and not options.headers:
            self.close(errors.ERR_NO_RESPONDERS_HEADERS)
        elif options.verbose:
            self.outbox.append(encode.OK)

    def _refuse_login(self) -> None:
        self.log.login_refused()
        self.outbox.append(errors.ERR_AUTHORIZATION.encode())
        self.end(errors.AUTHENTICATION_FAILURE)

    # INFO, PING, PONG

    def _send_info(self, fields: dict[str, object]) -> None:
        info = dict(self.services.info)
        info["max_payload"] = int(self._parser.max_payload)
        info["client_id"] = self.cid
        info["client_ip"] = self.host
        info.update(fields)
        self.outbox.append(encode.info_line(info))

    def _on_info(self, document: bytes) -> None:
        """Clients have no business saying it; the reference only minds what it cannot read."""
        try:
            parse_object(document)
        except ConnectError as error:
            self.log.error(str(error))
            self.end(errors.PROTOCOL_VIOLATION)

    def _on_ping(self) -> None:
        self.last_activity_ns = self.services.now_ns
        self.outbox.append(encode.PONG)
        if self._connected and not self._ponged:
            self._ponged = True
            if self.options.protocol >= 1:
                self._send_info({"connect_info": True, "remote_account": "$G"})

    def _on_ping_timer(self, now_ns: int) -> None:
        """Ping, unless the client was heard lately and its round trip is known; too many unanswered: stale."""
        services = self.services
        pings = self.pings
        wants_rtt = pings.sent_ns == 0 or now_ns - pings.sent_ns > RTT_INTERVAL_NS
        if wants_rtt or now_ns - self.last_activity_ns >= services.ping_interval_ns:
            if not pings.send(now_ns, services.ping_max):
                self.close(errors.ERR_STALE_CONNECTION, "Stale Client Connection - Closing")
                return
            self.outbox.append(encode.PING)
        pings.due_ns = now_ns + services.ping_interval_ns

    def _set_deadline(self) -> None:
        self.deadline_ns = self.pings.due_ns
        if self._auth_deadline_ns:
            self.deadline_ns = min(self._auth_deadline_ns, self.pings.due_ns)
