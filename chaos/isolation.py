"""Namespaces of its own for a whole run: network, mounts, processes. What a run makes in them vanishes with it.

Not the nodes' network (that is `network`). Because of this, a run that is killed at any moment leaves no process, no
mounted image, no interface and no firewall rule behind, and two runs at once do not meet. Needs root.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

INSIDE = "TERNMQ_CHAOS_INSIDE"
NETNS_DIR = "/run/netns"  # where `ip netns` keeps its names
LOOP = Path("/dev/loop-control")  # disks are images on loop devices
UNSHARE = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]


def impossible() -> str:
    """Why this root may not make namespaces and mount images, as in most containers; empty when it may."""
    if os.environ.get(INSIDE):
        return ""
    if not LOOP.exists():
        return f"there is no {LOOP}"
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip() if tried.returncode else ""


def enter(module: str) -> None:
    """Run this program again inside; returns only there."""
    if os.environ.get(INSIDE):
        os.makedirs(NETNS_DIR, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", NETNS_DIR], check=True)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    argv = [*UNSHARE, sys.executable, "-m", module, *sys.argv[1:]]
    os.execvpe(argv[0], argv, {**os.environ, INSIDE: "1"})
