"""What stands behind a service's address: each connection goes to one ready pod and stays there (kube-proxy)."""

from __future__ import annotations

import random
from collections.abc import Callable

import trio

CHUNK = 256 * 1024
Endpoints = Callable[[str, int], list[tuple[str, int]]]


async def serve(service: str, address: str, port: int, endpoints: Endpoints, rng: random.Random) -> None:
    """Until cancelled."""

    async def forward(client: trio.SocketStream) -> None:
        async with client:
            ready = endpoints(service, port)
            if not ready:
                return  # closed at once: nobody is there
            try:
                pod = await trio.open_tcp_stream(*rng.choice(ready))
                async with pod, trio.open_nursery() as nursery:
                    nursery.start_soon(_pump, client, pod, nursery.cancel_scope)
                    nursery.start_soon(_pump, pod, client, nursery.cancel_scope)
            except OSError:
                return

    await trio.serve_tcp(forward, port, host=address)


async def _pump(source: trio.SocketStream, target: trio.SocketStream, both: trio.CancelScope) -> None:
    try:
        while data := await source.receive_some(CHUNK):
            await target.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    both.cancel()
