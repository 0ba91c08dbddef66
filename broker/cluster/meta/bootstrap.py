"""The first boot of a cluster: when exactly these nodes may found the meta group.

A node with an empty store founds nothing alone. It waits until every configured peer is connected, everybody sees
the same names, and nobody has a meta group already. Since every node applies the same rule to the same views, all
found the same group. A node that finds peers with a meta group was wiped or is new: it waits to be admitted
(`readmission`). A server without JetStream has to be connected like any other, and founds nothing.
"""

from typing import Final

from broker.cluster.links.transport import LinkTable

WAITING_LOG_NS: Final = 10_000_000_000
RESEND_NS: Final = 1_000_000_000


class Bootstrap:
    """Collects the views of the peers until the founding membership is certain."""

    def __init__(self, links: LinkTable, expect: int) -> None:
        self._links: Final = links
        self._expect: Final = expect
        self._views: dict[str, dict[str, str]] = {}
        self._sent: dict[str, str] = {}
        self._sent_ns: int = 0
        self._logged_ns: int = 0

    def view(self) -> dict[str, str]:
        """Peer id → name of the nodes with JetStream that this one sees, its own included, by id."""
        hellos = self._links.hellos
        seen = {link.peer: link.name for link in self._links.links.values() if hellos[link.peer].has_jetstream}
        seen[self._links.peer] = self._links.name
        return dict(sorted(seen.items()))

    def view_to_send(self, now_ns: int) -> dict[str, str] | None:
        """The view, when peers do not know it yet; and again every second, as a link that was given up for another one
        may have taken it with it."""
        view = self.view()
        if view == self._sent and now_ns - self._sent_ns < RESEND_NS:
            return None
        self._sent = view
        self._sent_ns = now_ns
        return view

    def peer_arrived(self) -> None:
        """A new link: it has to be told our view."""
        self._sent = {}

    def peer_view(self, peer: str, seen: dict[str, str]) -> None:
        """What a peer sees."""
        self._views[peer] = seen

    def peer_has_meta(self, peer: str) -> None:
        """It founded, or was admitted, after it greeted us."""
        if peer in self._links.hellos:
            self._links.hellos[peer].has_meta = True

    def peer_lost(self, peer: str) -> None:
        """Its view no longer counts."""
        self._views.pop(peer, None)

    def founders(self) -> dict[str, str]:
        """Peer id → name of those that found the group now; {} while it is too early."""
        view = self.view()
        connected = 1 + len(self._links.links)
        if connected < self._expect or (self._expect == 0 and self._links.unresolved()):
            return {}
        for peer in view:
            if peer != self._links.peer and (self._links.hellos[peer].has_meta or self._views.get(peer) != view):
                return {}
        return view

    def existing(self) -> list[str]:
        """Names of peers that have a meta group already."""
        return sorted(
            self._links.hellos[peer].name for peer in self._links.peers() if self._links.hellos[peer].has_meta
        )

    def waiting_event(self, now_ns: int) -> dict[str, object] | None:
        """What to tell the operator, every ten seconds while waiting."""
        if now_ns - self._logged_ns < WAITING_LOG_NS:
            return None
        self._logged_ns = now_ns
        connected = sorted([self._links.name, *(link.name for link in self._links.links.values())])
        return {"missing": self._links.unresolved(), "connected": connected, "existing": self.existing()}
