"""The command line as a harness sees it: exit codes, what is printed and where."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from broker import cli, process_files, signals
from broker.config import OWN_VERSION, VERSION
from broker.logs import Log, sentence


def run(*arguments: str, name: str = "nats-server") -> int:
    return cli.server_main([f"/somewhere/bin/{name}", *arguments])


@pytest.mark.parametrize("flag", ["-v", "--version", "-version", "version"])
def test_version(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(flag, name="ternmq-server") == 0
    assert capsys.readouterr().out == f"nats-server: v{VERSION}\n"


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-h") == 0
    assert "--ports_file_dir" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["-nope"], "nats-server: flag provided but not defined: -nope\n"),
        (["-t"], "nats-server: must specify [-c, --config] option to check configuration file syntax\n"),
        (["-c", "nowhere.conf"], "nats-server: open nowhere.conf: no such file or directory\n"),
        (["-sl", "nope=1"], 'nats-server: unknown signal "nope"\n'),
        (["-sl", "ldm=1=2"], "nats-server: invalid signal parameters: [2]\n"),
        (["-sl", "ldm=999999999"], 'nats-server: signal "ldm" 999999999: no such process\n'),
        (
            ["-js", "--cluster", "nats://127.0.0.1:-1", "-n", "s"],
            "nats-server: jetstream cluster requires `cluster.name` to be set\n",
        ),
        (["--routes", "nats://x:1"], "nats-server: solicited routes require cluster capabilities, e.g. --cluster\n"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_1(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith(line)
    assert printed.err.count("\n") == 1 and printed.out == ""


def test_check_mode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "nats.conf"
    path.write_text("port: 4222")
    assert run("-t", "-c", str(path)) == 0
    assert capsys.readouterr().err.startswith(f"nats-server: configuration file {path} is valid (sha256:")
    path.write_text("")
    assert run("-t", "-c", str(path)) == 1
    assert capsys.readouterr().err == f"nats-server: {path}: config has no values or is empty\n"
    path.write_text("port: 4222\nport: x")
    assert run("-t", "-c", str(path), name="ternmq-server") == 1
    assert capsys.readouterr().err == f"ternmq-server: {path}:2:1: port should be a number, but is text\n"


def test_version_imports_nothing_heavy() -> None:
    code = "import sys; from broker.cli import server_main; server_main(['x', '-v']); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    for module in ("trio", "structlog", "dataclasses", "json", "asyncio", "importlib.metadata"):
        assert f"'{module}'" not in done.stdout


def test_our_own_version_is_the_distributions() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["version"] == OWN_VERSION


def test_helper(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.helper_main(["ternmq", "--version"]) == 0
    assert cli.helper_main(["ternmq"]) == 0
    assert cli.helper_main(["ternmq", "nope"]) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith("ternmq ") and 'unrecognized command: "nope"' in printed.err


# Signals


def test_signal_by_pid_file(tmp_path: Path) -> None:
    caught: list[int] = []
    previous = signal.signal(signal.SIGUSR2, lambda number, _frame: caught.append(number))
    try:
        path = tmp_path / "x.pid"
        process_files.write_pid_file(str(path))
        assert path.read_bytes() == str(os.getpid()).encode()
        assert run(f"-sl=ldm={path}") == 0
        assert run("--signal", f"ldm={os.getpid()}") == 0
    finally:
        signal.signal(signal.SIGUSR2, previous)
    assert caught == [signal.SIGUSR2, signal.SIGUSR2]


@pytest.mark.parametrize(
    ("request_text", "reason"),
    [
        ("ldm=not-a-pid", "invalid pid: not-a-pid"),
        ("ldm=1=2", "invalid signal parameters"),
        ("quit", "no no-such-program processes running"),
        ("quit=999999999", "no such process"),
    ],
)
def test_signal_that_cannot_be_sent(request_text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"(?i){reason}"):
        signals.send(request_text, "no-such-program")


# Ports file


def test_ports_file(tmp_path: Path) -> None:
    listeners = {"nats": ("127.0.0.1", 4222), "monitoring": ("0.0.0.0", 8222), "cluster": ("::1", 6222)}
    path = Path(process_files.write_ports_file(str(tmp_path), "/x/bin/nats-server", listeners))
    assert path == tmp_path / f"nats-server_{os.getpid()}.ports"
    ports = json.loads(path.read_text())
    assert ports["nats"] == ["nats://127.0.0.1:4222"]
    assert "http://127.0.0.1:8222" in ports["monitoring"]
    assert ports["cluster"] == ["nats://[::1]:6222"]
    process_files.remove_file(str(path))
    process_files.remove_file(str(path))
    assert list(tmp_path.iterdir()) == []


# Log lines

AT = 1767322800.123456


def test_line_for_people(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    log = Log(str(path), logtime_utc=True, now=lambda: AT)
    log.event("info", "client_listener", {"host": "0.0.0.0", "port": 4222})
    log.event("debug", "client_created", {"remote": "1.2.3.4:5", "cid": 7})
    log.text("error", "first\nsecond")
    log.output.close()
    pid = os.getpid()
    assert path.read_text() == (
        f"[{pid}] 2026/01/02 03:00:00.123456 [INF] Listening for client connections on 0.0.0.0:4222\n"
        f"[{pid}] 2026/01/02 03:00:00.123456 [ERR] first\\nsecond\n"
    )


def test_line_without_time_and_with_debug(capfd: pytest.CaptureFixture[str]) -> None:
    Log(logtime=False, debug=True).event("debug", "client_created", {"remote": "1.2.3.4:5", "cid": 7})
    assert capfd.readouterr().err == f"[{os.getpid()}] [DBG] 1.2.3.4:5 - cid:7 - Client connection created\n"


def test_line_for_machines(capfd: pytest.CaptureFixture[str]) -> None:
    log = Log(log_format="json", logtime_utc=True, now=lambda: AT)
    log.event("warn", "disk_full", {"stream": "ORDERS", "level": "x", "bytes": 5})
    assert json.loads(capfd.readouterr().err) == {
        "time": "2026-01-02T03:00:00.123456Z",
        "level": "warning",
        "pid": os.getpid(),
        "event": "disk_full",
        "text": "Disk full: stream=ORDERS, level=x, bytes=5",
        "stream": "ORDERS",
        "bytes": 5,
    }


def test_event_without_the_fields_of_its_sentence() -> None:
    assert sentence("client_listener", {"port": 1}) == "Client listener: port=1"
    assert sentence("never_heard_of", {}) == "Never heard of"


def test_log_file_is_reopened_and_rotates(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    log = Log(str(path), size_limit=200, files_max=2)
    log.text("info", "one")
    path.rename(tmp_path / "moved")
    log.output.reopen()
    log.text("info", "two")
    assert "two" in path.read_text() and "two" not in (tmp_path / "moved").read_text()
    for _ in range(12):
        log.text("info", "x" * 60)
    names = [entry.name for entry in tmp_path.iterdir() if entry.name.startswith("x.log.")]
    assert len(names) == 1 and path.stat().st_size < 200
    log.output.close()


def test_log_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Log(str(tmp_path / "nowhere" / "x.log"))
