"""A service manager hears when the daemon is ready, alive, reloading and stopping: a real daemon and a socket."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.sd_notify import Notifier
from net.test_net_server import PATIENCE_S, daemon


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(PATIENCE_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield sock


def test_a_daemon_tells_its_life(manager: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    conf = tmp_path / "server.conf"
    conf.write_text("debug: false\nport: -1\n")
    with daemon("-c", str(conf)) as server:
        assert manager.recv(4096) == b"READY=1\nSTATUS=Serving clients"
        assert manager.recv(4096) == b"WATCHDOG=1"
        assert manager.recv(4096) == b"WATCHDOG=1"  # a second later
        conf.write_text("debug: true\nport: -1\n")
        server.process.send_signal(signal.SIGHUP)
        said = manager.recv(4096)
        while said == b"WATCHDOG=1":
            said = manager.recv(4096)
        head, _equals, moment = said.rpartition(b"=")
        assert head == b"RELOADING=1\nMONOTONIC_USEC"
        assert 0 <= time.monotonic() * 1e6 - int(moment) < 60e6
        assert manager.recv(4096) == b"READY=1\nSTATUS=Serving clients"
        server.process.send_signal(signal.SIGTERM)
        said = manager.recv(4096)
        while said == b"WATCHDOG=1":
            said = manager.recv(4096)
        assert said.startswith(b"STOPPING=1\n")
        assert server.ended() == 0


def test_nobody_listens_and_nothing_happens(tmp_path: Path) -> None:
    Notifier({}).ready("x")
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready("x")


def test_an_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0ternmq-notify-test")
        sock.settimeout(PATIENCE_S)
        Notifier({"NOTIFY_SOCKET": "@ternmq-notify-test"}).status("here")
        assert sock.recv(100) == b"STATUS=here"


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "3000000"}, 0.0),  # and no socket
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "3000000"}, 1.0),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"NOTIFY_SOCKET": "/x"}, 0.0),
    ],
)
def test_whose_watchdog_it_is(environment: dict[str, str], seconds: float) -> None:
    assert Notifier(environment).watchdog_s == seconds
