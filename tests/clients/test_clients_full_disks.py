"""Most disks of a cluster are full, with real processes: publishes are refused wherever they are sent to, reading goes
on, and with room again everything is as before. The disks are small file systems in memory where the tests run as
root; elsewhere no file of the processes may grow."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.js.errors import APIError, ServiceUnavailableError

from clients.servers import Cluster, Node, Program
from clients.waiting import wait_until, wait_until_async

pytestmark = [pytest.mark.clients, pytest.mark.timeout(240)]

PATIENCE_S = 30.0
SMALL, LARGE = "110m", "600m"  # a log file takes 64 MB at once
FULL = 2
LARGE_MESSAGE = bytes(512 * 1024)
TRIES = 400


class Disks:
    """The disks of the first `FULL` nodes."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.are_real = os.geteuid() == 0
        self._mounted: list[Path] = []

    def mount(self) -> None:
        for node in self.nodes():
            node.store_dir.mkdir(parents=True)
            if self.are_real:
                words = ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(node.store_dir)]
                subprocess.run(words, check=True)
                self._mounted.append(node.store_dir)

    def nodes(self) -> list[Node]:
        return self.cluster.nodes[:FULL]

    def limit(self) -> None:
        """Where the disks are not small."""
        if not self.are_real:
            for node in self.nodes():
                assert node.process is not None
                resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def make_room(self) -> None:
        for node in self.nodes():
            if self.are_real:
                words = ["mount", "-o", f"remount,size={LARGE}", str(node.store_dir)]
                subprocess.run(words, check=True)
            else:
                assert node.process is not None
                unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
                resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, unlimited)

    def unmount(self) -> None:
        for path in self._mounted:
            subprocess.run(["umount", "-l", str(path)], check=False)


@pytest.fixture
def disks(program: Program, tmp_path: Path) -> Iterator[Disks]:
    if program.reference:
        pytest.skip("nats-server switches JetStream off when a disk is full")
    cluster = Cluster(program, tmp_path / "cluster")
    found = Disks(cluster)
    try:
        found.mount()
        with cluster:
            yield found
    finally:
        found.unmount()


async def fill(client: Client) -> dict[int, int]:
    """Publish until it is refused for want of room; the sequences of what was acknowledged, by number."""
    js = client.jetstream(timeout=PATIENCE_S)
    acked: dict[int, int] = {}
    for number in range(TRIES):
        try:
            data = b"%08d" % number + LARGE_MESSAGE
            acked[number] = (await js.publish("S.a", data, timeout=3)).seq
        except ServiceUnavailableError as refused:
            if refused.err_code == 10077:
                return acked
        except (APIError, nats.errors.TimeoutError):
            pass  # of what was under way when the disk was found full, nobody knows what becomes of it
    raise AssertionError("never refused")


async def refused_and_read(node: Node) -> None:
    client = await nats.connect(node.url)
    js = client.jetstream(timeout=PATIENCE_S)
    with pytest.raises(ServiceUnavailableError) as refused:
        await js.publish("S.a", b"x", timeout=5)
    assert refused.value.err_code == 10077, refused.value
    message = await js.get_msg("S", 3)
    assert message.data == b"small 2"
    await client.close()


def test_most_disks_are_full(disks: Disks) -> None:
    cluster = disks.cluster

    async def story() -> None:
        client = await nats.connect(cluster.nodes[-1].url)
        js = client.jetstream(timeout=PATIENCE_S)
        await js.add_stream(name="S", subjects=["S.>"], num_replicas=3)
        for number in range(20):
            await js.publish("S.a", f"small {number}".encode())
        disks.limit()
        acked = await fill(client)

        async def settled() -> bool:
            for node in cluster.nodes:
                await refused_and_read(node)
            return True

        await wait_until_async("refused by whoever is asked", settled, PATIENCE_S)
        await settled()  # and it stays so
        disks.make_room()

        async def accepted() -> bool:
            return (await js.publish("S.a", b"again", timeout=2)).seq > 20

        await wait_until_async("publishes are accepted again", accepted, PATIENCE_S)
        print(f"{len(acked)} large messages were acknowledged before the disks were full")
        for number, sequence in acked.items():
            message = await js.get_msg("S", sequence)
            assert message.data is not None and message.data[:8] == b"%08d" % number
        await client.close()

    asyncio.run(story())
    for node in cluster.nodes:
        wait_until(f"{node.name} healthy", node.healthy, PATIENCE_S)
        log = node.log_path.read_text()
        assert "Traceback" not in log, node.log_tail()
    cluster.wait_replicas_equal("S", PATIENCE_S)
