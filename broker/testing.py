"""Servers inside a program, for tests and for embedding: real sockets on free ports, a store that goes with them.

In a trio program: `async with open_server() as server:` and `async with open_cluster(3) as cluster:`; everything runs
in the caller's trio loop and an error in a server is an error in the `async with` block.
From asyncio or plain threads: `with start_server() as server:` and `with start_cluster(3) as cluster:`; a thread of
its own runs trio.
Is not: a daemon (no signals, no log file, no process files) and not for measuring: the servers share one interpreter.
`kill` is what SIGKILL is to a process: nothing is said, flushed or checkpointed. What was written survives, as it would
in the page cache; to lose what was not synced, use the simulation in tests/sim.
Read next: `net/lifecycle.py`.
"""

from __future__ import annotations

import tempfile
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any, Final

import trio

from broker.config import ClusterOptions, JetStreamOptions, Options, RouteUrl
from broker.net.lifecycle import NodeMaker, Server, open_node
from broker.net.listener import Listeners

LOCALHOST: Final = "127.0.0.1"
EVENTS_MAX: Final = 10_000
POLL_S: Final = 0.02
READY_S: Final = 30.0

Event = tuple[str, str, Mapping[str, object]]


class ServerHandle:
    """One server of this program. After `kill` or `stop`, `restart` opens the same store on the same ports."""

    def __init__(self, options: Options, nursery: trio.Nursery, make_node: NodeMaker) -> None:
        self.events: deque[Event] = deque(maxlen=EVENTS_MAX)  # what a log would say
        self._nursery = nursery
        self._make_node = make_node
        self._listeners: Listeners | None = Listeners(options)
        self.options: Options = self._listeners.options
        self._server: Server | None = None

    @property
    def name(self) -> str:
        return self.options.server_name

    @property
    def url(self) -> str:
        return f"nats://{LOCALHOST}:{self.options.port}"

    @property
    def monitor_url(self) -> str:
        return f"http://{LOCALHOST}:{self.options.http_port}"

    @property
    def is_running(self) -> bool:
        return self._server is not None

    @property
    def server(self) -> Server:
        """The running server. Errors: RuntimeError when it was stopped or killed."""
        if self._server is None:
            raise RuntimeError(f"{self.name} does not run")
        return self._server

    async def start(self) -> None:
        """Returns when clients are served."""
        listeners, self._listeners = self._listeners or Listeners(self.options), None
        self._server = Server(listeners, self._record, make_node=self._make_node, is_embedded=True)
        self._nursery.start_soon(self._server.run)
        await self._server.wait_ready()

    async def stop(self) -> None:
        """A clean end: clients are told nothing, the store is checkpointed."""
        await self._end(self.server.stop)

    async def kill(self) -> None:
        """An abrupt end."""
        await self._end(self.server.crash)

    async def restart(self) -> None:
        """Kills it if it runs, and starts it again."""
        if self._server is not None:
            await self.kill()
        await self.start()

    def route_to(self, routes: list[RouteUrl]) -> None:
        """Before `start`: the peers."""
        assert self._listeners is not None, "the routes of a server are fixed when it starts"
        self.options = replace(self.options, cluster=replace(self.options.cluster, routes=routes))
        self._listeners.options = self.options

    async def _end(self, how: Callable[[], None]) -> None:
        server = self.server
        how()
        await server.wait_ended()
        self._server = None

    def _record(self, level: str, name: str, fields: Mapping[str, object]) -> None:
        self.events.append((level, name, fields))


class ClusterHandle:
    """Several servers with routes to each other."""

    def __init__(self, servers: list[ServerHandle]) -> None:
        self.servers: Final = servers

    @property
    def urls(self) -> list[str]:
        return [server.url for server in self.servers]

    @property
    def url(self) -> str:
        """All of them, as NATS clients take a list of servers."""
        return ",".join(self.urls)

    async def kill(self, index: int) -> None:
        await self.servers[index].kill()

    async def stop(self, index: int) -> None:
        await self.servers[index].stop()

    async def restart(self, index: int) -> None:
        await self.servers[index].restart()

    def meta_leader(self) -> int | None:
        """Whom all running servers take for the meta leader; None while they do not agree on one that runs."""
        names = {_meta_leader_name(server) for server in self.servers if server.is_running}
        if len(names) != 1:
            return None
        name = names.pop()
        for index, server in enumerate(self.servers):
            if server.is_running and server.name == name:
                return index
        return None

    async def wait_meta_leader(self, wait_s: float = READY_S) -> int:
        """Errors: trio.TooSlowError."""
        with trio.fail_after(wait_s):
            while True:
                leader = self.meta_leader()
                if leader is not None:
                    return leader
                await trio.sleep(POLL_S)


@asynccontextmanager
async def open_server(
    *, jetstream: bool = True, store_dir: str = "", make_node: NodeMaker = open_node, **options: Any
) -> AsyncIterator[ServerHandle]:
    """One server. `options` are fields of `config.Options`; without `store_dir`, the store is temporary."""
    async with _directory(store_dir) as directory, trio.open_nursery() as nursery:
        server = ServerHandle(_options("n1", directory, jetstream, options), nursery, make_node)
        try:
            await server.start()
            yield server
        finally:
            await _stop_all([server])
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_cluster(
    size: int = 3,
    *,
    jetstream: bool = True,
    store_dir: str = "",
    cluster_name: str = "test",
    make_node: NodeMaker = open_node,
    **options: Any,
) -> AsyncIterator[ClusterHandle]:
    """`size` servers n1, n2 … with routes to each other; returns when they have a meta leader (with JetStream)."""
    async with _directory(store_dir) as directory, trio.open_nursery() as nursery:
        servers: list[ServerHandle] = []
        for number in range(1, size + 1):
            chosen = _options(f"n{number}", f"{directory}/n{number}", jetstream, options)
            chosen.cluster = ClusterOptions(name=cluster_name, host=LOCALHOST, port=-1)
            servers.append(ServerHandle(chosen, nursery, make_node))
        routes = [RouteUrl(LOCALHOST, server.options.cluster.port) for server in servers]
        cluster = ClusterHandle(servers)
        try:
            for server in servers:
                server.route_to(routes)
                await server.start()
            if jetstream:
                await cluster.wait_meta_leader()
            yield cluster
        finally:
            await _stop_all(servers)
        nursery.cancel_scope.cancel()


class BackgroundServer:
    """A server in a thread of its own, for programs without trio."""

    def __init__(self, handle: ServerHandle, token: trio.lowlevel.TrioToken) -> None:
        self._handle = handle
        self._token = token

    @property
    def url(self) -> str:
        return self._handle.url

    @property
    def monitor_url(self) -> str:
        return self._handle.monitor_url

    @property
    def options(self) -> Options:
        return self._handle.options

    def kill(self) -> None:
        trio.from_thread.run(self._handle.kill, trio_token=self._token)

    def restart(self) -> None:
        trio.from_thread.run(self._handle.restart, trio_token=self._token)


class BackgroundCluster:
    """A cluster in a thread of its own, for programs without trio."""

    def __init__(self, handle: ClusterHandle, token: trio.lowlevel.TrioToken) -> None:
        self._handle = handle
        self._token = token

    @property
    def url(self) -> str:
        return self._handle.url

    @property
    def urls(self) -> list[str]:
        return self._handle.urls

    def kill(self, index: int) -> None:
        trio.from_thread.run(self._handle.kill, index, trio_token=self._token)

    def restart(self, index: int) -> None:
        trio.from_thread.run(self._handle.restart, index, trio_token=self._token)

    def wait_meta_leader(self) -> int:
        return trio.from_thread.run(self._handle.wait_meta_leader, trio_token=self._token)


@contextmanager
def start_server(**options: Any) -> Iterator[BackgroundServer]:
    """As `open_server`, from anywhere but trio."""
    with _thread(lambda: open_server(**options)) as (handle, token):
        yield BackgroundServer(handle, token)


@contextmanager
def start_cluster(size: int = 3, **options: Any) -> Iterator[BackgroundCluster]:
    """As `open_cluster`, from anywhere but trio."""
    with _thread(lambda: open_cluster(size, **options)) as (handle, token):
        yield BackgroundCluster(handle, token)


def _options(name: str, directory: str, jetstream: bool, changes: dict[str, Any]) -> Options:
    store = JetStreamOptions(enabled=jetstream, store_dir=directory)
    made = Options(server_name=name, host=LOCALHOST, port=-1, http_port=-1, jetstream=store)
    return replace(made, **changes)


def _meta_leader_name(server: ServerHandle) -> str:
    node = server.server.node
    assert node is not None, "running without a node"
    jetstream = node.statistics("")["jetstream"]
    meta = jetstream["meta"] if jetstream is not None else None
    return meta["leader"] if meta is not None else ""


async def _stop_all(servers: list[ServerHandle]) -> None:
    with trio.CancelScope(shield=True), trio.move_on_after(READY_S):
        for server in servers:
            if server.is_running:
                await server.stop()


@asynccontextmanager
async def _directory(given: str) -> AsyncIterator[str]:
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="ternmq-") as made:
        yield made


@contextmanager
def _thread(open_it: Callable[[], Any]) -> Iterator[tuple[Any, trio.lowlevel.TrioToken]]:
    """Keeps what `open_it` opens open in a trio thread for as long as the block lasts."""
    opened = threading.Event()
    found: list[Any] = []
    failure: list[BaseException] = []

    async def main() -> None:
        async with open_it() as handle:
            finished = trio.Event()
            found.extend((handle, trio.lowlevel.current_trio_token(), finished))
            opened.set()
            await finished.wait()

    def run() -> None:
        try:
            trio.run(main)
        except BaseException as error:
            failure.append(error)
        finally:
            opened.set()

    thread = threading.Thread(target=run, name="ternmq", daemon=True)
    thread.start()
    opened.wait()
    try:
        if found:
            yield found[0], found[1]
    finally:
        if found and thread.is_alive():
            found[1].run_sync_soon(found[2].set)
        thread.join(READY_S)
        if failure:
            raise failure[0]
