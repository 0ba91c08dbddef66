"""What a leader does: append, replicate, count, commit, keep its followers and its quorum.

Not here: how one becomes leader (`candidate.py`), reads (`read_index.py`), snapshots (`snapshot.py`).

Invariants: only an entry of the leader's own term is committed by counting, earlier ones with it (Raft paper 5.4.2);
the leader counts itself only up to what is durable here; messages are made in `flush`, once per Ready, so that
everything proposed in one turn travels together.
"""

from __future__ import annotations

from raft.codec import encode_membership
from raft.errors import Compacted, MembershipRefused, NotLeader, ProposalDropped, TransferRefused
from raft.membership import PROMOTE, MembershipChange, changed
from raft.messages import APPEND, COMMIT, HEARTBEAT, TIMEOUT_NOW
from raft.progress import PROBE, REPLICATE, SNAPSHOT, Progress
from raft.quiet import rest, wake
from raft.quorum import majority, reached_by_majority
from raft.read_index import begin_round, confirm_reads
from raft.snapshot import send_snapshot, tick_snapshot
from raft.state import LEADER, RaftState
from raft.types import ENTRY_CONFIG, ENTRY_NOOP, NO_ENTRIES, NO_PEER, Entry, Message, PeerId


def become_leader(state: RaftState) -> None:
    """The election is won; the term begins with an empty entry, whose commit commits everything before it."""
    state.role = LEADER
    state.leader = state.peer_id
    state.election_elapsed = 0
    state.heartbeat_elapsed = 0
    state.checked_index = -1
    state.votes = {}
    state.progress = {}
    state.term_start = state.log.last_index + 1
    # A vote from somebody else shows that ours is durable: the request left after the sync.
    state.term_durable = len(state.membership.voters) > 1
    state.uncommitted_bytes = 0
    state.read_round = 0
    follow_membership(state)
    append(state, ENTRY_NOOP, b"")


def append(state: RaftState, kind: int, data: bytes) -> int:
    if state.quiet:
        wake(state)
    index = state.log.last_index + 1
    state.log.append(Entry(index, state.term, kind, data))
    state.uncommitted_bytes += len(data)
    state.flush_due = True
    return index


def propose(state: RaftState, data: bytes, kind: int) -> int:
    """The hot path of a turn. Raises NotLeader or ProposalDropped; the bound never refuses a first one."""
    check_proposal(state)
    if state.uncommitted_bytes > 0 and state.uncommitted_bytes + len(data) > state.config.uncommitted_bytes_max:
        raise ProposalDropped("too many bytes wait to be committed")
    return append(state, kind, data)


def check_proposal(state: RaftState) -> None:
    if state.role != LEADER:
        raise NotLeader(state.leader)
    if state.transferee != NO_PEER:
        raise ProposalDropped("leadership is being handed over")


# --- membership ---------------------------------------------------------------------------------------------------


def propose_membership(state: RaftState, change: MembershipChange) -> int:
    """Raises NotLeader, ProposalDropped, MembershipRefused."""
    check_proposal(state)
    if state.commit < state.term_start:
        raise MembershipRefused("this leader has not committed an entry of its own term yet")
    if state.history.latest_index() > state.commit:
        raise MembershipRefused("another change of membership is not committed yet")
    membership = changed(state.membership, change)
    if change.kind == PROMOTE:
        peer = state.progress[change.peer]
        if peer.state != REPLICATE or state.log.last_index - peer.match > state.config.inflight_max:
            raise MembershipRefused(f"{change.peer} has not caught up yet")
    index = append(state, ENTRY_CONFIG, encode_membership(membership))
    state.history.append(index, membership)
    state.membership = membership
    follow_membership(state)
    maybe_commit(state)
    return index


def follow_membership(state: RaftState) -> None:
    """Progress exists for exactly the members in force, without the leader itself."""
    known = state.progress
    state.progress = {}
    state.peers = []
    for peer in state.membership.peers():
        if peer == state.peer_id:
            continue
        is_voter = peer in state.membership.voters
        progress = known.get(peer)
        if progress is None:
            progress = Progress(peer, state.log.last_index + 1, state.config.inflight_max, is_voter)
        progress.is_voter = is_voter
        state.progress[peer] = progress
        state.peers.append(progress)
    if state.transferee not in state.progress:
        state.transferee = NO_PEER


def retire(state: RaftState) -> None:
    """Our own removal is committed: tell everybody, let the best of the others take over at once, and fall silent."""
    for peer in state.peers:
        if peer.commit_sent < known_commit(state, peer):
            send_commit(state, peer)
    successor = best_successor(state)
    if successor is not None:
        state.send(state.new_message(TIMEOUT_NOW, successor.peer))
    state.become_follower(state.term, NO_PEER)


# --- committing ---------------------------------------------------------------------------------------------------


def maybe_commit(state: RaftState) -> bool:
    """Commit what a majority of the voters in force has durable, if it is of this term."""
    matches: list[int] = []
    for voter in state.membership.voters:
        matches.append(state.log.persisted if voter == state.peer_id else state.progress[voter].match)
    index = reached_by_majority(matches)
    if index <= state.commit or index < state.term_start:
        return False
    log = state.log
    first = state.commit + 1 if state.commit >= state.term_start else state.term_start
    for position in range(first - log.offset, index + 1 - log.offset):
        state.uncommitted_bytes -= len(log.entries[position].data)
    state.commit = index
    state.doubtful = False  # an entry of our own term, and all before it: nothing is missing that anybody has
    state.flush_due = True
    return True


# --- replicating --------------------------------------------------------------------------------------------------


def flush(state: RaftState) -> None:
    """Make the messages that everything since the last Ready asks for."""
    state.flush_due = False
    if state.read_due:
        begin_round(state)
        send_heartbeats(state)
        confirm_reads(state)
    for peer in state.peers:
        if peer.state == REPLICATE:
            while peer.next_index <= state.log.last_index and not peer.window.is_full():
                if not send_append(state, peer):
                    break
            if state.config.eager_commit and peer.commit_sent < state.commit and peer.commit_sent < peer.match:
                send_commit(state, peer)
        elif peer.state == PROBE and not peer.paused:
            send_append(state, peer)
    if state.peer_id not in state.membership.voters and state.history.latest_index() <= state.commit:
        retire(state)


def send_append(state: RaftState, peer: Progress) -> bool:
    """One append from `next_index` on, empty when there is nothing; or a snapshot instead (False)."""
    log = state.log
    previous = peer.next_index - 1
    entries = NO_ENTRIES
    try:
        previous_term = log.term(previous)
        if previous < log.last_index:
            entries = log.slice(previous + 1, log.last_index + 1, state.config.append_bytes_max)
    except Compacted:
        send_snapshot(state, peer)
        return False
    last = previous + len(entries)
    message = state.new_message(APPEND, peer.peer)
    message.index = previous
    message.log_term = previous_term
    message.commit = state.commit
    message.entries = entries
    state.send(message)
    commit_sent = state.commit if state.commit < last else last
    if peer.state == PROBE:
        peer.paused = True
        return True
    if commit_sent > peer.commit_sent:
        peer.commit_sent = commit_sent
    if entries:
        peer.next_index = last + 1
        peer.window.add(last)
    return True


def known_commit(state: RaftState, peer: Progress) -> int:
    """The commit index a peer may be told without a look at its log."""
    return state.commit if state.commit < peer.match else peer.match


def send_commit(state: RaftState, peer: Progress) -> None:
    message = state.new_message(COMMIT, peer.peer)
    message.commit = known_commit(state, peer)
    message.context = 1 if message.commit == state.commit else 0
    peer.commit_sent = message.commit
    state.send(message)


def send_heartbeats(state: RaftState) -> None:
    """They repeat the current round of reads, in case it got lost."""
    context = state.read_round if state.reads else 0
    for peer in state.peers:
        message = state.new_message(HEARTBEAT, peer.peer)
        message.commit = known_commit(state, peer)
        message.context = context
        if message.commit > peer.commit_sent:
            peer.commit_sent = message.commit
        state.send(message)


# --- answers ------------------------------------------------------------------------------------------------------


def handle_append_response(state: RaftState, message: Message) -> None:
    peer = state.progress.get(message.sender)
    if peer is None:
        return
    peer.active = True
    peer.gone = False
    if message.reject:
        # Our entries above the hint that have a higher term than the peer's there can not match either.
        hint = message.hint
        if message.log_term > 0 and hint <= state.log.last_index:
            hint = state.log.conflict_hint(hint, message.log_term)
        if peer.refuse(message.index, hint):
            state.flush_due = True
        return
    assert message.index <= state.log.last_index, "a peer has what was never sent"
    news = peer.acknowledge(message.index)
    if peer.state == PROBE:
        if news or peer.match == message.index:
            peer.become_replicate()
            state.flush_due = True
    elif peer.state == SNAPSHOT:
        if peer.match + 1 >= state.log.first_index():
            peer.become_replicate()
            state.flush_due = True
    else:
        peer.window.free_to(message.index)
    if news:
        maybe_commit(state)
        if peer.next_index <= state.log.last_index or peer.commit_sent < state.commit:
            state.flush_due = True
        if message.sender == state.transferee:
            _hand_over_when_level(state, peer)


def handle_heartbeat_response(state: RaftState, message: Message) -> None:
    """A peer that answers but stays behind may have lost messages: let one more go, or ask where it is."""
    peer = state.progress.get(message.sender)
    if peer is None:
        return
    peer.active = True
    peer.gone = False
    if peer.state == PROBE:
        peer.paused = False
        state.flush_due = True
    elif peer.state == REPLICATE and peer.match < state.log.last_index:
        if peer.window.is_full():
            peer.window.free_first()
        state.flush_due = True
        if peer.next_index > state.log.last_index:
            send_append(state, peer)
    if message.context > peer.read_round:
        peer.read_round = message.context
        confirm_reads(state)


def peer_unreachable(state: RaftState, peer: Progress) -> None:
    """Whatever was on its way to the peer may be lost: find out what it has before more is sent."""
    peer.gone = True
    if state.quiet:
        wake(state)
        peer.active = False
    if peer.state == PROBE:
        return
    peer.pending_snapshot = 0
    peer.become_probe()
    peer.paused = True


# --- time ---------------------------------------------------------------------------------------------------------


def tick_leader(state: RaftState) -> None:
    config = state.config
    state.heartbeat_elapsed += 1
    state.election_elapsed += 1
    if state.election_elapsed >= config.election_ticks_min:
        state.election_elapsed = 0
        state.transferee = NO_PEER
        if config.check_quorum:
            if not _quorum_is_active(state):
                state.become_follower(state.term, NO_PEER)
                return
            if config.quiet and rest(state):
                return
            for peer in state.peers:
                peer.active = False
    if state.heartbeat_elapsed >= config.heartbeat_ticks:
        state.heartbeat_elapsed = 0
        send_heartbeats(state)
    for peer in state.peers:
        if peer.state == SNAPSHOT:
            tick_snapshot(state, peer)
        elif peer.commit_sent < state.commit and peer.commit_sent < peer.match:
            send_commit(state, peer)


def _quorum_is_active(state: RaftState) -> bool:
    """A leader that nobody answers must not believe it leads (thesis 6.2). Learners do not count."""
    active = 1 if state.peer_id in state.membership.voters else 0
    for peer in state.peers:
        if peer.active and peer.is_voter:
            active += 1
    return active >= majority(len(state.membership.voters))


# --- handing over -------------------------------------------------------------------------------------------------


def best_successor(state: RaftState) -> Progress | None:
    """The voter that answers and has most of the log; the first in order among equals."""
    best: Progress | None = None
    for peer in state.peers:
        if peer.is_voter and peer.active and (best is None or peer.match > best.match):
            best = peer
    return best


def transfer_leadership(state: RaftState, to: PeerId) -> None:
    """Thesis 3.10: no new proposals, bring the peer level, tell it to campaign at once."""
    if state.role != LEADER:
        raise NotLeader(state.leader)
    if to == NO_PEER:
        best = best_successor(state)
        if best is None:
            raise TransferRefused("no other voter answers")
        to = best.peer
    if to == state.peer_id or to == state.transferee:
        return
    peer = state.progress.get(to)
    if peer is None or not peer.is_voter:
        raise TransferRefused(f"{to} is not a voter")
    wake(state)
    state.transferee = to
    state.election_elapsed = 0
    if peer.state == PROBE:
        peer.paused = False
    state.flush_due = True
    _hand_over_when_level(state, peer)


def _hand_over_when_level(state: RaftState, peer: Progress) -> None:
    if peer.match == state.log.last_index:
        state.send(state.new_message(TIMEOUT_NOW, peer.peer))
