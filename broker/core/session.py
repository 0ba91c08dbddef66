"""One client's connection, sans-IO: CONNECT, publishes, subscriptions, pings, and how it ends.

Is: the state machine behind the parser. Bytes come in by `on_bytes`, answers go to the outbox; ending is a reason in the
outbox, never an exception.
Is not: parsing (`wire.parser`), matching and delivery (`router`), what is reserved (`permissions`).
Invariants: nothing but CONNECT (and PING) is served before authentication where it is required; a publish or subscription
passes `permissions` once per new line; a run of publishes with one line is parsed, authorised and matched once.
Read next: `clients.py`, `router.py`.
"""

from typing import Final

from broker.core.auth import Authenticator
from broker.core.connect import ConnectError, ConnectOptions
from broker.core.delivery import PublishMemo
from broker.core.outbox import Outbox
from broker.core.permissions import publish_refusal, subscribe_refusal
from broker.core.router import Router
from broker.core.subjects import is_literal, is_valid, matches
from broker.core.subscription import ClientSubscription, Subscriber
from broker.wire.encode import OK, PING, PONG, info_line, no_responders
from broker.wire.errors import (
    CLIENT_CLOSED,
    ERR_AUTHENTICATION_TIMEOUT,
    ERR_AUTHORIZATION,
    ERR_CLIENT_PROTOCOL,
    ERR_INVALID_PUBLISH_SUBJECT,
    ERR_INVALID_SUBJECT,
    ERR_MAX_SUBSCRIPTIONS,
    ERR_NO_RESPONDERS_HEADERS,
    ERR_STALE_CONNECTION,
    PARSE_ERROR,
    ProtocolError,
    error_line,
    too_many_tokens,
)
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

FIRST_PING_NS: Final = 2_000_000_000
MEMO_DATA_MAX: Final = 1 << 20


class SessionRules:
    """What all sessions of a server share: limits, who may connect, what INFO says. Times are in ns."""

    def __init__(self, router: Router, authenticator: Authenticator, info: dict[str, object]) -> None:
        self.router: Final = router
        self.authenticator: Final = authenticator
        self.info: dict[str, object] = info
        self.max_control_line: int = 4096
        self.max_payload: int = 1 << 20
        self.max_subscriptions: int = 0
        self.max_subscription_tokens: int = 0
        self.ping_interval_ns: int = 120_000_000_000
        self.ping_max: int = 2
        self.auth_timeout_ns: int = 2_000_000_000
        self.stale: int = 0  # how many connections ended so


class ClientSession(Subscriber):
    """See the module's text. `host`, `port`: the client's address."""

    def __init__(self, cid: int, outbox: Outbox, rules: SessionRules, host: str, port: int, now_ns: int) -> None:
        super().__init__(cid, outbox)
        self.host: Final = host
        self.port: Final = port
        self.start_ns: Final = now_ns
        self.last_activity_ns: int = now_ns
        self.rtt_ns: int = 0
        self.connect: Final = ConnectOptions()
        self.subscriptions: Final[dict[bytes, ClientSubscription]] = {}
        self.connected: bool = False
        self.is_active: bool = False  # something came since the last tick
        self._rules: Final = rules
        self._router: Final = rules.router
        self._parser: Final = Parser(rules.max_control_line, rules.max_payload)
        self._parser.awaits_connect = rules.authenticator.required
        self._memo: PublishMemo | None = None
        self._pings_out: int = 0
        self._ping_sent_ns: int = 0
        self._next_ping_ns: int = 0
        self._second_info_due: bool = True
        self.send_info(False)

    # Output

    def send_info(self, is_update: bool) -> None:
        """INFO: the first line of a connection, or news for a client that understands them."""
        if is_update and (not self.connected or self.connect.protocol < 1):
            return
        info = dict(self._rules.info)
        info["client_id"] = self.cid
        info["client_ip"] = self.host
        self.outbox.append(info_line(info))

    def fail(self, error: ProtocolError) -> None:
        """Say what is wrong (where anything is said at all) and end the connection if that is its fate."""
        if error.text:
            self.outbox.append(error.encode())
        if error.close_reason:
            self.close(error.close_reason)

    def close(self, reason: str) -> None:
        """End the connection once its output has left."""
        self.outbox.close(reason, drop_output=False)

    def closed(self) -> None:
        """The connection is gone: its interest goes with it."""
        for subscription in self.subscriptions.values():
            self._router.unsubscribe(subscription)
        self.subscriptions.clear()
        self.outbox.close(CLIENT_CLOSED, drop_output=True)

    # Time

    def on_tick(self, now_ns: int) -> None:
        """Authentication deadline, pings, stale connections."""
        if self.is_active:
            self.is_active = False
            self.last_activity_ns = now_ns
        rules = self._rules
        if not self.connected:
            if rules.authenticator.required and now_ns - self.start_ns > rules.auth_timeout_ns:
                self.fail(ERR_AUTHENTICATION_TIMEOUT)
                return
        if self._next_ping_ns == 0:
            self._next_ping_ns = now_ns + min(FIRST_PING_NS, rules.ping_interval_ns)
        if now_ns < self._next_ping_ns:
            return
        self._next_ping_ns = now_ns + rules.ping_interval_ns
        if self._pings_out == 0 and self.rtt_ns and now_ns - self.last_activity_ns < rules.ping_interval_ns:
            return
        if self._pings_out + 1 > rules.ping_max:
            rules.stale += 1
            self.fail(ERR_STALE_CONNECTION)
            return
        self._pings_out += 1
        self._ping_sent_ns = now_ns
        self.outbox.append(PING)

    # Bytes

    def on_bytes(self, data: bytes) -> None:
        """Everything that arrived, at once."""
        if self._is_ending():
            return
        self.is_active = True
        parser = self._parser
        parser.feed(data)
        while True:
            op = parser.next()
            if op == OP_PUB:
                self._publish()
            elif op == OP_NONE:
                return
            else:
                self._other(op)
            if self._is_ending():
                return

    def _is_ending(self) -> bool:
        return self.outbox.close_reason != ""

    def _other(self, op: int) -> None:
        parser = self._parser
        if op == OP_SUB:
            self._subscribe(parser.subject, parser.queue, parser.sid)
        elif op == OP_UNSUB:
            self._unsubscribe(parser.sid, parser.maximum)
        elif op == OP_PING:
            self.outbox.append(PONG)
            if self.connected and self._second_info_due and self.connect.protocol >= 1:
                self._second_info_due = False
                self._send_connect_info()
        elif op == OP_PONG:
            self._on_pong()
        elif op == OP_CONNECT:
            self._connect(parser.document)
        elif op == OP_FAILED:
            assert parser.error is not None
            self.fail(parser.error)
        elif op == OP_ERR:
            self.close(PARSE_ERROR)
        else:
            assert op in (OP_INFO, OP_OK)  # of no meaning from a client

    def _on_pong(self) -> None:
        self._pings_out = 0
        if self._ping_sent_ns and self.rtt_ns == 0:
            self.rtt_ns = 1  # answered; the rim's clock is too coarse to say more here

    def _send_connect_info(self) -> None:
        info = dict(self._rules.info)
        info["client_id"] = self.cid
        info["client_ip"] = self.host
        info["connect_info"] = True
        info["remote_account"] = "$G"
        self.outbox.append(info_line(info))

    def _connect(self, document: bytes) -> None:
        options = self.connect
        try:
            options.update(document)
        except ConnectError:
            self.close(PARSE_ERROR)
            return
        authenticator = self._rules.authenticator
        if options.names_account:
            self.fail(ERR_AUTHORIZATION)
            return
        if authenticator.required:
            check = authenticator.check(options.user, options.password, options.token)
            if check is not None:
                check.run()
            options.forget_secrets()
            if check is None or not check.accepted:
                self.fail(ERR_AUTHORIZATION)
                return
        if options.protocol not in (0, 1):
            self.fail(ERR_CLIENT_PROTOCOL)
            return
        if options.no_responders and not options.headers:
            self.fail(ERR_NO_RESPONDERS_HEADERS)
            return
        self.connected = True
        self.echo = options.echo
        self.headers = options.headers
        self._parser.awaits_connect = False
        self._parser.accepts_headers = options.headers
        if options.verbose:
            self.outbox.append(OK)

    # Publishing

    def _publish(self) -> None:
        parser = self._parser
        memo = self._memo
        line = parser.line()
        if memo is not None and memo.result.is_current and line and memo.line == line:
            self._publish_run(memo)
            return
        subject = parser.subject
        reply = parser.reply
        header_length = int(parser.header_length)
        size = int(parser.size)
        self.in_messages += 1
        self.in_bytes += size
        self._router.in_messages += 1
        self._router.in_bytes += size
        refusal = publish_refusal(subject, reply)
        if refusal:
            self.outbox.append(error_line(refusal))
            return
        options = self.connect
        if options.pedantic and not (is_literal(subject) and is_valid(subject)):
            self.fail(ERR_INVALID_PUBLISH_SUBJECT)
        if options.verbose:
            self.outbox.append(OK)
        result = self._router.lookup(subject)
        if result.is_empty:
            if reply and options.no_responders:
                self._no_responders(subject, reply)
        elif result.is_stream_only and result.ingress is not None:
            result.ingress.ingest(subject, reply, header_length, parser.data())
        else:
            receivers = self._router.delivery.publish_body(result, self, subject, reply, header_length, parser.body())
            if receivers == 0 and reply and options.no_responders:
                self._no_responders(subject, reply)
        if line and not options.verbose and not options.pedantic and not reply:
            self._memo = PublishMemo(line, subject, reply, header_length, size, result)

    def _publish_run(self, memo: PublishMemo) -> None:
        """Messages with the line of the memo: this one and all that follow it."""
        parser = self._parser
        result = memo.result
        count = 1
        if result.is_empty:
            count += parser.skip_run(memo.line, memo.size)
        elif result.is_plain:
            bodies = [b"", parser.body()]
            count += parser.take_run(memo.line, memo.size, bodies)
            self._router.delivery.publish_run(memo, self, bodies)
        elif result.is_stream_only and result.ingress is not None:
            result.ingress.ingest(memo.subject, memo.reply, memo.header_length, parser.data())
        else:
            self._router.delivery.publish_body(
                result, self, memo.subject, memo.reply, memo.header_length, parser.body()
            )
        self.in_messages += count
        self.in_bytes += count * memo.size
        self._router.in_messages += count
        self._router.in_bytes += count * memo.size

    def _no_responders(self, subject: bytes, reply: bytes) -> None:
        """Tell the requester, if it listens to its reply on this very connection."""
        for subscription in self.subscriptions.values():
            if not subscription.queue and matches(subscription.subject, reply):
                self.outbox.append(no_responders(subject, reply, subscription.sid))
                return

    # Subscribing

    def _subscribe(self, subject: bytes, queue: bytes, sid: bytes) -> None:
        rules = self._rules
        verbose = self.connect.verbose
        refusal = subscribe_refusal(subject, queue)
        if refusal:
            self.outbox.append(error_line(refusal))
            return
        if rules.max_subscriptions > 0 and len(self.subscriptions) >= rules.max_subscriptions:
            self.fail(ERR_MAX_SUBSCRIPTIONS)
            return
        if 0 < rules.max_subscription_tokens < subject.count(b".") + 1:
            self.outbox.append(error_line(too_many_tokens(subject)))
            return
        if sid not in self.subscriptions:
            subscription = ClientSubscription(self, subject, queue, sid)
            if not self._router.subscribe(subscription):
                self.fail(ERR_INVALID_SUBJECT)
                return
            self.subscriptions[sid] = subscription
        if verbose:
            self.outbox.append(OK)

    def _unsubscribe(self, sid: bytes, maximum: int) -> None:
        subscription = self.subscriptions.get(sid)
        if subscription is not None:
            if maximum > 0 and maximum > subscription.delivered:
                subscription.max = maximum
            else:
                del self.subscriptions[sid]
                self._router.unsubscribe(subscription)
        if self.connect.verbose:
            self.outbox.append(OK)

    def subscription_ended(self, subscription: ClientSubscription) -> None:
        if self.subscriptions.get(subscription.sid) is subscription:
            del self.subscriptions[subscription.sid]
        self._router.unsubscribe(subscription)
