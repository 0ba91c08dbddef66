"""Bad input never takes a node down: whatever arrives at its ports, and whatever it finds where its store should be.

Real processes, as a package would start them. What each malformed line is answered is the core's affair (`core/`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import resource
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.js.errors import APIError, ServiceUnavailableError

from clients.servers import Cluster, Node, Program, free_ports
from clients.waiting import wait_until, wait_until_async

PATIENCE_S = 20.0
pytestmark = [pytest.mark.clients]


@pytest.fixture
def server(program: Program, tmp_path: Path) -> Iterator[Node]:
    """One node alone, with a cluster port."""
    with Cluster(program, tmp_path / "one", size=1) as running:
        node = running.nodes[0]
        yield node


def talk(port: int, data: bytes) -> bytes:
    """Send; everything that comes back until the server closes (b"" also when it resets), or falls silent."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
        connection.settimeout(1.0)
        try:
            connection.sendall(data)
            while chunk := connection.recv(65536):
                answer += chunk
        except (TimeoutError, ConnectionError):
            pass
    return answer


def unharmed(node: Node) -> None:
    """It runs, is well, and nothing of ours fell over."""
    assert node.healthy()
    log = node.log_path.read_text(errors="replace")
    assert "Traceback" not in log and "[FTL]" not in log, node.log_tail()


def last_words(node: Node) -> list[str]:
    """What a process that refuses to start says; it must end by itself."""
    node.log_path.unlink(missing_ok=True)
    node.start()
    assert node.process is not None
    assert node.process.wait(PATIENCE_S) == 1, node.log_tail()
    lines = node.log_path.read_text(errors="replace").splitlines()
    assert not any("Traceback" in line for line in lines), node.log_tail()
    return [line for line in lines if "[FTL]" in line or "[ERR]" in line or line.startswith("nats-server:")]


# --- what arrives -------------------------------------------------------------------------------------------------

OPEN = b'CONNECT {"verbose":false}\r\n'


def test_oversize(server: Node) -> None:
    with socket.create_connection(("127.0.0.1", server.client_port), PATIENCE_S) as bystander:
        bystander.sendall(OPEN + b"SUB a 1\r\nPING\r\n")
        payload = OPEN + b"PUB a 2000000\r\n" + b"x" * 100_000
        assert b"-ERR 'Maximum Payload Violation'" in talk(server.client_port, payload)
        assert b"-ERR 'maximum control line exceeded'" in talk(server.client_port, OPEN + b"PUB " + b"a" * 5000)
        assert b"-ERR 'maximum control line exceeded'" in talk(server.client_port, b"CONNECT {" + b" " * 100_000)
        assert talk(server.client_port, OPEN + b"PUB a 2\r\nok\r\nPING\r\n").endswith(b"PONG\r\n")
        heard = b""
        while b"MSG a 1 2\r\nok\r\n" not in heard:
            heard += bystander.recv(4096)
    unharmed(server)


def test_garbage_on_each_port(cluster: Cluster) -> None:
    node = cluster.nodes[0]
    rng = random.Random(1)
    blobs = [
        bytes(100_000),
        rng.randbytes(100_000),
        b"\r\n" * 20_000,
        b"GET / HTTP/1.1\r\n" * 2_000,
        b"{" * 50_000,
        b"INFO {}\r\nCONNECT {}\r\nRS+\r\nRMSG $G a 99999999999\r\n",
        b'TERNMQ/1 {"name":"x","cluster":"trial","port":1}\r\n' + rng.randbytes(10_000),
        b"PUB a 99999999999999999999\r\n",
        b"HPUB a 100 1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(500),  # somebody's TLS
    ]
    before = node.resident_mb()
    for port in (node.client_port, node.cluster_port, node.http_port):
        for blob in blobs:
            talk(port, blob)
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
            connection.sendall(b"half a")  # and gone
    cluster.wait_healthy()
    for each in cluster.nodes:
        unharmed(each)
    assert node.resident_mb() - before < 30


def hello(name: str, cluster: str) -> bytes:
    body = {"name": name, "cluster": cluster, "port": 1, "meta": False, "user": "", "pass": "", "store": "s"}
    return b"TERNMQ/1 " + json.dumps(body).encode() + b"\r\n"


async def ask(client: nats.NATS, subject: str, body: dict[str, object]) -> None:
    """A request; refused or not answered is as good as done."""
    with contextlib.suppress(nats.errors.Error):
        await client.request(subject, json.dumps(body).encode(), timeout=1)


@pytest.mark.parametrize("number", [(1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_numbers_at_the_end_of_their_range(server: Node, number: int) -> None:
    """In the API and in headers; the node does what it can, stops cleanly, and comes back."""

    async def story() -> None:
        client = await nats.connect(server.url)
        limitless = {"allow_msg_ttl": True, "allow_direct": True}
        for name, config in [("A", {"first_seq": number}), ("B", {"max_age": number}), ("C", limitless)]:
            await ask(client, f"$JS.API.STREAM.CREATE.{name}", {"name": name, "subjects": [f"{name}.>"], **config})
        for consumer in ({"ack_wait": number}, {"backoff": [number], "max_deliver": 3}, {"opt_start_seq": number}):
            config = {"durable_name": "D", "ack_policy": "explicit", **consumer}
            await ask(client, "$JS.API.CONSUMER.CREATE.C.D", {"stream_name": "C", "config": config})
            await client.publish("C.a", b"x", headers={"Nats-TTL": str(number)})
            await ask(client, "$JS.API.CONSUMER.MSG.NEXT.C.D", {"batch": 1, "expires": 100_000_000})
            await ask(client, "$JS.API.CONSUMER.DELETE.C.D", {})
        await ask(client, "$JS.API.STREAM.PURGE.C", {"filter": "x" * 70_000})
        for name in "ABC":
            await client.publish(f"{name}.a", b"x", headers={"Nats-TTL": "9" * 5000 + "s"})
        await ask(client, "$JS.API.STREAM.PURGE.C", {"seq": number})
        await ask(client, "$JS.API.DIRECT.GET.C", {"last_by_subj": "\ud800"})
        for _ in range(3):
            for name in "ABC":
                await client.publish(f"{name}.a", b"x")
        await client.close()

    asyncio.run(story())
    unharmed(server)
    server.stop()
    server.start()
    wait_until("healthy", server.healthy, PATIENCE_S)
    unharmed(server)


def test_strangers_on_the_cluster_port(cluster: Cluster, tmp_path: Path) -> None:
    """Of another cluster by name: a nats-server, and one of our own kind."""
    node = cluster.nodes[0]
    assert b"-ERR 'Cluster Name Conflict'" in talk(node.cluster_port, hello("stranger", "elsewhere"))
    routes = node.get("/routez")["num_routes"]
    port, cluster_port, http_port = free_ports(3)
    conf = tmp_path / "stranger.conf"
    conf.write_text(
        f'server_name: stranger\nlisten: "127.0.0.1:{port}"\nhttp: "127.0.0.1:{http_port}"\n'
        f'cluster {{ name: elsewhere, listen: "127.0.0.1:{cluster_port}", routes: ["{node.route}"] }}\n'
    )
    reference = Program.nats_server()
    log = tmp_path / "stranger.log"
    with log.open("ab") as out:
        process = subprocess.Popen([*reference.argv, "-c", str(conf)], stdout=out, stderr=out)
    try:
        wait_until("the stranger is refused", lambda: "Cluster Name Conflict" in log.read_text(), PATIENCE_S)
        assert node.get("/routez")["num_routes"] == routes
        remotes = [route["remote_name"] for route in node.get("/routez")["routes"]]
        assert "stranger" not in remotes
    finally:
        process.kill()
        process.wait()
    unharmed(node)


# --- what it finds ------------------------------------------------------------------------------------------------


def test_the_store_of_another_server(server: Node) -> None:
    server.stop()
    text = server.conf_path.read_text().replace("server_name: n1", "server_name: n2")
    server.conf_path.write_text(text)
    (line,) = last_words(server)
    assert '"n1"' in line and '"n2"' in line


def test_a_store_that_cannot_be_written(server: Node, tmp_path: Path) -> None:
    server.stop()
    (tmp_path / "file").write_text("not a directory")
    text = server.conf_path.read_text()
    server.conf_path.write_text(text.replace(str(server.store_dir), str(tmp_path / "file")))
    (line,) = last_words(server)
    assert line.endswith("[FTL] Can't start JetStream: storage directory is not a directory")
    server.conf_path.write_text(text)
    read_only(server.store_dir, True)
    try:
        (line,) = last_words(server)
        assert str(server.store_dir) in line
    finally:
        read_only(server.store_dir, False)


def read_only(directory: Path, on: bool) -> None:
    """For root too, to whom permissions mean nothing."""
    if os.geteuid() == 0:
        words = ["mount", "--bind", str(directory), str(directory)] if on else ["umount", str(directory)]
        subprocess.run(words, check=True)
        if on:
            subprocess.run(["mount", "-o", "remount,bind,ro", str(directory)], check=True)
        return
    for path in [directory, *directory.rglob("*")]:
        path.chmod((0o555 if path.is_dir() else 0o444) if on else (0o755 if path.is_dir() else 0o644))


@pytest.mark.parametrize("which", ["client", "cluster", "http"])
def test_a_port_that_is_taken(program: Program, tmp_path: Path, which: str) -> None:
    node = Cluster(program, tmp_path / "one", size=3).nodes[0]
    port = {"client": node.client_port, "cluster": node.cluster_port, "http": node.http_port}[which]
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        (line,) = last_words(node)
    assert f"127.0.0.1:{port}: bind: address already in use" in line


# --- a damaged log ------------------------------------------------------------------------------------------------


async def publish(url: str, stream: str, count: int, size: int = 100) -> list[int]:
    """Publish to a stream that is made where it does not exist; the sequences."""
    client = await nats.connect(url)
    try:
        js = client.jetstream(timeout=PATIENCE_S)
        try:
            await js.stream_info(stream)
        except nats.js.errors.NotFoundError:
            await js.add_stream(name=stream, subjects=[f"{stream}.>"])
        return [(await js.publish(f"{stream}.a", os.urandom(size))).seq for _ in range(count)]
    finally:
        await client.close()


async def stream_state(url: str, stream: str) -> Any:
    client = await nats.connect(url)
    try:
        return (await client.jetstream(timeout=PATIENCE_S).stream_info(stream)).state
    finally:
        await client.close()


def newest_log(node: Node) -> Path:
    """The log file with the last entries in it."""
    logs = (node.store_dir / "jetstream" / "wal").glob("*.wal")
    return max(path for path in logs if path.read_bytes()[4096:].strip(b"\0"))


def frames(path: Path) -> list[int]:
    """Offsets of the frames of a log file."""
    data = path.read_bytes()
    found = []
    at = data.find(b"TmqF")
    while at >= 0:
        found.append(at)
        at = data.find(b"TmqF", at + 4)
    return found


def test_a_torn_tail_is_cut(server: Node) -> None:
    asyncio.run(publish(server.url, "S", 20))
    server.kill()
    log = newest_log(server)
    last = frames(log)[-1]
    with log.open("r+b") as file:  # the end of the last frame never reached the disk
        file.seek(last + 30)
        file.write(bytes(200))
    server.start()
    wait_until("healthy", server.healthy, PATIENCE_S)
    state = asyncio.run(stream_state(server.url, "S"))
    assert state.messages in (19, 20)
    assert asyncio.run(publish(server.url, "S", 1)) == [state.messages + 1]
    unharmed(server)


def test_damage_in_the_middle_of_the_log_is_said_and_repaired_and_others_go_on(cluster: Cluster) -> None:
    for stream in ("S", "T"):
        asyncio.run(publish_replicated(cluster, stream))
    node = cluster.nodes[0]
    node.kill()
    log = newest_log(node)
    middle = frames(log)
    at = middle[len(middle) // 2]
    with log.open("r+b") as file:
        file.seek(at + 60)
        file.write(b"\xff" * 8)
    node.start()
    wait_until("it says so", lambda: "orrupt" in node.log_tail(200), PATIENCE_S)
    assert asyncio.run(publish(cluster.nodes[1].url, "S", 5)) == [26, 27, 28, 29, 30]
    assert asyncio.run(publish(cluster.nodes[2].url, "T", 5)) == [26, 27, 28, 29, 30]
    wait_until("it is made anew from the others", node.healthy, PATIENCE_S)
    for stream in ("S", "T"):
        assert cluster.wait_replicas_equal(stream, 10)["messages"] == 30
    unharmed(node)


async def publish_replicated(cluster: Cluster, stream: str) -> None:
    client = await nats.connect(cluster.nodes[0].url)
    try:
        await client.jetstream(timeout=PATIENCE_S).add_stream(name=stream, subjects=[f"{stream}.>"], num_replicas=3)
    finally:
        await client.close()
    assert len(await publish(cluster.nodes[0].url, stream, 25)) == 25


# --- no room ------------------------------------------------------------------------------------------------------


def no_room(node: Node, on: bool) -> None:
    """No file of the process may grow, or every one may."""
    assert node.process is not None
    soft = 0 if on else resource.RLIM_INFINITY
    resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (soft, resource.RLIM_INFINITY))


def test_a_full_disk(server: Node) -> None:
    """Publishes are refused, reading and consuming go on, and when there is room again all is as before."""

    async def story() -> None:
        client = await nats.connect(server.url)
        js = client.jetstream(timeout=PATIENCE_S)
        await js.add_stream(name="S", subjects=["S.>"])
        for _ in range(20):
            await js.publish("S.a", b"x" * 1000)
        consumer = await js.pull_subscribe("S.>", durable="D")
        await (await consumer.fetch(1))[0].ack_sync()
        no_room(server, True)
        with pytest.raises((APIError, nats.errors.TimeoutError)):
            await js.publish("S.a", b"the one that finds out", timeout=3)
        for _ in range(3):
            with pytest.raises(ServiceUnavailableError) as refused:
                await js.publish("S.a", b"x", timeout=3)
            assert refused.value.err_code == 10077
        assert (await js.get_msg("S", 3)).data == b"x" * 1000
        assert [m.metadata.sequence.stream for m in await consumer.fetch(5, timeout=3)] == [2, 3, 4, 5, 6]
        assert server.running()
        no_room(server, False)

        async def accepted() -> bool:
            return (await js.publish("S.a", b"again", timeout=2)).seq > 20

        await wait_until_async("publishes are accepted again", accepted, PATIENCE_S)
        assert (await js.stream_info("S")).state.messages in (21, 22)
        await client.close()

    asyncio.run(story())
    wait_until("healthy", server.healthy, PATIENCE_S)
    log = server.log_path.read_text()
    assert log.count("no space") <= 2 and "Traceback" not in log, server.log_tail()
