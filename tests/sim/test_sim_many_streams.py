"""Many streams made at once: they begin together, and each is whole whatever happens meanwhile."""

import json
from collections.abc import Callable

from broker.cluster.groups.group_store import FOUNDED_TOGETHER_MAX, FoundGroupsJob
from sim.stage import NODES, Stage

COUNT = 100


def ask_for_many(stage: Stage, heard: Callable[[object], None]) -> None:
    client = stage.client("n1")
    for number in range(COUNT):
        config = {"name": f"S{number}", "subjects": [f"s.{number}"], "num_replicas": 3}
        client.request(f"$JS.API.STREAM.CREATE.S{number}", json.dumps(config).encode(), heard)


def test_streams_that_are_made_in_one_turn_begin_in_one_job() -> None:
    stage = Stage()
    founded: list[int] = []
    ran = stage.cluster.checks.ran

    def note(machine: object, job: object) -> None:
        if isinstance(job, FoundGroupsJob):
            founded.append(len(job.snapshots))
        ran(machine, job)  # type: ignore[arg-type]

    stage.cluster.checks.ran = note  # type: ignore[method-assign, assignment]
    answers: list[object] = []
    ask_for_many(stage, answers.append)
    stage.wait(lambda: len(answers) == COUNT)
    stage.wait(lambda: sum(founded) == COUNT * len(NODES))
    assert len(founded) < COUNT and max(founded) <= FOUNDED_TOGETHER_MAX


def test_a_power_cut_while_many_begin_loses_none() -> None:
    for steps in (20, 60, 120):
        stage = Stage(seed=steps)
        made: list[object] = []
        ask_for_many(stage, made.append)
        stage.world.run(steps * 1_000_000)
        for name in NODES:
            stage.machines[name].crash(True)
        for name in NODES:
            stage.machines[name].start()
        stage.client()
        machines = [stage.machines[name].node.jetstream.assignments for name in NODES]
        stage.wait(lambda: len({len(each.meta.machine.streams) for each in machines}) == 1)  # noqa: B023
        stage.wait(lambda: all(len(each.groups) == len(each.meta.machine.streams) for each in machines))  # noqa: B023
        for name in list(machines[0].meta.machine.streams)[::10]:
            stage.leader(name)
