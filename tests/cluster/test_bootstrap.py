"""When a node tells its peers whom it sees: at once when that changes, and again as long as nothing is founded."""

import random

from broker.cluster.bootstrap import RESEND_NS, Bootstrap
from broker.cluster.transport import LinkTable


def test_a_view_that_went_with_a_link_is_sent_again() -> None:
    links = LinkTable("n1", "c", 1, "", "", [("host", 2)], random.Random(1))
    bootstrap = Bootstrap(links, 0)
    assert bootstrap.view_to_send(5) == {links.peer: "n1"}
    assert bootstrap.view_to_send(6) is None
    assert bootstrap.view_to_send(5 + RESEND_NS) == {links.peer: "n1"}
    assert bootstrap.view_to_send(6 + RESEND_NS) is None
    bootstrap.peer_arrived()
    assert bootstrap.view_to_send(7 + RESEND_NS) == {links.peer: "n1"}
