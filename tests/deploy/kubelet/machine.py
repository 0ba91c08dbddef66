"""A machine of its own: processes, mounts and a network in namespaces, all gone when its first process ends.

Is: `run_inside`, which starts a Python module as that first process, and what that process does first.
Is not: pods (`sandbox.py`). Works as root, and for others where the kernel lets users make namespaces.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent.parent
NAMESPACES = ["--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc"]
NEEDED = ("unshare", "nsenter", "setpriv", "chroot", "mount", "ip")
BRIDGE = "pods"
POD_NETWORK = "10.244.0"
SERVICE_NETWORK = "10.96.0"
GATEWAY = f"{POD_NETWORK}.1"


def _unshare() -> list[str]:
    return ["unshare", *NAMESPACES, *([] if os.geteuid() == 0 else ["--map-root-user"])]


def why_not() -> str:
    """What keeps this machine from having another one inside; "" where nothing does."""
    absent = [tool for tool in NEEDED if shutil.which(tool) is None]
    if absent:
        return f"missing: {', '.join(absent)} (packages util-linux and iproute2)"
    trial = [*_unshare(), "ip", "link", "add", BRIDGE, "type", "bridge"]
    done = subprocess.run(trial, capture_output=True, text=True)
    return "" if done.returncode == 0 else f"neither root nor allowed to make namespaces: {done.stderr.strip()}"


def run_inside(module: str, *arguments: str, log: Path, seconds: float) -> int:
    """Runs `python -m module` as the first process of a new machine; both its streams go to `log`. Its exit code."""
    with log.open("wb") as output:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), _sources()])}
        command = [*_unshare(), sys.executable, "-m", module, *arguments]
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, cwd=ROOT / "tests")
        try:
            return process.wait(seconds)
        finally:
            process.kill()  # and with it, by --kill-child, everything inside
            process.wait()


def _sources() -> str:
    """The source tree, where it is what is tested; an installed wheel needs no path."""
    return str(ROOT) if is_from_source() else ""


def is_from_source() -> bool:
    import broker

    return Path(str(broker.__file__)).is_relative_to(ROOT / "broker")


def open_network() -> None:
    """The loopback, a bridge that pods are plugged into, and room for service addresses on it."""
    for command in (
        "ip link set lo up",
        f"ip link add {BRIDGE} type bridge",
        f"ip addr add {GATEWAY}/16 dev {BRIDGE}",
        f"ip link set {BRIDGE} up",
    ):
        subprocess.run(command.split(), check=True)


def add_service_address(address: str) -> None:
    subprocess.run(["ip", "addr", "add", f"{address}/32", "dev", BRIDGE], check=True)
