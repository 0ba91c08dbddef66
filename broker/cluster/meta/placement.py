"""Which peers hold a stream. Deterministic given its arguments; only the meta leader asks.

The first peer returned is the one that campaigns first, so that leaders spread over the cluster. Where that leaves a
choice, it is the node through which the stream was asked for: who makes a stream mostly publishes to it from there, and
a publish at its leader saves two hops.

`zones` is what no two replicas may have alike (`unique_tag`), by peer; None: nothing of the kind is asked for.
Read next: `candidates` (who is suitable at all).
"""

from typing import Final

REASON: Final = "no suitable peers for placement"
NO_STORAGE: Final = "insufficient storage"
TOO_MANY_GROUPS: Final = "miscellaneous issue"


def place(
    replicas: int,
    online: list[str],
    held: dict[str, int],
    led: dict[str, int],
    near: str,
    zones: dict[str, str] | None = None,
) -> list[str]:
    """`replicas` of the `online` peers with the fewest replicas; [] when there are not enough.

    `held` counts the replicas of each peer, `led` those that it was chosen to lead; `near` is whose client asks.
    """
    order = sorted(online, key=lambda peer: (held.get(peer, 0), led.get(peer, 0), peer != near, peer))
    chosen = _spread(order, replicas, zones, [])
    if len(chosen) < replicas:
        return []
    first = min(chosen, key=lambda peer: (led.get(peer, 0), held.get(peer, 0), peer != near, peer))
    return [first, *sorted(peer for peer in chosen if peer != first)]


def rescale(
    peers: list[str],
    replicas: int,
    leader: str,
    online: list[str],
    held: dict[str, int],
    led: dict[str, int],
    zones: dict[str, str] | None = None,
) -> list[str]:
    """The peers of a stream with more or fewer replicas; [] when there are not enough.

    Whoever leads stays, then those who are online; those who have least come in.
    """
    kept = sorted(peers, key=lambda peer: (peer != leader, peer not in online))[:replicas]
    others = [peer for peer in online if peer not in peers]
    order = sorted(others, key=lambda peer: (held.get(peer, 0), led.get(peer, 0), peer))
    added = _spread(order, replicas - len(kept), zones, kept)
    return kept + added if len(kept) + len(added) == replicas else []


def _spread(order: list[str], count: int, zones: dict[str, str] | None, beside: list[str]) -> list[str]:
    """The first `count` of these peers, no two of them, nor one of `beside`, in the same zone."""
    if zones is None:
        return order[:count]
    taken = [zones.get(peer, "") for peer in beside]
    chosen: list[str] = []
    for peer in order:
        zone = zones.get(peer, "")
        if len(chosen) < count and zone and zone not in taken:
            taken.append(zone)
            chosen.append(peer)
    return chosen


class Reasons:
    """Why servers are not suitable, in nats-server's words and order."""

    def __init__(self) -> None:
        self.offline: bool = False
        self.storage: bool = False
        self.zones: bool = False
        self.groups: bool = False
        self.missing: list[str] = []  # tags that servers lack
        self.excluded: list[str] = []  # tags that they must not have

    def text(self) -> str:
        """All of them."""
        parts = [REASON]
        if self.offline:
            parts.append("peer offline")
        if self.storage:
            parts.append(NO_STORAGE)
        if self.zones:
            parts.append("server tag not unique")
        if self.groups:
            parts.append(TOO_MANY_GROUPS)
        if self.missing:
            parts.append(f"tags not matched {_listed(self.missing)}")
        if self.excluded:
            parts.append(f"tags excluded {_listed(self.excluded)}")
        return ", ".join(parts)


def _listed(tags: list[str]) -> str:
    return "[" + ", ".join([f"'{tag}'" for tag in tags]) + "]"


def tags_allow(tags: list[str], wanted: list[str], reasons: Reasons) -> bool:
    """Whether a server with these `tags` (lower case) has all that are wanted, and none that is excluded (`!tag`)."""
    for tag in wanted:
        if tag.startswith("!"):
            if tag[1:].lower() in tags:
                if tag[1:] not in reasons.excluded:
                    reasons.excluded.append(tag[1:])
                return False
        elif tag.lower() not in tags:
            if tag not in reasons.missing:
                reasons.missing.append(tag)
            return False
    return True
