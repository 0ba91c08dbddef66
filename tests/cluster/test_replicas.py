"""Which change of membership comes next: learners first, the gone go before they vote, nobody who is needed goes."""

from broker.cluster.groups.groups import founding_stream
from broker.cluster.groups.replicas import changes
from broker.cluster.meta.meta import MetaMachine
from broker.cluster.meta.meta_ops import create_op, peers_op, replace_op, settled_op, update_op
from broker.jetstream.config.stream_config import StreamConfig
from raft.membership import ADD_LEARNER, PROMOTE, REMOVE
from raft.types import Membership

KINDS = {ADD_LEARNER: "add", PROMOTE: "promote", REMOVE: "remove"}


def steps(voters: str, learners: str, wanted: str, connected: str) -> list[str]:
    membership = Membership(tuple(voters.split()), tuple(learners.split()))
    found = changes(membership, wanted.split(), connected.split())
    return [f"{KINDS[change.kind]} {change.peer}" for change in found]


def test_a_lost_store_is_replaced_step_by_step() -> None:
    assert steps("a b old", "", "a b new", "a b") == []
    assert steps("a b old", "", "a b new", "a b new") == ["add new"]
    assert steps("a b old", "new", "a b new", "a b new") == ["remove old"]
    assert steps("a b", "new", "a b new", "a b new") == ["promote new"]
    assert steps("a b new", "", "a b new", "a b new") == []


def test_a_learner_that_went_away_waits_and_a_stranger_to_the_wish_goes() -> None:
    assert steps("a b", "new", "a b new", "a b") == []
    assert steps("a b", "new", "a b newer", "a b newer") == ["remove new"]


def test_a_voter_that_answers_stays_until_everybody_wanted_votes() -> None:
    assert steps("a b c", "", "a b d", "a b c") == []
    assert steps("a b c", "", "a b d", "a b c d") == ["add d"]
    assert steps("a b c", "d", "a b d", "a b c d") == ["promote d"]
    assert steps("a b c d", "", "a b d", "a b c d") == ["remove c"]


def machine_with(replicas: int) -> MetaMachine:
    machine = MetaMachine({"a": "n1", "b": "n2", "old": "n3"})
    config = StreamConfig.from_json({"name": "S", "subjects": ["S.>"], "num_replicas": replicas})
    assert isinstance(config, StreamConfig)
    peers = ["old", "a", "b"][:replicas]
    assert machine.apply(1, create_op(config, peers, 5, b"", "")).error is None
    machine.apply(2, peers_op({"new": "n3"}))
    return machine


def test_what_a_lost_store_held_is_assigned_to_the_new_one() -> None:
    machine = machine_with(3)
    assert machine.apply(3, replace_op("old", "new")).moved == [machine.streams["S"]]
    stream = machine.streams["S"]
    assert (stream.peers, stream.founders, stream.is_refounded) == (["new", "a", "b"], ["old", "a", "b"], False)
    assert machine.apply(4, replace_op("old", "new")).moved == []


def test_an_only_replica_founds_its_stream_again_and_the_snapshot_remembers() -> None:
    machine = machine_with(1)
    machine.apply(3, replace_op("old", "new"))
    again = MetaMachine({})
    again.restore(machine.snapshot())
    stream = again.streams["S"]
    assert (stream.peers, stream.founders, stream.is_refounded) == (["new"], ["new"], True)


def test_of_the_stores_that_had_a_name_only_the_last_two_are_remembered() -> None:
    machine = machine_with(3)
    machine.apply(3, replace_op("old", "new"))
    machine.apply(4, peers_op({"newest": "n3"}))
    machine.apply(5, replace_op("new", "newest"))
    assert sorted(machine.names) == ["a", "b", "new", "newest"]


def rescaled(machine: MetaMachine, index: int, peers: list[str]) -> None:
    config = machine.streams["S"].config.copy()
    config.num_replicas = len(peers)
    assert machine.apply(index, update_op(config, b"", "", peers)).error is None


def test_who_leaves_goes_on_until_the_group_has_followed() -> None:
    machine = machine_with(3)
    rescaled(machine, 3, ["a"])
    stream = machine.streams["S"]
    assert (stream.peers, stream.leaving, stream.left) == (["a"], ["old", "b"], {})
    assert machine.apply(4, settled_op(1, 2, ["a"], [30, 2])).moved == [], "of another time"
    assert machine.apply(5, settled_op(1, 3, ["b"], [30, 2])).moved == [], "others are assigned"
    assert machine.apply(6, settled_op(1, 3, ["a"], [30, 2])).moved == [stream]
    again = MetaMachine({})
    again.restore(machine.snapshot())
    stream = again.streams["S"]
    assert (stream.peers, stream.leaving, stream.left) == (["a"], [], {"old": 6, "b": 6})
    rescaled(again, 7, ["a", "b"])
    assert (stream.leaving, stream.left) == ([], {"old": 6})


def test_who_comes_back_is_a_stranger_though_it_founded_the_group() -> None:
    machine = machine_with(3)
    stream = machine.streams["S"]
    assert founding_stream(stream, "b").membership.voters == ("a", "b", "old")
    rescaled(machine, 3, ["a"])
    machine.apply(4, settled_op(1, 3, ["a"], [30, 2]))
    rescaled(machine, 5, ["a", "b"])
    assert founding_stream(stream, "b").membership.is_empty()


def test_a_stream_whose_lost_replica_was_its_last_one_is_not_begun_anew_while_others_still_have_it() -> None:
    machine = machine_with(3)
    rescaled(machine, 3, ["old"])
    machine.apply(4, replace_op("old", "new"))
    stream = machine.streams["S"]
    assert (stream.peers, stream.leaving, stream.is_refounded) == (["new"], ["a", "b"], False)


def test_who_comes_back_keeps_silent_until_it_knows_what_it_promised() -> None:
    machine = machine_with(3)
    rescaled(machine, 3, ["a"])
    machine.apply(4, settled_op(1, 3, ["a"], [30, 2]))
    rescaled(machine, 5, ["a", "b"])
    begins = founding_stream(machine.streams["S"], "b")
    assert (begins.voice, begins.term) == (30, 2)


def test_dead_letters_hold_nobody_who_has_left_their_stream() -> None:
    machine = machine_with(3)
    config = machine.streams["S"].config.copy()
    config.name, config.subjects = "DLQ_S", ["$DLQ.S.>"]
    assert machine.apply(3, create_op(config, machine.streams["S"].peers, 5, b"", "", 1)).error is None
    rescaled(machine, 4, ["a"])
    assert machine.streams["DLQ_S"].peers == ["a"]
    assert machine.holds("b"), "until the group has followed"
    machine.apply(5, settled_op(1, 4, ["a"], [30, 2]))
    assert not machine.holds("b")
