"""A mesh of route tables in memory: wires that deliver in any order, time that is driven, a router of forty lines."""

from __future__ import annotations

import random
from collections import deque

from broker.cluster.routes.route_lines import message_bytes
from broker.cluster.routes.route_session import HANDED_OVER
from broker.cluster.routes.route_traffic import Interest, RouteSession, RouteTraffic
from broker.cluster.routes.routes import RouteTable
from broker.config import Options, RouteUrl

MILLISECOND_NS = 1_000_000


class SmallRouter(RouteTraffic):
    """Literal subjects only: who wants what here, what the peers want, and what arrived."""

    def __init__(self) -> None:
        self.local: dict[tuple[bytes, bytes], int] = {}
        self.remote: dict[tuple[bytes, bytes], dict[str, tuple[RouteSession, int]]] = {}
        self.received: list[tuple[bytes, bytes, bytes, bytes]] = []  # subject, queue, reply, data
        self.routed_in = 0

    def local_interest(self) -> list[Interest]:
        return [Interest(subject, queue, weight) for (subject, queue), weight in self.local.items()]

    def remote_interest(self, session: RouteSession, subject: bytes, queue: bytes, weight: int) -> None:
        assert session.info is not None
        if not weight and (subject, queue) not in self.remote:
            return
        wanted = self.remote.setdefault((subject, queue), {})
        if weight:
            wanted[session.info.server_id] = (session, weight)
        else:
            wanted.pop(session.info.server_id, None)

    def interest_of(self, session: RouteSession) -> list[tuple[bytes, bytes]]:
        return [key for key, wanted in self.remote.items() if session in [each for each, _ in wanted.values()]]

    def interest_count(self, session: RouteSession) -> int:
        return len(self.interest_of(session))

    def messages_out(self, session: RouteSession) -> int:
        return 0

    def session_ended(self, session: RouteSession) -> None:
        for wanted in self.remote.values():
            for server_id in [key for key, (each, _weight) in wanted.items() if each is session]:
                del wanted[server_id]

    def remote_message(
        self,
        session: RouteSession,
        subject: bytes,
        reply: bytes,
        queues: list[bytes],
        header_length: int,
        data: bytes,
    ) -> None:
        self.routed_in += 1
        for queue in [b"", *queues]:
            if (subject, queue) in self.local:
                self.received.append((subject, queue, reply, data))

    def publish(self, subject: bytes, reply: bytes, data: bytes, rng: random.Random) -> None:
        """As a local client would: one copy a route, one member a queue group."""
        targets: dict[int, tuple[RouteSession, list[bytes]]] = {}
        for session, _weight in self.remote.get((subject, b""), {}).values():
            targets[session.cid] = (session, [])
        if (subject, b"") in self.local:
            self.received.append((subject, b"", reply, data))
        queues = {queue for wanted, queue in [*self.local, *self.remote] if wanted == subject and queue}
        for queue in sorted(queues):
            if (subject, queue) in self.local:
                self.received.append((subject, queue, reply, data))
                continue
            members = list(self.remote.get((subject, queue), {}).values())
            if members:
                session = rng.choice([member for member, weight in members for _ in range(weight)])
                targets.setdefault(session.cid, (session, []))[1].append(queue)
        for session, chosen in targets.values():
            session.write(message_bytes(subject, reply, chosen, 0, data))


class Node:
    def __init__(self, server_name: str, port: int, routes: list[int], rng: random.Random, **cluster: object) -> None:
        options = Options(server_name=server_name)
        options.cluster.name = "c"
        options.cluster.host = "10.0.0.1"
        options.cluster.port = port
        options.cluster.routes = [RouteUrl("10.0.0.1", other) for other in routes]
        for key, value in cluster.items():
            setattr(options.cluster, key, value)
        self.port = port
        self.router = SmallRouter()
        self.server_id = f"N{rng.randrange(10**9):09d}{server_name}"
        self.table = RouteTable(options, self.server_id, self.router, rng)
        self.table.listening("10.0.0.1", port)
        self.table.set_client_urls([f"10.0.0.1:{port - 2000}"])
        self.told_urls: list[list[str]] = []
        self.table.on_connect_urls = self.told_urls.append

    def want(self, subject: bytes, queue: bytes = b"", weight: int = 1) -> None:
        if weight:
            self.router.local[(subject, queue)] = weight
        else:
            self.router.local.pop((subject, queue), None)
        self.table.interest_changed(subject, queue, weight)


class Wire:
    """One connection: bytes in flight both ways."""

    def __init__(self, ends: list[tuple[Node, int]]) -> None:
        self.ends = ends
        self.queues: list[deque[bytes]] = [deque(), deque()]  # towards end 0, towards end 1
        self.open = [True, True]


class Mesh:
    """Moves bytes one piece at a time, in an order that a seed decides."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.nodes: list[Node] = []
        self.now_ns = 1
        self.wires: list[Wire] = []
        self.next_cid = 1
        self.dials_made = 0
        self.unreachable: set[int] = set()

    def node(self, server_name: str, port: int, routes: list[int], **cluster: object) -> Node:
        node = Node(server_name, port, routes, random.Random(self.rng.random()), **cluster)
        self.nodes.append(node)
        return node

    def connect(self, dialler: Node, port: int, token: int) -> None:
        self.dials_made += 1
        acceptor = next((node for node in self.nodes if node.port == port), None)
        if acceptor is None or port in self.unreachable:
            dialler.table.dial_failed(token, self.now_ns, "refused")
            return
        wire = Wire([(dialler, self.next_cid), (acceptor, self.next_cid + 1)])
        self.next_cid += 2
        self.wires.append(wire)
        dialler.table.dialled(wire.ends[0][1], token, self.now_ns)
        acceptor.table.accepted(wire.ends[1][1], ("10.0.0.1", 40000 + self.next_cid), self.now_ns)

    def _collect(self) -> None:
        for wire in self.wires:
            for side in (0, 1):
                node, cid = wire.ends[side]
                session = node.table.sessions.get(cid)
                if session is not None and wire.open[side]:
                    output = session.take_output()
                    if output:
                        wire.queues[1 - side].append(output)
        for node in self.nodes:
            node.table.take_dirty()
            for cid, _reason in node.table.take_closing():
                self.cut(node, cid)

    def cut(self, node: Node, cid: int) -> None:
        """One side closes; what it had sent still arrives."""
        for wire in self.wires:
            for side in (0, 1):
                if wire.ends[side] == (node, cid) and wire.open[side]:
                    wire.open[side] = False
                    node.table.closed(cid, self.now_ns)

    def step(self) -> bool:
        """Delivers one piece of something that is in flight. False: nothing is."""
        self._collect()
        ready = [(wire, side) for wire in self.wires for side in (0, 1) if wire.queues[side]]
        half_open = [(w, s) for w in self.wires for s in (0, 1) if w.open[s] and not w.open[1 - s] and not w.queues[s]]
        if not ready and not half_open:
            self.wires = [wire for wire in self.wires if any(wire.open)]
            return False
        wire, side = self.rng.choice(ready + half_open)
        node, cid = wire.ends[side]
        if not wire.queues[side]:
            self.cut(node, cid)
            return True
        data = wire.queues[side].popleft()
        if len(data) > 1 and self.rng.random() < 0.5:
            at = self.rng.randrange(1, len(data))
            wire.queues[side].appendleft(data[at:])
            data = data[:at]
        session = node.table.sessions.get(cid)
        if session is not None and wire.open[side]:
            session.on_bytes(data)
            if session.state == HANDED_OVER:
                node.table.handed_over(cid)
        return True

    def settle(self) -> None:
        steps = 0
        while self.step():
            steps += 1
            assert steps < 200_000, "the mesh never comes to rest"

    def run(self, milliseconds: int, shuffle: bool = True) -> None:
        """Time passes in ticks of 50 ms; between ticks everything in flight may or may not arrive."""
        for _ in range(milliseconds // 50):
            self.now_ns += 50 * MILLISECOND_NS
            nodes = list(self.nodes)
            self.rng.shuffle(nodes)
            for node in nodes:
                for dial in node.table.tick(self.now_ns):
                    self.connect(node, dial.port, dial.token)
                if shuffle:
                    for _ in range(self.rng.randrange(6)):
                        self.step()
            if not shuffle or self.rng.random() < 0.8:
                self.settle()

    def assert_full(self) -> None:
        """Exactly one registered route a pair, the same connection on both sides."""
        for node in self.nodes:
            others = sorted(other.server_id for other in self.nodes if other is not node)
            assert sorted(node.table.routes) == others, node.table.server_name
        open_wires = [wire for wire in self.wires if all(wire.open)]
        count = len(self.nodes)
        assert len(open_wires) == count * (count - 1) // 2
