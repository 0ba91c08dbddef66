"""What stands behind the image names of a rendered chart: files, environment and user, from what is installed here.

Is: the image of TernMQ as deploy/Containerfile makes it (same entry point, same names on PATH, root by default), and
stand-ins for what others publish: nats-box is the `nats` command with its entry point, the reloader is one of thirty
lines that does what the real one does with its flags. Not an engine for images: nothing is pulled.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

from deploy.kubelet.machine import ROOT, is_from_source

SERVER = """#!{python}
import sys
from broker.cli import server_main
sys.exit(server_main())
"""
RELOADER = """#!{python}
\"\"\"-pid FILE -config FILE...: SIGHUP to the pid in the file whenever what a file says has changed.\"\"\"
import os, signal, sys, time
given = list(zip(sys.argv[1::2], sys.argv[2::2]))
pid_file = next(value for flag, value in given if flag == "-pid")
files = [value for flag, value in given if flag == "-config"]
def read():
    texts = []
    for path in files:
        try:
            texts.append(open(path, "rb").read())
        except OSError:
            texts.append(b"")
    return texts
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
seen = read()
while True:
    time.sleep(0.2)
    now = read()
    if now != seen:
        seen = now
        os.kill(int(open(pid_file).read()), signal.SIGHUP)
"""


@dataclass
class Image:
    """`files`: path in the container → text or a file to copy."""

    entry: list[str]
    command: list[str]
    environment: dict[str, str]
    files: dict[str, str | Path]
    folders: list[str] = field(default_factory=list)  # made writable for everybody
    user: int = 0


def image_for(reference: str) -> Image:
    """Errors: LookupError for an image that has no stand-in."""
    name = reference.rsplit("/", 1)[-1].split(":")[0].split("@")[0]
    path = "/opt/ternmq/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    if name == "ternmq":
        server = SERVER.format(python=sys.executable)
        return Image(
            entry=["docker-entrypoint.sh"],
            command=["nats-server", "--config", "/etc/nats/nats-server.conf"],
            environment={"PATH": path, "PYTHONDONTWRITEBYTECODE": "1"} | _source_path(),
            files={
                "/opt/ternmq/bin/nats-server": server,
                "/opt/ternmq/bin/ternmq-server": server,
                "/opt/ternmq/bin/docker-entrypoint.sh": ROOT / "deploy" / "docker-entrypoint.sh",
            },
            folders=["/data", "/var/run/nats", "/tmp"],
        )
    if name == "nats-box":
        cli = shutil.which("nats", path=str(ROOT / ".tools")) or shutil.which("nats")
        if cli is None:
            raise LookupError("nats-box needs the nats command: `make tools`")
        return Image(
            entry=["/entrypoint.sh"],
            command=["sh"],
            environment={"PATH": path, "XDG_CONFIG_HOME": "/nsc/.config", "HOME": "/root"},
            files={"/opt/ternmq/bin/nats": Path(cli), "/entrypoint.sh": '#!/bin/sh\nexec "$@"\n'},
            folders=["/nsc/.config", "/tmp", "/root"],
        )
    if name == "nats-server-config-reloader":
        script = "/opt/ternmq/bin/nats-server-config-reloader"
        return Image([script], [], {"PATH": path}, {script: RELOADER.format(python=sys.executable)})
    if name == "load":
        environment = {"PATH": path, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT / "tests")}
        return Image([sys.executable], [], environment, {}, folders=["/out"])
    raise LookupError(f"no stand-in for the image {reference}")


def _source_path() -> dict[str, str]:
    return {"PYTHONPATH": str(ROOT)} if is_from_source() else {}


def read_only_folders() -> list[str]:
    """What a container sees of this machine, beside /usr: Python, the installed packages, the tests."""
    wanted = [sys.base_prefix, sys.prefix, str(ROOT if is_from_source() else ROOT / "tests")]
    outermost = [each for each in wanted if not any(each != other and each.startswith(f"{other}/") for other in wanted)]
    return sorted({each for each in outermost if not each.startswith("/usr")})
