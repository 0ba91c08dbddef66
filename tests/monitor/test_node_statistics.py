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

    assert made("/varz") == made("/healthz") == made("/routez") == made("/jsz") == (0, 0, 0)
    assert made("/connz") == (1, 0, 0)
    assert made("/jsz?streams=1") == made("/healthz?account=$G&stream=S") == made("/metrics") == (0, 1, 0)


def test_what_is_committed_and_not_applied_yet_is_no_fault() -> None:
    stage = Stage()
    stage.create(stage.client(), "S")
    stage.rest(SECOND_NS)
    group = stage.group("n1", "S")
    group.raft.applied -= 1
    assert stage.machines["n1"].node.statistics("")["health"]["faults"] == []
    group.raft.applied += 1


def metrics_consumers(stage: Stage) -> list[int]:
    trees = [stage.machines[name].node.statistics("metrics") for name in ("n1", "n2", "n3")]
    return [sum(len(stream["consumers"]) for stream in tree["jetstream"]["streams"]) for tree in trees]


def test_long_lists_are_made_in_pieces_and_are_the_same() -> None:
    stage = Stage()
    client = stage.client("n1")
    stage.create(client, "S")
    for number in range(150):
        config = {"stream_name": "S", "config": {"durable_name": f"D{number}"}}
        stage.ask(client, f"$JS.API.CONSUMER.DURABLE.CREATE.S.D{number}", config)
    stage.wait(lambda: stage.level("S"))
    node = stage.machines[stage.leader("S")].node
    for detail in ("consumers", "metrics"):
        rows = list(node.stream_rows(detail))
        assert rows.count(None) >= 2
        assert [row for row in rows if row is not None] == node.statistics(detail)["jetstream"]["streams"]
        assert len(rows[-1]["consumers"]) == 150
    assert list(node.stream_rows("")) == []


def test_what_is_not_listed_is_counted() -> None:
    stage = Stage()
    client = stage.client("n1")
    stage.create(client, "S")
    stage.ask(client, "$JS.API.CONSUMER.DURABLE.CREATE.S.D", {"stream_name": "S", "config": {"durable_name": "D"}})
    stage.publish(client, "S.a", 3)
    stage.wait(lambda: stage.level("S"))
    totals = [stage.machines[name].node.statistics("")["jetstream"]["totals"] for name in ("n1", "n2", "n3")]
    assert [(each["streams"], each["consumers"], each["messages"]) for each in totals] == [(1, 1, 3)] * 3
    assert sum(each["streams_leader"] for each in totals) == sum(each["consumers_leader"] for each in totals) == 1

    def listed(target: str) -> tuple[int, int]:
        path, query = pages.split_target(target)
        streams = stage.machines["n1"].node.statistics(pages.detail(path, query))["jetstream"]["streams"]
        return len(streams), sum(len(stream["consumers"]) for stream in streams)

    assert sum(metrics_consumers(stage)) == 1, "only where it leads"
    assert (listed("/jsz?streams=1"), listed("/jsz?consumers=true"), listed("/jsz?streams=bad")) == (
        (1, 0),
        (1, 1),
        (0, 0),
    )
