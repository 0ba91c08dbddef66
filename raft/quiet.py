"""Groups that have nothing to do fall asleep: no ticks, no messages. Falling asleep and waking up.

Only timers sleep. What is promised never rests on them, so a mistake here costs time, never data.

A leader sleeps when a whole quorum check long nothing was proposed, everything is committed, and every peer has all of
it, or is gone, as the caller said (who brings it back wakes us); most of the voters may not be gone. A peer that is
there and does not answer keeps it awake: its replica may begin any time, and a new one has no voice. With QUIET the
leader tells the peers, which sleep too. Any message but QUIET and the late answer to a heartbeat wakes, and so does any
proposal, read or hand-over.

A sleeper cannot notice that a peer is gone. So the caller owes, for a group that is `quiet` (a node has one watch for
each peer, whatever the number of its groups):

* `peer_silent(peer)` when nothing at all came from the peer's node for `election_ticks_min` ticks;
* `peer_back(peer)` when there is a new connection to it, which may be to a new process;
* `peer_unreachable(peer)`, as always, when the connection broke, or a new leader has none.

Not here: who looks after the peers (the caller's links), and what an awake group does (`leader`, `candidate`).

Invariants: a sleeping leader's log is committed, applied to the extent the caller was handed it, and level on every
peer that answers; a sleeping follower's log is its leader's. Read next: `leader.tick_leader`, where groups fall asleep.
"""

from __future__ import annotations

from raft.follower import handle_commit
from raft.messages import HEARTBEAT, HEARTBEAT_RESPONSE, QUIET
from raft.progress import REPLICATE
from raft.quorum import majority
from raft.state import LEADER, RaftState
from raft.types import NO_PEER, Message


def rest(state: RaftState) -> bool:
    """On a leader whose quorum was just found active: fall asleep if there is nothing to do. True when it did."""
    log = state.log
    last = log.last_index
    was_last = state.checked_index
    state.checked_index = last
    if last != was_last or state.commit != last or log.persisted != last or state.applied != last:
        return False
    if state.reads or state.transferee != NO_PEER or state.flush_due:
        return False
    if state.peer_id not in state.membership.voters:
        return False
    here = 1
    for peer in state.peers:
        if peer.gone:
            continue  # although its last answer may be younger than the last check
        if not (peer.active and peer.state == REPLICATE and peer.match == last):
            return False
        here += int(peer.is_voter)
    if here < majority(len(state.membership.voters)):
        return False
    for peer in state.peers:
        if not peer.gone:
            message = state.new_message(QUIET, peer.peer)
            message.commit = last
            peer.commit_sent = last
            state.send(message)
    state.quiet = True
    return True


def handle_quiet(state: RaftState, message: Message) -> None:
    """The leader sleeps. So does this peer, if it has what the leader has; otherwise its silence wakes the leader."""
    handle_commit(state, message)
    level = message.commit == state.log.last_index and state.pending_snapshot is None
    state.quiet = level and not state.reads


def wakes(state: RaftState, message: Message) -> bool:
    """Whether a message ends this peer's sleep. The answer to our last heartbeat may come late."""
    if message.kind == HEARTBEAT_RESPONSE:
        peer = state.progress.get(message.sender)
        return peer is None or peer.state != REPLICATE or peer.match != state.log.last_index
    return message.kind != QUIET


def wake(state: RaftState) -> None:
    """Timers run again, from now on; a leader's next tick brings a heartbeat, which wakes the others."""
    if not state.quiet:
        return
    state.quiet = False
    if state.role == LEADER:
        state.election_elapsed = 0
        state.heartbeat_elapsed = state.config.heartbeat_ticks
    else:
        state.reset_election_timer()


def rouse(state: RaftState) -> None:
    """Wake up and tell the peers at once, because this leader will not be there for the next heartbeat."""
    if state.quiet and state.role == LEADER:
        for peer in state.peers:
            state.send(state.new_message(HEARTBEAT, peer.peer))
    wake(state)


def peer_silent(state: RaftState, peer: str) -> None:
    """Nothing was heard from the peer's node for the shortest election timeout."""
    if state.role == LEADER:
        progress = state.progress.get(peer)
        if progress is not None:
            wake(state)
            progress.active = False
            progress.gone = True
    elif state.leader == peer:
        # Who was woken a moment ago, by a candidate that noticed first, has heard the leader no more than we have.
        wake(state)
        if state.election_elapsed < state.config.election_ticks_min:
            state.election_elapsed = state.config.election_ticks_min


def peer_back(state: RaftState, peer: str) -> None:
    """The peer may be another process than before, which knows nothing of anybody's sleep."""
    progress = state.progress.get(peer)
    if progress is not None:
        progress.gone = False
    if progress is not None or state.leader == peer:
        wake(state)
