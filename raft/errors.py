"""What Raft refuses, and why. Each refusal is a type, so that callers never read texts.

Not here: bugs of ours, which are assertions, and damaged input from peers' bytes, which is `CodecError`.
"""

from __future__ import annotations


class RaftError(Exception):
    """Anything this package raises on purpose."""


class NotLeader(RaftError):
    """Only the leader can do that. `leader` is its peer id, "" while nobody is known to lead."""

    def __init__(self, leader: str) -> None:
        super().__init__(f"not the leader; leader is {leader or 'unknown'}")
        self.leader = leader


class ProposalDropped(RaftError):
    """Nothing was appended; the same call may succeed later. `reason` says what stands in the way."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class MembershipRefused(ProposalDropped):
    """A change of membership that is not allowed, or not yet."""


class TransferRefused(ProposalDropped):
    """Leadership can not go where it was asked to go."""


class Compacted(RaftError):
    """The log no longer reaches back to that index; only a snapshot helps. Internal to this package."""


class CodecError(RaftError):
    """Bytes that no peer of ours writes. The connection that brought them is not worth keeping."""
