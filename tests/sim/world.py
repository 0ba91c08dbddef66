"""Virtual time, one source of chance, and a network of byte streams between nodes (`server`) and clients (`client`).

Everything that happens is an event on one heap, ordered by time and then by the order of its making; all chance comes
from one `random.Random`. So a seed is a run, and a run can be had again.

The network carries byte streams, as TCP does: bytes arrive in order or the connection breaks. A cut holds bytes (and
the news that the other end is gone) back and lets dials time out; healing lets them through. A machine without power
says nothing; who sends to it after it came back is told that the connection is gone.

Read next: `server`, `nemesis`, `run`.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable, Iterable

from broker.net.seam import CLIENT, CLUSTER_IN, CLUSTER_OUT

LATENCY_NS = (50_000, 400_000)
DIAL_TIMEOUT_NS = 1_000_000_000
CLUSTER_PORT = 6222
WINDOW_BYTES = 256 * 1024


class Host:
    """Whoever holds connections. A host that is `stalled` takes nothing from the network, which keeps it."""

    name = "host"
    stalled = False
    powered = True  # False: nobody is there, not even to say so

    def received(self, end: "End", data: bytes) -> None: ...

    def closed(self, end: "End") -> None: ...

    def writable(self, end: "End") -> None:
        """What was sent has left; there is room for more."""


class ClusterHost(Host):
    """A host that listens."""

    listening = False

    def opened(self, end: "End", kind: int, remote: tuple[str, int], token: str) -> None: ...

    def dial_failed(self, address: tuple[str, int], token: str) -> None: ...


class End:
    """One end of a connection, with the bytes on their way to it; `None` behind them says that the other end closed."""

    def __init__(self, owner: Host, cid: int) -> None:
        self.owner = owner
        self.cid = cid
        self.open = True
        self.dead = False  # its process is gone and could not say so
        self.other: End = self
        self.inbox: deque[tuple[int, bytes | None]] = deque()
        self.inbox_bytes = 0
        self.last_ns = 0
        self.pump_due = False
        self.choked = False  # the owner waits for room


class World:
    """Time, chance, network."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now_ns = 1_000_000_000
        self.steps = 0
        self.servers: dict[str, ClusterHost] = {}
        self.clients: list[str] = []
        self.cut: dict[tuple[str, str], bool] = {}
        self.ends: dict[int, End] = {}
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._made = 0
        self._next_cid = 1

    # Time.

    def after(self, delay_ns: int, action: Callable[[], None]) -> None:
        """Do it later."""
        self._made += 1
        heapq.heappush(self._heap, (self.now_ns + delay_ns, self._made, action))

    def run(self, duration_ns: int, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass; True as soon as `until` holds."""
        end_ns = self.now_ns + duration_ns
        heap = self._heap
        while heap and heap[0][0] <= end_ns:
            self.now_ns, _, action = heapq.heappop(heap)
            self.steps += 1
            action()
            if until is not None and until():
                return True
        self.now_ns = end_ns
        return until is not None and until()

    # Connections.

    def dial(self, source: ClusterHost, address: tuple[str, int], token: str, alive: Callable[[], bool]) -> None:
        """A node connects to a cluster port; `alive` says whether it still wants to know."""
        target = self.servers.get(address[0])

        def arrive() -> None:
            if not alive():
                return
            if target is None or not self._answers(source, target) or address[1] != CLUSTER_PORT:
                source.dial_failed(address, token)
                return
            near, far = self._pair(source, target)
            source.opened(near, CLUSTER_OUT, address, token)
            target.opened(far, CLUSTER_IN, (source.name, 0), "")

        silent = target is not None and (not self.linked(source.name, target.name) or not target.powered)
        self.after(DIAL_TIMEOUT_NS if silent else self.latency_ns(), arrive)

    def connect_client(self, client: Host, name: str) -> End | None:
        """A client connects to a node; None when nobody answers."""
        target = self.servers[name]
        if not self._answers(client, target):
            return None
        near, far = self._pair(client, target)
        target.opened(far, CLIENT, (client.name, 0), "")
        return near

    def _answers(self, source: Host, target: ClusterHost) -> bool:
        return target.listening and not target.stalled and self.linked(source.name, target.name)

    def _pair(self, near_owner: Host, far_owner: Host) -> tuple[End, End]:
        self._next_cid += 2
        near, far = End(near_owner, self._next_cid), End(far_owner, self._next_cid + 1)
        near.other, far.other = far, near
        self.ends[near.cid] = near
        self.ends[far.cid] = far
        return near, far

    def latency_ns(self) -> int:
        """How long bytes take this time."""
        return self.rng.randrange(*LATENCY_NS)

    def carry(self, end: End, data: bytes | None) -> None:
        """Bytes leave at `end`; they arrive in order at its other end."""
        other = end.other
        other.last_ns = max(self.now_ns + self.latency_ns(), other.last_ns + 1)
        other.inbox.append((other.last_ns, data))
        other.inbox_bytes += len(data) if data is not None else 0
        if not other.pump_due:
            self._pump_at(other, other.last_ns)

    def room(self, end: End) -> bool:
        """Whether more may be sent now; if not, the owner hears `writable` later."""
        if end.other.inbox_bytes < WINDOW_BYTES:
            return True
        end.choked = True
        return False

    def _pump_at(self, end: End, when_ns: int) -> None:
        end.pump_due = True
        self.after(max(when_ns - self.now_ns, 0), lambda: self._pump(end))

    def _pump(self, end: End) -> None:
        """Deliver what has arrived. What is held back waits for `release`."""
        end.pump_due = False
        inbox = end.inbox
        owner = end.owner
        while inbox:
            if inbox[0][0] > self.now_ns:
                self._pump_at(end, inbox[0][0])
                return
            if not end.open:
                inbox.clear()
                return
            if owner.stalled or not owner.powered or (end.other.owner.name, owner.name) in self.cut:
                return
            if end.dead:
                self._reset_by_peer(end)
                return
            data = inbox.popleft()[1]
            if data is None:
                self._forget(end)
                owner.closed(end)
                return
            end.inbox_bytes -= len(data)
            owner.received(end, data)
            if end.other.choked and end.inbox_bytes < WINDOW_BYTES // 2:
                end.other.choked = False
                end.other.owner.writable(end.other)

    def _reset_by_peer(self, end: End) -> None:
        """Somebody sent to a process that is no more."""
        self._forget(end)
        if end.other.open:
            end.other.inbox.clear()
            self.carry(end, None)

    def _forget(self, end: End) -> None:
        end.open = False
        self.ends.pop(end.cid, None)

    def close(self, end: End) -> None:
        """The owner closes; bytes on their way still arrive at the other end, and then the news."""
        if end.open:
            self._forget(end)
            self.after(1_000, lambda: end.owner.closed(end))
            if end.other.open:
                self.carry(end, None)

    def lose_power(self, owner: Host) -> None:
        """Every connection of the host is gone, and nobody is told."""
        for end in self.ends_of(owner):
            end.dead = True

    def hang_up(self, owner: Host) -> None:
        """The process ended; its kernel says so on every connection."""
        for end in self.ends_of(owner):
            self._forget(end)
            if end.other.open:
                self.carry(end, None)

    def reset(self, end: End) -> None:
        """The network breaks a connection: both ends learn it at once, bytes on their way are lost."""
        for one in (end, end.other):
            if one.open and not one.dead:
                self._forget(one)
                one.inbox.clear()
                one.owner.closed(one)

    def ends_of(self, owner: Host) -> list[End]:
        """Open ends of a host."""
        return [end for end in self.ends.values() if end.owner is owner and not end.dead]

    # What the network does to them.

    def linked(self, one: str, other: str) -> bool:
        """Whether bytes pass both ways."""
        return (one, other) not in self.cut and (other, one) not in self.cut

    def cut_links(self, links: Iterable[tuple[str, str]]) -> None:
        """Bytes no longer pass in these directions."""
        for link in links:
            self.cut[link] = True

    def heal(self, links: Iterable[tuple[str, str]] | None = None) -> None:
        """These directions (or all) carry bytes again."""
        for link in list(self.cut) if links is None else links:
            self.cut.pop(link, None)
        self.release()

    def release(self) -> None:
        """Something may no longer be held back."""
        for end in list(self.ends.values()):
            if end.inbox and not end.pump_due:
                self._pump_at(end, max(end.inbox[0][0], self.now_ns))
