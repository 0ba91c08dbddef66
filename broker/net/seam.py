"""What the rim asks of a node, and what a turn of it tells the rim: the seam between `net/` and `broker/node.py`.

Is: Protocols and constants only, so that the reactor can be tested with a node of twenty lines.
Is not: behaviour. Invariants of the seam:
* every `connection_opened(cid, …)` is followed by exactly one `connection_closed(cid, reason)`, also where the node asked for the close;
* for an outgoing connection `remote` is the (host, port) of the dial as the node gave it, not what it resolved to;
* `take_output(cid)` is called only when everything taken before has left; so a slow socket's bytes pile up in the node,
  which can see and bound them;
* every job in `Turn.jobs` is answered by one `job_done(job, error)`, always between two turns.
Read next: `reactor.py`, `driver.py`.
"""

from __future__ import annotations

from typing import Final, Protocol

CLIENT: Final = 0
CLUSTER_IN: Final = 1
CLUSTER_OUT: Final = 2

JOB_WAL: Final = 0  # one at a time, in order; what acknowledgements wait for
JOB_FLUSH: Final = 1  # one at a time, in order; nobody waits


class Job(Protocol):
    """Blocking file work, run outside the reactor's thread."""

    def run(self) -> None: ...


class Turn(Protocol):
    """What a turn of the node wants done. Attributes are read once, right after `turn()` returned."""

    sends: list[int]
    closes: list[tuple[int, str]]
    dials: list[tuple[str, int, int]]  # host, port, token
    jobs: list[tuple[int, Job]]
    events: list[tuple[str, str, dict[str, object]]]  # level, name, fields
    next_deadline_ns: int  # 0: none


class Node(Protocol):
    """`broker.node.BrokerNode`, as seen from the rim."""

    def connection_opened(self, cid: int, kind: int, remote: tuple[str, int]) -> None: ...

    def connection_bytes(self, cid: int, data: bytes) -> None: ...

    def connection_closed(self, cid: int, reason: str) -> None: ...

    def dial_failed(self, address: tuple[str, int]) -> None: ...

    def tick(self, now_ns: int, wall_ns: int) -> None: ...

    def turn(self, now_ns: int, wall_ns: int) -> Turn: ...

    def take_output(self, cid: int) -> bytes: ...

    def job_done(self, job: Job, error: Exception | None) -> None: ...

    def disk_stalled(self, stalled_ns: int) -> None: ...

    def statistics(self) -> dict[str, object]: ...
