"""The one place of the real-client tests that lets time pass: wait for a condition, up to a deadline.

Real processes and real clocks are involved, so a condition is polled; nothing ever waits a fixed time and hopes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
POLL_S = 0.02


class DeadlineMissed(AssertionError):
    """The condition did not come true in time; the message names it and what was seen last."""


def wait_until(what: str, condition: Callable[[], T], seconds: float = 20.0) -> T:
    """The first true value of `condition`. Connection errors count as "not yet"."""
    deadline = time.monotonic() + seconds
    while True:
        seen: object
        try:
            value = condition()
            if value:
                return value
            seen = value
        except OSError as error:
            seen = error
        if time.monotonic() > deadline:
            raise DeadlineMissed(f"after {seconds:g} s not yet: {what} (last seen: {seen!r})")
        time.sleep(POLL_S)


async def wait_until_async(what: str, condition: Callable[[], Awaitable[T]], seconds: float = 20.0) -> T:
    """The same for asyncio clients: exceptions of the client count as "not yet"."""
    deadline = time.monotonic() + seconds
    while True:
        seen: object
        try:
            value = await condition()
            if value:
                return value
            seen = value
        except Exception as error:  # a client in the middle of an election may raise nearly anything
            seen = error
        if time.monotonic() > deadline:
            raise DeadlineMissed(f"after {seconds:g} s not yet: {what} (last seen: {seen!r})")
        await asyncio.sleep(POLL_S)
