"""Kubelet-lite: takes the objects that helm left in the API and really runs them on this machine, inside `machine.py`.

Is: the loop that starts a runner for each pod and a proxy for each service port, and keeps the list of how pods ended.
Read next: `pods.py`, `controllers.py`.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import trio

from deploy.kube_store import Key, Store
from deploy.kubelet import service_proxy
from deploy.kubelet.controllers import Controllers
from deploy.kubelet.machine import POD_NETWORK
from deploy.kubelet.pods import Ending, Folders, PodRunner

LOOK_S = 0.05
ETC = {
    "passwd": "root:x:0:0::/root:/bin/sh\nternmq:x:1000:1000::/data:/usr/sbin/nologin\n",
    "group": "root:x:0:\nternmq:x:1000:\n",
    "nsswitch.conf": "hosts: files\n",
    "hosts": "127.0.0.1 localhost\n",
}


class Kubelet:
    """`run` in a task of its own."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.folders = Folders(folder / "pods", folder / "claims", folder / "logs", folder / "etc")
        self.endings: list[Ending] = []
        self.timeline: list[tuple[float, str]] = []
        self._began = time.monotonic()
        self._runners: dict[Key, PodRunner] = {}
        self._served: set[tuple[str, int]] = set()
        self._controllers = Controllers(store, self.folders.etc, self.tell)
        self._addresses = 1
        for each in (self.folders.pods, self.folders.claims, self.folders.logs, self.folders.etc):
            each.mkdir(parents=True)
        for name, text in ETC.items():
            (self.folders.etc / name).write_text(text)

    def tell(self, what: str) -> None:
        """A line for the time line."""
        at = time.monotonic() - self._began
        self.timeline.append((round(at, 2), what))
        print(f"{at:8.2f}  {what}", flush=True)

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                self._controllers.reconcile()
                for pod in self.store.find("v1", "pods"):
                    key = ("v1", "pods", pod["metadata"]["namespace"], pod["metadata"]["name"])
                    if key not in self._runners:
                        self._addresses += 1
                        runner = PodRunner(key, f"{POD_NETWORK}.{self._addresses}", self.store, self.folders, self.tell)
                        self._runners[key] = runner
                        nursery.start_soon(self._run_pod, runner)
                for runner in self._runners.values():
                    runner.refresh()
                for service in self.store.find("v1", "services"):
                    name = service["metadata"]["name"]
                    address = self._controllers.addresses.get(name)
                    for port in [each["port"] for each in service["spec"]["ports"]] if address else []:
                        if (name, port) not in self._served and address:
                            self._served.add((name, port))
                            endpoints = self._controllers.endpoints
                            nursery.start_soon(service_proxy.serve, name, address, port, endpoints, random.Random(port))
                await trio.sleep(LOOK_S)

    async def _run_pod(self, runner: PodRunner) -> None:
        await runner.run()
        self.endings += runner.endings
        del self._runners[runner.key]
