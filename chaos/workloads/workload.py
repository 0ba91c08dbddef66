"""What a workload is, and the clients all of them use: nats-py, never giving up, quick to see that a server is gone.

Outcomes are decided in one place, `attempt`: an answer that says no is `failed`, silence is `unknown`; so is
"temporarily unavailable", as TernMQ says it at once of what was on its way to a leader that is gone.
Streams are made with the `nats` command line tool.
"""

from __future__ import annotations

import asyncio
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import nats
import nats.errors
import nats.js.errors
from clients.waiting import wait_until_async
from clients.workload import ignore_error
from nats.aio.client import Client

from chaos.history import FAILED, OK, UNKNOWN, History, Operation
from chaos.needs import NATS_CLI

if TYPE_CHECKING:
    from chaos.field import Field

PING_S = 1  # a client behind a partition must notice
REFUSALS = (nats.errors.NoRespondersError, nats.js.errors.NoStreamResponseError, nats.js.errors.APIError)
UNAVAILABLE = 10008  # "temporarily unavailable": the system speaks of itself, not of this message


@dataclass
class Findings:
    """What the checkers say about one workload. No complaint means that every promise held."""

    complaints: dict[str, list[str]] = field(default_factory=dict)  # kind of broken promise → each case
    figures: dict[str, float] = field(default_factory=dict)

    def add(self, kind: str, cases: list[str]) -> None:
        """Cases of one kind; none changes nothing, but the kind is known to have been looked for."""
        self.complaints.setdefault(kind, []).extend(cases)


class Workload(ABC):
    """Begins with the quiet time before the faults, ends after the quiet time behind them, then is judged."""

    stream = ""

    def __init__(self, field: Field) -> None:
        self.field = field
        self.history = History(field.clock)
        self.stopping = False
        self.tasks: list[asyncio.Task[None]] = []
        self.clients: list[Client] = []

    @abstractmethod
    async def prepare(self) -> None:
        """Make the streams."""

    @abstractmethod
    async def start(self) -> None:
        """Connect and begin; returns at once."""

    @abstractmethod
    async def judge(self) -> Findings:
        """Read back what the cluster has now, and hold it against the history."""

    async def client(self, turn: int) -> Client:
        """A connection that prefers node number `turn`, and goes to any other when that one is gone."""
        urls = self.field.ground.urls
        at = turn % len(urls)
        return await self._connected(urls[at:] + urls[:at])

    async def faithful_client(self, turn: int) -> Client:
        """A connection to node number `turn` and to no other, so that each node has a witness whatever befalls it.

        Clients that go elsewhere all end up at the same node, and when that one stops they time how long a client takes
        to notice, not how long the service is away.
        """
        urls = self.field.ground.urls
        return await self._connected([urls[turn % len(urls)]])

    async def _connected(self, urls: list[str]) -> Client:
        client = await connect(urls)
        self.clients.append(client)
        return client

    def is_stopping(self) -> bool:
        """Whether the load has ended; may change at any await."""
        return self.stopping

    def spawn(self, work: Awaitable[None]) -> None:
        """Have it done until `stop`."""
        self.tasks.append(asyncio.ensure_future(work))

    async def pause(self, seconds: float) -> None:
        """The time between two operations of a worker."""
        await asyncio.sleep(seconds)

    async def stop(self) -> None:
        """Let what is in flight end, and disconnect. An error of ours in a worker comes out here."""
        await self.finish(30)

    async def finish(self, seconds: float) -> None:
        """The same, with patience."""
        self.stopping = True
        try:
            await asyncio.wait_for(asyncio.gather(*self.tasks), seconds)
        finally:
            for client in self.clients:
                await close(client)

    async def attempt(self, operation: Operation, work: Callable[[], Awaitable[int]]) -> bool:
        """Do it once; the outcome goes into the history. True when it was ok. `work` returns a sequence."""
        try:
            sequence = await work()
        except REFUSALS as refusal:
            sure = not (isinstance(refusal, nats.js.errors.APIError) and refusal.err_code == UNAVAILABLE)
            self.history.end(operation, FAILED if sure else UNKNOWN, note=str(refusal)[:120])
        except Exception as silence:  # a client in the middle of an election may raise nearly anything
            self.history.end(operation, UNKNOWN, note=f"{type(silence).__name__}: {silence}"[:120])
        else:
            self.history.end(operation, OK, sequence)
            return True
        return False


async def connect(urls: list[str]) -> Client:
    """A client that never gives up."""
    return await nats.connect(
        urls, max_reconnect_attempts=-1, reconnect_time_wait=0.05, connect_timeout=1, ping_interval=PING_S,
        max_outstanding_pings=2, dont_randomize=True, error_cb=ignore_error,
    )  # fmt: skip


async def close(client: Client) -> None:
    """Close it, also when its server does not answer any more."""
    try:
        await asyncio.wait_for(client.close(), 3)
    except Exception:
        return


async def nats_cli(urls: list[str], *argv: str) -> None:
    """Run the `nats` tool until it succeeds once."""

    async def once() -> bool:
        command = [str(NATS_CLI), "--server", ",".join(urls), *argv]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=20)
        if done.returncode:
            raise RuntimeError(f"nats {' '.join(argv)}: {done.stdout}{done.stderr}")
        return True

    await wait_until_async(f"nats {argv[0]} {argv[1]}", once, 60)
