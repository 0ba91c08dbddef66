"""Namespaces of its own for a whole run: network, mounts, processes. What a run makes in them vanishes with it.

Not the nodes' network (that is `network`). Because of this, a run that is killed at any moment leaves no process, no
mounted image, no interface and no firewall rule behind, and two runs at once do not meet. Needs root.
"""

from __future__ import annotations

import os
import subprocess
import sys

INSIDE = "TERNMQ_CHAOS_INSIDE"
NETNS_DIR = "/run/netns"  # where `ip netns` keeps its names
UNSHARE = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]


def enter(module: str) -> None:
    """Run this program again inside; returns only there."""
    if os.environ.get(INSIDE):
        os.makedirs(NETNS_DIR, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", NETNS_DIR], check=True)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    argv = [*UNSHARE, sys.executable, "-m", module, *sys.argv[1:]]
    os.execvpe(argv[0], argv, {**os.environ, INSIDE: "1"})
