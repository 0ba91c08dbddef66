"""What the groups of a node hear of their peers' connections: lost, back, silent, or back without what they knew.

Groups may sleep (`raft.quiet`) and cannot see for themselves that a peer is gone: one watch serves all of them. Not
here: the connections (`transport`), the turns of the groups (`engine`).
"""

from broker.cluster.groups.engine import Engine
from raft.node import FOLLOWER
from raft.types import NO_PEER


def peer_forgot(engine: Engine, peer: str) -> None:
    """The peer came back with logs that are in doubt."""
    for group in engine.groups.values():
        group.raft.peer_forgot(peer)
        group.touch()


def peer_silent(engine: Engine, peer: str) -> None:
    """Nothing came from the peer for as long as a follower waits for its leader."""
    for group in engine.groups.values():
        group.raft.peer_silent(peer)
        engine.keep_ticking(group)


def peer_back(engine: Engine, peer: str) -> None:
    """There is a new connection to the peer; what was on its way through another one may be lost."""
    for group in engine.groups.values():
        group.raft.peer_unreachable(peer)
        group.raft.peer_back(peer)
        engine.keep_ticking(group)


def peer_lost(engine: Engine, peer: str, jitter: list[int]) -> None:
    """The connection to a peer broke: groups it led need not wait for an election timeout."""
    for at, group in enumerate(engine.groups.values()):
        raft = group.raft
        raft.peer_unreachable(peer)
        if raft.role == FOLLOWER and raft.leader == peer:
            raft.become_follower(raft.term, NO_PEER)
            group.campaign_in_ticks = jitter[at % len(jitter)]
            group.touch()
        engine.keep_ticking(group)
