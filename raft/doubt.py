"""A log that may lack entries it acknowledged: the machine lost power, and the log is not synced before answers leave.

The caller says so when the replica starts (`RaftNode.doubt_log`), and tells leaders of a peer that came back so
(`RaftNode.peer_forgot`) before they hear anything else from it. Terms and votes are never in doubt: they are synced in
any mode, or the rules of elections would not hold.

* A doubtful log appends and acknowledges as any other: what it acknowledges from now on, it has.
* Its vote counts only where every voter votes for the same candidate: then no replica has anything that the winner
  lacks, and what nobody has any more is lost (`elected_in_doubt`). Otherwise a majority of the others decides, as it
  would if this replica were down.
* It is as good as any other again when it has everything that a leader of the current term has committed, including an
  entry of that term, because whatever it acknowledged before and was committed is below that.

Not here: who finds out that power was lost (the broker: the kernel's boot id), and what people are told.
"""

from __future__ import annotations

from raft.messages import APPEND, QUIET
from raft.progress import Progress
from raft.quorum import LOST, PENDING, WON, majority, vote_result
from raft.state import RaftState
from raft.types import Message


def count(state: RaftState) -> int:
    """PENDING, WON or LOST."""
    voters = state.membership.voters
    sure = 0
    doubtful = 0
    refused = 0
    for voter in voters:
        vote = state.votes.get(voter)
        if vote is None:
            continue
        if not vote:
            refused += 1
        elif voter in state.doubtful_votes:
            doubtful += 1
        else:
            sure += 1
    if doubtful == 0:
        return vote_result(sure, refused, len(voters))
    needed = majority(len(voters))
    if sure >= needed or sure + doubtful == len(voters):
        return WON
    unknown = len(voters) - sure - doubtful - refused
    if refused and sure + unknown < needed:
        return LOST
    return PENDING


def is_sure(state: RaftState) -> bool:
    """Whether the votes that won would have won without the doubtful ones."""
    granted = [voter for voter, vote in state.votes.items() if vote and voter not in state.doubtful_votes]
    return len(granted) >= majority(len(state.membership.voters))


def hear_commit(state: RaftState, message: Message) -> None:
    """The leader said how far it has committed: in an APPEND always, in a COMMIT when `context` says so, in QUIET
    everything. Whoever has all of that, with an entry of this term, has whatever it once acknowledged."""
    whole = message.kind == APPEND or message.kind == QUIET or message.context != 0
    if not whole or message.commit > state.commit or state.pending_snapshot is not None:
        return
    if state.log.term(state.commit) == state.term:
        state.doubtful = False


def forget_match(state: RaftState, peer: Progress) -> None:
    """On the leader: what the peer acknowledged before, it may have lost. Nothing that is committed is taken back."""
    peer.become_probe()
    peer.match = 0
    peer.commit_sent = 0
    peer.next_index = state.log.last_index + 1
    state.flush_due = True
