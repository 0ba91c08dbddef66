"""Load for a journey, run as a pod: publishers until SIGTERM; then everything is read back and judged.

Prints one JSON object as its last line. Publishers and judge are those of the kill tests (tests/clients).
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from itertools import pairwise
from types import SimpleNamespace
from typing import cast

from clients.history import Publish, judge, longest_gap_s
from clients.servers import Cluster
from clients.workload import Publishers, connect, create_stream, read_all
from nats.js import JetStreamContext

PUBLISHERS = 4
PAUSE_S = 0.03  # of a lane between two messages: a steady load that a machine with two cores carries beside the rest


class PacedPublishers(Publishers):
    """The publishers of the kill tests, not at full speed."""

    async def _until_acked(self, js: JetStreamContext, publish: Publish, subject: str) -> None:
        await super()._until_acked(js, publish, subject)
        await asyncio.sleep(PAUSE_S)


def slowest_publish_s(history: list[Publish]) -> float:
    """The longest time between two acknowledgements of one lane, which publishes one message after the other."""
    lanes: dict[str, list[float]] = {}
    for publish in history:
        if publish.sequence:
            lanes.setdefault(publish.message_id.rpartition("-")[0], []).append(publish.acked_at_s)
    return (
        max((later - earlier for times in lanes.values() for earlier, later in pairwise(times)), default=0.0) - PAUSE_S
    )


async def main(url: str, stream: str) -> None:
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    client = await connect([url])
    await create_stream(client, stream)
    publishers = PacedPublishers(stream, [url], PUBLISHERS)
    await publishers.start()
    await publishers.wait_acked(100)
    print("under way", flush=True)
    await asked.wait()
    history = await publishers.stop()
    stored = await read_all(cast(Cluster, SimpleNamespace(urls=[url])), stream, 90)
    verdict = {
        "acknowledged": sum(publish.sequence > 0 for publish in history),
        "stored": len(stored),
        "complaints": judge(history, stored)[:20],
        "longest_outage_s": round(longest_gap_s(history), 3),
        "slowest_publish_s": round(slowest_publish_s(history), 3),
    }
    await client.close()
    print(json.dumps(verdict), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
