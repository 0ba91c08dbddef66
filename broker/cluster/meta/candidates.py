"""Who may hold a stream: servers that are here, in the right cluster, with the right tags and enough room; and which of
them do, when a stream is made, scaled or moved.

Asked by the meta leader. Not here: the choice among equals (`placement`), what servers may hold (`resources`).
"""

from typing import TYPE_CHECKING, Final

from broker.cluster.links.transport import LinkTable
from broker.cluster.meta.assignment import Assignment
from broker.cluster.meta.placement import NO_STORAGE, TOO_MANY_GROUPS, Reasons, place, rescale, tags_allow
from broker.cluster.meta.resources import Resources
from broker.jetstream.api_errors import NO_SUITABLE_PEERS, ApiError
from broker.jetstream.config.stream_config import StreamConfig

if TYPE_CHECKING:
    from broker.cluster.meta.api_meta import MetaApi


class Candidates:
    """The servers of this cluster."""

    def __init__(self, api: "MetaApi", links: LinkTable, resources: Resources, unique_tag: str) -> None:
        """`unique_tag`: no two replicas are on servers with the same tag of this beginning."""
        self._api: Final = api
        self._links: Final = links
        self._resources: Final = resources
        self._unique_tag: Final = unique_tag.lower()

    def online(self) -> list[str]:
        """The members of the meta group that are here."""
        meta = self._api.meta()
        members = set(meta.membership().voters) - set(meta.machine.removed)
        return sorted({self._links.peer, *self._links.peers()} & members)

    def suitable(self, config: StreamConfig, reasons: Reasons) -> list[str]:
        """Those of them that a stream may be placed on; why not the others goes into `reasons`."""
        links = self._links
        placement = config.placement or {}
        if links.cluster and placement.get("cluster") not in (None, "", links.cluster):
            return []
        wanted = wanted_tags(config.placement)
        reasons.offline = len(self.online()) < len(self._api.meta().membership().voters)
        found: list[str] = []
        for peer in self.online():
            if not links.cluster:
                found.append(peer)
            elif tags_allow(links.tags_of(peer), wanted, reasons):
                refusal = self._resources.refusal(peer, config)
                reasons.storage |= refusal == NO_STORAGE
                reasons.groups |= refusal == TOO_MANY_GROUPS
                if not refusal:
                    found.append(peer)
        return found

    def zones(self, config: StreamConfig) -> dict[str, str] | None:
        """The tag of each server that replicas may not share; None where they may."""
        unique = self._unique_tag
        if not unique or config.num_replicas < 2:
            return None
        if any(tag.lower().startswith(unique) for tag in wanted_tags(config.placement)):
            return None  # who asks for such a tag means it
        zones: dict[str, str] = {}
        for peer in self.online():
            zones[peer] = next((tag for tag in self._links.tags_of(peer) if tag.startswith(unique)), "")
        return zones

    def place(self, config: StreamConfig, near: str) -> list[str] | ApiError:
        """The peers of a new stream."""
        machine, reasons = self._api.meta().machine, Reasons()
        suitable, zones = self.suitable(config, reasons), self.zones(config)
        peers = place(config.num_replicas, suitable, machine.shares.held(), machine.shares.led(), near, zones)
        return peers or self._too_few(config, suitable, reasons)

    def rescale(self, known: Assignment, config: StreamConfig, moves: bool, leader: str) -> list[str] | ApiError:
        """The peers of a stream that gets another number of replicas or (`moves`) another place."""
        machine, reasons = self._api.meta().machine, Reasons()
        suitable, zones = self.suitable(config, reasons), self.zones(config)
        kept = [peer for peer in known.peers if not moves or peer in suitable]
        peers = rescale(kept, config.num_replicas, leader, suitable, machine.shares.held(), machine.shares.led(), zones)
        return peers or self._too_few(config, suitable, reasons)

    def _too_few(self, config: StreamConfig, suitable: list[str], reasons: Reasons) -> ApiError:
        reasons.zones = len(suitable) >= config.num_replicas
        return NO_SUITABLE_PEERS.of(err=reasons.text())


def wanted_tags(placement: dict[str, object] | None) -> list[str]:
    """The tags that servers must have, or (`!tag`) must not."""
    tags = None if placement is None else placement.get("tags")
    return [str(tag) for tag in tags] if isinstance(tags, list) else []
