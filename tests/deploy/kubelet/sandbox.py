"""One pod's namespaces and the containers in them: what a container runtime is for, with unshare, mount and chroot.

Is: `Sandbox`, held open by a process that does nothing; `start` for a container, `run` for a command in one.
Is not: when to start, probe or stop (`pods.py`). Read-only roots, users and volumes are real; limits are not set.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import trio

from deploy.kubelet.images import Image, read_only_folders
from deploy.kubelet.machine import BRIDGE, GATEWAY


@dataclass
class Mount:
    source: Path
    target: str
    read_only: bool = False


@dataclass
class Container:
    """What is to run, all settled: names resolved, variables expanded."""

    name: str
    image: Image
    argv: list[str]
    environment: dict[str, str]
    mounts: list[Mount]
    user: int
    group: int
    groups: list[int] = field(default_factory=list)
    read_only_root: bool = False


class Running:
    """A started container: `pid` is its first process, as this machine sees it."""

    def __init__(self, process: trio.Process, pid: int) -> None:
        self.process = process
        self.pid = pid

    def kill(self, how: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, how)

    async def wait(self) -> int:
        """The exit code; 128 + n after signal n."""
        code = await self.process.wait()
        return 128 - code if code < 0 else code


class Sandbox:
    """`open` before anything else, `close` at the end."""

    def __init__(self, name: str, address: str, folder: Path, etc: Path) -> None:
        """`etc`: the folder that is /etc in all containers of all pods; it has `hosts`."""
        self.name = name
        self.address = address
        self._folder = folder
        self._etc = etc
        self._holder: trio.Process | None = None
        self._pid = 0

    async def open(self) -> None:
        command = ["unshare", "--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc"]
        self._holder = await trio.lowlevel.open_process([*command, "sleep", "infinity"])
        self._pid = await _only_child(self._holder, "sleep")
        port = f"veth{self.address.replace('.', '')[-6:]}"
        for line in (
            f"ip link add {port} type veth peer name eth0 netns {self._pid}",
            f"ip link set {port} master {BRIDGE} up",
            f"nsenter -t {self._pid} --net ip link set lo up",
            f"nsenter -t {self._pid} --net ip addr add {self.address}/16 dev eth0",
            f"nsenter -t {self._pid} --net ip link set eth0 up",
            f"nsenter -t {self._pid} --net ip route add default via {GATEWAY}",
            f"nsenter -t {self._pid} --uts hostname {self.name}",
        ):
            await trio.run_process(line.split())

    async def prepare(self, container: Container) -> None:
        """Builds the container's root."""
        root = self._root(container)
        root.mkdir(parents=True)
        lines = [
            f"mount -t tmpfs -o mode=755,size=64m root {root}",
            f"mkdir -p {root}/usr {root}/proc {root}/dev {root}/etc",
            f"mount --rbind -o ro /usr {root}/usr",
            *(f"ln -s usr/{name} {root}/{name}" for name in ("bin", "sbin", "lib", "lib64")),
            f"mount --rbind /dev {root}/dev",
            f"mount -t proc proc {root}/proc",
            f"mount --bind {self._etc} {root}/etc",
        ]
        for folder in read_only_folders():
            lines += [f"mkdir -p {root}{folder}", f"mount --bind -o ro {folder} {root}{folder}"]
        for folder in container.image.folders:
            lines += [f"mkdir -p {root}{folder}", f"chmod 1777 {root}{folder}"]
        for path, content in container.image.files.items():
            lines.append(f"mkdir -p {root}{Path(path).parent}")
            if isinstance(content, Path):
                lines.append(f"cp {content} {root}{path}")
            else:
                lines.append(f"printf %s {shlex.quote(content)} > {root}{path}")
            lines.append(f"chmod 755 {root}{path}")
        for mount in container.mounts:
            option = " -o ro" if mount.read_only else ""
            lines += [f"mkdir -p {root}{mount.target}", f"mount --bind{option} {mount.source} {root}{mount.target}"]
        if container.read_only_root:
            lines.append(f"mount -o remount,ro {root}")
        await trio.run_process(
            ["nsenter", "-t", str(self._pid), "--mount", "--pid", "--", "sh", "-ec", "\n".join(lines)]
        )

    async def start(self, container: Container, log: Path) -> Running:
        with log.open("ab") as output:
            process = await trio.lowlevel.open_process(
                self._inside(container, container.argv), stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        return Running(process, await _only_child(process))

    async def run(self, container: Container, command: list[str], log: Path) -> int:
        """A command beside the container's own process, as preStop hooks are."""
        with log.open("ab") as output:
            done = await trio.run_process(self._inside(container, command), stdout=output, stderr=output, check=False)
        return done.returncode

    async def close(self) -> None:
        """Whatever still runs in here is gone."""
        if self._holder is not None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            await self._holder.wait()

    def _root(self, container: Container) -> Path:
        return self._folder / container.name / "root"

    def _inside(self, container: Container, command: list[str]) -> list[str]:
        into = ["nsenter", "-t", str(self._pid), "--net", "--mount", "--pid", "--ipc", "--uts", "--"]
        groups = ["--clear-groups"] if not container.groups else ["--groups", ",".join(map(str, container.groups))]
        person = ["setpriv", "--reuid", str(container.user), "--regid", str(container.group), *groups, "--"]
        if container.user == 0 or not _may_be_others():
            person = []
        variables = [f"{name}={value}" for name, value in container.environment.items()]
        return [*into, "chroot", str(self._root(container)), *person, "env", "-i", *variables, *command]


def _may_be_others() -> bool:
    """False inside a user namespace that has but one user."""
    return "4294967295" in Path("/proc/self/uid_map").read_text()


async def _only_child(parent: trio.Process, name: str = "") -> int:
    """The pid of the one child, once it is there (and has become `name`); 0 where it has ended already."""
    with trio.fail_after(10):
        while parent.poll() is None:
            with suppress(OSError):
                children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
                if children and (not name or Path(f"/proc/{children[0]}/comm").read_text().strip() == name):
                    return int(children[0])
            await trio.sleep(0.005)
    return 0
