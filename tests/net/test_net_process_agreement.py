"""The daemon beside the real nats-server: the same flags and signals, the same log lines, files and exit codes.

Not compared: ids, times and ports, and the lines that only one of the two has a reason to write (ONLY_THEIRS).
"""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from net.daemon import OURS, PATIENCE_S, THEIRS, Daemon, daemon

SERVERS = {"theirs": THEIRS, "ours": OURS}
READY = "Server is ready"

# Their build, the picture over JetStream, and accounts, which a reload here does not make anew.
ONLY_THEIRS = re.compile(
    r"Git:|[_|] +[_|]|\|_\||docs\.nats\.io|\[INF\] $|Reloaded: (accounts|authorization user)|cleaning up ports"
)
ONLY_OURS = re.compile("No compiled core|The compiled core")
BLURRED = (
    (r"^\[\d+\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} ", ""),
    (r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ", "[FTL] "),  # what theirs says before it has a log
    (r"\bN[A-Z2-7]{55}\b", "ID"),
    (r"(Node: +)\S+", r"\1NODE"),
    (r"(on (?:127\.0\.0\.1|\[::1\]):)\d+", r"\1PORT"),
    (r"_\d+\.ports", "_PID.ports"),
    (r"(Max Storage: +)\S+ \S+", r"\1SIZE"),
    (r"Took \S+ to", "Took TIME to"),
    (r"\b[A-Za-z0-9]{22}\b", "CLUSTER"),
)


def told(run: Daemon) -> list[str]:
    """The log without what differs between any two runs."""
    lines = []
    for line in run.lines:
        for pattern, instead in BLURRED:
            line = re.sub(pattern, instead, line)
        if not ONLY_THEIRS.search(line) and not ONLY_OURS.search(line):
            lines.append(line)
    return lines


def running(who: str, *flags: str) -> AbstractContextManager[Daemon]:
    return daemon(*flags, program=SERVERS[who])


def both(play: Callable[[str], list[str]]) -> None:
    """Plays the same with each; both told the same, in any order (theirs starts several things at once)."""
    theirs, ours = play("theirs"), play("ours")
    assert sorted(ours) == sorted(theirs)


@pytest.mark.parametrize(
    "flags",
    [
        ["-m", "-1"],
        ["--cluster", "nats://127.0.0.1:-1"],
        ["--cluster", "nats://127.0.0.1:-1", "--cluster_name", "c", "-user", "u", "-pass", "p"],
        ["-js", "-sd", "STORE"],
        ["-sl=", "-auth", "token"],
        ["-a", "::1", "-m", "-1", "--cluster", "nats://[::1]:-1", "--cluster_name", "c"],
        ["--ports_file_dir", "/nowhere"],
    ],
    ids=" ".join,
)
def test_from_start_to_sigterm(flags: list[str], tmp_path: Path) -> None:
    def play(who: str) -> list[str]:
        store = tmp_path / who
        with running(who, "-p", "-1", *(str(store) if flag == "STORE" else flag for flag in flags)) as run:
            run.until(READY)
            if "--ports_file_dir" in flags:
                run.until("Error writing ports file")
            elif "--cluster" in flags and who == "theirs":
                run.until("Listening for route connections")
            run.process.send_signal(signal.SIGTERM)
            assert run.ended() == 0
            return [line.replace(str(store), "STORE") for line in told(run)]

    both(play)


@pytest.mark.parametrize(
    "flags",
    [
        ["-P", "/nowhere/pid", "-p", "-1"],
        ["-l", "/nowhere/log", "-p", "-1"],
        ["-p", "TAKEN"],
        ["-p", "-1", "-m", "TAKEN"],
        ["-p", "-1", "-js", "-sd", "/dev/null"],
        ["-p", "-1", "--cluster", "nats://127.0.0.1:TAKEN"],
        ["-c", "/nowhere/nats.conf"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_opened_ends_it_with_the_same_last_line(flags: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

        def play(who: str) -> list[str]:
            with running(who, *(flag.replace("TAKEN", port) for flag in flags)) as run:
                assert run.ended() == 1
                return told(run)[-1:]

        both(play)


def test_files_for_those_who_look_for_a_server(tmp_path: Path) -> None:
    def play(who: str) -> list[str]:
        pid_file = tmp_path / f"{who}.pid"
        folder = tmp_path / who
        folder.mkdir()
        flags = ("-p", "-1", "-m", "-1", "-P", str(pid_file), "--ports_file_dir", str(folder))
        with running(who, *flags) as run:
            run.until(READY)
            assert pid_file.read_text() == str(run.process.pid)
            ports_file = folder / f"nats-server_{run.process.pid}.ports"
            while not ports_file.exists():
                assert run.process.poll() is None
            told = re.sub(r":\d+", ":PORT", json.dumps(json.loads(ports_file.read_text())))
            run.process.send_signal(signal.SIGINT)
            assert run.ended() == 0
            return [told, f"the ports file is there: {ports_file.exists()}", f"the pid file: {pid_file.exists()}"]

    both(play)


@pytest.mark.parametrize(
    ("number", "last"),
    [(signal.SIGHUP, "only reload config when"), (signal.SIGUSR1, "re-open ignored"), (signal.SIGUSR2, "lame duck")],
)
def test_signals_without_a_file_to_act_on(number: signal.Signals, last: str) -> None:
    def play(who: str) -> list[str]:
        with running(who, "-p", "-1") as run:
            run.until(READY)
            run.process.send_signal(number)
            run.until(last)
            if number != signal.SIGUSR2:  # which ends it by itself: there are no clients
                run.process.send_signal(signal.SIGTERM)
            assert run.ended() == 0
            return told(run)

    both(play)


def test_a_route_that_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    def play(who: str) -> list[str]:
        flags = ("--cluster", "nats://127.0.0.1:-1", "--cluster_name", "c", "--routes", f"nats://127.0.0.1:{port}")
        with running(who, "-p", "-1", *flags) as run:
            run.until("trying to connect")
            return [line for line in told(run) if "trying to connect" in line][:1]

    both(play)


def test_a_failed_health_check_is_in_the_log() -> None:
    def play(who: str) -> list[str]:
        with running(who, "-p", "-1", "-m", "-1") as run:
            run.until(READY)
            port = next(found[1] for line in run.lines if (found := re.search(r"http monitor on \S+:(\d+)", line)))
            for query in ("stream=S", "account=A&consumer=C", "stream=S&details=1", "js-server-only=1"):
                connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=PATIENCE_S)
                connection.request("GET", f"/healthz?{query}")
                connection.getresponse().read()
                connection.close()
            run.process.send_signal(signal.SIGTERM)
            assert run.ended() == 0
            return [line for line in told(run) if "Health" in line]

    both(play)


CLUSTER = "cluster { name: c, listen: '127.0.0.1:-1'"
RELOADS = {
    "limits": ("", 'max_payload: 100\nping_interval: "3s"\nwrite_deadline: "3s"\nmax_connections: 5\nping_max: 7'),
    "log": ("", "debug: false\nlogtime_utc: true\nmax_control_line: 100\nmax_traced_msg_len: 10"),
    "login": ("", "authorization { user: a, password: b }"),
    "cluster": (CLUSTER + "}", CLUSTER + ", no_advertise: true, ping_interval: '7s' }"),
    "routes": (CLUSTER + ", routes: ['nats://127.0.0.1:1'] }", CLUSTER + ", routes: ['nats://127.0.0.1:2'] }"),
    "refused": ("", "server_name: other"),
    "refused too": ("", "max_pending: 2000000"),
    "malformed": ("", "foo: 1"),
}


@pytest.mark.parametrize("change", RELOADS)
def test_a_reload_is_told_alike(change: str, tmp_path: Path) -> None:
    path = tmp_path / "server.conf"
    before, after = (f'listen: "127.0.0.1:-1"\n{text}\n' for text in RELOADS[change])

    def play(who: str) -> list[str]:
        path.write_text(before)
        with running(who, "-c", str(path)) as run:
            run.until(READY)
            path.write_text(after)
            run.process.send_signal(signal.SIGHUP)
            run.until("server configuration")
            run.process.send_signal(signal.SIGTERM)
            assert run.ended() == 0
            lines = [re.sub(r":(\d+):\d+:", r":\1:COLUMN:", line) for line in told(run)]  # ours counts from 1
            # How often an address was tried meanwhile is chance.
            lines = [line for line in lines if "trying to connect" not in line and "route connections" not in line]
            return [line for line in lines if not (change == "login" and "Reloaded: authorization" in line)]

    both(play)


@pytest.mark.parametrize("who", SERVERS)
def test_a_reload_moves_the_log_and_the_ports_file(who: str, tmp_path: Path) -> None:
    path, log = tmp_path / "server.conf", tmp_path / "log"
    path.write_text('listen: "127.0.0.1:-1"\n')
    with running(who, "-c", str(path)) as run:
        run.until(READY)
        path.write_text(f'listen: "127.0.0.1:-1"\nlogfile: "{log}"\nports_file_dir: "{tmp_path}"\n')
        run.process.send_signal(signal.SIGHUP)
        ports = tmp_path / f"nats-server_{run.process.pid}.ports"  # nats-server writes it when it has said so
        while not log.exists() or "Reloaded server configuration" not in log.read_text() or not ports.exists():
            assert run.process.poll() is None
        run.process.send_signal(signal.SIGTERM)
        assert run.ended() == 0
        assert "Server Exiting.." in log.read_text()
        assert not list(tmp_path.glob("*.ports"))
