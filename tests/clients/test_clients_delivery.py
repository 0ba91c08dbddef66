"""The programs of broker/DELIVERY.md, on three nodes: at most once, at least once, exactly once."""

from __future__ import annotations

import ast
import asyncio
import re

import nats
import nats.errors
import nats.js.errors
import pytest
from nats.js.api import AckPolicy, ConsumerConfig, PubAck, StreamConfig

from clients.servers import ROOT, Cluster

pytestmark = [pytest.mark.clients, pytest.mark.timeout(120)]

PAGE = (ROOT / "broker" / "DELIVERY.md").read_text()
PROGRAMS = dict(re.findall(r"^## ([^\n]+)\n.*?^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
SCOPE = {
    "nats": nats, "AckPolicy": AckPolicy, "ConsumerConfig": ConsumerConfig, "PubAck": PubAck,
    "StreamConfig": StreamConfig,
}  # fmt: skip


def test_the_page_has_a_program_for_each_promise() -> None:
    assert list(PROGRAMS) == ["At most once", "At least once", "Exactly once"]


@pytest.mark.parametrize("promise", PROGRAMS)
def test_a_program_of_the_page(promise: str, cluster: Cluster) -> None:
    text = PROGRAMS[promise].replace("nats://127.0.0.1:4222", cluster.urls[1])
    program = compile(text, promise, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    asyncio.run(eval(program, dict(SCOPE)))
