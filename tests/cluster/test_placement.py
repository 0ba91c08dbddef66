"""Which peers hold a stream, and which of them leads it first; which tags of servers allow it."""

from broker.cluster.meta.placement import Reasons, place, rescale, tags_allow

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


ZONES = {"A": "az:1", "B": "az:2", "C": "az:2", "D": ""}


def test_no_two_replicas_are_in_one_zone_nor_any_in_none() -> None:
    everybody = ["A", "B", "C", "D"]
    held = {"A": 2, "B": 1}
    assert sorted(place(2, everybody, held, {}, "A", ZONES)) == ["A", "C"]
    assert place(3, everybody, held, {}, "A", ZONES) == []
    assert rescale(["A"], 2, "A", everybody, {"B": 1}, {}, ZONES) == ["A", "C"]
    assert rescale(["B"], 2, "B", ["B", "C", "D"], {}, {}, ZONES) == []


def test_tags_that_are_missing_or_must_not_be_there_are_told_in_their_order() -> None:
    reasons = Reasons()
    assert tags_allow(["ssd", "az:1"], ["SSD", "!hdd"], reasons)
    assert reasons.text() == "no suitable peers for placement"
    assert not tags_allow(["ssd"], ["ssd", "az:1", "az:2"], reasons)
    assert not tags_allow(["ssd"], ["gpu"], reasons)
    assert not tags_allow(["hdd"], ["!hdd"], reasons)
    assert reasons.text() == (
        "no suitable peers for placement, tags not matched ['az:1', 'gpu'], tags excluded ['hdd']"
    )
