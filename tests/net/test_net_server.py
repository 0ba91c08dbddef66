"""A server from bind to exit: the daemon as a process, servers inside a program, and the local cluster's refusals."""

from __future__ import annotations

import json
import signal
import socket
import time
import urllib.request
from pathlib import Path

import pytest
import trio

from broker import dev
from broker.config import ClusterOptions
from broker.net.listener import bind
from broker.testing import ServerHandle, open_cluster, open_server, start_server
from net.daemon import PATIENCE_S, daemon
from net.rig import read_exactly


def test_a_daemon_says_where_it_listens_and_leaves_its_files(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with daemon("-p", "-1", "-m", "-1", "-P", str(pid_file), "--ports_file_dir", str(tmp_path)) as server:
        port = int(server.until(r"Listening for client connections on 127\.0\.0\.1:(\d+)$").group(1))
        server.until(r"\[INF\] Server is ready$")
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as client:
            assert client.recv(4096).startswith(b"INFO {")
        ports_file = tmp_path / f"nats-server_{server.process.pid}.ports"
        while not ports_file.exists():
            assert server.process.poll() is None
        ports = json.loads(ports_file.read_text())
        assert ports["nats"] == [f"nats://127.0.0.1:{port}"]
        with urllib.request.urlopen(ports["monitoring"][0] + "/varz", timeout=PATIENCE_S) as page:
            assert json.load(page)["port"] == port
        assert pid_file.read_text() == str(server.process.pid)
        server.process.send_signal(signal.SIGTERM)
        assert server.ended() == 0
        assert not ports_file.exists()
        assert server.lines[-1].endswith("[INF] Server Exiting..")


def test_lame_duck_is_not_cut_short_by_sigterm_but_by_sigint() -> None:
    with daemon("-p", "-1") as server:
        port = int(server.until(r"Listening for client connections on 127\.0\.0\.1:(\d+)$").group(1))
        server.until("Server is ready")
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as client:  # without one it would end at once
            assert client.recv(4096).startswith(b"INFO {")
            server.process.send_signal(signal.SIGUSR2)
            server.until("Entering lame duck mode, stop accepting new clients")
            server.process.send_signal(signal.SIGTERM)
            server.until('Trapped "terminated" signal')
            server.process.send_signal(signal.SIGINT)
            server.until('Trapped "interrupt" signal')
            assert server.ended() == 0


def test_lame_duck_without_clients_ends_within_its_grace_period() -> None:
    with daemon("-p", "-1") as server:
        server.until("Server is ready")
        server.process.send_signal(signal.SIGUSR2)  # the grace period is 10 s, after which 110 s follow
        began = time.monotonic()
        assert server.ended() == 0
        assert time.monotonic() - began < 8


def test_a_changed_configuration_is_taken_over_or_refused_whole(tmp_path: Path) -> None:
    conf = tmp_path / "server.conf"
    conf.write_text("port: -1\nhttp: '127.0.0.1:-1'\nmax_payload: 1000\n")
    with daemon("-c", str(conf)) as server:
        server.until("Server is ready")
        conf.write_text("port: -1\nhttp: '127.0.0.1:-1'\nmax_payload: 2000\ndebug: true\n")
        server.process.send_signal(signal.SIGHUP)
        server.until(r"\[INF\] Reloaded: debug = true$")
        server.until(r"\[INF\] Reloaded: max_payload = 2000$")
        server.until(r"\[INF\] Reloaded server configuration \(sha256:[0-9a-f]{64}\)$")
        conf.write_text("port: -1\nhttp: '127.0.0.1:-1'\nmax_payload: 3000\nserver_name: other\n")
        server.process.send_signal(signal.SIGHUP)
        server.until(
            r"\[ERR\] Failed to reload server configuration: config reload not supported for ServerName: old=, new=o.*$"
        )
        conf.write_text("prt: 1\n")
        server.process.send_signal(signal.SIGHUP)
        server.until(r'\[ERR\] Failed to reload server configuration: .*server\.conf:1:\d+: unknown field "prt"$')
        server.process.send_signal(signal.SIGTERM)
        assert server.ended() == 0


def test_streams_of_nats_server_are_not_passed_over_in_silence(tmp_path: Path) -> None:
    (tmp_path / "jetstream" / "$G" / "streams" / "ORDERS").mkdir(parents=True)
    with daemon("-p", "-1", "-js", "-sd", str(tmp_path)) as server:
        server.until(r"\[FTL\] Can't start JetStream: .*holds streams of nats-server")
        assert server.ended() == 1
    assert [path.name for path in (tmp_path / "jetstream").iterdir()] == ["$G"]


def test_a_port_that_is_taken_ends_it_with_one_line() -> None:
    with bind("127.0.0.1", -1) as taken:
        port = taken.getsockname()[1]
        with daemon("-p", str(port)) as server:
            assert server.ended() == 1
            assert f'[FTL] Error listening on port: 127.0.0.1:{port}, "listen tcp 127.0.0.1:{port}' in server.lines[-1]


async def hello(server: ServerHandle) -> trio.SocketStream:
    """A connection that has answered a PING."""
    stream = await trio.open_tcp_stream("127.0.0.1", server.options.port)
    await stream.send_all(b'CONNECT {"verbose":false}\r\nPING\r\n')
    said = b""
    while b"PONG\r\n" not in said:
        said += bytes(await stream.receive_some())
    return stream


async def request(stream: trio.SocketStream, subject: str, body: bytes = b"") -> bytes:
    """The answer to one request. The connection must be new: it subscribes as sid 1."""
    await stream.send_all(b"SUB _INBOX.> 1\r\nPUB %s _INBOX.1 %d\r\n%s\r\n" % (subject.encode(), len(body), body))
    line = b""
    while not line.endswith(b"\r\n"):
        line += await read_exactly(stream, 1)
    size = int(line.split()[-1])
    return (await read_exactly(stream, size + 2))[:size]


async def test_a_server_lives_inside_a_trio_program() -> None:
    async with open_server() as server:
        answer = json.loads(await request(await hello(server), "$JS.API.INFO"))
        assert answer["type"] == "io.nats.jetstream.api.v1.account_info_response"
        assert ("info", "server_ready", {}) in server.events


async def test_lame_duck_tells_clients_closes_them_and_ends() -> None:
    millisecond = 1_000_000
    async with open_server(
        lame_duck_grace_period_ns=20 * millisecond, lame_duck_duration_ns=40 * millisecond
    ) as server:
        stream = await trio.open_tcp_stream("127.0.0.1", server.options.port)
        await stream.send_all(b'CONNECT {"verbose":false,"protocol":1}\r\nPING\r\n')
        server.server.lame_duck()
        said = b""
        with trio.fail_after(PATIENCE_S):
            async for part in stream:
                said += part
            await server.server.wait_ended()
        assert b'"ldm":true' in said
        with pytest.raises(OSError, match="all attempts to connect"):
            await trio.open_tcp_stream("127.0.0.1", server.options.port)


async def test_what_was_acknowledged_survives_a_kill() -> None:
    async with open_server() as server:
        config = json.dumps({"name": "S", "subjects": ["s"], "retention": "limits", "num_replicas": 1}).encode()
        await request(await hello(server), "$JS.API.STREAM.CREATE.S", config)
        assert json.loads(await request(await hello(server), "s", b"kept"))["seq"] == 1
        await server.restart()
        state = json.loads(await request(await hello(server), "$JS.API.STREAM.INFO.S"))["state"]
        assert (state["messages"], state["last_seq"]) == (1, 1)


async def test_a_cluster_elects_another_meta_leader_when_one_is_killed() -> None:
    async with open_cluster(3) as cluster:
        first = await cluster.wait_meta_leader()
        await cluster.kill(first)
        second = await cluster.wait_meta_leader()
        assert second != first
        await cluster.restart(first)
        await hello(cluster.servers[first])
        assert len(cluster.urls) == 3


def test_a_server_runs_beside_a_program_without_trio() -> None:
    with start_server(jetstream=False) as server:
        host, port = server.url.removeprefix("nats://").split(":")
        with socket.create_connection((host, int(port)), PATIENCE_S) as client:
            assert client.recv(4096).startswith(b"INFO {")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), PATIENCE_S)


def test_garbage_on_every_port_costs_nothing() -> None:
    garbage = [
        b"\x00" * 10_000,
        b"\xff\xfe" * 5_000,
        b"GET / HTTP/1.1\r\n" * 1_000,
        b"PUB a 99999999999\r\n",
        b"\r\n" * 9,
    ]
    with start_server(cluster=ClusterOptions(name="c", host="127.0.0.1", port=-1)) as server:
        ports = [int(url.rsplit(":", 1)[1]) for url in (server.url, server.monitor_url)]
        ports.append(server.options.cluster.port)
        for port in ports:
            for data in garbage:
                with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as client:
                    client.sendall(data)
        with urllib.request.urlopen(server.monitor_url + "/healthz?js-server-only=true", timeout=PATIENCE_S) as page:
            assert page.status == 200


def test_ternmq_dev_names_the_port_that_is_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with bind("127.0.0.1", -1) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(dev, "CLIENT_PORT", port)
        assert dev.main([]) == 1
    assert f"port {port} is in use" in capsys.readouterr().err
