"""Ten thousand streams: what one more costs does not grow with how many there are."""

from effort import calls

from broker.cluster.meta.meta import MetaMachine
from broker.cluster.meta.meta_ops import create_op, delete_op, update_op
from broker.cluster.meta.placement import place
from broker.jetstream.config.stream_config import StreamConfig

PEERS = ["A", "B", "C"]


def config(number: int, subject: str = "") -> StreamConfig:
    found = StreamConfig.from_json({"name": f"S{number}", "subjects": [subject or f"orders.{number}.>"]})
    assert isinstance(found, StreamConfig)
    return found


def create(machine: MetaMachine, number: int, replicas: int = 3) -> None:
    assert not machine.is_taken(config(number), "")
    peers = place(replicas, PEERS, machine.shares.held(), machine.shares.led(), "A")
    assert machine.apply(number + 1, create_op(config(number), peers, 7, b"", "")).error is None


def test_making_one_more_stream_costs_the_same() -> None:
    machine = MetaMachine({})
    for number in range(100):
        create(machine, number)
    among_hundred = calls(lambda: create(machine, 100))
    for number in range(101, 1000):
        create(machine, number)
    assert calls(lambda: create(machine, 1000)) <= among_hundred + 5


def test_the_counts_of_peers_follow_what_begins_ends_and_moves() -> None:
    machine = MetaMachine({})
    for number in range(30):
        create(machine, number, 1)
    assert machine.shares.held() == machine.shares.led() == {"A": 10, "B": 10, "C": 10}
    machine.apply(100, update_op(config(0), b"", "", ["C"]))
    assert machine.shares.held() == {"A": 9, "B": 10, "C": 11}
    for number in range(3):
        machine.apply(101 + number, delete_op(f"S{number}", b"", "", ""))
    assert machine.shares.held() == {"A": 9, "B": 9, "C": 9}
    again = MetaMachine({})
    again.restore(machine.snapshot())
    assert again.shares.held() == machine.shares.held()


def test_subjects_are_free_again_when_their_stream_gives_them_up() -> None:
    machine = MetaMachine({})
    create(machine, 0)
    assert machine.is_taken(config(1, "orders.0.eu"), "")
    assert not machine.is_taken(config(0, "orders.0.eu"), "S0")
    machine.apply(5, update_op(config(0, "invoices"), b"", ""))
    assert machine.owners(b"invoices") == ["S0"]
    assert not machine.is_taken(config(1, "orders.0.eu"), "")
    again = MetaMachine({})
    again.restore(machine.snapshot())
    assert again.is_taken(config(1, "invoices"), "")
    machine.apply(6, delete_op("S0", b"", "", ""))
    assert machine.owners(b">") == []


def test_the_mirrors_of_a_stream_are_known_until_they_end_or_are_promoted() -> None:
    machine = MetaMachine({})
    for number in (1, 2):
        mirror = StreamConfig.from_json({"name": f"S{number}", "mirror": {"name": "S0"}})
        assert isinstance(mirror, StreamConfig)
        machine.apply(number, create_op(mirror, PEERS, 7, b"", ""))
    assert machine.mirrors == {"S0": ["S1", "S2"]}
    again = MetaMachine({})
    again.restore(machine.snapshot())
    assert again.mirrors == machine.mirrors
    machine.apply(3, update_op(config(1), b"", ""))
    machine.apply(4, delete_op("S2", b"", "", ""))
    assert machine.mirrors == {}
