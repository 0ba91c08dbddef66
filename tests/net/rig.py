"""A reactor with an `EchoNode` on loopback sockets, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import trio

from broker.net.listener import Listener, bind
from broker.net.reactor import Reactor
from broker.net.seam import CLIENT
from net.echo_node import EchoNode


class DrivenClock:
    """Real time plus what the test adds."""

    def __init__(self) -> None:
        self.added_ns = 0

    def monotonic_ns(self) -> int:
        import time

        return time.monotonic_ns() + self.added_ns

    def wall_ns(self) -> int:
        return 1_790_000_000_000_000_000 + self.added_ns


class Rig:
    def __init__(self, **options: Any) -> None:
        self.node = EchoNode()
        self.clock = DrivenClock()
        self.events: list[str] = []
        self.reactor = Reactor(self.node, self.clock, self._event, linger_s=0, **options)
        self.listener = Listener(CLIENT, bind("127.0.0.1", -1), "127.0.0.1")
        self.reactor.listen(self.listener)
        self._noted = trio.Event()
        self.node.on_event = lambda _event: self._ring()

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.listener.port)

    async def seen(self, *start: Any) -> tuple[Any, ...]:
        """Waits until the node was told something that begins so, and returns all of it."""
        while True:
            for event in self.node.seen:
                if event[: len(start)] == start:
                    return event
            noted = self._noted
            with trio.fail_after(5):
                await noted.wait()

    def _event(self, _level: str, name: str, _fields: Mapping[str, object]) -> None:
        self.events.append(name)
        self._ring()

    def _ring(self) -> None:
        self._noted.set()
        self._noted = trio.Event()


@asynccontextmanager
async def rig(**options: Any) -> AsyncIterator[Rig]:
    made = Rig(**options)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.reactor.run)
            yield made
            made.reactor.stop()
    finally:
        made.reactor.abandon()


async def read_exactly(stream: trio.SocketStream, size: int) -> bytes:
    data = b""
    with trio.fail_after(10):
        while len(data) < size:
            part = await stream.receive_some(size - len(data))
            assert part, f"closed after {len(data)} of {size} bytes"
            data += part
    return data
