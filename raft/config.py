"""What one replica of one group is told when it starts. Times are counted in ticks; the caller decides how long one is.

Invariants (asserted): heartbeats are several times more frequent than elections; every bound is positive.
"""

from __future__ import annotations

from typing import Final

from raft.types import PeerId

MIB: Final = 1024 * 1024
ELECTION_TICKS_MIN: Final = 12


class RaftConfig:
    """Cold values, one object per group.

    election_ticks_min/max: a follower that heard nothing for a random number of ticks in [min, max) campaigns; while it
        heard a leader within the last `min` ticks it refuses to vote for others.
    check_quorum: a leader that did not hear from a quorum for `election_ticks_min` ticks steps down.
    eager_commit: followers are told of a commit at once (True), or with the next entries or tick (False).
    quiet: groups with nothing to do fall asleep (with check_quorum only); the caller then owes what `quiet.py` says.
    snapshot_retry_ticks: after so many ticks without an outcome a peer that was sent a snapshot is probed again.
    """

    def __init__(
        self,
        peer_id: PeerId,
        group: int,
        election_ticks_min: int = ELECTION_TICKS_MIN,
        election_ticks_max: int = 24,
        heartbeat_ticks: int = 2,
        check_quorum: bool = True,
        pre_vote: bool = True,
        append_bytes_max: int = MIB,
        inflight_max: int = 256,
        uncommitted_bytes_max: int = 64 * MIB,
        committed_bytes_max: int = 8 * MIB,
        reads_pending_max: int = 4096,
        eager_commit: bool = True,
        snapshot_retry_ticks: int = 1200,
        quiet: bool = True,
    ) -> None:
        assert peer_id
        assert 0 < heartbeat_ticks < election_ticks_min < election_ticks_max
        assert append_bytes_max > 0 and inflight_max > 0 and uncommitted_bytes_max > 0
        assert committed_bytes_max > 0 and reads_pending_max > 0 and snapshot_retry_ticks > 0
        self.peer_id = peer_id
        self.group = group
        self.election_ticks_min = election_ticks_min
        self.election_ticks_max = election_ticks_max
        self.heartbeat_ticks = heartbeat_ticks
        self.check_quorum = check_quorum
        self.pre_vote = pre_vote
        self.append_bytes_max = append_bytes_max
        self.inflight_max = inflight_max
        self.uncommitted_bytes_max = uncommitted_bytes_max
        self.committed_bytes_max = committed_bytes_max
        self.reads_pending_max = reads_pending_max
        self.eager_commit = eager_commit
        self.snapshot_retry_ticks = snapshot_retry_ticks
        self.quiet = quiet
