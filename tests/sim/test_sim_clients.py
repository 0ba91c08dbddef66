"""What clients may send to a cluster: nothing of it ends a node."""

from sim.stage import Stage


def test_headers_too_large_to_be_stored_are_refused_by_whichever_node_they_enter() -> None:
    stage = Stage()
    stage.create(stage.client(), "S")
    leader = stage.leader("S")
    for node in (leader, stage.others(leader)[0]):
        answer = stage.ask(stage.client(node), "S.a", b"x", headers={"Long": "y" * 70_000})
        assert answer["error"]["err_code"] == 10097
    stage.publish(stage.client(), "S.a", 1)


def test_a_stored_header_of_the_largest_size_can_be_read_through_any_node() -> None:
    stage = Stage()
    stage.create(stage.client(), "S", allow_direct=True)
    leader = stage.leader("S")
    other = stage.client(stage.others(leader)[0])
    assert "seq" in stage.ask(other, "S.a", b"x", headers={"Long": "y" * (65_535 - 20)})
    found = stage.request(other, "$JS.API.DIRECT.GET.S", {"seq": 1})
    assert found is not None and found.data == b"x" and len(found.header) > 65_535
