"""Who dials whom: any mesh of nodes, however their dials cross, ends with one link a pair."""

import random

import pytest

from broker.cluster.links.frames import FrameReader
from broker.cluster.links.link import RAFT_FRAME_BYTES, PeerLink
from broker.cluster.links.transport import SILENT_TICKS, STALE_TICKS, LinkTable
from raft.codec import decode_messages
from raft.messages import APPEND
from raft.types import Entry, Message

NAMES = ["n1", "n2", "n3"]
PORTS = {"n1": 1, "n2": 2, "n3": 3}


class Mesh:
    """Link tables joined by a network that delivers in a random order."""

    def __init__(self, seed: int, names: list[str] = NAMES, cluster: str = "c") -> None:
        self.rng = random.Random(seed)
        routes = [("host", PORTS[name]) for name in names]
        self.tables = {
            name: LinkTable(name, cluster, PORTS[name], "", "", routes, random.Random(seed)) for name in names
        }
        self.by_port = {PORTS[name]: name for name in names}
        self.pipes: list[tuple[LinkTable, PeerLink, LinkTable, PeerLink]] = []
        self.now_ns = 0
        self.next_cid = 1

    def dial_all(self) -> None:
        dials = [(name, dial) for name in self.tables for dial in self.tables[name].tick(self.now_ns)]
        self.rng.shuffle(dials)
        for name, dial in dials:
            near, far = self.tables[name], self.tables[self.by_port[dial.port]]
            out = near.dialled(self.next_cid, dial.host, dial.port, self.now_ns)
            into = far.accepted(self.next_cid + 1, "host", self.now_ns)
            self.next_cid += 2
            self.pipes.append((near, out, far, into))

    def carry(self) -> bool:
        moved = False
        self.rng.shuffle(self.pipes)
        for pipe in list(self.pipes):
            for sender, link, receiver, other in ((*pipe,), (pipe[2], pipe[3], pipe[0], pipe[1])):
                data = link.take_output()
                if data and other.cid in receiver.connections:
                    receiver.on_bytes(other, data, self.now_ns)
                    moved = True
                assert sender.connections is not None
            self.close_marked()
        return moved

    def close_marked(self) -> None:
        for table in self.tables.values():
            for cid, _ in table.take_closing():
                for pipe in [p for p in self.pipes if cid in (p[1].cid, p[3].cid)]:
                    self.pipes.remove(pipe)
                    pipe[0].closed(pipe[1].cid, self.now_ns)
                    pipe[2].closed(pipe[3].cid, self.now_ns)

    def settle(self) -> None:
        for _ in range(20):
            self.now_ns += 2_000_000_000
            self.dial_all()
            while self.carry():
                pass


@pytest.mark.parametrize("seed", range(30))
def test_every_pair_has_one_link(seed: int) -> None:
    mesh = Mesh(seed)
    mesh.settle()
    for name, table in mesh.tables.items():
        assert sorted(link.name for link in table.links.values()) == [n for n in NAMES if n != name]
        assert len(table.connections) == 2
        assert table.unresolved() == []


def watched(mesh: Mesh, ticks: int, mute: str = "") -> None:
    """Time passes; what `mute` says is lost."""
    for _ in range(ticks):
        for table in mesh.tables.values():
            table.watch()
            for link in table.links.values():
                link.flush()
        for near, out, far, into in mesh.pipes:
            for sender, link in ((near, out), (far, into)):
                if sender.name == mute:
                    link.take_output()
        while mesh.carry():
            pass


def test_links_show_that_they_are_there() -> None:
    mesh = Mesh(1)
    mesh.settle()
    watched(mesh, 3 * STALE_TICKS)
    assert all(len(table.links) == 2 and table.silent == [] for table in mesh.tables.values())


def test_silence_is_told_once_and_ends_the_connection_in_the_end() -> None:
    mesh = Mesh(1)
    mesh.settle()
    watched(mesh, SILENT_TICKS + 1, mute="n1")
    n1 = mesh.tables["n1"].peer
    assert [mesh.tables[name].silent for name in NAMES] == [[], [n1], [n1]]
    watched(mesh, 2)
    watched(mesh, SILENT_TICKS + 2, mute="n1")
    assert mesh.tables["n2"].silent == [n1, n1], "it spoke again in between"
    for table in mesh.tables.values():
        table.lost = []
    watched(mesh, STALE_TICKS, mute="n1")
    assert [mesh.tables[name].lost for name in ("n2", "n3")] == [[n1], [n1]]


def test_how_long_a_peer_is_silent_is_known_while_it_is_there_and_after_it_left() -> None:
    mesh = Mesh(1)
    mesh.settle()
    table, peer = mesh.tables["n1"], mesh.tables["n2"].peer
    heard_ns = table.links[peer].heard_ns
    assert table.unheard_ns(peer, heard_ns + 700) == 700
    table.closed(table.links[peer].cid, heard_ns + 800)
    assert table.unheard_ns(peer, heard_ns + 900) == 900
    assert table.unheard_ns("stranger", heard_ns) == 0


def test_another_cluster_is_refused_with_a_reason() -> None:
    table = LinkTable("n1", "production", 1, "", "", [], random.Random(1))
    link = table.accepted(7, "host", 0)
    table.on_bytes(link, b'TERNMQ/1 {"name":"x","cluster":"other","port":1,"meta":false,"user":"","pass":""}\r\n', 0)
    assert b"-ERR 'Cluster Name Conflict'" in link.take_output()
    assert table.take_closing() == [(7, "Cluster Name Conflict")]
    assert table.links == {}


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1\r\n", b"TERNMQ/1 {}\r\n", b"TERNMQ/1 [1]\r\n", b"x" * 20_000])
def test_a_stranger_is_cut_off(line: bytes) -> None:
    table = LinkTable("n1", "c", 1, "", "", [], random.Random(1))
    link = table.accepted(7, "host", 0)
    table.on_bytes(link, line, 0)
    assert [cid for cid, _ in table.take_closing()] == [7]


def test_wrong_password_is_refused() -> None:
    table = LinkTable("n1", "c", 1, "route", "secret", [], random.Random(1))
    link = table.accepted(7, "host", 0)
    table.on_bytes(link, b'TERNMQ/1 {"name":"x","cluster":"c","port":1,"meta":false,"user":"route","pass":"no"}\r\n', 0)
    assert table.take_closing() == [(7, "Authorization Violation")]


def greeting(name: str, store: str) -> bytes:
    text = f'{{"name":"{name}","cluster":"c","port":9,"meta":false,"user":"","pass":"","store":"{store}"}}'
    return b"TERNMQ/1 " + text.encode() + b"\r\n"


def table_with_n2() -> tuple[LinkTable, PeerLink]:
    """n1, to which the n2 of store `old` is connected since second 1."""
    table = LinkTable("n1", "c", 1, "", "", [], random.Random(1), "mine")
    link = table.accepted(7, "host", 0)
    table.on_bytes(link, greeting("n2", "old"), 1_000_000_000)
    assert list(table.links.values()) == [link]
    return table, link


def test_an_empty_store_makes_another_peer_of_an_old_name() -> None:
    table, old = table_with_n2()
    before = old.peer
    table.closed(7, 2_000_000_000)
    new = table.accepted(8, "host", 2_000_000_000)
    table.on_bytes(new, greeting("n2", "new"), 2_000_000_000)
    assert (new.name, new.peer != before, list(table.links)) == ("n2", True, [new.peer])


def test_a_name_that_is_connected_is_refused_to_another_store() -> None:
    table, old = table_with_n2()
    new = table.accepted(8, "host", 2_000_000_000)
    table.on_bytes(new, greeting("n2", "new"), 2_000_000_000)
    assert b"-ERR 'Duplicate Server Name'" in new.take_output()
    assert list(table.links.values()) == [old]


def test_a_connection_that_went_silent_gives_its_name_away() -> None:
    table, old = table_with_n2()
    peer = old.peer
    new = table.accepted(8, "host", 9_000_000_000)
    table.on_bytes(new, greeting("n2", "new"), 9_000_000_000)
    assert list(table.links.values()) == [new]
    assert (table.lost, table.take_closing()) == ([peer], [(7, "Stale Connection")])


def test_another_store_under_our_own_name_is_refused() -> None:
    table, _ = table_with_n2()
    link = table.accepted(9, "host", 0)
    table.on_bytes(link, greeting("n1", "other"), 0)
    assert table.take_closing() == [(9, "Duplicate Server Name")]


def append_of(size: int, index: int) -> Message:
    return Message(APPEND, 1, "a", "b", 1, index, 1, entries=[Entry(index + 1, 1, 0, bytes(size))])


@pytest.mark.parametrize("sizes", [[1], [RAFT_FRAME_BYTES * 2, 1], [RAFT_FRAME_BYTES // 3] * 20])
def test_however_much_raft_has_to_say_in_a_turn_no_frame_is_too_long(sizes: list[int]) -> None:
    """Peers that come back in several groups at once are sent a whole window of entries of each in one turn."""
    link = PeerLink(1, True, "host", 1)
    link.raft_messages = [append_of(size, at) for at, size in enumerate(sizes)]
    link.flush()
    bodies = FrameReader().feed(link.take_output())
    assert max(len(body) for body in bodies) < max(RAFT_FRAME_BYTES, max(sizes)) + 4096
    found = [message for body in bodies for message in decode_messages(body, 1)]
    assert [len(message.entries[0].data) for message in found] == sizes
    assert link.raft_messages == []
