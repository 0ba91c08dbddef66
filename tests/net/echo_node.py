"""A node of a few lines: it answers PING with PONG, closes on QUIT, and hands out the jobs it was given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monitor.trees import connection, standalone

from broker.config import Options
from broker.monitor.statistics import Statistics
from broker.net.seam import Job


class EchoTurn:
    def __init__(self) -> None:
        self.sends: list[int] = []
        self.closes: list[tuple[int, str]] = []
        self.dials: list[Any] = []
        self.jobs: list[Job] = []
        self.events: list[tuple[str, str, dict[str, object]]] = []
        self.next_deadline_ns = 0


class EchoDial:
    def __init__(self, host: str, port: int, token: str) -> None:
        self.host, self.port, self.token = host, port, token


class EchoNode:
    """Everything that happened is in `seen`; `on_bytes` may be replaced to say something else."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.output: dict[int, list[bytes]] = {}
        self.next = EchoTurn()
        self.ticks = 0
        self.on_bytes: Callable[[int, bytes], None] = self.echo
        self.on_event: Callable[[tuple[Any, ...]], None] = lambda event: None

    def note(self, *event: Any) -> None:
        self.seen.append(event)
        self.on_event(event)

    def say(self, cid: int, data: bytes) -> None:
        self.output[cid].append(data)
        self.next.sends.append(cid)

    def echo(self, cid: int, data: bytes) -> None:
        if data.startswith(b"QUIT"):
            self.say(cid, b"BYE\r\n")
            self.next.closes.append((cid, "Protocol Violation"))
        else:
            self.say(cid, b"PONG\r\n" * data.count(b"PING\r\n"))

    def connection_opened(self, cid: int, kind: int, remote: tuple[str, int], token: str = "") -> None:
        self.output[cid] = []
        self.note("opened", cid, kind, remote, token)

    def connection_bytes(self, cid: int, data: bytes) -> None:
        self.on_bytes(cid, data)

    def connection_closed(self, cid: int, reason: str) -> None:
        del self.output[cid]
        self.note("closed", cid, reason)

    def dial_failed(self, address: tuple[str, int], token: str = "", reason: str = "") -> None:
        self.note("dial_failed", address, token, reason)

    def arrive(self, now_ns: int, wall_ns: int) -> None:
        self.arrived_ns = now_ns

    def tick(self, now_ns: int, wall_ns: int) -> None:
        self.ticks += 1

    def turn(self, now_ns: int, wall_ns: int) -> EchoTurn:
        turn, self.next = self.next, EchoTurn()
        return turn

    def take_output(self, cid: int) -> bytes:
        parts, self.output[cid] = self.output[cid], []
        return b"".join(parts)

    def job_done(self, job: Job, error: Exception | None) -> None:
        self.note("job_done", job, error)

    def disk_stalled(self, stalled_ns: int) -> None:
        self.note("disk_stalled")

    def reload(self, options: Options) -> None:
        self.note("reload")

    def advertise(self, client_urls: list[str]) -> None:
        self.note("advertise", client_urls)

    def lame_duck(self) -> None:
        self.note("lame_duck")

    def hand_over(self) -> None:
        self.note("hand_over")

    def is_handed_over(self) -> bool:
        return True

    def shutdown(self) -> None:
        self.note("shutdown")

    def statistics(self, detail: str) -> Statistics:
        return standalone(connections=[connection(cid=cid) for cid in self.output])
