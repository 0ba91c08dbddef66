"""When a node tells its peers whom it sees: at once when that changes, and again as long as nothing is founded. Who
founds: everybody who has JetStream, once everybody is there."""

import random

from broker.cluster.links.link import Hello
from broker.cluster.links.transport import LinkTable
from broker.cluster.meta.bootstrap import RESEND_NS, Bootstrap


def test_a_view_that_went_with_a_link_is_sent_again() -> None:
    links = LinkTable("n1", "c", 1, "", "", [("host", 2)], random.Random(1))
    bootstrap = Bootstrap(links, 0)
    assert bootstrap.view_to_send(5) == {links.peer: "n1"}
    assert bootstrap.view_to_send(6) is None
    assert bootstrap.view_to_send(5 + RESEND_NS) == {links.peer: "n1"}
    assert bootstrap.view_to_send(6 + RESEND_NS) is None
    bootstrap.peer_arrived()
    assert bootstrap.view_to_send(7 + RESEND_NS) == {links.peer: "n1"}


def test_a_server_without_jetstream_is_waited_for_and_founds_nothing() -> None:
    links = LinkTable("n1", "c", 1, "", "", [("host", 2), ("host", 3)], random.Random(1), "s1", True)
    bootstrap = Bootstrap(links, 0)
    meet(links, Hello("n2", "c", 2, False, "", "", "s2", True))
    (other,) = links.peers()
    founders = {links.peer: "n1", other: "n2"}
    bootstrap.peer_view(other, founders)
    assert bootstrap.founders() == {}
    meet(links, Hello("n3", "c", 3, False, "", "", "", False))
    assert bootstrap.view() == founders
    assert bootstrap.founders() == founders


def meet(links: LinkTable, hello: Hello) -> None:
    """The dial to a configured address was answered."""
    link = links.dialled(hello.port, "host", hello.port, 0)
    links.on_bytes(link, hello.encode(), 0)
