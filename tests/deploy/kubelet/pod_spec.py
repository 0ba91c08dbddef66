"""From a pod's specification to containers that can run: volumes, environment, users and commands settled.

Is: a pure reading of objects, but for the folders of volumes, which are made and filled here. Not: running anything.
Rules kept from Kubernetes: `$(NAME)` expansion, `command` before the image's entry point, fsGroup on claims and empty
folders, a configuration that changes appears at once in the mounted folder.
"""

from __future__ import annotations

import base64
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from deploy.kube_store import Object, Refused, Store
from deploy.kubelet.images import image_for
from deploy.kubelet.sandbox import Container, Mount

VARIABLE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)|\$\$")


def expand(text: str, environment: dict[str, str]) -> str:
    """`$(NAME)` where NAME is known, `$$` is one dollar; everything else stays."""

    def value(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else environment.get(found[1], found[0])

    return VARIABLE.sub(value, text)


def container_of(pod: Object, spec: dict[str, Any], volumes: dict[str, Path]) -> Container:
    """Errors: LookupError for what has no stand-in here."""
    image = image_for(spec["image"])
    environment = dict(image.environment)
    for entry in spec.get("env", []):
        if "value" in entry:
            environment[entry["name"]] = expand(entry["value"], environment)
        else:
            path = entry["valueFrom"]["fieldRef"]["fieldPath"]
            environment[entry["name"]] = {
                "metadata.name": pod["metadata"]["name"], "metadata.namespace": pod["metadata"]["namespace"],
            }[path]  # fmt: skip
    entry_point = spec.get("command") or image.entry
    arguments = spec.get("args") or ([] if spec.get("command") else image.command)
    security = pod["spec"].get("securityContext", {}) | spec.get("securityContext", {})
    user = security.get("runAsUser", image.user)
    if security.get("runAsNonRoot") and user == 0:
        raise LookupError(f"container has runAsNonRoot and image will run as root: {spec['image']}")
    read_only_kinds = {name for name, folder in volumes.items() if (folder / "..data").exists()}
    return Container(
        name=spec["name"],
        image=image,
        argv=[expand(part, environment) for part in [*entry_point, *arguments]],
        environment=environment,
        mounts=[
            Mount(volumes[each["name"]], each["mountPath"].rstrip("/"), each["name"] in read_only_kinds)
            for each in spec.get("volumeMounts", [])
        ],
        user=user,
        group=security.get("runAsGroup", user),
        groups=[security["fsGroup"]] if "fsGroup" in security else [],
        read_only_root=security.get("readOnlyRootFilesystem", False),
    )


def make_volumes(pod: Object, store: Store, pod_folder: Path, claims: Path) -> dict[str, Path]:
    """Name of each volume → its folder. `claims` is where the folders of claims live."""
    group = pod["spec"].get("securityContext", {}).get("fsGroup")
    found: dict[str, Path] = {}
    for volume in pod["spec"].get("volumes", []):
        name, namespace = volume["name"], pod["metadata"]["namespace"]
        if "persistentVolumeClaim" in volume:
            claim = store.get(("v1", "persistentvolumeclaims", namespace, volume["persistentVolumeClaim"]["claimName"]))
            found[name] = claims / f"{claim['metadata']['name']}-{claim['metadata']['uid']}"
            found[name].mkdir(parents=True, exist_ok=True)  # belongs to root, as a fresh disk does
            _hand_to(found[name], group, 0o2775)
        else:
            found[name] = pod_folder / "volumes" / name
            found[name].mkdir(parents=True)
            found[name].chmod(0o777)
            if "emptyDir" in volume:
                _hand_to(found[name], group, 0o2777)
            else:
                write_projected(found[name], _projected(volume, store, namespace))
    return found


def refresh_volumes(pod: Object, store: Store, volumes: dict[str, Path]) -> None:
    """Changed ConfigMaps and Secrets become visible."""
    for volume in pod["spec"].get("volumes", []):
        if "configMap" in volume or "secret" in volume:
            with suppress(Refused):  # it is gone; the pod keeps what it has
                write_projected(volumes[volume["name"]], _projected(volume, store, pod["metadata"]["namespace"]))


def write_projected(folder: Path, files: dict[str, bytes]) -> None:
    """Files behind a link that is swapped at once, as a kubelet does it: a reader sees all old or all new ones."""
    current = folder / "..data"
    if current.exists() and {path.name: path.read_bytes() for path in current.iterdir()} == files:
        return
    number = len(list(folder.glob("..v*")))
    fresh = folder / f"..v{number}"
    fresh.mkdir()
    for name, content in files.items():
        (fresh / name).write_bytes(content)
    (folder / "..data_tmp").symlink_to(fresh.name)
    os.replace(folder / "..data_tmp", current)
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")


def _projected(volume: dict[str, Any], store: Store, namespace: str) -> dict[str, bytes]:
    if "configMap" in volume:
        data = store.get(("v1", "configmaps", namespace, volume["configMap"]["name"])).get("data", {})
        return {name: text.encode() for name, text in data.items()}
    data = store.get(("v1", "secrets", namespace, volume["secret"]["secretName"])).get("data", {})
    return {name: base64.b64decode(text) for name, text in data.items()}


def _hand_to(folder: Path, group: int | None, mode: int) -> None:
    if group is not None:
        os.chown(folder, -1, group)
        folder.chmod(mode)
