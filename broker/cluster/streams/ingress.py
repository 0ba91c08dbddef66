"""Where messages enter streams on this node: every node captures the subjects of every stream, whoever leads it.

Where this node leads, a message goes into the stream's group at once, otherwise to the leader's node (`forward`).
Not here: which streams there are (`assignments`), matching (`core.router`).
"""

from typing import Final

from broker.cluster.links.forward import PUBLISH, Forwarder
from broker.cluster.meta.assignment import Assignment
from broker.cluster.streams.stream_group import StreamGroup
from broker.core.router import Router, StreamIngress


class Ingress(StreamIngress):
    """Where messages for one stream enter. `group`: the stream on this node, None where it is not held."""

    def __init__(self, group: int, forwarder: Forwarder) -> None:
        super().__init__()
        self.group_id: Final = group
        self.group: StreamGroup | None = None
        self.captured: list[bytes] = []
        self._forwarder: Final = forwarder

    def ingest(self, subject: bytes, reply: bytes, header_length: int, data: bytes) -> None:
        """A client of this node published `subject`."""
        group = self.group
        if group is not None and group.is_leader:
            group.publish(subject, reply, header_length, data, "")
        else:
            self._forwarder.submit(self.group_id, PUBLISH, subject, reply, header_length, data, "", "")


class Ingresses:
    """Those of all streams that this node knows, by group id."""

    def __init__(self, router: Router) -> None:
        self.known: dict[int, Ingress] = {}
        self._router: Final = router

    def capture(self, assignment: Assignment, forwarder: Forwarder) -> None:
        """The stream's subjects, as they are configured now, lead to its ingress. One that is restored has none yet."""
        ingress = self.known.get(assignment.group)
        if ingress is None:
            ingress = self.known[assignment.group] = Ingress(assignment.group, forwarder)
        wanted = [] if assignment.restoring else [subject.encode() for subject in assignment.config.subjects]
        for subject in ingress.captured:
            if subject not in wanted:
                self._router.remove_stream(subject, ingress)
        for subject in wanted:
            if subject not in ingress.captured:
                self._router.add_stream(subject, ingress)
        ingress.captured = wanted

    def lead_to(self, group_id: int, group: StreamGroup | None) -> None:
        """Messages go to this group while it leads; None: the stream is not held here (any more)."""
        ingress = self.known.get(group_id)
        if ingress is not None:
            ingress.group = group

    def drop(self, group_id: int) -> None:
        """The stream was deleted."""
        ingress = self.known.pop(group_id, None)
        if ingress is not None:
            for subject in ingress.captured:
                self._router.remove_stream(subject, ingress)
