"""Listening sockets: bound early, accepted from later.

Is: binding (port -1 or 0: any free one), accepting in bounded bites, and the pause when descriptors run out. Imports
next to nothing, so that a starting process listens within a tenth of a second.
Is not: what an accepted connection may do; limits such as max_connections are the node's.
Read next: `reactor.py`.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import replace
from typing import Final

from broker.config import Options
from broker.net.seam import CLIENT, CLUSTER_IN

ACCEPTS_MAX: Final = 64  # per wake-up
BACKLOG: Final = 4096
PAUSE_NS: Final = 500_000_000
EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class BindError(OSError):
    """An address that cannot be listened on; its text is for a person."""


class Listener:
    """One listening socket. `kind` is the kind of the connections it yields."""

    def __init__(self, kind: int, sock: socket.socket, host: str) -> None:
        self.kind: Final = kind
        self.sock: Final = sock
        self.fd: Final = sock.fileno()
        self.host: Final = host  # as configured
        self.port: Final[int] = sock.getsockname()[1]
        self.paused_until_ns = 0  # set when descriptors ran out

    def accept(self, now_ns: int) -> list[tuple[socket.socket, tuple[str, int]]]:
        """Whoever waits, at most ACCEPTS_MAX of them. Sets `paused_until_ns` when the process is out of descriptors."""
        accepted: list[tuple[socket.socket, tuple[str, int]]] = []
        while len(accepted) < ACCEPTS_MAX:
            try:
                sock, address = self.sock.accept()
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                if error.errno in EXHAUSTED:
                    self.paused_until_ns = now_ns + PAUSE_NS
                    break
                continue  # that connection has gone again; the next one may be well
            accepted.append((sock, (address[0], address[1])))
        return accepted

    def close(self) -> None:
        self.sock.close()


def bind(host: str, port: int) -> socket.socket:
    """A listening, non-blocking socket. Errors: BindError."""
    wanted = max(port, 0)
    shown = f"[{host}]:{wanted}" if ":" in host else f"{host}:{wanted}"
    family = socket.AF_UNSPEC
    if host in ("", "0.0.0.0"):
        host, family = "0.0.0.0", socket.AF_INET
    try:
        found = socket.getaddrinfo(host, wanted, family=family, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise BindError(f"listen tcp {shown}: {error.strerror}") from error
    family, kind, protocol, _name, address = found[0]
    try:
        sock = socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol)
    except OSError as error:
        raise BindError(f"listen tcp {shown}: {error.strerror}") from error
    try:
        sock.setblocking(False)
        # A server that was killed leaves connections in TIME_WAIT, and harnesses restart it on the same port at once.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and host == "::":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        reason = "bind: address already in use" if error.errno == errno.EADDRINUSE else f"bind: {error.strerror}"
        raise BindError(f"listen tcp {shown}: {reason}") from error
    return sock


class Listeners:
    """Every listening socket of a server. `options` carries the bound ports."""

    def __init__(self, options: Options) -> None:
        """Opens them all or none. Errors: BindError."""
        self.streams: list[Listener] = []
        self.monitor: socket.socket | None = None
        try:
            client = Listener(CLIENT, bind(options.host, options.port), options.host)
            self.streams.append(client)
            self.options = replace(options, port=client.port)
            if options.cluster.configured():
                cluster = Listener(CLUSTER_IN, bind(options.cluster.host, options.cluster.port), options.cluster.host)
                self.streams.append(cluster)
                self.options = replace(self.options, cluster=replace(options.cluster, port=cluster.port))
            if options.http_port:
                self.monitor = bind(options.http_host or options.host, options.http_port)
                self.options = replace(self.options, http_port=self.monitor.getsockname()[1])
        except BindError:
            self.close()
            raise

    def close(self) -> None:
        """Closes those that nobody has taken over."""
        for listener in self.streams:
            listener.close()
        self.streams.clear()
        if self.monitor is not None:
            self.monitor.close()
            self.monitor = None
