"""Which peers hold a new stream. Deterministic given its arguments; only the meta leader asks.

The first peer returned is the one that campaigns first, so that leaders spread over the cluster.
"""

from typing import Final

REASON_TOO_FEW: Final = "no suitable peers for placement, not enough peers are online"


def place(replicas: int, online: list[str], held: dict[str, int], led: dict[str, int]) -> list[str]:
    """`replicas` of the `online` peers with the fewest replicas; [] when there are not enough.

    `held` counts the replicas of each peer, `led` those that it was chosen to lead.
    """
    if len(online) < replicas:
        return []
    chosen = sorted(online, key=lambda peer: (held.get(peer, 0), led.get(peer, 0), peer))[:replicas]
    first = min(chosen, key=lambda peer: (led.get(peer, 0), held.get(peer, 0), peer))
    return [first, *sorted(peer for peer in chosen if peer != first)]
