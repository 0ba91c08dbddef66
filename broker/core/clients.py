"""All client connections of a server: opened, fed, timed, counted, ended.

Is: the table of sessions and what concerns all of them (limits, INFO, lame duck, statistics).
Is not: a session's behaviour (`session`). Read next: `session.py`.
"""

import random
from typing import Final

from broker.config import OWN_VERSION, Options
from broker.core.auth import Authenticator
from broker.core.router import Router
from broker.core.session import ClientSession
from broker.core.session_services import SECOND_NS, SessionServices
from broker.wire.errors import ERR_AUTHORIZATION, ERR_MAX_CONNECTIONS, SLOW_CONSUMER_DEADLINE, STALE_CONNECTION
from broker.wire.trace import TraceOptions

API_LEVEL: Final = 5
PROTOCOL: Final = 1


class Totals:
    """Counters that outlive the connections."""

    def __init__(self) -> None:
        self.connections: int = 0
        self.in_messages: int = 0
        self.in_bytes: int = 0
        self.out_messages: int = 0
        self.out_bytes: int = 0
        self.slow: int = 0
        self.stale: int = 0


class ClosedSession:
    """What /connz still knows of a connection."""

    def __init__(self, session: ClientSession, stop_ns: int, reason: str) -> None:
        self.session: Final = session
        self.stop_ns: Final = stop_ns
        self.reason: Final = reason


class Clients:
    """The client side of a node. Times given are monotonic; `wall` times are made by the caller."""

    def __init__(self, options: Options, router: Router, info: dict[str, object], rng: random.Random) -> None:
        self.sessions: Final[dict[int, ClientSession]] = {}
        self.ended: Final[list[ClosedSession]] = []
        self.services: Final = SessionServices(router, _authenticator(options), rng)
        self._options: Options = options
        self._router: Final = router
        self._counts: Final = Totals()
        self._has_news: bool = False
        self.services.info = info
        self.services.max_pending = options.max_pending
        self.services.max_subscriptions = options.max_subscriptions
        self.services.max_subscription_tokens = options.max_subscription_tokens
        self._set_limits()

    def _set_limits(self) -> None:
        """What a reload may change."""
        services, options = self.services, self._options
        services.max_control_line = options.max_control_line
        services.max_payload = options.max_payload
        services.ping_interval_ns = options.ping_interval_ns
        services.ping_max = options.ping_max
        services.auth_timeout_ns = options.authorization.timeout_ns
        services.traces = options.trace
        services.trace_options = TraceOptions(options.trace_headers, options.max_traced_msg_len)

    # Connections.

    def opened(self, cid: int, remote: tuple[str, int], now_ns: int) -> None:
        """A client connected."""
        self.services.now_ns = now_ns
        session = ClientSession(self.services, cid, remote[0], remote[1])
        self.sessions[cid] = session
        session.log.event("debug", "client_created", {})
        session.open()
        self._counts.connections += 1
        limit = self._options.max_connections
        if limit < 0 or (limit > 0 and len(self.sessions) > limit):
            session.close(ERR_MAX_CONNECTIONS)

    def received(self, cid: int, data: bytes) -> bool:
        """Bytes of a client; False when `cid` is none."""
        session = self.sessions.get(cid)
        if session is None:
            return False
        session.on_bytes(data)
        return True

    def closed(self, cid: int, reason: str, now_ns: int) -> bool:
        """A client is gone; False when `cid` is none."""
        session = self.sessions.pop(cid, None)
        if session is None:
            return False
        why = session.outbox.close_reason or reason
        counts = self._counts
        counts.in_messages += session.in_messages
        counts.in_bytes += session.in_bytes
        counts.out_messages += session.out_messages
        counts.out_bytes += session.out_bytes
        if session.outbox.is_slow:
            counts.slow += 1
            reason = f"MaxPending of {session.outbox.max_pending} Exceeded"
            session.log.event("info", "slow_consumer", {"reason": reason})
        elif why == SLOW_CONSUMER_DEADLINE:
            counts.slow += 1
            reason = f"WriteDeadline of {self._options.write_deadline_ns / SECOND_NS:g}s exceeded"
            session.log.event("info", "slow_consumer", {"reason": reason})
        if why == STALE_CONNECTION:
            counts.stale += 1
        session.log.event("debug", "client_closed", {"reason": why})
        session.end(why)
        session.forget()
        limit = self._options.max_closed_clients
        if limit > 0:
            self.ended.append(ClosedSession(session, now_ns, why))
            if len(self.ended) > limit:
                del self.ended[: len(self.ended) - limit]
        return True

    def take_output(self, cid: int) -> bytes:
        """What is to be sent to a client."""
        session = self.sessions.get(cid)
        if session is None:
            return b""
        output = session.outbox.take()
        if session.out_messages != session.out_messages_seen:
            session.out_messages_seen = session.out_messages
            session.last_delivery_ns = self.services.now_ns
        if self.services.traces:
            session.log.output(output)
        return output

    def collect(self, sends: list[int], closes: list[tuple[int, str]]) -> None:
        """Connections with output, and those that end."""
        if self._has_news:
            self._has_news = False
            for session in self.sessions.values():
                session.send_info({})
        for outbox in self._router.take_dirty():
            if outbox.parts:
                sends.append(outbox.cid)
            else:
                outbox.is_dirty = False
            if outbox.close_reason:
                closes.append((outbox.cid, outbox.close_reason))

    def tick(self, now_ns: int) -> None:
        """50 ms passed."""
        self.services.now_ns = now_ns
        for session in self.sessions.values():
            if session.deadline_ns and session.deadline_ns <= now_ns:
                session.on_tick(now_ns)

    def take_events(self) -> list[tuple[str, str, dict[str, object]]]:
        """What a person should know."""
        return self.services.take_events()

    # News for all.

    def connect_urls_changed(self, urls: list[str]) -> None:
        """Clients may also go elsewhere."""
        if urls:
            self.services.info["connect_urls"] = urls
        else:
            self.services.info.pop("connect_urls", None)
        self._tell_all()

    def cluster_named(self, name: str, dynamic: bool) -> None:
        """The cluster's name; `dynamic`: nobody configured one, so it may change."""
        info = self.services.info
        info["cluster"] = name
        info.pop("cluster_dynamic", None)
        if dynamic:
            info["cluster_dynamic"] = True
        self._tell_all()

    def reload(self, options: Options) -> None:
        """The configuration changed: limits hold at once; whoever would not be let in today has to go."""
        before = self.services.authenticator
        self._options = options
        self._set_limits()
        self.services.authenticator = _authenticator(options)
        info = self.services.info
        info["host"], info["port"] = options.advertised()
        info["max_payload"] = options.max_payload
        info.pop("auth_required", None)
        if options.authorization.required():
            info["auth_required"] = True
        for session in list(self.sessions.values()):
            session.limits_changed()
            if not self.services.authenticator.still_accepts(session.options.user, before):
                session.close(ERR_AUTHORIZATION)
        limit = options.max_connections
        for session in list(self.sessions.values())[max(limit, 0) :] if limit else []:
            session.close(ERR_MAX_CONNECTIONS)  # the youngest; nats-server picks at random

    def lame_duck(self) -> None:
        """This server goes away: clients should look for another one."""
        self.services.info["ldm"] = True
        self._tell_all()

    def _tell_all(self) -> None:
        """With the turn, once for everything that changed in it."""
        self._has_news = True

    # Numbers.

    def totals(self) -> Totals:
        """All connections, present and past."""
        found = Totals()
        found.connections = self._counts.connections
        found.slow = self._counts.slow
        found.stale = self._counts.stale
        found.in_messages = self._counts.in_messages
        found.in_bytes = self._counts.in_bytes
        found.out_messages = self._counts.out_messages
        found.out_bytes = self._counts.out_bytes
        for session in self.sessions.values():
            found.in_messages += session.in_messages
            found.in_bytes += session.in_bytes
            found.out_messages += session.out_messages
            found.out_bytes += session.out_bytes
        return found


def _authenticator(options: Options) -> Authenticator:
    authorization = options.authorization
    users = {user.user: user.password for user in authorization.users}
    if authorization.user:
        users[authorization.user] = authorization.password
    return Authenticator(users, authorization.token)


def first_info(options: Options, server_id: str, name: str, version: str) -> dict[str, object]:
    """INFO without what differs between connections."""
    host, port = options.advertised()
    info: dict[str, object] = {
        "server_id": server_id,
        "server_name": name,
        "version": version,
        "proto": PROTOCOL,
        "go": "python",
        "host": host,
        "port": port,
        "headers": True,
        "max_payload": options.max_payload,
    }
    if options.authorization.required():
        info["auth_required"] = True
    if options.jetstream.enabled:
        info["jetstream"] = True
    if options.jetstream.enabled and options.jetstream.domain:
        info["domain"] = options.jetstream.domain
    info["api_lvl"] = API_LEVEL
    info["ternmq"] = OWN_VERSION
    return info
