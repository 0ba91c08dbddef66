"""Plays a script to one server and writes down what the commands printed.

Every script has a directory of its own, which is the working directory of its commands; NATS_URL, REPLICAS (1 or 3),
PEERS (0 or 3) and the path to the tool are in their environment. What a script started ends with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from clients.cli.script import END, FAIL, MORE, REPEAT, RUN, START, Script, Step
from clients.waiting import DeadlineMissed, wait_until

PATIENCE_S = 10.0
Transcript = list[tuple[str, str]]
"""Command by command: what was said, what was printed."""


class Running:
    """A command that goes on, with its output in a file."""

    def __init__(self, command: str, output: Path, directory: Path, environment: dict[str, str]) -> None:
        self._output = output
        self._looked_at = 0
        with output.open("wb") as sink:
            self.process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"], stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, cwd=directory,
                env=environment, start_new_session=True,
            )  # fmt: skip

    def printed(self) -> str:
        """What nobody looked at yet."""
        return self._output.read_bytes()[self._looked_at :].decode(errors="replace")

    def look_on(self, seen: str) -> None:
        """That much has been looked at."""
        self._looked_at += len(seen.encode())

    def end(self, how: int) -> None:
        """A signal, and the process is gone."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, how)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


class Player:
    """Plays scripts to one server of `nodes`."""

    def __init__(self, tool: str, url: str, nodes: int, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._nodes = nodes
        self._directory = directory
        self._environment = dict(
            os.environ, NATS_URL=url, REPLICAS=str(nodes), PEERS=str(nodes if nodes > 1 else 0),
            PATH=f"{Path(tool).parent}:{os.environ['PATH']}", XDG_CONFIG_HOME=str(directory / "no-contexts"),
            COLUMNS="200",
        )  # fmt: skip
        self._running: dict[str, Running] = {}
        self.surprises: list[str] = []
        """Where a command did not do what the script says, with what it printed."""

    def play(self, script: Script) -> Transcript:
        """What the commands printed. A surprise does not end the script."""
        transcript = []
        try:
            for step in script.steps:
                transcript.append((f"{step.kind} {step.command or step.name}", self._play(step)))
        finally:
            for running in self._running.values():
                running.end(signal.SIGKILL)
            self._running.clear()
        return transcript

    def _play(self, step: Step) -> str:
        if step.kind in (RUN, FAIL):
            code, output = self._run(step)
            if (code == 0) != (step.kind == RUN):
                self._surprise(step, f"exit status {code}", output)
            return self._checked(step, output)
        if step.kind == REPEAT:
            return self._repeat(step)
        if step.kind == START:
            place = self._directory / f"{step.name}.output"
            self._running[step.name] = Running(step.command, place, self._directory, self._environment)
        running = self._running[step.name]
        if step.kind == END:
            running.end(signal.SIGINT)
            return self._checked(step, running.printed())
        assert step.kind in (START, MORE)
        try:
            wait_until(step.place, lambda: not step.missing(running.printed(), self._nodes), PATIENCE_S)
        except DeadlineMissed:
            self._checked(step, running.printed())
        printed = running.printed()
        running.look_on(printed)
        return printed

    def _repeat(self, step: Step) -> str:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            code, output = self._run(step)
            if code == 0 and not step.missing(output, self._nodes):
                return output
            if time.monotonic() > deadline:
                self._surprise(step, f"exit status {code} for {PATIENCE_S:g} s", output)
                return self._checked(step, output)

    def _run(self, step: Step) -> tuple[int, str]:
        done = subprocess.run(
            ["bash", "-c", step.command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            cwd=self._directory, env=self._environment, timeout=60,
        )  # fmt: skip
        return done.returncode, done.stdout.decode(errors="replace")

    def _checked(self, step: Step, output: str) -> str:
        if missing := step.missing(output, self._nodes):
            self._surprise(step, f"this is not seen: {missing}", output)
        return output

    def _surprise(self, step: Step, what: str, output: str) -> None:
        self.surprises.append(f"{step.place}: {step.kind} {step.command or step.name}\n  {what}\n{output}")
