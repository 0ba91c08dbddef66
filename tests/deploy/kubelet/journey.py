"""A release lives, from `helm install` to `helm uninstall`: `python -m deploy.kubelet.journey CHART FOLDER`.

Is: the steps, in order, and the verdict as FOLDER/verdict.json, which test_journey.py judges. Runs inside a machine of
its own (`machine.run_inside`). Is not: an assertion of anything; a step that cannot go on ends it with an exception.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import urllib.request
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import trio

from deploy.helm import Helm, find_helm
from deploy.kube_http import ApiServer
from deploy.kube_store import Key, Object, Store
from deploy.kubelet.kubelet import Kubelet
from deploy.kubelet.machine import open_network

RELEASE = "my-nats"
STREAM = "ORDERS"
MONITOR_PORT = 8222
BASE = [
    "--set", "config.jetstream.enabled=true", "--set", "config.jetstream.fileStore.enabled=true",
    "--set", "config.cluster.enabled=true", "--set", "config.cluster.replicas=3",
]  # fmt: skip


class Journey:
    """`verdict` gathers what each step saw."""

    def __init__(self, chart: str, folder: Path, extra: list[str]) -> None:
        self.verdict: dict[str, Any] = {}
        self._chart = chart
        self._flags = [*BASE, *extra]
        self._folder = folder
        self._store = Store(kubelet=True)
        self._kubelet = Kubelet(self._store, folder / "kubelet")
        helm = find_helm()
        assert helm is not None, "no helm"
        (folder / "helm").mkdir()
        self._helm = Helm(helm, folder / "helm", folder / "kubeconfig")

    async def run(self) -> None:
        with ApiServer(self._store, self._folder):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._kubelet.run)
                for step in (self.install, self.helm_test, self.load, self.reload, self.roll, self.wipe, self.judge,
                             self.uninstall):  # fmt: skip
                    await self._timed(step)
                nursery.cancel_scope.cancel()
        self.verdict["endings"] = [dataclasses.asdict(each) for each in self._kubelet.endings]
        self.verdict["timeline"] = self._kubelet.timeline

    async def _timed(self, step: Callable[[], Awaitable[None]]) -> None:
        name = step.__name__  # type: ignore[attr-defined]
        self._kubelet.tell(f"== {name}")
        began = trio.current_time()
        await step()
        self.verdict[f"{name}_s"] = round(trio.current_time() - began, 2)

    # Steps

    async def install(self) -> None:
        await self._run_helm("install", RELEASE, self._chart, *self._flags)
        await self._until("three pods ready", lambda: self._ready() == 3, 120)

    async def helm_test(self) -> None:
        await self._until("the box ready", lambda: bool(self._pods("nats-box")), 60)
        self.verdict["helm_test"] = await self._run_helm("test", RELEASE, "--timeout", "60s")

    async def load(self) -> None:
        spec = {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "load",
                    "image": "load",
                    "args": ["-m", "deploy.kubelet.load", f"nats://{RELEASE}:4222", STREAM],
                }
            ],
        }
        self._store.create(_pod("load"), {"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {}}, "spec": spec})
        await self._until("load under way", lambda: "under way" in self._log("load.load"), 60)

    async def reload(self) -> None:
        """A changed configuration reaches the servers without a restart."""
        await self._run_helm("upgrade", RELEASE, self._chart, *self._flags, "--set", "config.merge.max_payload=2000000")
        words = "Reloaded: max_payload = 2000000"
        logs = [f"{RELEASE}-{n}.nats" for n in range(3)]
        await self._until("three reloads", lambda: all(words in self._log(name) for name in logs), 30)

    async def roll(self) -> None:
        """A new pod template: every pod is replaced, one after the other."""
        before = {pod["metadata"]["uid"] for pod in self._pods("nats")}
        changed = [
            "--set",
            "config.merge.max_payload=2000000",
            "--set",
            "podTemplate.merge.metadata.annotations.roll=1",
        ]
        await self._run_helm("upgrade", RELEASE, self._chart, *self._flags, *changed)
        await self._until("three new pods ready", lambda: self._ready(before) == 3, 300)
        await self._until("replicas equal", self._replicas_follow, 60)

    async def wipe(self) -> None:
        """A pod and its volume go; the pod that takes its place begins with nothing."""
        victim = self._pods("nats")[1]
        claim = f"{RELEASE}-js-{victim['metadata']['name']}"
        self._store.remove(("v1", "persistentvolumeclaims", "default", claim))
        self._store.delete(_pod(victim["metadata"]["name"]))
        gone = {victim["metadata"]["uid"]}
        await self._until("the pod replaced", lambda: self._ready(gone) == 3, 180)
        await self._until("replicas equal", self._replicas_follow, 120)

    async def judge(self) -> None:
        """The load ends, reads everything back and says what it saw."""
        self._store.delete(_pod("load"))
        await self._until("the load's verdict", lambda: not self._has_pod("load"), 120)
        self.verdict["load"] = json.loads(self._log("load.load").strip().splitlines()[-1])
        await self._until("replicas equal", self._replicas_equal, 60)
        self.verdict["replicas"] = [self._state(pod) for pod in self._pods("nats")]

    async def uninstall(self) -> None:
        await self._run_helm("uninstall", RELEASE)
        await self._until("no pod", lambda: not self._store.find("v1", "pods"), 90)

    # What steps look at

    async def _run_helm(self, *arguments: str) -> str:
        return await trio.to_thread.run_sync(partial(self._helm.run, *arguments, seconds=180))

    async def _until(self, what: str, condition: Callable[[], bool], seconds: float) -> None:
        with trio.move_on_after(seconds):
            while not await trio.to_thread.run_sync(condition):
                await trio.sleep(0.1)
            self._kubelet.tell(what)
            return
        raise TimeoutError(f"after {seconds:g} s not yet: {what}")

    def _pods(self, component: str) -> list[Object]:
        pods = self._store.find("v1", "pods", "", {"app.kubernetes.io/component": component})
        return [pod for pod in pods if pod.get("status", {}).get("conditions", [{}])[0].get("status") == "True"]

    def _ready(self, without: set[str] = frozenset()) -> int:  # type: ignore[assignment]
        return sum(pod["metadata"]["uid"] not in without for pod in self._pods("nats"))

    def _has_pod(self, name: str) -> bool:
        return any(pod["metadata"]["name"] == name for pod in self._store.find("v1", "pods"))

    def _log(self, name: str) -> str:
        path = self._folder / "kubelet" / "logs" / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _state(self, pod: Object) -> dict[str, Any]:
        """The stream as this pod has it."""
        url = f"http://{pod['status']['podIP']}:{MONITOR_PORT}/jsz?accounts=true&streams=true&config=true"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                page = json.load(answer)
        except OSError:
            return {}
        details = [d for account in page.get("account_details", []) for d in account.get("stream_detail", [])]
        state = next((d["state"] for d in details if d["name"] == STREAM), {})
        return {name: state.get(name) for name in ("messages", "bytes", "first_seq", "last_seq")}

    def _replicas_equal(self) -> bool:
        states = [self._state(pod) for pod in self._pods("nats")]
        return len(states) == 3 and bool(states[0]) and all(state == states[0] for state in states)

    def _replicas_follow(self) -> bool:
        """Under load the three are never asked at the same moment: none is more than a moment behind."""
        ends = [self._state(pod).get("last_seq") or 0 for pod in self._pods("nats")]
        firsts = {self._state(pod).get("first_seq") for pod in self._pods("nats")}
        return len(ends) == 3 and min(ends) > 0.95 * max(ends) and firsts == {1}


def _pod(name: str) -> Key:
    return ("v1", "pods", "default", name)


def main(chart: str, folder: str, *extra: str) -> None:
    open_network()
    journey = Journey(chart, Path(folder), list(extra))
    try:
        trio.run(journey.run)
    finally:
        (Path(folder) / "verdict.json").write_text(json.dumps(journey.verdict, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
