"""A backup waits for its receiver, as clients ask first and subscribe when they are answered."""

from sim.client import Message
from sim.plan import SECOND_NS
from sim.stage import NODES, Stage


def test_a_receiver_that_subscribes_after_the_answer_gets_everything_through_any_node() -> None:
    stage = Stage()
    stage.create(stage.client(), "S")
    for node in NODES:
        client = stage.client(node)
        stage.rest()
        inbox = f"_INBOX.{client.name}.chunks"  # which all its answers' wildcard matches
        assert "state" in stage.ask(client, "$JS.API.STREAM.SNAPSHOT.S", {"deliver_subject": inbox})
        stage.rest(SECOND_NS)
        heard: list[Message] = []

        def note(message: Message | None, heard: list[Message] = heard) -> None:
            assert message is not None
            heard.append(message)

        client.subscribe(inbox, note)
        stage.wait(lambda heard=heard: bool(heard) and heard[-1].data == b"")
        assert len(heard) == 2 and heard[0].data, "one chunk and the end"


def test_a_receiver_with_a_wildcard_only_waits_a_little() -> None:
    stage = Stage()
    stage.create(stage.client(), "S")
    client = stage.client()
    heard: list[Message | None] = []
    client.subscribe("backup.*", heard.append)
    stage.rest()
    stage.ask(client, "$JS.API.STREAM.SNAPSHOT.S", {"deliver_subject": "backup.here"})
    stage.rest(SECOND_NS)
    assert not heard
    stage.rest(2 * SECOND_NS)
    assert len(heard) == 2
