"""Clients hear where else they could go: on connecting, and when servers come."""

import json

import pytest
import trio

from broker.config import ClusterOptions, Options
from broker.net import lifecycle, machine
from broker.testing import open_cluster

PATIENCE_S = 30


async def test_every_server_tells_its_clients_of_all() -> None:
    async with open_cluster(3, jetstream=False) as cluster:
        everywhere = {url.removeprefix("nats://") for url in cluster.urls}
        for url in cluster.urls:
            host, port = url.removeprefix("nats://").split(":")
            known: set[str] = set()
            stream = await trio.open_tcp_stream(host, int(port))
            buffered = b""
            with trio.fail_after(PATIENCE_S):
                while known != everywhere:  # an INFO for each server that is found
                    line, found, rest = buffered.partition(b"\r\n")
                    if not found:
                        buffered += await stream.receive_some()
                        continue
                    buffered = rest
                    if line.startswith(b"INFO "):
                        known = set(json.loads(line[5:]).get("connect_urls", []))
                        await stream.send_all(b'CONNECT {"protocol":1,"verbose":false}\r\nPING\r\n')
            await stream.aclose()


@pytest.mark.parametrize(
    ("host", "advertised", "urls"),
    [
        ("127.0.0.1", "", ["127.0.0.1:4222"]),
        ("fd00::1", "", ["[fd00::1]:4222"]),
        ("127.0.0.1", "nats.example", ["nats.example:4222"]),
        ("127.0.0.1", "nats.example:4333", ["nats.example:4333"]),
        ("0.0.0.0", "", [f"{address}:4222" for address in machine.addresses()]),
    ],
)
def test_what_a_server_tells_of_itself(host: str, advertised: str, urls: list[str]) -> None:
    options = Options(host=host, port=4222, client_advertise=advertised, cluster=ClusterOptions(name="c", port=6222))
    assert lifecycle.client_urls(options) == urls
    assert urls and "0.0.0.0:4222" not in urls
