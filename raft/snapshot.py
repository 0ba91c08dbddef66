"""Snapshots between peers: when the log no longer reaches back to where a peer is.

Not here: what a snapshot contains, and moving big data; the caller may hold a SNAPSHOT message back, fetch what its
manifest names, and step the message when everything is there. The leader waits meanwhile (`Progress` in SNAPSHOT)
until the peer acknowledges, the caller reports (`RaftNode.snapshot_sent`, `peer_unreachable`), or time runs out.

Invariants: a snapshot replaces a log only if that log lacks its last entry; what was committed is never undone.
"""

from __future__ import annotations

from raft.follower import accept, hear_leader
from raft.messages import SNAPSHOT
from raft.progress import SNAPSHOT as SENT
from raft.progress import Progress
from raft.state import RaftState
from raft.types import Message, Snapshot


def send_snapshot(state: RaftState, peer: Progress) -> None:
    """Nothing is sent to a peer that does not answer anyway, or while there is no snapshot yet."""
    peer.paused = True
    if not peer.active:
        return
    snapshot = state.log.reader.snapshot()
    if snapshot is None:
        return
    peer.become_snapshot(snapshot.index)
    message = state.new_message(SNAPSHOT, peer.peer)
    message.snapshot = snapshot
    state.send(message)


def tick_snapshot(state: RaftState, peer: Progress) -> None:
    """A snapshot whose outcome nobody ever reports is given up after a long while."""
    peer.snapshot_ticks += 1
    if peer.snapshot_ticks >= state.config.snapshot_retry_ticks:
        peer.pending_snapshot = 0
        peer.become_probe()
        state.flush_due = True


def report_snapshot(state: RaftState, peer: Progress, ok: bool) -> None:
    """ok: the peer has it, go on after it; otherwise from where we knew it to be. A heartbeat's answer resumes."""
    if peer.state != SENT:
        return
    if not ok:
        peer.pending_snapshot = 0
    peer.become_probe()
    peer.paused = True


def handle_snapshot(state: RaftState, message: Message) -> None:
    hear_leader(state, message)
    snapshot = message.snapshot
    assert snapshot is not None
    if snapshot.index <= state.commit:
        accept(state, message.sender, state.commit)
        return
    if state.log.matches(snapshot.index, snapshot.term):
        # We have the entries themselves; the news is only that they are committed.
        state.commit_to(snapshot.index)
        accept(state, message.sender, snapshot.index)
        return
    _restore(state, snapshot)
    accept(state, message.sender, snapshot.index)


def _restore(state: RaftState, snapshot: Snapshot) -> None:
    state.log.restore(snapshot.index, snapshot.term)
    state.history.reset(snapshot.index, snapshot.membership)
    state.membership = snapshot.membership
    state.commit = snapshot.index
    state.applying = snapshot.index
    state.applied = snapshot.index
    state.pending_snapshot = snapshot
