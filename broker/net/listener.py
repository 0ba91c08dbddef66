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
from broker.os_errors import reason

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
    """A listening, non-blocking socket. Errors: BindError, beginning with `listen tcp`."""
    wanted = max(port, 0)
    shown = f"[{host}]:{wanted}" if ":" in host else f"{host}:{wanted}"
    family = socket.AF_UNSPEC
    if host in ("", "0.0.0.0"):
        host, family = "0.0.0.0", socket.AF_INET
    try:
        found = socket.getaddrinfo(host, wanted, family=family, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise BindError(f"listen tcp: lookup {host}: {_unresolved(error)}") from error
    family, kind, protocol, _name, address = found[0]
    try:
        sock = socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol)
    except OSError as error:
        raise BindError(f"listen tcp {shown}: {reason(error)}") from error
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
        raise BindError(f"listen tcp {shown}: bind: {reason(error)}") from error
    return sock


def _unresolved(error: OSError) -> str:
    return "no such host" if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA) else reason(error)


def _opened(host: str, port: int, sentence: str) -> socket.socket:
    """`bind`, and what the log says when that fails."""
    try:
        return bind(host, port)
    except BindError as error:
        wanted = max(port, 0)
        address = f"[{host}]:{wanted}" if ":" in host else f"{host}:{wanted}"
        raise BindError(sentence.format(address=address, port=wanted, reason=error)) from error


class Listeners:
    """Every listening socket of a server. `options` carries the bound ports."""

    def __init__(self, options: Options) -> None:
        """Opens them all or none. Errors: BindError, whose text is the whole sentence for the log."""
        self.streams: list[Listener] = []
        self.monitor: socket.socket | None = None
        self.options = options
        host, cluster = options.host, options.cluster
        try:
            sock = _opened(host, options.port, 'Error listening on port: {address}, "{reason}"')
            self.streams.append(Listener(CLIENT, sock, host))
            self.options = replace(options, port=self.streams[0].port)
            if cluster.configured():
                sock = _opened(cluster.host, cluster.port, "Error listening on router port: {port} - {reason}")
                self.streams.append(Listener(CLUSTER_IN, sock, cluster.host))
                self.options = replace(self.options, cluster=replace(cluster, port=self.streams[1].port))
            if options.http_port:
                sentence = "Can't start monitoring: can't listen to the monitor port: {reason}"
                self.monitor = _opened(options.http_host or host, options.http_port, sentence)
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
