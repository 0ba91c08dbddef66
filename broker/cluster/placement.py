"""Which peers hold a new stream. Deterministic given its arguments; only the meta leader asks.

The first peer returned is the one that campaigns first, so that leaders spread over the cluster. Where that leaves a
choice, it is the node through which the stream was asked for: who makes a stream mostly publishes to it from there, and
a publish at its leader saves two hops.
"""

from typing import Final

REASON: Final = "no suitable peers for placement"


def place(replicas: int, online: list[str], held: dict[str, int], led: dict[str, int], near: str) -> list[str]:
    """`replicas` of the `online` peers with the fewest replicas; [] when there are not enough.

    `held` counts the replicas of each peer, `led` those that it was chosen to lead; `near` is whose client asks.
    """
    if len(online) < replicas:
        return []
    chosen = sorted(online, key=lambda peer: (held.get(peer, 0), led.get(peer, 0), peer != near, peer))[:replicas]
    first = min(chosen, key=lambda peer: (led.get(peer, 0), held.get(peer, 0), peer != near, peer))
    return [first, *sorted(peer for peer in chosen if peer != first)]


def rescale(
    peers: list[str], replicas: int, leader: str, online: list[str], held: dict[str, int], led: dict[str, int]
) -> list[str]:
    """The peers of a stream with more or fewer replicas; [] when there are not enough.

    Whoever leads stays, then those who are online; those who have least come in.
    """
    kept = sorted(peers, key=lambda peer: (peer != leader, peer not in online))[:replicas]
    others = [peer for peer in online if peer not in peers]
    added = sorted(others, key=lambda peer: (held.get(peer, 0), led.get(peer, 0), peer))[: replicas - len(kept)]
    return kept + added if len(kept) + len(added) == replicas else []


def refusal(members: list[str], online: list[str]) -> str:
    """Why there are not enough, in nats-server's words."""
    return REASON if len(online) == len(members) else f"{REASON}, peer offline"


def misplaced(placement: dict[str, object] | None, cluster: str) -> str | None:
    """Why no server of this cluster is where a stream is to be; servers have no tags yet. None: any of them is."""
    if placement is None or not cluster:
        return None
    if placement.get("cluster") not in (None, "", cluster):
        return REASON
    tags = placement.get("tags")
    missing = [tag for tag in tags if not str(tag).startswith("!")] if isinstance(tags, list) else []
    return f"{REASON}, tags not matched [{missing[0]!r}]" if missing else None
