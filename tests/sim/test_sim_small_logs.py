"""Many groups with little in the log: they hold no files, cost no checkpoint, and lose nothing."""

import pytest

from sim.replay import machine_digest
from sim.stage import NODES, Stage

SMALL = 4096


def stage_with_quiet_streams() -> Stage:
    """`Q0` to `Q4` have three messages each, and the log is full of what `BUSY` gets."""
    stage = Stage(log_file_bytes=16 * 1024)
    for machine in stage.machines.values():
        machine.node.jetstream.checkpoints.small_bytes = SMALL
    client = stage.client()
    for number in range(5):
        stage.create(client, f"Q{number}")
        stage.publish(client, f"Q{number}.a", 3)
    stage.create(client, "BUSY")
    stage.publish(client, "BUSY.a", 120, bytes(1500))
    return stage


def test_groups_with_little_in_the_log_move_up_instead_of_making_checkpoints() -> None:
    stage = stage_with_quiet_streams()
    for name in NODES:
        engine = stage.machines[name].node.jetstream.engine
        stage.wait(lambda: engine.wal.file_count() <= 5)  # noqa: B023
        assert engine.wal._oldest > 3
        for number in range(5):
            assert stage.group(name, f"Q{number}").checkpoint is None
        assert stage.group(name, "BUSY").checkpoint is not None


@pytest.mark.parametrize("power_cut", [False, True])
def test_what_moved_up_is_there_after_all_nodes_went(power_cut: bool) -> None:
    stage = stage_with_quiet_streams()
    before = {f"Q{number}": machine_digest(stage.group("n1", f"Q{number}").machine) for number in range(5)}
    for name in NODES:
        stage.machines[name].crash(power_cut)
    for name in NODES:
        stage.machines[name].start()
    client = stage.client()
    for name in NODES:
        stage.wait(lambda: stage.machines[name].node.jetstream.assignments.by_name("Q0") is not None)  # noqa: B023
    for stream, digest in before.items():
        stage.leader(stream)
        stage.wait(lambda: stage.level(stream))  # noqa: B023
        assert machine_digest(stage.group("n1", stream).machine) == digest
        stage.publish(client, f"{stream}.a", 1)
        assert stage.ask(client, f"$JS.API.STREAM.INFO.{stream}")["state"]["last_seq"] == 4


def test_a_clean_stop_leaves_small_groups_in_the_log() -> None:
    stage = stage_with_quiet_streams()
    stage.stop("n2")
    stage.restart("n2")
    assert stage.machines["n2"].node.jetstream.assignments.by_name("Q4") is not None, "it knows its streams at once"
    for number in range(5):
        stream = f"Q{number}"
        stage.wait(lambda: stage.level(stream))  # noqa: B023
        assert stage.group("n2", stream).machine.store.messages == 3
