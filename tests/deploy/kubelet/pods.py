"""A pod's life, from scheduled to gone: containers, probes, preStop, SIGTERM, grace.

Is: `PodRunner`, a task per pod. Is not: which pods there should be (`controllers.py`), namespaces (`sandbox.py`).
Order at the end, as a kubelet's: not ready, preStop of all containers, SIGTERM, SIGKILL when the grace is over.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from deploy.kube_store import Key, Object, Store
from deploy.kubelet.pod_spec import container_of, make_volumes, refresh_volumes
from deploy.kubelet.sandbox import Container, Running, Sandbox

LOOK_S = 0.05
RESTART_S = 1.0


@dataclass
class Ending:
    """How a container went."""

    pod: str
    container: str
    pre_stop_code: int | None  # None: it has no hook
    exit_code: int
    seconds: float  # from the deletion to its end
    was_killed: bool


@dataclass
class Folders:
    """Where this kubelet keeps things."""

    pods: Path
    claims: Path
    logs: Path
    etc: Path


class PodRunner:
    """`run` until the pod is gone."""

    def __init__(self, key: Key, address: str, store: Store, folders: Folders, tell: Callable[[str], None]) -> None:
        self.key = key
        self.address = address
        self.endings: list[Ending] = []
        self._store = store
        self._folders = folders
        self._tell = tell
        self._pod: Object = store.get(key)
        self._volumes: dict[str, Path] = {}
        self._running: dict[str, Running] = {}
        self._codes: dict[str, int] = {}  # of containers that ended and stay so
        self._started: set[str] = set()  # startup probe passed
        self._ready: set[str] = set()
        self._restarts: dict[str, int] = {}
        self._sandbox = Sandbox(key[3], address, folders.pods / self._pod["metadata"]["uid"], folders.etc)

    @property
    def name(self) -> str:
        return self.key[3]

    def refresh(self) -> None:
        """Configurations may have changed."""
        if self._volumes:
            refresh_volumes(self._pod, self._store, self._volumes)

    async def run(self) -> None:
        folder = self._folders.pods / self._pod["metadata"]["uid"]
        folder.mkdir(parents=True)
        self._volumes = make_volumes(self._pod, self._store, folder, self._folders.claims)
        await self._sandbox.open()
        self._tell(f"{self.name}: started as {self.address}")
        try:
            async with trio.open_nursery() as nursery:
                for spec in self._pod["spec"]["containers"]:
                    container = container_of(self._pod, spec, self._volumes)
                    await self._sandbox.prepare(container)
                    nursery.start_soon(self._keep, spec, container)
                while not self._is_deleted():
                    await trio.sleep(LOOK_S)
                began = trio.current_time()
                self._ready.clear()
                self._say_status()
                await self._end(began)
                nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                await self._sandbox.close()
        self._store.remove(self.key)
        self._tell(f"{self.name}: gone")

    def _is_deleted(self) -> bool:
        return "deletionTimestamp" in self._store.get(self.key)["metadata"]

    def _log(self, container: str) -> Path:
        return self._folders.logs / f"{self.name}.{container}.log"

    # Running

    async def _keep(self, spec: dict[str, Any], container: Container) -> None:
        """Starts the container, probes it, starts it again."""
        name = container.name
        again = self._pod["spec"].get("restartPolicy", "Always") == "Always"
        while True:
            running = self._running[name] = await self._sandbox.start(container, self._log(name))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._probe, spec, running)
                code = await running.wait()
                nursery.cancel_scope.cancel()
            self._started.discard(name)
            self._ready.discard(name)
            if not again:
                self._codes[name] = code
                self._say_status()
                return
            if self._is_deleted():
                return
            self._tell(f"{self.name}/{name}: ended with {code}, starts again")
            self._restarts[name] = self._restarts.get(name, 0) + 1
            self._say_status()
            await trio.sleep(RESTART_S)

    async def _probe(self, spec: dict[str, Any], running: Running) -> None:
        name = spec["name"]
        began = trio.current_time()
        if "startupProbe" in spec and not await self._until(spec, spec["startupProbe"], began, wanted=True):
            self._tell(f"{self.name}/{name}: did not start in time")
            running.kill(signal.SIGKILL)
            return
        self._started.add(name)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_liveness, spec, running, began)
            while True:
                if "readinessProbe" in spec:
                    if await self._until(spec, spec["readinessProbe"], began, wanted=name not in self._ready):
                        self._ready ^= {name}
                else:
                    self._ready.add(name)
                self._say_status()
                await trio.sleep(0 if "readinessProbe" in spec else 3600)

    async def _watch_liveness(self, spec: dict[str, Any], running: Running, began: float) -> None:
        if "livenessProbe" in spec:
            await self._until(spec, spec["livenessProbe"], began, wanted=False)
            self._tell(f"{self.name}/{spec['name']}: is not alive, killed")
            running.kill(signal.SIGKILL)

    async def _until(self, spec: dict[str, Any], probe: dict[str, Any], began: float, *, wanted: bool) -> bool:
        """Waits for `wanted`: as often in a row as the probe asks. False: a startup probe ran out of tries."""
        await trio.sleep_until(max(began + probe.get("initialDelaySeconds", 0), trio.current_time()))
        right = wrong = 0
        threshold = probe.get("successThreshold" if wanted else "failureThreshold", 1 if wanted else 3)
        while True:
            if await self._ask(spec, probe) is wanted:
                right += 1
                if right >= threshold:
                    return True
            else:
                right = 0
                wrong += 1
                if probe is spec.get("startupProbe") and wrong >= probe["failureThreshold"]:
                    return False
            await trio.sleep(probe.get("periodSeconds", 10))

    async def _ask(self, spec: dict[str, Any], probe: dict[str, Any]) -> bool:
        """One HTTP GET, as the kubelet sends it: from outside, to the pod's address."""
        get = probe["httpGet"]
        ports = {each["name"]: each["containerPort"] for each in spec["ports"]}
        answer = b""
        with trio.move_on_after(probe.get("timeoutSeconds", 1)):
            try:
                async with await trio.open_tcp_stream(self.address, ports.get(get["port"], get["port"])) as stream:
                    await stream.send_all(f"GET {get['path']} HTTP/1.1\r\nHost: {self.address}\r\n\r\n".encode())
                    while b"\r\n" not in answer:
                        received = bytes(await stream.receive_some())
                        if not received:
                            break
                        answer += received
            except OSError:
                return False
        return answer[9:12].isdigit() and 200 <= int(answer[9:12]) < 400

    # Ending

    async def _end(self, began: float) -> None:
        grace_s = self._pod["spec"].get("terminationGracePeriodSeconds", 30)
        deadline = began + grace_s
        async with trio.open_nursery() as nursery:
            for spec in self._pod["spec"]["containers"]:
                if spec["name"] in self._running and spec["name"] not in self._codes:
                    nursery.start_soon(self._end_container, spec, began, deadline)

    async def _end_container(self, spec: dict[str, Any], began: float, deadline: float) -> None:
        name = spec["name"]
        hook = spec.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command")
        code: int | None = None
        if hook:
            container = container_of(self._pod, spec, self._volumes)
            with trio.move_on_at(deadline):
                code = await self._sandbox.run(container, hook, self._log(name))
        running = self._running[name]
        running.kill(signal.SIGTERM)
        was_killed = True
        with trio.move_on_at(deadline):
            await running.wait()
            was_killed = False
        if was_killed:
            running.kill(signal.SIGKILL)
        exit_code = await running.wait()
        self.endings.append(Ending(self.name, name, code, exit_code, trio.current_time() - began, was_killed))

    # Telling

    def _say_status(self) -> None:
        names = [spec["name"] for spec in self._pod["spec"]["containers"]]
        is_ready = all(name in self._ready for name in names)
        phase = "Running"
        if len(self._codes) == len(names):
            phase = "Failed" if any(self._codes.values()) else "Succeeded"
            is_ready = False
        status = {
            "phase": phase,
            "podIP": self.address,
            "conditions": [{"type": kind, "status": str(is_ready)} for kind in ("Ready", "ContainersReady")],
            "containerStatuses": [
                {"name": name, "ready": name in self._ready, "restartCount": self._restarts.get(name, 0)}
                for name in names
            ],
        }
        self._store.edit(self.key, lambda pod: pod.update(status=status))
