"""A route to a real nats-server: it takes us for one of its own."""

from __future__ import annotations

import random
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from broker.cluster.routes.route_lines import message_bytes
from broker.cluster.routes.route_traffic import RouteSession
from broker.cluster.routes.routes import RouteTable
from broker.config import Options, RouteUrl
from cluster.route_mesh import SmallRouter

NATS_SERVER = Path(sys.executable).parent / "nats-server"
PATIENCE_S = 10.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Client:
    """A NATS client of a few lines, on a real nats-server."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self.received = b""
        self.send(b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\n')

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def until(self, expected: bytes) -> bytes:
        while expected not in self.received:
            data = self.socket.recv(65536)
            assert data, f"closed before {expected!r}: {self.received!r}"
            self.received += data
        return self.received

    def flush(self) -> None:
        self.received = b""
        self.send(b"PING\r\n")
        self.until(b"PONG\r\n")


class OurNode:
    """A RouteTable on real sockets, pumped by the test."""

    def __init__(self, dials: list[int], cluster: str = "c", user: str = "", password: str = "") -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        options = Options(server_name="ours")
        options.cluster.name = cluster
        options.cluster.port = self.port
        options.cluster.routes = [RouteUrl("127.0.0.1", port, user, password) for port in dials]
        self.router = SmallRouter()
        rng = random.Random(1)
        self.table = RouteTable(options, "N" + "TERNMQ" * 9 + "X", self.router, rng)
        self.table.listening("127.0.0.1", self.port)
        self.table.set_client_urls(["127.0.0.1:1"])
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ, 0)
        self.sockets: dict[int, socket.socket] = {}
        self.next_cid = 1
        self.rng = rng
        self.events: list[tuple[str, str, dict[str, object]]] = []

    def _add(self, connection: socket.socket) -> int:
        cid = self.next_cid
        self.next_cid += 1
        self.sockets[cid] = connection
        self.selector.register(connection, selectors.EVENT_READ, cid)
        return cid

    def _drop(self, cid: int) -> None:
        connection = self.sockets.pop(cid, None)
        if connection is not None:
            self.selector.unregister(connection)
            connection.close()
            self.table.closed(cid, time.monotonic_ns())

    def pump_until(self, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not reached():
            assert time.monotonic() < deadline, f"not reached: {self.events}"
            self.pump()

    def pump(self) -> None:
        for dial in self.table.tick(time.monotonic_ns()):
            try:
                connection = socket.create_connection((dial.host, dial.port), timeout=PATIENCE_S)
            except OSError:
                self.table.dial_failed(dial.token, time.monotonic_ns(), "refused")
                continue
            self.table.dialled(self._add(connection), dial.token, time.monotonic_ns())
        for key, _events in self.selector.select(0.02):
            if key.data == 0:
                connection, remote = self.listener.accept()
                self.table.accepted(self._add(connection), (remote[0], remote[1]), time.monotonic_ns())
                continue
            data = self.sockets[key.data].recv(65536)
            if data:
                self.table.sessions[key.data].on_bytes(data)
            else:
                self._drop(key.data)
        for cid in self.table.take_dirty():
            if cid in self.sockets:
                self.sockets[cid].sendall(self.table.sessions[cid].take_output())
        for cid, _reason in self.table.take_closing():
            self._drop(cid)
        self.events += self.table.take_events()

    def wants(self, subject: bytes, queue: bytes = b"") -> None:
        self.router.local[(subject, queue)] = 1
        self.table.interest_changed(subject, queue, 1)

    def close(self) -> None:
        for cid in list(self.sockets):
            self._drop(cid)
        self.listener.close()
        self.selector.close()


class Reference:
    def __init__(self, name: str, folder: Path, cluster: str) -> None:
        self.port, self.cluster_port = free_port(), free_port()
        path = folder / f"{name}.conf"
        path.write_text(
            f"server_name: {name}\nlisten: '127.0.0.1:{self.port}'\n"
            f"cluster {{ name: c, listen: '127.0.0.1:{self.cluster_port}', {cluster} }}\n"
        )
        self.log = folder / f"{name}.log"
        self.process = subprocess.Popen([NATS_SERVER, "-DV", "-l", self.log, "-c", path])

    def wait_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for port in (self.port, self.cluster_port):
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                except OSError:
                    break
            else:
                return
        raise AssertionError("nats-server does not start")

    def client(self) -> Client:
        return Client(self.port)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture
def started() -> Iterator[list[Reference | OurNode]]:
    things: list[Reference | OurNode] = []
    yield things
    for thing in things:
        if isinstance(thing, Reference):
            thing.stop()
        else:
            thing.close()


POOLS = ["pool_size: -1, compression: off", "pool_size: 1", "pool_size: 3"]


def joined(
    started: list[Reference | OurNode], folder: Path, pool: str, we_dial: bool
) -> tuple[OurNode, Reference, RouteSession]:
    if we_dial:
        reference = Reference("ref", folder, pool)
        started.append(reference)
        reference.wait_ready()
        ours = OurNode([reference.cluster_port])
        started.append(ours)
    else:
        ours = OurNode([])
        started.append(ours)
        reference = Reference("ref", folder, f"{pool}, routes: ['nats://127.0.0.1:{ours.port}']")
        started.append(reference)
        reference.wait_ready()
    ours.pump_until(lambda: len(ours.table.routes) == 1)
    return ours, reference, next(iter(ours.table.routes.values()))


@pytest.mark.clients
@pytest.mark.parametrize("we_dial", [True, False], ids=["we dial", "it dials"])
@pytest.mark.parametrize("pool", POOLS)
def test_messages_cross_in_both_directions(
    started: list[Reference | OurNode], tmp_path: Path, pool: str, we_dial: bool
) -> None:
    ours, reference, session = joined(started, tmp_path, pool, we_dial)
    client = reference.client()
    # Its client hears ours.
    client.send(b"SUB there 1\r\nSUB jobs workers 2\r\nSUB service 3\r\n")
    client.flush()
    ours.pump_until(lambda: len(ours.router.remote.get((b"service", b""), {})) == 1)
    assert (b"jobs", b"workers") in ours.router.remote
    ours.router.publish(b"there", b"", b"hello", ours.rng)
    ours.router.publish(b"jobs", b"answer", b"task", ours.rng)
    session.write(message_bytes(b"there", b"", [], 12, b"NATS/1.0\r\n\r\nwith headers"))
    ours.pump()
    client.until(b"HMSG there 1 12 24\r\nNATS/1.0\r\n\r\nwith headers\r\n")
    assert b"MSG there 1 5\r\nhello\r\n" in client.received
    assert b"MSG jobs 2 answer 4\r\ntask\r\n" in client.received
    # Ours hears its client: plain, queue group, request and reply.
    ours.wants(b"here")
    ours.wants(b"work", b"group")
    ours.wants(b"ask", b"responders")
    ours.pump()
    deadline = time.monotonic() + PATIENCE_S
    wanted = {b"here", b"work", b"ask"}  # its server may hear of them one after the other while the client publishes
    while not wanted <= {subject for subject, *_rest in ours.router.received}:
        assert time.monotonic() < deadline
        client.send(b"PUB here 2\r\nhi\r\nPUB work 3\r\njob\r\nSUB inbox 9\r\nPUB ask inbox 1\r\n?\r\n")
        client.flush()
        for _ in range(5):
            ours.pump()
    assert (b"here", b"", b"", b"hi") in ours.router.received
    assert (b"work", b"group", b"", b"job") in ours.router.received
    assert (b"ask", b"responders", b"inbox", b"?") in ours.router.received
    ours.pump_until(lambda: bool(ours.router.remote.get((b"inbox", b""))))
    ours.router.publish(b"inbox", b"", b"!", ours.rng)
    ours.pump()
    client.until(b"MSG inbox 9 1\r\n!\r\n")
    # Interest that ends there ends here.
    client.send(b"UNSUB 1\r\nUNSUB 2\r\n")
    client.flush()
    ours.pump_until(lambda: not ours.router.remote[(b"there", b"")] and not ours.router.remote[(b"jobs", b"workers")])
    # With a pool, a real server also tries a connection of its own for $SYS once; we refuse it as an old server would.
    errors = [str(fields["error"]) for level, _name, fields in ours.events if level == "error"]
    assert len(ours.table.routes) == 1 and all("dedicated route" in error for error in errors)


@pytest.mark.clients
@pytest.mark.parametrize("pool", POOLS)
def test_both_dial_and_one_route_remains(started: list[Reference | OurNode], tmp_path: Path, pool: str) -> None:
    port = free_port()
    ours = OurNode([port])
    started.append(ours)
    reference = Reference("ref", tmp_path, f"{pool}, routes: ['nats://127.0.0.1:{ours.port}']")
    started.append(reference)
    address = next(iter(ours.table._book.addresses()))
    address.port = reference.cluster_port
    quiet_since = time.monotonic()

    def quiet() -> bool:
        nonlocal quiet_since
        if len(ours.sockets) != 1 or len(ours.table.routes) != 1:
            quiet_since = time.monotonic()
        return time.monotonic() - quiet_since > 1.5

    ours.pump_until(quiet)
    client = reference.client()
    client.send(b"SUB there 1\r\n")
    client.flush()
    ours.pump_until(lambda: bool(ours.router.remote.get((b"there", b""))))


@pytest.mark.clients
def test_gossip_of_a_real_server_leads_us_to_the_third(started: list[Reference | OurNode], tmp_path: Path) -> None:
    first = Reference("ref1", tmp_path, "")
    second = Reference("ref2", tmp_path, f"routes: ['nats://127.0.0.1:{first.cluster_port}']")
    started += [first, second]
    first.wait_ready()
    second.wait_ready()
    ours = OurNode([first.cluster_port])
    started.append(ours)
    ours.pump_until(lambda: len(ours.table.routes) == 2)
    ours.wants(b"here")
    client = second.client()
    deadline = time.monotonic() + PATIENCE_S
    while not ours.router.received:
        assert time.monotonic() < deadline
        client.send(b"PUB here 2\r\nhi\r\n")
        client.flush()
        ours.pump()
    assert len(ours.table.connect_urls) == 3
    # Its clients are told of us, too.
    client = first.client()
    assert b'"127.0.0.1:1"' in client.until(b"INFO {")


@pytest.mark.clients
def test_real_server_refuses_another_cluster_and_wrong_credentials(
    started: list[Reference | OurNode], tmp_path: Path
) -> None:
    reference = Reference("ref", tmp_path, "authorization { user: u, password: p }")
    started.append(reference)
    reference.wait_ready()
    for ours in (OurNode([reference.cluster_port], "other"), OurNode([reference.cluster_port], "c", "u", "x")):
        started.append(ours)
        for _ in range(50):
            ours.pump()
        assert not ours.table.routes and ours.next_cid < 6
    right = OurNode([reference.cluster_port], "c", "u", "p")
    started.append(right)
    right.pump_until(lambda: len(right.table.routes) == 1)
