"""Which peers hold a new stream, and which of them leads it first."""

from broker.cluster.placement import place

PEERS = ["A", "B", "C"]


def test_the_first_stream_is_led_where_it_was_asked_for() -> None:
    for near in PEERS:
        peers = place(3, PEERS, {}, {}, near)
        assert peers[0] == near
        assert sorted(peers) == PEERS


def test_leaders_spread_though_one_client_makes_all_streams() -> None:
    held: dict[str, int] = {}
    led: dict[str, int] = {}
    for _ in range(30):
        peers = place(3, PEERS, held, led, "B")
        led[peers[0]] = led.get(peers[0], 0) + 1
        for peer in peers:
            held[peer] = held.get(peer, 0) + 1
    assert led == {"A": 10, "B": 10, "C": 10}


def test_replicas_spread_before_anything_else() -> None:
    held = {"A": 1, "B": 3, "C": 1}
    assert sorted(place(2, PEERS, held, {}, "B")) == ["A", "C"]
    assert place(1, PEERS, held, {}, "C") == ["C"]


def test_who_is_not_online_neither_holds_nor_leads() -> None:
    assert place(3, ["A", "C"], {}, {}, "B") == []
    assert sorted(place(2, ["A", "C"], {}, {}, "B")) == ["A", "C"]
