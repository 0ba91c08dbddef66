"""What a run needs of this machine; what is missing is said with the command that installs it, and nothing is run.

A fault whose tool is missing would be a fault that does nothing, so there is no running without it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from clients.servers import ROOT

TOOLS = ROOT / ".tools"
TOXIPROXY = TOOLS / "toxiproxy-server"
NATS_CLI = TOOLS / "nats"
LIBFAKETIME = Path("/usr/lib")

PACKAGE_OF = {  # program → the Debian package that brings it
    "ip": "iproute2", "nft": "nftables", "nsenter": "util-linux", "unshare": "util-linux", "mount": "mount",
    "fsfreeze": "util-linux", "mkfs.ext4": "e2fsprogs", "strace": "strace", "fallocate": "util-linux",
}  # fmt: skip


def libfaketime() -> str:
    """The library that is preloaded to move a process's clock; empty when it is not installed."""
    return next((str(path) for path in sorted(LIBFAKETIME.glob("*/faketime/libfaketime.so.1"))), "")


def packages() -> list[str]:
    """The Debian packages that are missing for scenarios that need root."""
    found = {package for program, package in PACKAGE_OF.items() if shutil.which(program) is None}
    return sorted(found if libfaketime() else found | {"libfaketime"})


def complaints(*, rooted: bool) -> list[str]:
    """What is missing, one line each; none means that a run can begin."""
    found = []
    if rooted and (missing := packages()):
        found.append(f"missing system tools: apt-get install -y {' '.join(missing)}")
    for tool in (TOXIPROXY, NATS_CLI):
        if not tool.exists():
            found.append(f"{tool.relative_to(ROOT)} is missing: make chaos-tools")
    return found
