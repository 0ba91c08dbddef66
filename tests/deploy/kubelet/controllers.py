"""Which pods there should be, where services lead, what names resolve to: the controllers a chart relies on.

Is: `Controllers.reconcile`, called again and again, over the store: StatefulSets (Parallel, rolling update from the
highest ordinal), Deployments of one pod, the hosts file that stands for DNS, and endpoints of services.
Is not: running pods (`pods.py`) or moving bytes (`service_proxy.py`).
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from deploy.kube_store import Key, Object, Store, matches
from deploy.kubelet.machine import SERVICE_NETWORK, add_service_address

REVISION = "controller-revision-hash"


class Controllers:
    """Everything is derived from the store at each call; `addresses` (of services) is all that is remembered."""

    def __init__(self, store: Store, etc: Path, tell: Callable[[str], None]) -> None:
        self.addresses: dict[str, str] = {}  # service → cluster address
        self._store = store
        self._etc = etc
        self._tell = tell
        self._hosts = ""

    def reconcile(self) -> None:
        for stateful_set in self._store.find("apps/v1", "statefulsets"):
            self._stateful_set(stateful_set)
        for deployment in self._store.find("apps/v1", "deployments"):
            self._deployment(deployment)
        self._collect_garbage()
        self._names()

    # StatefulSets and Deployments

    def _stateful_set(self, owner: Object) -> None:
        spec, name = owner["spec"], owner["metadata"]["name"]
        revision = _revision(spec["template"])
        pods = {pod["metadata"]["name"]: pod for pod in self._owned(owner)}
        for ordinal in range(spec["replicas"]):
            if f"{name}-{ordinal}" not in pods:
                self._create_pod(owner, f"{name}-{ordinal}", revision, self._claims(owner, f"{name}-{ordinal}"))
        for pod_name, pod in pods.items():
            if int(pod_name.rpartition("-")[2]) >= spec["replicas"] and not _is_leaving(pod):
                self._store.delete(_pod_key(pod))
        current = [pods[f"{name}-{n}"] for n in range(spec["replicas"]) if f"{name}-{n}" in pods]
        if len(current) == spec["replicas"] and all(_is_ready(pod) for pod in current):
            outdated = [pod for pod in current if pod["metadata"]["labels"][REVISION] != revision]
            if outdated:
                self._tell(f"{name}: rolling update takes {outdated[-1]['metadata']['name']}")
                self._store.delete(_pod_key(outdated[-1]))
        updated = sum(pod["metadata"]["labels"][REVISION] == revision for pod in current)
        ready = sum(_is_ready(pod) for pod in current)
        status = {
            "observedGeneration": owner["metadata"]["generation"], "replicas": len(current), "readyReplicas": ready,
            "availableReplicas": ready, "updatedReplicas": updated, "updateRevision": revision,
            "currentReplicas": updated,
            "currentRevision": revision if updated == spec["replicas"] else "before",
        }  # fmt: skip
        self._say(("apps/v1", "statefulsets", owner["metadata"]["namespace"], name), status)

    def _claims(self, owner: Object, pod_name: str) -> list[Object]:
        """The pod's volumes; claims that are not there are made."""
        volumes: list[Object] = []
        for template in owner["spec"].get("volumeClaimTemplates") or []:
            claim = f"{template['metadata']['name']}-{pod_name}"
            key = ("v1", "persistentvolumeclaims", owner["metadata"]["namespace"], claim)
            if not any(each["metadata"]["name"] == claim for each in self._store.find(*key[:3])):
                self._store.create(key, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": template["spec"]})
                self._tell(f"{claim}: a new, empty volume")
            volumes.append({"name": template["metadata"]["name"], "persistentVolumeClaim": {"claimName": claim}})
        return volumes

    def _deployment(self, owner: Object) -> None:
        name, revision = owner["metadata"]["name"], _revision(owner["spec"]["template"])
        pods = self._owned(owner)
        if not pods:
            self._create_pod(owner, f"{name}-{revision[:5]}", revision, [])
        for pod in pods:
            if pod["metadata"]["labels"][REVISION] != revision and not _is_leaving(pod):
                self._store.delete(_pod_key(pod))
        ready = sum(_is_ready(pod) for pod in pods if pod["metadata"]["labels"][REVISION] == revision)
        conditions = [{"type": "Available", "status": str(ready == 1)}, {"type": "Progressing", "status": "True"}]
        status = {
            "observedGeneration": owner["metadata"]["generation"], "replicas": len(pods), "updatedReplicas": ready,
            "readyReplicas": ready, "availableReplicas": ready, "conditions": conditions,
        }  # fmt: skip
        self._say(("apps/v1", "deployments", owner["metadata"]["namespace"], name), status)

    def _create_pod(self, owner: Object, name: str, revision: str, volumes: list[Object]) -> None:
        pod = copy.deepcopy(owner["spec"]["template"])
        pod |= {"apiVersion": "v1", "kind": "Pod"}
        pod["metadata"]["labels"][REVISION] = revision
        pod["metadata"]["ownerReferences"] = [{"uid": owner["metadata"]["uid"]}]
        names = {volume["name"] for volume in volumes}
        pod["spec"]["volumes"] = [v for v in pod["spec"].get("volumes", []) if v["name"] not in names] + volumes
        if "serviceName" in owner["spec"]:
            pod["spec"]["subdomain"] = owner["spec"]["serviceName"]
        self._store.create(("v1", "pods", owner["metadata"]["namespace"], name), pod)

    def _owned(self, owner: Object) -> list[Object]:
        """A pod belongs to who made it, not to whom its labels fit."""
        uid = owner["metadata"]["uid"]
        return [pod for pod in self._pods() if any(r["uid"] == uid for r in pod["metadata"].get("ownerReferences", []))]

    def _collect_garbage(self) -> None:
        owners = [each for kind in ("statefulsets", "deployments") for each in self._store.find("apps/v1", kind)]
        known = {owner["metadata"]["uid"] for owner in owners}
        for pod in self._pods():
            references = pod["metadata"].get("ownerReferences", [])
            if references and references[0]["uid"] not in known and not _is_leaving(pod):
                self._store.delete(_pod_key(pod))

    def _pods(self) -> list[Object]:
        return self._store.find("v1", "pods")

    def _say(self, key: Key, status: Object) -> None:
        self._store.edit(key, lambda found: found.update(status=status))

    # Names and services

    def _names(self) -> None:
        """The hosts file: pods under their headless service, services under theirs."""
        lines = ["127.0.0.1 localhost"]
        pods = [pod for pod in self._pods() if pod.get("status", {}).get("podIP")]
        for service in self._store.find("v1", "services"):
            name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
            suffixes = ("", f".{namespace}", f".{namespace}.svc", f".{namespace}.svc.cluster.local")
            if service["spec"].get("clusterIP") == "None":
                for pod in pods:
                    if matches(pod, service["spec"]["selector"]) and pod["spec"].get("subdomain") == name:
                        address, host = pod["status"]["podIP"], pod["metadata"]["name"]
                        lines.append(" ".join([address, host, *(f"{host}.{name}{suffix}" for suffix in suffixes)]))
                        lines.append(" ".join([address, *(f"{name}{suffix}" for suffix in suffixes)]))
            else:
                if name not in self.addresses:
                    self.addresses[name] = f"{SERVICE_NETWORK}.{len(self.addresses) + 1}"
                    add_service_address(self.addresses[name])
                lines.append(" ".join([self.addresses[name], *(f"{name}{suffix}" for suffix in suffixes)]))
        text = "\n".join(lines) + "\n"
        if text != self._hosts:
            self._hosts = text
            (self._etc / "hosts.new").write_text(text)
            os.replace(self._etc / "hosts.new", self._etc / "hosts")

    def endpoints(self, service: str, port: int) -> list[tuple[str, int]]:
        """Where a connection to a service may go: pods that are ready and stay."""
        found: list[tuple[str, int]] = []
        for each in self._store.find("v1", "services"):
            if each["metadata"]["name"] != service:
                continue
            target = next((p["targetPort"] for p in each["spec"]["ports"] if p["port"] == port), port)
            for pod in self._pods():
                if matches(pod, each["spec"]["selector"]) and _is_ready(pod):
                    ports = {
                        p["name"]: p["containerPort"] for c in pod["spec"]["containers"] for p in c.get("ports", [])
                    }
                    found.append((pod["status"]["podIP"], ports.get(target, target)))
        return found


def _revision(template: Object) -> str:
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]


def _pod_key(pod: Object) -> Key:
    return ("v1", "pods", pod["metadata"]["namespace"], pod["metadata"]["name"])


def _is_leaving(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _is_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return not _is_leaving(pod) and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
