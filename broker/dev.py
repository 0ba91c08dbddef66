"""`ternmq dev`: a local three-node cluster in three processes, one status line a node, Ctrl-C stops it cleanly.

Clients 4222–4224, monitoring 8222–8224, routes 6222–6224, store under ./ternmq-data. Each node is an ordinary
`ternmq-server` with a configuration file that stays in its directory, to be looked at and tried by hand.
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

NAMES: Final = ("n1", "n2", "n3")
HOST: Final = "127.0.0.1"
CLIENT_PORT: Final = 4222
MONITOR_PORT: Final = 8222
ROUTE_PORT: Final = 6222
STORE: Final = "ternmq-data"
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 15.0
REFRESH_SECONDS: Final = 1.0
SERVE: Final = "import sys; sys.argv[0] = 'ternmq-server'; from broker.cli import server_main; sys.exit(server_main())"


class DevNode:
    """One of the three."""

    def __init__(self, number: int, root: Path) -> None:
        self.name = NAMES[number]
        self.client_port = CLIENT_PORT + number
        self.monitor_port = MONITOR_PORT + number
        self.route_port = ROUTE_PORT + number
        self.directory = root / self.name
        self.process: subprocess.Popen[bytes] | None = None

    def write_configuration(self) -> Path:
        """The node's configuration file."""
        routes = "\n".join(f"    nats://{HOST}:{ROUTE_PORT + number}" for number in range(len(NAMES)))
        text = (
            f"server_name: {self.name}\n"
            f"listen: {HOST}:{self.client_port}\n"
            f"http: {HOST}:{self.monitor_port}\n"
            f'jetstream {{\n  store_dir: "{self.directory}"\n}}\n'
            f"cluster {{\n  name: dev\n  listen: {HOST}:{self.route_port}\n  routes: [\n{routes}\n  ]\n}}\n"
        )
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / "server.conf"
        path.write_text(text)
        return path

    def start(self) -> None:
        """Start the process; its log goes to a file."""
        configuration = self.write_configuration()
        log = self.directory / "server.log"
        argv = [sys.executable, "-c", SERVE, "-c", str(configuration), "-l", str(log)]
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)

    def get(self, path: str) -> dict[str, Any] | None:
        """A monitoring page; None while the node does not answer."""
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.monitor_port}{path}", timeout=1) as response:
                page = json.load(response)
        except urllib.error.HTTPError as error:
            page = json.load(error)
        except (OSError, ValueError):
            return None
        return page if isinstance(page, dict) else None

    def healthy(self) -> bool:
        """Whether it serves, JetStream included."""
        page = self.get("/healthz")
        return page is not None and page.get("status") == "ok"

    def status(self) -> tuple[str, str]:
        """One line for people, and the part of it that is news when it changes."""
        ports = f"clients {self.client_port}  monitoring {self.monitor_port}  routes {self.route_port}"
        if self.process is None or self.process.poll() is not None:
            return f"{self.name}  stopped   {ports}  (log: {STORE}/{self.name}/server.log)", "stopped"
        varz, jsz = self.get("/varz"), self.get("/jsz")
        if varz is None or jsz is None:
            return f"{self.name}  starting  {ports}", "starting"
        meta = jsz.get("meta_cluster") or {}
        role = "leader" if meta.get("leader") == self.name else "follower" if meta.get("leader") else "waiting"
        counts = f"streams {jsz.get('streams', 0)}  messages {jsz.get('messages', 0)}"
        memory = varz.get("mem", 0) / 1e6
        line = f"{self.name}  {role:8}  {ports}  {counts}  memory {memory:.0f} MB"
        return line, f"{role} {jsz.get('streams', 0)}"

    def stop(self) -> None:
        """Ask it to end."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> bool:
        """Whether it ended in time."""
        if self.process is None:
            return True
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return False
        return True


def busy_port(nodes: list[DevNode]) -> int:
    """A port that somebody else has; 0 when all are free."""
    for node in nodes:
        for port in (node.client_port, node.monitor_port, node.route_port):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((HOST, port))
                except OSError:
                    return port
    return 0


class Screen:
    """Status lines: kept up to date in place on a terminal, printed when they say something new on anything else."""

    def __init__(self) -> None:
        self._on_terminal = sys.stdout.isatty()
        self._drawn: list[str] = []

    def draw(self, lines: list[str], facts: list[str] | None = None) -> None:
        """Show the lines, over the ones before. `facts`: what must have changed for a line to be printed again."""
        if self._on_terminal:
            width = shutil.get_terminal_size().columns - 1  # a line that wraps would spoil the way back up
            above = f"\x1b[{len(self._drawn)}A" if self._drawn else ""
            sys.stdout.write(above + "".join(f"\x1b[2K{line[:width]}\n" for line in lines) + "\x1b[J")
            self._drawn = lines
        else:
            facts = lines if facts is None else facts
            before = self._drawn if len(self._drawn) == len(facts) else [""] * len(facts)
            news = [line for line, fact, old in zip(lines, facts, before, strict=True) if fact != old]
            sys.stdout.write("".join(f"{line}\n" for line in news))
            self._drawn = facts or self._drawn
        sys.stdout.flush()


def say(text: str) -> None:
    """A line that scrolls."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """The command. Exit code 0 after Ctrl-C, 1 when the cluster did not come up."""
    if arguments:
        sys.stderr.write(f"ternmq: dev takes no arguments, found {arguments[0]!r}\n")
        return 1
    root = Path.cwd() / STORE
    nodes = [DevNode(number, root) for number in range(len(NAMES))]
    port = busy_port(nodes)
    if port:
        sys.stderr.write(f"ternmq: port {port} is in use: is another server or `ternmq dev` running?\n")
        return 1
    say(f"Starting three nodes, store and logs under {root}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for node in nodes:
            node.start()
        screen = Screen()
        if not wait_ready(nodes, screen):
            return 1
        screen.draw([])
        say("Ready. Try: nats stream add --replicas 3   (Ctrl-C stops the cluster)")
        while any(node.process is not None and node.process.poll() is None for node in nodes):
            draw(screen, nodes)
            time.sleep(REFRESH_SECONDS)
        say("All nodes have ended; their logs say why.")
        return 1
    except KeyboardInterrupt:
        say("Stopping")
        return 0
    finally:
        for node in nodes:
            node.stop()
        for node in nodes:
            if not node.wait(STOP_SECONDS):
                say(f"{node.name} did not stop in time and was killed")


def draw(screen: Screen, nodes: list[DevNode]) -> None:
    """One status line a node."""
    statuses = [node.status() for node in nodes]
    screen.draw([line for line, _news in statuses], [news for _line, news in statuses])


def wait_ready(nodes: list[DevNode], screen: Screen) -> bool:
    """Until all nodes are healthy; shows how far each one is."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        ended = [node.name for node in nodes if node.process is not None and node.process.poll() is not None]
        if ended:
            sys.stderr.write(f"ternmq: {ended[0]} ended at once; see {STORE}/{ended[0]}/server.log\n")
            return False
        draw(screen, nodes)
        if all(node.healthy() for node in nodes):
            return True
        time.sleep(0.2)
    sys.stderr.write(f"ternmq: no healthy cluster after {START_SECONDS:.0f} s; see {STORE}/*/server.log\n")
    return False
