"""What a node tells for one page: never every list of every page."""

from sim.plan import SECOND_NS
from sim.stage import Stage

from broker.monitor import pages


def test_a_page_costs_only_what_it_shows() -> None:
    stage = Stage()
    client = stage.client("n1")
    stage.create(client, "S")
    stage.rest(SECOND_NS)
    node = stage.machines["n1"].node

    def made(target: str) -> tuple[int, int, int]:
        path, query = pages.split_target(target)
        tree = node.statistics(pages.detail(path, query))
        assert tree["server"]["num_connections"] == 1
        return len(tree["connections"]), len(tree["jetstream"]["streams"]), len(tree["health"]["faults"])

    assert made("/varz") == made("/healthz") == made("/routez") == (0, 0, 0)
    assert made("/connz") == (1, 0, 0)
    assert made("/jsz") == made("/healthz?account=$G&stream=S") == made("/metrics") == (0, 1, 0)


def test_what_is_committed_and_not_applied_yet_is_no_fault() -> None:
    stage = Stage()
    stage.create(stage.client(), "S")
    stage.rest(SECOND_NS)
    group = stage.group("n1", "S")
    group.raft.applied -= 1
    assert stage.machines["n1"].node.statistics("")["health"]["faults"] == []
    group.raft.applied += 1
