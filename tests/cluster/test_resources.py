"""What servers may hold: streams reserve their `max_bytes` on each server, replicated groups are counted."""

from broker.cluster.meta.meta import MetaMachine
from broker.cluster.meta.meta_ops import create_op
from broker.cluster.meta.resources import Resources
from broker.config import JetStreamOptions
from broker.jetstream.config.server_limits import ServerLimits
from broker.jetstream.config.stream_config import StreamConfig

MB = 1 << 20


def config(name: str, max_bytes: int, replicas: int = 1, storage: str = "file") -> StreamConfig:
    found = StreamConfig.from_json(
        {"name": name, "subjects": [name], "max_bytes": max_bytes, "num_replicas": replicas, "storage": storage}
    )
    assert isinstance(found, StreamConfig)
    return found


def resources(*held: tuple[StreamConfig, list[str]], clustered: bool = True, groups: int = 0) -> Resources:
    machine = MetaMachine({"n1": "n1"})
    for index, (stream, peers) in enumerate(held, 1):
        assert machine.apply(index, create_op(stream, peers, 0, b"", "")).error is None
    options = JetStreamOptions(enabled=True, max_memory=10 * MB, max_file=20 * MB)
    return Resources(options, ServerLimits(clustered, max_ha_assets=groups), lambda: machine)


def test_a_peer_has_room_for_what_its_other_streams_leave() -> None:
    found = resources((config("A", 12 * MB), ["n1"]), (config("M", 8 * MB, storage="memory"), ["n1"]))
    assert found.refusal("n1", config("B", 8 * MB)) == ""
    assert found.refusal("n1", config("B", 8 * MB + 1)) == "insufficient storage"
    assert found.refusal("n1", config("A", 20 * MB)) == "", "it takes the place of itself"
    assert found.refusal("n1", config("N", 3 * MB, storage="memory")) == "insufficient storage"
    assert found.refusal("n2", config("B", 20 * MB)) == ""


def test_a_stream_that_grows_must_fit_on_each_of_its_servers() -> None:
    known = config("A", 8 * MB)
    found = resources((known, ["n1"]), (config("B", 8 * MB), ["n1", "n2"]))
    machine = found._machine()
    assignment = machine.streams["A"]
    assert found.outgrown(assignment, config("A", 12 * MB)) is None
    refused = found.outgrown(assignment, config("A", 12 * MB + 1))
    assert refused is not None and refused.err_code == 10047
    assert found.outgrown(assignment, config("A", 1 * MB)) is None


def test_replicated_groups_are_counted_with_the_meta_group() -> None:
    three = ["n1", "n2", "n3"]
    found = resources((config("A", -1, 3), three), (config("B", -1), ["n1"]), groups=2)
    assert found.refusal("n1", config("C", -1, 3)) == ""
    found = resources((config("A", -1, 3), three), (config("B", -1, 3), three), groups=2)
    assert found.refusal("n1", config("C", -1, 3)) == "miscellaneous issue"
    assert found.refusal("n1", config("C", -1)) == ""


def test_a_lone_server_says_what_it_lacks() -> None:
    found = resources((config("A", 20 * MB), ["n1"]), clustered=False)
    for stream, code in ((config("B", 1), 10047), (config("B", -1), 10047), (config("M", 11 * MB, 1, "memory"), 10028)):
        refused = found.beyond(stream, False)
        assert refused is not None and refused.err_code == code
    assert found.beyond(config("M", 10 * MB, 1, "memory"), False) is None
