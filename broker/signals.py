"""Signals: what each one asks of a running server, and `--signal`, which sends them.

Is: the two tables and the sender. Is not: the receiving; `server.py` does that inside trio.
Read next: `cli.py`.
"""

from __future__ import annotations

import os
import signal
from typing import Final

from broker.os_errors import reason

STOP: Final = "stop"
RELOAD: Final = "reload"
REOPEN_LOG: Final = "reopen_log"
LAME_DUCK: Final = "lame_duck"
INTERRUPT: Final = signal.SIGINT

# What a signal asks of us. SIGTERM is ignored once lame duck mode has begun; SIGINT never is.
ACTIONS: Final = {
    signal.SIGINT: STOP,
    signal.SIGTERM: STOP,
    signal.SIGHUP: RELOAD,
    signal.SIGUSR1: REOPEN_LOG,
    signal.SIGUSR2: LAME_DUCK,
}

# As nats-server's log calls them.
SIGNAL_NAMES: Final = {
    signal.SIGINT: "interrupt",
    signal.SIGTERM: "terminated",
    signal.SIGHUP: "hangup",
    signal.SIGUSR1: "user defined signal 1",
    signal.SIGUSR2: "user defined signal 2",
}

COMMANDS: Final = {
    "stop": signal.SIGKILL,
    "quit": signal.SIGINT,
    "term": signal.SIGTERM,
    "reopen": signal.SIGUSR1,
    "reload": signal.SIGHUP,
    "ldm": signal.SIGUSR2,
}
COMM_LENGTH_MAX: Final = 15  # the kernel cuts process names there


def send(request: str, program: str) -> None:
    """Carries out `--signal <command>[=<pid, prefix* or pid file>]`. Errors: ValueError, with text for a person."""
    command, _equals, target = request.partition("=")
    if "=" in target:
        raise ValueError(f"invalid signal parameters: [{' '.join(target.split('=')[1:])}]")
    if target:
        target = _pid_file_content(target) or target
    is_prefix = target.endswith("*")
    digits = target.removesuffix("*")
    if digits and not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"invalid pid: {digits}")
    pids = _running(program) if is_prefix or not target else [int(digits)]
    if is_prefix:
        pids = [pid for pid in pids if str(pid).startswith(digits)]
    elif len(pids) > 1:
        raise ValueError("\n".join([f"multiple {program} processes running:", *(str(pid) for pid in pids)]))
    if not pids:
        raise ValueError(f"no {program} processes running")
    number = COMMANDS.get(command)
    if number is None:
        raise ValueError(f'unknown signal "{command}"')
    failures: list[str] = []
    for pid in pids:
        try:
            os.kill(pid, number)
        except (OSError, OverflowError) as error:
            why = reason(error) if isinstance(error, OSError) else "no such process"
            failures.append(f'signal "{command}" {pid}: {why}')
    if failures:
        raise ValueError("\n".join(failures))


def _pid_file_content(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read(32).strip()
    except (OSError, ValueError):
        return ""


def _running(program: str) -> list[int]:
    """The other processes of that name, as pgrep finds them."""
    wanted = program[:COMM_LENGTH_MAX]
    pids: list[int] = []
    try:
        entries = os.listdir("/proc")
    except OSError:
        raise ValueError("unable to resolve pid, try providing one") from None
    for entry in entries:
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                with open(f"/proc/{entry}/comm", encoding="utf-8", errors="replace") as file:
                    if file.read().strip() == wanted:
                        pids.append(int(entry))
            except OSError:
                continue  # it has just ended
    return sorted(pids)
