"""Streams that nobody leads are deleted all the same: the meta group decides, and somebody tells who asked."""

from sim.plan import SECOND_NS
from sim.stage import NODES, Stage
from sim.test_sim_damage import health


def test_a_stream_that_nobody_leads_is_deleted_where_the_peer_that_is_to_tell_is_damaged() -> None:
    stage = Stage()
    client = stage.client()
    names = ["A", "B", "C", "D", "E", "F"]
    for name in names:
        stage.create(client, name, num_replicas=2)
    stage.rest()
    meta_leader = next(name for name in NODES if stage.machines[name].node.jetstream.assignments.meta.is_leader)
    away = [name for name in names if stage.group(meta_leader, name) is None]
    assert away
    for stream in away:
        node = stage.leader(stream)
        group = stage.group(node, stream).id
        stage.stop(node)
        machine = stage.machines[node]
        for path in [path for path in machine.disk.list(f"groups/{group}") if path.endswith(".snap")]:
            machine.disk.flip_bit(f"groups/{group}/{path}", 8 * 40)
        stage.restart(node)
        stage.rest(SECOND_NS)
        asker = stage.client(meta_leader)
        assert stage.ask(asker, f"$JS.API.STREAM.DELETE.{stream}") == {
            "type": "io.nats.jetstream.api.v1.stream_delete_response",
            "success": True,
        }
        stage.wait(lambda: not health(stage, node))  # noqa: B023
        stage.create(asker, stream, num_replicas=2)
