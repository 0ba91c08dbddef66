"""The one task that moves bytes between sockets and the node.

Is: the loop. Each wake-up takes everything that is ready (accepts, one bounded read per socket, finished file jobs,
ticks), ends the node's turn once, and carries out what the turn says. One epoll object holds every socket; trio waits
for its descriptor only when there is nothing left to do: a pass through trio's loop costs as much as ten small turns.
Is not: HTTP, signals, lifetimes (trio's, in `server.py`); files (`driver.py`); sockets one by one (`sockets.py`).
Invariants: the node is called from trio's thread only, never while it is in a call; others get trio every SPIN_NS.
Read next: `sockets.py`, `driver.py`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from typing import Final

import trio

from broker import os_errors
from broker.clock import Clock
from broker.net.driver import Driver
from broker.net.listener import Listener
from broker.net.seam import CLUSTER_OUT, Dial, Node
from broker.net.sockets import READ, SocketTable

TICK_NS: Final = 50_000_000
SPIN_NS: Final = 5_000_000
LINGER_S: Final = 0.002  # epoll counts in milliseconds
DIAL_S: Final = 2.0
STOP_WAIT_S: Final = 5.0

OnEvent = Callable[[str, str, Mapping[str, object]], None]


class Reactor:
    """Sockets, threads and timers of one node. `run` until `stop`."""

    def __init__(
        self,
        node: Node,
        clock: Clock,
        on_event: OnEvent,
        *,
        write_deadline_ns: int = 10_000_000_000,
        inline_allowed: bool = False,
        linger_s: float = LINGER_S,
    ) -> None:
        """`linger_s`: after a busy turn, wait so long for more before trio gets its turn; 0 where others share trio."""
        self._node = node
        self._clock = clock
        self._on_event = on_event
        self._linger_s = linger_s
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.sockets: Final = SocketTable(node, write_deadline_ns)
        self.driver: Final = Driver(node, self._bell, inline_allowed)
        self._epoll = self.sockets.epoll
        self._epoll.register(self._bell, READ)
        self._listeners: dict[int, Listener] = {}
        self._nursery: trio.Nursery | None = None
        self._is_stopping = False
        self._ended = trio.Event()
        self._next_tick_ns = clock.monotonic_ns()
        self._next_deadline_ns = 0
        self.turns = 0

    def listen(self, listener: Listener) -> None:
        """From now on, accept."""
        self._listeners[listener.fd] = listener
        self._epoll.register(listener.fd, READ)

    def stop_listening(self, kind: int) -> None:
        for listener in [each for each in self._listeners.values() if each.kind == kind]:
            del self._listeners[listener.fd]
            if not listener.paused_until_ns:
                self._epoll.unregister(listener.fd)
            listener.close()

    def wake(self) -> None:
        """Ends the present wait. The only method that other threads may call."""
        os.eventfd_write(self._bell, 1)

    def stop(self) -> None:
        """Makes `run` return after the present turn. Connections are left to the caller."""
        self._is_stopping = True
        self.wake()

    async def run(self) -> None:
        """Works until `stop`. Errors: whatever the node raises, which is a bug of ours and ends the process."""
        async with trio.open_nursery() as self._nursery:
            while not self._is_stopping:
                wait_s = self._spin()
                if wait_s <= 0.0:  # the others' turn, without the price of a wait that is cancelled at once
                    await trio.lowlevel.checkpoint()
                    continue
                with trio.move_on_after(wait_s):
                    await trio.lowlevel.wait_readable(self._epoll.fileno())
            self._nursery.cancel_scope.cancel()
        self._nursery = None
        self._ended.set()

    async def wait_ended(self) -> None:
        """Until `run` has ended after `stop`."""
        await self._ended.wait()

    async def finish_jobs(self, wait_s: float = STOP_WAIT_S) -> bool:
        """After `run`: the node's last jobs, and the turns that follow them. False: not all came back in time."""
        deadline_ns = self._clock.monotonic_ns() + int(wait_s * 1e9)
        self._step(0)
        while self.driver.in_flight():
            left_ns = deadline_ns - self._clock.monotonic_ns()
            if left_ns <= 0:
                return False
            with trio.move_on_after(left_ns / 1e9):
                await trio.lowlevel.wait_readable(self._epoll.fileno())
            self._step(0)
        return True

    def abandon(self) -> None:
        """Closes everything at once, as a crash would. The io threads get a moment to end."""
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()
        threads_ended = self.driver.stop(STOP_WAIT_S)
        self.sockets.abandon()
        if threads_ended:  # a thread that hangs in the kernel may still ring: then the bell outlives us
            os.close(self._bell)

    def _spin(self) -> float:
        """Works while there is something to do, for SPIN_NS at most. Returns how long to wait for more, in seconds."""
        until_ns = self._clock.monotonic_ns() + SPIN_NS
        wait_s = 0.0
        while not self._is_stopping:
            worked = self._step(wait_s)
            now_ns = self._clock.monotonic_ns()
            if not worked:
                return self._idle_s(now_ns)
            if now_ns >= until_ns:
                return 0.0
            wait_s = min(self._linger_s, self._idle_s(now_ns))
        return 0.0

    def _idle_s(self, now_ns: int) -> float:
        due_ns = self._next_tick_ns
        if self._next_deadline_ns and self._next_deadline_ns < due_ns:
            due_ns = self._next_deadline_ns
        return max(0, due_ns - now_ns) / 1e9

    def _step(self, wait_s: float) -> bool:
        """One wake-up and the turn that answers it. False: there was nothing to do."""
        ready = self._epoll.poll(wait_s)
        now_ns = self._clock.monotonic_ns()
        is_due = now_ns >= self._next_tick_ns or 0 < self._next_deadline_ns <= now_ns
        if not ready and not is_due:
            return False
        self._node.arrive(now_ns, self._clock.wall_ns())
        by_fd = self.sockets.by_fd
        for fd, mask in ready:
            connection = by_fd.get(fd)
            if connection is not None:
                self.sockets.on_ready(connection, mask, now_ns)
            elif fd == self._bell:
                self._on_bell(now_ns)
            elif fd in self._listeners:
                self._accept(self._listeners[fd], now_ns)
        if now_ns >= self._next_tick_ns:
            self._tick(now_ns)
        while self._turn(now_ns):
            now_ns = self._clock.monotonic_ns()
        return True

    def _turn(self, now_ns: int) -> bool:
        """Ends the node's turn and does what it says. True: its jobs are done already and it wants another turn."""
        self.turns += 1
        turn = self._node.turn(now_ns, self._clock.wall_ns())
        self._next_deadline_ns = turn.next_deadline_ns
        for cid in turn.sends:
            self.sockets.flush(cid, now_ns)
        again = bool(turn.jobs) and self.driver.start(turn.jobs, now_ns, self._nothing_waits)
        for cid, reason in turn.closes:
            self.sockets.close(cid, reason, now_ns)
        for dial in turn.dials:
            if self._nursery is not None:
                self._nursery.start_soon(self._dial, dial)
        for level, name, fields in turn.events:
            self._on_event(level, name, fields)
        return again

    def _tick(self, now_ns: int) -> None:
        # Ticks that a long turn swallowed are not made up for: they would look like silence of the peers.
        self._next_tick_ns = now_ns + TICK_NS
        self.sockets.check_deadlines(now_ns)
        self.driver.watch(now_ns)
        for listener in self._listeners.values():
            if listener.paused_until_ns and now_ns >= listener.paused_until_ns:
                listener.paused_until_ns = 0
                self._epoll.register(listener.fd, READ)
        self._node.tick(now_ns, self._clock.wall_ns())

    def _on_bell(self, now_ns: int) -> None:
        os.eventfd_read(self._bell)
        self.driver.collect(now_ns)

    def _nothing_waits(self) -> bool:
        return not self._epoll.poll(0)

    def _accept(self, listener: Listener, now_ns: int) -> None:
        for sock, remote in listener.accept(now_ns):
            self.sockets.add(listener.kind, sock, remote)
        if listener.paused_until_ns:
            self._epoll.unregister(listener.fd)
            self._on_event("error", "accept_paused", {"port": listener.port, "reason": "too many open files"})

    async def _dial(self, dial: Dial) -> None:
        address = (dial.host, dial.port)
        reason = "i/o timeout"
        with trio.move_on_after(DIAL_S):
            try:
                stream = await trio.open_tcp_stream(dial.host, dial.port)
            except OSError as error:
                reason = _why_not_connected(error)
            else:
                sock = socket.socket(fileno=stream.socket.detach())  # from here on it is the reactor's
                self.sockets.add(CLUSTER_OUT, sock, address, dial.token)
                self.wake()
                return
        self._node.dial_failed(address, dial.token, reason)
        self.wake()


def _why_not_connected(error: OSError) -> str:
    """What trio tried last says more than that all attempts failed."""
    cause: BaseException | None = error.__cause__
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[-1]
    return f"connect: {os_errors.reason(cause)}" if isinstance(cause, OSError) else os_errors.reason(error)
