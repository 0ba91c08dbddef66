"""The objects of a Kubernetes API in memory: what helm and a kubelet-lite need of it, and the refusals that matter.

Not an API server's rules in general: objects are kept as they are sent. Kept rules: resource versions and generations,
`stringData` becomes `data`, a StatefulSet's identity cannot be changed, a pod goes only when its kubelet lets it go.
Not here: HTTP (`kube_http.py`). Every method may be called from any thread.
"""

from __future__ import annotations

import base64
import copy
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

Object = dict[str, Any]
Key = tuple[str, str, str, str]  # group and version, plural, namespace, name

# Group and version → plural → kind.
RESOURCES: dict[str, dict[str, str]] = {
    "v1": {
        "pods": "Pod", "services": "Service", "configmaps": "ConfigMap", "secrets": "Secret", "events": "Event",
        "serviceaccounts": "ServiceAccount", "persistentvolumeclaims": "PersistentVolumeClaim",
    },
    "apps/v1": {"statefulsets": "StatefulSet", "deployments": "Deployment", "replicasets": "ReplicaSet"},
    "policy/v1": {"poddisruptionbudgets": "PodDisruptionBudget"},
    "networking.k8s.io/v1": {"ingresses": "Ingress"},
    "monitoring.coreos.com/v1": {"podmonitors": "PodMonitor", "servicemonitors": "ServiceMonitor"},
}  # fmt: skip
STATEFUL_SET_MUTABLE = (
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
)  # fmt: skip
# Fields a server fills where they are missing; a client that leaves them out changes nothing.
SERVER_SIDE = ("uid", "resourceVersion", "creationTimestamp", "generation", "deletionTimestamp")


class Refused(Exception):
    """An answer other than 2xx."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class Store:
    """`kubelet`: somebody runs pods; otherwise they go as soon as they are deleted."""

    def __init__(self, *, kubelet: bool = False) -> None:
        self.kubelet = kubelet
        self.changed = threading.Condition()
        self.events: list[tuple[int, str, Key, Object]] = []  # resource version, ADDED MODIFIED DELETED, key, object
        self.unsupported: list[str] = []  # what was asked for and is not here
        self._objects: dict[Key, Object] = {}
        self._version = 100

    @property
    def version(self) -> int:
        return self._version

    def get(self, key: Key) -> Object:
        """A copy. Errors: Refused."""
        with self.changed:
            return copy.deepcopy(self._existing(key))

    def find(
        self, group: str, plural: str, namespace: str = "", selector: dict[str, str] | None = None
    ) -> list[Object]:
        """Copies, sorted by name."""
        with self.changed:
            return [
                copy.deepcopy(found)
                for key, found in sorted(self._objects.items())
                if key[:2] == (group, plural) and namespace in ("", key[2]) and matches(found, selector or {})
            ]

    def create(self, key: Key, sent: Object) -> Object:
        """Errors: Refused, where it exists."""
        with self.changed:
            if key in self._objects:
                raise Refused(409, "AlreadyExists", f'{key[1]} "{key[3]}" already exists')
            made = _stored(sent)
            made["metadata"] |= {
                "name": key[3], "namespace": key[2], "uid": str(uuid.uuid4()), "generation": 1,
                "creationTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }  # fmt: skip
            self._objects[key] = made
            return self._note("ADDED", key)

    def replace(self, key: Key, sent: Object) -> Object:
        """The whole object; what the server filled in, and the status, stay. Errors: Refused."""
        with self.changed:
            old = self._existing(key)
            new = _stored(sent)
            new["metadata"] |= {name: old["metadata"][name] for name in SERVER_SIDE if name in old["metadata"]}
            new["metadata"] |= {"name": key[3], "namespace": key[2]}
            if "status" in old:
                new["status"] = old["status"]
            _refuse_other_identity(key, old, new)
            if new == old:
                return copy.deepcopy(old)
            if new.get("spec") != old.get("spec"):
                new["metadata"]["generation"] = old["metadata"]["generation"] + 1
            self._objects[key] = new
            return self._note("MODIFIED", key)

    def edit(self, key: Key, change: Callable[[Object], None]) -> Object:
        """Changes an object in place, status included. Errors: Refused."""
        with self.changed:
            before = copy.deepcopy(self._existing(key))
            change(self._objects[key])
            return self._note("MODIFIED", key) if self._objects[key] != before else before

    def merge(self, key: Key, patch: Object) -> Object:
        """RFC 7396; a strategic merge patch is taken for one, which is right where it has no lists to merge."""
        return self.replace(key, merged(self.get(key), patch))

    def delete(self, key: Key) -> Object:
        """A pod that a kubelet runs is only marked. Errors: Refused."""
        with self.changed:
            gone = self._existing(key)
            if self.kubelet and key[1] == "pods":
                gone["metadata"].setdefault("deletionTimestamp", datetime.now(UTC).isoformat())
                return self._note("MODIFIED", key)
            return self.remove(key)

    def remove(self, key: Key) -> Object:
        """For good. Errors: Refused."""
        with self.changed:
            self._existing(key)
            answer = self._note("DELETED", key)
            del self._objects[key]
            return answer

    def _existing(self, key: Key) -> Object:
        if key not in self._objects:
            raise Refused(404, "NotFound", f'{key[1]} "{key[3]}" not found')
        return self._objects[key]

    def _note(self, what: str, key: Key) -> Object:
        self._version += 1
        self._objects[key]["metadata"]["resourceVersion"] = str(self._version)
        answer = copy.deepcopy(self._objects[key])
        self.events.append((self._version, what, key, copy.deepcopy(answer)))
        self.changed.notify_all()
        return answer


def matches(found: Object, selector: dict[str, str]) -> bool:
    return selector.items() <= found["metadata"].get("labels", {}).items()


def merged(old: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(old) if isinstance(old, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def _stored(sent: Object) -> Object:
    made = copy.deepcopy(sent)
    made.setdefault("metadata", {})
    for name, text in made.pop("stringData", {}).items():
        made.setdefault("data", {})[name] = base64.b64encode(text.encode()).decode()
    return made


def _refuse_other_identity(key: Key, old: Object, new: Object) -> None:
    if key[1] == "statefulsets":
        fixed = [{k: v for k, v in each["spec"].items() if k not in STATEFUL_SET_MUTABLE} for each in (old, new)]
        if fixed[0] != fixed[1]:
            names = ", ".join(f"'{name}'" for name in STATEFUL_SET_MUTABLE)
            message = f"updates to statefulset spec for fields other than {names} are forbidden"
            raise Refused(422, "Invalid", f'StatefulSet.apps "{key[3]}" is invalid: spec: Forbidden: {message}')
    if key[1] == "deployments" and old["spec"]["selector"] != new["spec"]["selector"]:
        raise Refused(422, "Invalid", f'Deployment.apps "{key[3]}" is invalid: spec.selector: field is immutable')
