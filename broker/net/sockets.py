"""The sockets of one node: an epoll object and, per connection, what the kernel has not taken yet.

Is: reading, writing and closing without ever blocking. Plain `select.epoll` rather than `selectors`: descriptors in,
descriptors out, no key objects per event.
Is not: when any of it happens (`reactor`), what the bytes mean (the node).
Invariants: EPOLLOUT is watched only while something is left over; at most one leftover per socket; reads are bounded
per socket and wake-up, so nobody starves the others; one `connection_closed` per connection.
Read next: `reactor.py`.
"""

from __future__ import annotations

import select
import socket
from typing import Final

from broker.net.seam import CLIENT, Node

RECEIVE_BYTES_MAX: Final = 256 * 1024  # per socket and wake-up
CLOSE_FLUSH_NS: Final = 2_000_000_000  # how long the last words to a closing connection may take
DISCARD_BYTES_MAX: Final = 1024 * 1024
READ: Final = select.EPOLLIN | select.EPOLLRDHUP
BROKEN: Final = select.EPOLLERR | select.EPOLLHUP


class Connection:
    """One socket. `closing` is the reason once the node wants it closed: then it is only written to."""

    def __init__(self, cid: int, kind: int, sock: socket.socket) -> None:
        self.cid: Final = cid
        self.kind: Final = kind
        self.sock: Final = sock
        self.fd: Final = sock.fileno()
        self.leftover: memoryview | None = None
        self.blocked_since_ns = 0
        self.closing = ""
        self.watch = READ


class SocketTable:
    """All connections, by descriptor and by id."""

    def __init__(self, node: Node, write_deadline_ns: int) -> None:
        self.epoll: Final = select.epoll()
        self.by_fd: Final[dict[int, Connection]] = {}
        self._by_cid: dict[int, Connection] = {}
        self._blocked: dict[int, Connection] = {}  # those with a leftover, by cid
        self._node = node
        self.write_deadline_ns = write_deadline_ns
        self._buffer = bytearray(RECEIVE_BYTES_MAX)
        self._view = memoryview(self._buffer)
        self._last_cid = 0

    def add(self, kind: int, sock: socket.socket, remote: tuple[str, int], token: str = "") -> int:
        """Takes over a connected socket and introduces it to the node."""
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._last_cid += 1
        connection = Connection(self._last_cid, kind, sock)
        self.by_fd[connection.fd] = connection
        self._by_cid[connection.cid] = connection
        self.epoll.register(connection.fd, READ)
        self._node.connection_opened(connection.cid, kind, remote, token)
        return connection.cid

    def on_ready(self, connection: Connection, mask: int, now_ns: int) -> None:
        """The kernel has something to say about this socket."""
        if mask & select.EPOLLOUT:
            self._write(connection, now_ns)
            if connection.cid not in self._by_cid:
                return
        if connection.closing:
            if mask & BROKEN:
                self._drop(connection, connection.closing)
        elif mask & (READ | BROKEN):
            self._read(connection)

    def flush(self, cid: int, now_ns: int) -> None:
        """The node has output for it."""
        connection = self._by_cid.get(cid)
        if connection is not None and connection.leftover is None:
            self._write(connection, now_ns)

    def close(self, cid: int, reason: str, now_ns: int) -> None:
        """Closes when all its output has left, or when that takes too long."""
        connection = self._by_cid.get(cid)
        if connection is None or connection.closing:
            return
        connection.closing = reason or "Client Closed"
        connection.blocked_since_ns = now_ns
        if connection.leftover is None:
            self._write(connection, now_ns)
        else:
            self._watch(connection, select.EPOLLOUT)

    def check_deadlines(self, now_ns: int) -> None:
        """Ends connections that have not taken their bytes in time."""
        for connection in list(self._blocked.values()):
            blocked_ns = now_ns - connection.blocked_since_ns
            if connection.closing:
                if blocked_ns > min(self.write_deadline_ns, CLOSE_FLUSH_NS):
                    self._drop(connection, connection.closing)
            elif blocked_ns > self.write_deadline_ns:
                self._drop(connection, "Slow Consumer (Write Deadline)")

    def cids(self, kind: int | None = None) -> list[int]:
        return [cid for cid, connection in self._by_cid.items() if kind is None or connection.kind == kind]

    def blocked(self) -> int:
        """How many connections have bytes that the kernel did not take."""
        return len(self._blocked)

    def abandon(self) -> None:
        """Closes every socket at once and says nothing to anybody: what a crash looks like from outside."""
        for connection in self._by_cid.values():
            connection.sock.close()
        self._by_cid.clear()
        self.by_fd.clear()
        self._blocked.clear()
        self.epoll.close()

    def _read(self, connection: Connection) -> None:
        # recv() with a large size costs 16 µs in allocation whatever arrives; one shared buffer and a copy cost less.
        try:
            count = connection.sock.recv_into(self._buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._drop(connection, "Read Error")
            return
        if count == 0:
            self._drop(connection, "Client Closed" if connection.kind == CLIENT else "Connection Closed")
            return
        self._node.connection_bytes(connection.cid, bytes(self._view[:count]))

    def _write(self, connection: Connection, now_ns: int) -> None:
        """Sends the leftover, then what the node holds, until there is no more or the kernel is full."""
        rest = connection.leftover
        if rest is not None:
            if not self._send(connection, rest, now_ns):
                return
            connection.leftover = None
            del self._blocked[connection.cid]
            self._watch(connection, READ)
        data = self._node.take_output(connection.cid)
        if data:
            if not connection.closing:
                connection.blocked_since_ns = now_ns
            if not self._send(connection, data, now_ns):
                return
        if connection.closing:
            self._drop(connection, connection.closing)

    def _send(self, connection: Connection, data: bytes | memoryview, now_ns: int) -> bool:
        """True: all of it has left. Otherwise the rest waits for EPOLLOUT, or the connection is gone."""
        try:
            sent = connection.sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self._drop(connection, connection.closing or "Write Error")
            return False
        if sent == len(data):
            return True
        if sent and connection.kind != CLIENT:
            connection.blocked_since_ns = now_ns  # between nodes only standing still is a fault
        connection.leftover = memoryview(data)[sent:]
        self._blocked[connection.cid] = connection
        self._watch(connection, select.EPOLLOUT if connection.closing else READ | select.EPOLLOUT)
        return False

    def _watch(self, connection: Connection, events: int) -> None:
        if connection.watch != events:
            connection.watch = events
            self.epoll.modify(connection.fd, events)

    def _drop(self, connection: Connection, reason: str) -> None:
        del self._by_cid[connection.cid]
        del self.by_fd[connection.fd]
        self._blocked.pop(connection.cid, None)
        self.epoll.unregister(connection.fd)
        if connection.closing:
            self._discard(connection)
        connection.sock.close()
        self._node.connection_closed(connection.cid, reason)

    def _discard(self, connection: Connection) -> None:
        # Closing with unread bytes sends a reset, which can overtake the last words (-ERR …) on their way.
        taken = 0
        try:
            while taken < DISCARD_BYTES_MAX:
                count = connection.sock.recv_into(self._buffer)
                if count == 0:
                    return
                taken += count
        except OSError:
            return
