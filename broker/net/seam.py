"""What the rim asks of a node, and what a turn of it tells the rim: the seam between `net/` and `broker/node.py`.

Is: Protocols and constants only, so that the reactor can be tested with a node of twenty lines.
Is not: behaviour. What both sides rely on:
* every `connection_opened(cid, …)` is followed by exactly one `connection_closed(cid, reason)`, also where the node
  itself asked for the close; until then `take_output(cid)` answers (b"" when nothing is left);
* for an outgoing connection `remote` is the (host, port) of the dial as the node gave it, not what it resolved to;
* output is taken only when everything taken before has left; so the bytes of a slow socket pile up in the node, which
  sees and bounds them (what a socket may hold back in all: twice the node's bound);
* every job in `Turn.jobs` is answered by one `job_done(job, error)`, always between two turns.
Read next: `reactor.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from broker.config import Options
from broker.monitor.statistics import Statistics, StreamStatistics

CLIENT: Final = 0
CLUSTER_IN: Final = 1
CLUSTER_OUT: Final = 2

THREAD_WAL: Final = 0  # jobs in order, one at a time; what acknowledgements wait for
THREAD_FLUSH: Final = 1  # likewise; nobody waits


class Job(Protocol):
    """Blocking file work, run outside the reactor's thread. `thread` names which one."""

    @property
    def thread(self) -> int: ...

    @property
    def is_quick(self) -> bool: ...  # waits for no disk: may run on the reactor's own thread

    def run(self) -> None: ...


class Dial(Protocol):
    """A connection to be made. `token` is the node's and comes back with the outcome."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def token(self) -> str: ...


class Turn(Protocol):
    """What a turn of the node wants done. Read once, right after `turn()` returned."""

    @property
    def sends(self) -> Sequence[int]: ...  # connections that have output

    @property
    def closes(self) -> Sequence[tuple[int, str]]: ...  # connection, reason; closed when its output has left

    @property
    def dials(self) -> Sequence[Dial]: ...

    @property
    def jobs(self) -> Sequence[Job]: ...

    @property
    def events(self) -> Sequence[tuple[str, str, Mapping[str, object]]]: ...  # level, name, fields

    @property
    def next_deadline_ns(self) -> int: ...  # monotonic; 0: none


class Node(Protocol):
    """`broker.node.BrokerNode`, as seen from the rim."""

    def arrive(self, now_ns: int, wall_ns: int) -> None: ...  # the time of what is told next, until the turn

    def connection_opened(self, cid: int, kind: int, remote: tuple[str, int], token: str = "") -> None: ...

    def connection_bytes(self, cid: int, data: bytes) -> None: ...

    def connection_closed(self, cid: int, reason: str) -> None: ...

    def dial_failed(self, address: tuple[str, int], token: str = "", reason: str = "") -> None: ...

    def tick(self, now_ns: int, wall_ns: int) -> None: ...

    def turn(self, now_ns: int, wall_ns: int) -> Turn: ...

    def take_output(self, cid: int) -> bytes: ...

    def job_done(self, job: Any, error: Exception | None) -> None: ...  # the very object it gave

    def disk_stalled(self, stalled_ns: int) -> None: ...

    def reload(self, options: Options) -> None: ...  # what may change while it runs

    def advertise(self, client_urls: list[str]) -> None: ...  # where clients of the cluster find this node

    def lame_duck(self) -> None: ...  # tell clients, hand leaderships over

    def hand_over(self) -> None: ...  # leaderships go to peers

    def is_handed_over(self) -> bool: ...  # as far as there is somebody to take them

    def shutdown(self) -> None: ...  # jobs of the turns that follow are the last ones: checkpoints

    def stream_rows(self, detail: str) -> Iterator[StreamStatistics | None]: ...  # of these; None: others may go first
    def statistics(self, detail: str) -> Statistics: ...  # lists that a page in `pages.DETAILS` wants may else be empty
