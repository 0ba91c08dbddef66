"""One server: listeners, node, reactor, monitoring, and how they begin and end.

Is: `Server`, which lives inside any trio program (`testing.py` runs three in one).
Is not: the process around it with its signals, log and files (`broker/server.py`); anything that handles a message:
that is the node, moved by `reactor.py`.
Invariants: whoever connects before the node is ready waits in the backlog; a clean stop hands leaderships over and
checkpoints, a crash does nothing at all.
Read next: `reactor.py`.
"""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import trio

from broker import config
from broker.clock import SystemClock
from broker.config_reload import merged
from broker.monitor import pages
from broker.monitor.query import Query
from broker.monitor.statistics import ServerFacts, StreamStatistics
from broker.net import machine
from broker.net.announcement import announce
from broker.net.http import HttpServer, Page
from broker.net.listener import Listeners
from broker.net.reactor import LINGER_S, OnEvent, Reactor
from broker.net.seam import CLIENT, Node
from storage.errors import ForeignStore, NoDirectory

NodeMaker = Callable[[config.Options], Node]
AUTOMATIC_SHARE: Final = (3, 4)  # of the machine's memory and of the disk's free space, where nothing is configured
HAND_OVER_S: Final = 1.0  # so long leaderships may take to go to peers
HAND_OVER_LOOK_S: Final = 0.01
LOOK_AROUND_S: Final = 0.1
CLOSE_INTERVAL_S: Final = 1.0  # lame duck: at most so long between two clients
ANY_HOST: Final = ("", "0.0.0.0", "::")
SHUTDOWN_REASON: Final = "Server Shutdown"


def open_node(options: config.Options) -> Node:
    """The real node on the real disk. Errors: OSError, storage errors."""
    from broker.node import BrokerNode
    from storage.disk import OsDisk

    root = os.path.join(options.jetstream.store_dir, "jetstream") if options.jetstream.enabled else ""
    _refuse_file(root)
    _refuse_foreign_store(root)
    node = BrokerNode(options, OsDisk(root), random.Random(), machine.boot_id())
    node.advertise(client_urls(options))
    return node


def client_urls(options: config.Options) -> list[str]:
    """Where clients of the whole cluster may find this server, as host:port."""
    told, port = options.advertised()
    hosts = machine.addresses() if told in ANY_HOST else [told]
    return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host in hosts]


def _refuse_file(root: str) -> None:
    """Everything on the way to the store directory that exists must be a directory."""
    path = os.path.abspath(root) if root else os.sep
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    if not os.path.isdir(path):
        raise NoDirectory


def _refuse_foreign_store(root: str) -> None:
    """nats-server keeps a stream as <account>/streams/<name>: to begin empty beside that would look like a loss."""
    accounts = os.listdir(root) if os.path.isdir(root) else []
    for account in accounts if "wal" not in accounts else []:
        streams = os.path.join(root, account, "streams")
        if os.path.isdir(streams) and os.listdir(streams):
            raise ForeignStore(root)


class Server:
    """`run` in a task of its own until `stop`, `lame_duck` or `crash`."""

    def __init__(
        self,
        listeners: Listeners,
        on_event: OnEvent,
        *,
        make_node: NodeMaker = open_node,
        is_embedded: bool = False,
    ) -> None:
        """`is_embedded`: others share this thread's trio loop, so the reactor never lingers in a system call."""
        self.options = listeners.options
        self.node: Node | None = None
        self._listeners = listeners
        self._on_event = on_event
        self._make_node = make_node
        self._is_embedded = is_embedded
        self._events: dict[tuple[str, str], int] = {}
        self._requests: dict[str, int] = {}
        self._reactor: Reactor | None = None
        self._start_ns = self._load_ns = time.time_ns()
        self._opening_ns = 0
        self._cpu = machine.CpuMeter()
        self._ready = trio.Event()
        self._asked = trio.Event()  # to end
        self._ended = trio.Event()
        self._is_lame_duck = False
        self._is_crash = False

    def event(self, level: str, name: str, fields: Mapping[str, object] | None = None) -> None:
        """Counts it for /metrics and passes it on to the log."""
        key = (level, name)
        self._events[key] = self._events.get(key, 0) + 1
        self._on_event(level, name, fields or {})

    def stop(self) -> None:
        """A clean end."""
        self._asked.set()

    def reload(self, options: config.Options) -> None:
        """The configuration changed, in what `config_reload` lets change."""
        if self.node is None:
            return
        self._load_ns = time.time_ns()
        self.options = merged(self.options, options)
        if self._reactor is not None:
            self._reactor.sockets.write_deadline_ns = self.options.write_deadline_ns
        self.node.reload(self.options)
        self.node.advertise(client_urls(self.options))

    def lame_duck(self) -> None:
        """A slow end: no new clients, time for the present ones to go elsewhere. `stop` cuts it short."""
        if not self._is_lame_duck:
            self._is_lame_duck = True
            self.stop()

    def crash(self) -> None:
        """What SIGKILL would do, as far as one process can play it."""
        self._is_crash = True
        self.stop()

    async def wait_ready(self) -> None:
        """Until clients are served. Run `run` beside it: where that raises, this waits for ever."""
        await self._ready.wait()

    async def wait_ended(self) -> None:
        """Until `run` has ended."""
        await self._ended.wait()

    @property
    def is_lame_duck(self) -> bool:
        return self._is_lame_duck

    async def run(self) -> None:
        """From recovery to exit. Errors: OSError and storage errors while opening; later only bugs of ours."""
        try:
            self._resolve_limits()
            began_ns = time.monotonic_ns()
            node = self.node = self._make_node(self.options)
            self._opening_ns = time.monotonic_ns() - began_ns
            reactor = self._reactor = Reactor(
                node,
                SystemClock(),
                self.event,
                write_deadline_ns=self.options.write_deadline_ns,
                inline_allowed=not self.options.cluster.configured(),
                linger_s=0.0 if self._is_embedded else LINGER_S,
            )
            try:
                await self._live(node, reactor)
            finally:
                reactor.abandon()
        finally:
            self._listeners.close()
        if not self._is_crash:
            self.event("info", "server_exiting")
        self._ended.set()

    async def _live(self, node: Node, reactor: Reactor) -> None:
        node.tick(time.monotonic_ns(), time.time_ns())  # so that it knows the time before anybody connects
        server = node.statistics("")["server"]
        announce(self.event, self.options, server, self._listeners.monitor is not None, self._opening_ns)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reactor.run)
            if self._listeners.monitor is not None:
                nursery.start_soon(self._serve_monitor, self._listeners.monitor)
            for listener in self._listeners.streams:
                reactor.listen(listener)
            self._listeners.streams = []  # the reactor's from here on
            reactor.wake()
            self.event("info", "server_ready")
            self._ready.set()
            await self._asked.wait()
            if self._is_lame_duck and not self._is_crash:
                await self._fade(node, reactor)
            if not self._is_crash:
                await self._end(node, reactor)
            nursery.cancel_scope.cancel()

    def _resolve_limits(self) -> None:
        jetstream = self.options.jetstream
        if not jetstream.enabled:
            return
        upper, lower = AUTOMATIC_SHARE
        memory, file = jetstream.max_memory, jetstream.max_file
        if memory == config.STORE_AUTOMATIC:
            memory = machine.memory_bytes() * upper // lower
        if file == config.STORE_AUTOMATIC:
            file = machine.disk_free_bytes(jetstream.store_dir) * upper // lower
        self.options = replace(self.options, jetstream=replace(jetstream, max_memory=memory, max_file=file))

    async def _serve_monitor(self, sock: socket.socket) -> None:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
        self._listeners.monitor = None  # trio's from here on
        await trio.serve_listeners(HttpServer(self._page).serve, [listener])

    async def _page(self, target: str) -> Page:
        assert self.node is not None, "served before the node was there"
        path, query = pages.split_target(target)
        if path not in pages.PATHS:
            answer = pages.not_found()
        else:
            self._requests[path] = self._requests.get(path, 0) + 1
            detail = pages.detail(path, query)
            if detail in pages.LONG:
                answer = await self._long_page(self.node, path, query, detail)
            else:
                answer = pages.page(path, query, self.node.statistics(detail), self.options, self._facts())
        if answer.complaint:
            self.event("warning", "healthcheck_failed", {"error": answer.complaint})
        return Page(answer.status, answer.media_type, answer.body, answer.is_public)

    async def _long_page(self, node: Node, path: str, query: Query, detail: str) -> pages.Answer:
        """A page of all streams: where there are thousands, messages and heartbeats must not wait for it."""
        rows: list[StreamStatistics] = []
        for row in node.stream_rows(detail):
            if row is None:
                await trio.sleep(0)
            else:
                rows.append(row)
        statistics = node.statistics("")
        if statistics["jetstream"] is not None:
            statistics["jetstream"]["streams"] = rows
        facts = self._facts()
        return await trio.to_thread.run_sync(
            pages.page, path, query, statistics, self.options, facts, abandon_on_cancel=True
        )

    def _facts(self) -> ServerFacts:
        return {
            "start_ns": self._start_ns,
            "load_ns": self._load_ns,
            "mem": machine.resident_bytes(),
            "cpu": self._cpu.percent(),
            "cores": os.cpu_count() or 1,
            "http_requests": dict(self._requests),
            "events": dict(self._events),
        }

    async def _fade(self, node: Node, reactor: Reactor) -> None:
        """Lame duck mode: clients are told, get the grace period, then leave one by one."""
        self.event("info", "lame_duck")
        reactor.stop_listening(CLIENT)
        node.lame_duck()
        self._asked = cut_short = trio.Event()
        await self._handed_over(node, reactor)
        grace_s = self.options.lame_duck_grace_period_ns / 1e9
        with trio.move_on_after(grace_s):
            while not cut_short.is_set() and reactor.sockets.cids(CLIENT):  # the last one gone: nothing to wait for
                with trio.move_on_after(LOOK_AROUND_S):
                    await cut_short.wait()
        cids = reactor.sockets.cids(CLIENT)
        if cut_short.is_set() or not cids:
            return
        self.event("info", "lame_duck_closing")
        closing_s = max(0.0, self.options.lame_duck_duration_ns / 1e9 - grace_s)
        interval_s = min(CLOSE_INTERVAL_S, closing_s / max(1, len(cids)))
        for position, cid in enumerate(cids):
            if position:
                with trio.move_on_after(interval_s):
                    await cut_short.wait()
            if cut_short.is_set():
                return
            reactor.sockets.close(cid, SHUTDOWN_REASON, time.monotonic_ns())

    async def _handed_over(self, node: Node, reactor: Reactor) -> None:
        """Until peers lead what this node led, so that its end is no election's beginning; for a while at most."""
        reactor.wake()
        with trio.move_on_after(HAND_OVER_S):
            while not node.is_handed_over():
                await trio.sleep(HAND_OVER_LOOK_S)

    async def _end(self, node: Node, reactor: Reactor) -> None:
        self.event("info", "shutdown")
        node.hand_over()
        await self._handed_over(node, reactor)
        reactor.stop()
        await reactor.wait_ended()
        if self.options.jetstream.enabled:
            self.event("info", "jetstream_shutdown")
        node.shutdown()
        if not await reactor.finish_jobs():
            self.event("error", "shutdown_incomplete", {"reason": "the disk did not answer in time"})
        elif self.options.jetstream.enabled:
            self.event("info", "jetstream_stopped")
        for cid in reactor.sockets.cids():
            reactor.sockets.close(cid, SHUTDOWN_REASON, time.monotonic_ns())
