"""Meshes of route tables: who dials whom in which order does not matter, each pair ends with one route."""

from __future__ import annotations

from dataclasses import replace

import pytest

from broker.config import RouteUrl
from cluster.route_mesh import Mesh, Node

PORTS = [6001, 6002, 6003, 6004, 6005]


def full_mesh(seed: int, count: int) -> Mesh:
    """Everybody is configured with everybody, himself included, as charts do."""
    mesh = Mesh(seed)
    for number in range(count):
        mesh.node(f"n{number}", PORTS[number], PORTS[:count])
    return mesh


@pytest.mark.parametrize("count", [2, 3, 4, 5])
@pytest.mark.parametrize("seed", range(12))
def test_everybody_dials_everybody(seed: int, count: int) -> None:
    mesh = full_mesh(seed, count)
    mesh.run(3000)
    mesh.settle()
    mesh.assert_full()
    dials = mesh.dials_made
    mesh.run(5000, shuffle=False)
    mesh.assert_full()
    assert mesh.dials_made == dials, "a complete mesh still dials"


@pytest.mark.parametrize("seed", range(12))
def test_gossip_completes_a_mesh_with_one_seed_node(seed: int) -> None:
    mesh = Mesh(seed)
    mesh.node("seed", 6001, [])
    for number in range(1, 5):
        mesh.node(f"n{number}", PORTS[number], [6001])
    mesh.run(4000)
    mesh.settle()
    mesh.assert_full()


@pytest.mark.parametrize("seed", [*range(6), 19, 35, 43, 56])  # the last ones were never told all
def test_a_chain_of_configured_routes_becomes_a_mesh(seed: int) -> None:
    mesh = Mesh(seed)
    for number in range(5):
        mesh.node(f"n{number}", PORTS[number], PORTS[number + 1 : number + 2])
    mesh.run(4000)
    mesh.settle()
    mesh.assert_full()


@pytest.mark.parametrize("seed", range(6))
def test_a_node_that_comes_late_and_one_that_was_cut_off(seed: int) -> None:
    mesh = full_mesh(seed, 3)
    mesh.unreachable = {6003}
    mesh.run(2000)
    mesh.unreachable = set()
    mesh.run(8000)
    mesh.settle()
    mesh.assert_full()
    first = mesh.nodes[0]
    for session in list(first.table.routes.values()):
        mesh.cut(first, session.cid)
    mesh.run(8000)
    mesh.settle()
    mesh.assert_full()


@pytest.mark.parametrize("seed", range(6))
def test_interest_and_messages_cross_each_route_once(seed: int) -> None:
    mesh = full_mesh(seed, 4)
    a, b, c, _d = mesh.nodes
    b.want(b"orders")  # before the mesh exists
    mesh.run(3000)
    c.want(b"orders")
    mesh.settle()
    a.router.publish(b"orders", b"_INBOX.1", b"hello", mesh.rng)
    mesh.settle()
    assert b.router.received == [(b"orders", b"", b"_INBOX.1", b"hello")]
    assert c.router.received == [(b"orders", b"", b"_INBOX.1", b"hello")]
    assert [node.router.routed_in for node in mesh.nodes] == [0, 1, 1, 0]
    b.want(b"orders", weight=0)
    mesh.settle()
    a.router.publish(b"orders", b"", b"again", mesh.rng)
    mesh.settle()
    assert [node.router.routed_in for node in mesh.nodes] == [0, 1, 2, 0]


def test_queue_groups_spread_over_nodes() -> None:
    mesh = full_mesh(1, 4)
    a, b, c, d = mesh.nodes
    mesh.run(3000)
    b.want(b"jobs", b"workers")
    c.want(b"jobs", b"workers", weight=3)
    mesh.settle()
    for _ in range(400):
        a.router.publish(b"jobs", b"", b"x", mesh.rng)
    mesh.settle()
    share_b, share_c = len(b.router.received), len(c.router.received)
    assert share_b + share_c == 400
    assert 60 < share_b < 140 and d.router.routed_in == 0


def test_interest_ends_with_the_route() -> None:
    mesh = full_mesh(2, 2)
    a, b = mesh.nodes
    b.want(b"orders")
    b.want(b"jobs", b"q")
    mesh.run(2000)
    mesh.settle()
    assert a.router.remote[(b"orders", b"")] and a.router.remote[(b"jobs", b"q")]
    mesh.cut(a, next(iter(a.table.routes.values())).cid)
    assert not a.router.remote[(b"orders", b"")] and not a.router.remote[(b"jobs", b"q")]
    mesh.run(3000)
    mesh.settle()
    assert a.router.remote[(b"orders", b"")]


def test_clients_hear_of_new_and_lost_servers() -> None:
    mesh = full_mesh(3, 3)
    mesh.run(3000)
    mesh.settle()
    a, b, c = mesh.nodes
    assert a.table.connect_urls[0] == "10.0.0.1:4001"
    assert sorted(a.table.connect_urls) == ["10.0.0.1:4001", "10.0.0.1:4002", "10.0.0.1:4003"]
    assert a.told_urls[-1] == a.table.connect_urls
    b.table.lame_duck()
    mesh.settle()
    assert sorted(a.told_urls[-1]) == ["10.0.0.1:4001", "10.0.0.1:4003"]
    mesh.nodes.remove(c)
    mesh.unreachable = {c.port}
    mesh.cut(a, a.table.routes[c.server_id].cid)
    assert a.told_urls[-1] == ["10.0.0.1:4001"]


def test_no_advertise_keeps_the_others_from_clients() -> None:
    mesh = Mesh(4)
    a = mesh.node("a", 6001, [6002], no_advertise=True)
    b = mesh.node("b", 6002, [])
    mesh.run(1000)
    mesh.settle()
    assert a.table.connect_urls == []  # as nats-server 2.15.1: not even our own
    assert b.table.connect_urls == ["10.0.0.1:4002"]


def test_other_cluster_names_stay_apart() -> None:
    mesh = Mesh(5)
    a = mesh.node("a", 6001, [6002])
    b = mesh.node("b", 6002, [], name="other")
    mesh.run(5000)
    mesh.settle()
    assert not a.table.routes and not b.table.routes
    assert mesh.dials_made < 12, "a server that refuses us is tried less and less often"


def test_generated_cluster_name_gives_way() -> None:
    mesh = Mesh(6)
    a = mesh.node("a", 6001, [6002], name="")
    b = mesh.node("b", 6002, [], name="")
    c = mesh.node("c", 6003, [6001])
    mesh.run(20000)
    mesh.settle()
    mesh.assert_full()
    assert {node.table.cluster_name for node in (a, b, c)} == {"c"}


def test_same_server_name_is_refused() -> None:
    mesh = Mesh(7)
    a = mesh.node("a", 6001, [])
    twin = mesh.node("a", 6002, [6001])
    mesh.run(2000)
    mesh.settle()
    assert not a.table.routes and not twin.table.routes


def test_peer_that_falls_silent_is_dropped() -> None:
    mesh = full_mesh(8, 2)
    mesh.run(2000)
    mesh.settle()
    a, b = mesh.nodes
    mesh.nodes.remove(b)  # its process hangs: nothing is answered, nothing is closed
    for wire in mesh.wires:
        wire.ends = [end if end[0] is a else (b, -1) for end in wire.ends]
    mesh.run(100_000, shuffle=False)
    assert not a.table.routes
    events = [(name, fields.get("reason")) for _level, name, fields in a.table.take_events()]
    assert ("route_closed", "Stale Connection") in events
    assert (a.table.stale_connections, a.table.slow_consumers) == (1, 0)


def test_a_peer_that_does_not_read_is_counted() -> None:
    mesh = full_mesh(15, 2)
    mesh.run(2000)
    mesh.settle()
    a, _b = mesh.nodes
    (session,) = a.table.routes.values()
    a.table.options.max_pending = 1000
    session.write(b"x" * 1001)
    a.table.closed(session.cid, mesh.now_ns)
    assert (a.table.stale_connections, a.table.slow_consumers) == (0, 1)


def test_the_log_has_the_life_of_a_route() -> None:
    mesh = full_mesh(10, 2)
    mesh.run(2000)
    mesh.settle()
    for node in mesh.nodes:
        names = [name for level, name, _fields in node.table.take_events() if level == "info"]
        assert "route_connected" in names
        # Two servers that dial each other make two connections; one of them stays.
        assert names.count("route_created") == names.count("route_closed") + 1


def test_peers_hear_of_another_address_for_clients() -> None:
    mesh = full_mesh(12, 2)
    mesh.run(2000)
    mesh.settle()
    a, b = mesh.nodes
    a.table.set_client_urls(["192.0.2.1:4222"])
    mesh.run(100)
    assert "192.0.2.1:4222" in b.table.connect_urls


def reconfigured(node: Node, *ports: int) -> None:
    routes = [RouteUrl("10.0.0.1", port) for port in ports]
    options = node.table.options
    node.table.reload(replace(options, cluster=replace(options.cluster, routes=routes)))


def test_routes_come_and_go_with_the_configuration() -> None:
    mesh = Mesh(13)
    a, b, c = (mesh.node(name, port, []) for name, port in (("a", 6001), ("b", 6002), ("c", 6003)))
    reconfigured(a, 6002)
    mesh.run(2000)
    assert set(a.table.routes) == {b.table.server_id}
    reconfigured(a, 6003)
    mesh.run(2000)
    assert set(a.table.routes) == {c.table.server_id}
    assert not b.table.routes
    closed = [fields["reason"] for _level, name, fields in a.table.take_events() if name == "route_closed"]
    assert "Route Removed" in closed


def test_an_address_that_is_removed_while_it_is_dialled_is_left_at_once() -> None:
    mesh = Mesh(14)
    a = mesh.node("a", 6001, [6002])
    (dial,) = a.table.tick(10**9)
    reconfigured(a)
    session = a.table.dialled(7, dial.token, 10**9)
    assert session.close_reason == "Route Removed"
    a.table.closed(7, 10**9)
    assert a.table.tick(10**12) == []
    reconfigured(a, 6002)
    (dial,) = a.table.tick(10**12)
    reconfigured(a)
    a.table.dial_failed(dial.token, 10**12, "refused")
    assert a.table.tick(10**15) == []


def test_a_server_that_does_not_answer_is_named_less_and_less_often() -> None:
    mesh = Mesh(11)
    node = mesh.node("a", 6001, [6002])
    mesh.run(60_000)
    told = [fields for _level, name, fields in node.table.take_events() if name == "route_dial_failed"]
    assert [fields["attempt"] for fields in told] == [1, 2, 4, 8]
    assert (told[0]["port"], told[0]["error"]) == (6002, "refused")


def test_forgotten_addresses_are_dialled_no_more() -> None:
    mesh = Mesh(9)
    a = mesh.node("a", 6001, [])
    b = mesh.node("b", 6002, [6001])
    c = mesh.node("c", 6003, [6001])
    mesh.run(3000)
    mesh.settle()
    mesh.assert_full()
    mesh.nodes.remove(c)
    for node in (a, b):
        mesh.cut(node, node.table.routes[c.server_id].cid)
    mesh.run(600_000, shuffle=False)
    dials = mesh.dials_made
    mesh.run(300_000, shuffle=False)
    assert mesh.dials_made == dials
