"""A room with a few replicas in it, moved by the commands of a transcript (tests/raft/testdata/*.txt).

add-nodes N [learners=n3] [strangers=n4] [key=value of RaftConfig]   n1… all start with the same membership
tick N COUNT · campaign N · propose N TEXT… [kind=lazy] · transfer N TO · read N CONTEXT · resign N
change N add-learner|promote|remove PEER · compact N INDEX · snapshot-sent N PEER ok|failed · unreachable N PEER
ready N         take one Ready, print it, queue its write
persist N       finish its oldest write
deliver N [from=nM]    step everything that waits for N (drop N loses it instead)
stabilize [N…]  ready, persist, deliver, for these or all, until nothing moves;   `quiet` at the end prints nothing
crash N         lose what is not durable, start again
add-vote N CANDIDATE TERM INDEX LOGTERM [forced]    a candidate from outside asks
cut A B · heal  messages between A and B are lost until healed
silent N PEER · back N PEER    what the caller's watch of its connections tells
status N · log N · peers N · members N · trim N INDEX

The network is a list: nothing moves by itself. Every message passes through the codec on its way.
"""

from __future__ import annotations

from typing import Any

from datadriven import Command
from raft_replica import Replica

from raft.codec import decode_membership, decode_messages, encode_messages
from raft.config import RaftConfig
from raft.errors import RaftError
from raft.membership import ADD_LEARNER, PROMOTE, REMOVE, MembershipChange
from raft.messages import VOTE, VOTE_FORCED, describe_entry, describe_message
from raft.node import ROLE_NAMES
from raft.ready import Ready
from raft.types import ENTRY_CONFIG, ENTRY_LAZY, ENTRY_NORMAL, Entry, Membership, Message

SWITCHES = ("pre_vote", "check_quorum", "eager_commit")
CHANGES = {"add-learner": ADD_LEARNER, "promote": PROMOTE, "remove": REMOVE}


class SteadyRandom:
    """The election timeout of n1 is the shortest, and never surprising."""

    def __init__(self, offset: int) -> None:
        self.offset = offset

    def randrange(self, start: int, stop: int, /) -> int:
        return min(start + self.offset, stop - 1)


class Room:
    def __init__(self) -> None:
        self.replicas: dict[str, Replica] = {}
        self.network: list[Message] = []
        self.cuts: set[tuple[str, str]] = set()
        self.out: list[str] = []

    def handle(self, command: Command) -> str:
        self.out = []
        action = getattr(self, "do_" + command.name.replace("-", "_"), None)
        assert action is not None, f"{command.place}: unknown command {command.name}"
        try:
            action(command)
        except RaftError as error:
            self.out.append(f"{type(error).__name__}: {error}")
        return "\n".join(self.out) or "ok"

    def replica(self, command: Command, position: int = 0) -> Replica:
        return self.replicas[_name(command.word(position))]

    # --- the people in the room -------------------------------------------------------------------------------------

    def do_add_nodes(self, command: Command) -> None:
        options = dict(command.options)
        learners = [name for name in options.pop("learners", "").split(",") if name]
        strangers = [name for name in options.pop("strangers", "").split(",") if name]
        names = [f"n{i + 1}" for i in range(int(command.word(0)))]
        voters = [name for name in names if name not in learners and name not in strangers]
        settings: dict[str, Any] = {"election_ticks_min": 10, "election_ticks_max": 20, "heartbeat_ticks": 2}
        for key, value in options.items():
            settings[key] = value == "1" if key in SWITCHES else int(value)
        for position, name in enumerate(names):
            config = RaftConfig(name, 7, **settings)
            membership = Membership(()) if name in strangers else Membership(tuple(voters), tuple(learners))
            self.replicas[name] = Replica(config, membership, SteadyRandom(position * 2))

    def do_crash(self, command: Command) -> None:
        replica = self.replica(command)
        lost = len(replica.writing)
        replica.restart()
        self.out.append(f"lost {lost} writes; {self._status(replica)}")

    # --- inputs -----------------------------------------------------------------------------------------------------

    def do_tick(self, command: Command) -> None:
        for _ in range(int(command.word(1))):
            self.replica(command).node.tick()
        self.out.append(self._status(self.replica(command)))

    def do_campaign(self, command: Command) -> None:
        self.replica(command).node.campaign()
        self.out.append(self._status(self.replica(command)))

    def do_propose(self, command: Command) -> None:
        words = command.words[1:]
        kind = ENTRY_LAZY if command.options.get("kind") == "lazy" else ENTRY_NORMAL
        indexes = [str(self.replica(command).node.propose(word.encode(), kind)) for word in words]
        self.out.append("index " + " ".join(indexes))

    def do_change(self, command: Command) -> None:
        change = MembershipChange(CHANGES[command.word(1)], command.word(2))
        self.out.append(f"index {self.replica(command).node.propose_membership(change)}")

    def do_transfer(self, command: Command) -> None:
        self.replica(command).node.transfer_leadership(_name(command.word(1)) if len(command.words) > 1 else "")

    def do_resign(self, command: Command) -> None:
        self.replica(command).node.resign()

    def do_read(self, command: Command) -> None:
        self.replica(command).node.read_index(int(command.word(1)))

    def do_compact(self, command: Command) -> None:
        snapshot = self.replica(command).compact(int(command.word(1)))
        self.out.append(f"snapshot {snapshot.term}/{snapshot.index} of {_members(snapshot.membership)}")

    def do_trim(self, command: Command) -> None:
        node = self.replica(command).node
        node.trim(int(command.word(1)))
        self.out.append(f"memory_bytes={node.memory_bytes}")

    def do_snapshot_sent(self, command: Command) -> None:
        self.replica(command).node.snapshot_sent(_name(command.word(1)), command.word(2) == "ok")

    def do_unreachable(self, command: Command) -> None:
        self.replica(command).node.peer_unreachable(_name(command.word(1)))

    def do_doubt(self, command: Command) -> None:
        """The replica lost power and its unsynced entries: it comes back with a log that ends at the given index."""
        replica = self.replica(command)
        del replica.disk.kept[int(command.word(1)) + 1 - replica.disk.first_index() :]
        replica.restart()
        replica.node.doubt_log()
        self.out.append(self._status(replica))

    def do_forgot(self, command: Command) -> None:
        self.replica(command).node.peer_forgot(_name(command.word(1)))

    def do_silent(self, command: Command) -> None:
        self.replica(command).node.peer_silent(_name(command.word(1)))
        self.out.append(self._status(self.replica(command)))

    def do_back(self, command: Command) -> None:
        self.replica(command).node.peer_back(_name(command.word(1)))
        self.out.append(self._status(self.replica(command)))

    # --- moving things ----------------------------------------------------------------------------------------------

    def do_ready(self, command: Command) -> None:
        self._ready(self.replica(command))

    def do_persist(self, command: Command) -> None:
        replica = self.replica(command)
        assert replica.writing, f"{command.place}: {command.word(0)} writes nothing"
        self._persist(replica)

    def do_deliver(self, command: Command) -> None:
        self._deliver(_name(command.word(0)), command.options.get("from"))

    def do_add_vote(self, command: Command) -> None:
        """A request for a vote out of nowhere: receiver, candidate, term, its log's last index and term."""
        receiver, sender, term, index, log_term = (command.word(i) for i in range(5))
        message = Message(VOTE, 7, sender, _name(receiver), int(term), int(index), int(log_term))
        message.hint = VOTE_FORCED if "forced" in command.words else 0
        self.network.append(message)
        self._deliver(_name(receiver), sender)

    def do_members(self, command: Command) -> None:
        self.out.append(_members(self.replica(command).node.membership))

    def do_drop(self, command: Command) -> None:
        for message in self._take(_name(command.word(0)), command.options.get("from")):
            self.out.append("lost " + describe_message(message))

    def do_cut(self, command: Command) -> None:
        a, b = _name(command.word(0)), _name(command.word(1))
        self.cuts |= {(a, b), (b, a)}

    def do_heal(self, command: Command) -> None:
        self.cuts.clear()

    def do_stabilize(self, command: Command) -> None:
        quiet = "quiet" in command.words
        names = [_name(word) for word in command.words if word != "quiet"] or list(self.replicas)
        moving = True
        while moving:
            moving = False
            for name in names:
                replica = self.replicas[name]
                while replica.node.has_ready():
                    self._ready(replica)
                    moving = True
                while replica.writing:
                    self._persist(replica)
                    moving = True
                if any(message.receiver == name for message in self.network):
                    self._deliver(name, None)
                    moving = True
        if quiet:
            self.out = [self._status(self.replicas[name]) for name in names]

    def _ready(self, replica: Replica) -> None:
        ready = replica.take_ready()
        self.out.append(f"{replica.config.peer_id} ready:")
        self._print_ready(replica, ready)
        self.network.extend(ready.messages)

    def _persist(self, replica: Replica) -> None:
        messages = replica.finish_write()
        self.out.append(f"{replica.config.peer_id} persisted; log ends at {replica.disk.last_index()}")
        for message in messages:
            self.out.append("  " + describe_message(message))
        self.network.extend(messages)

    def _deliver(self, name: str, sender: str | None) -> None:
        for message in self._take(name, sender):
            if (message.sender, message.receiver) in self.cuts:
                self.out.append("lost " + describe_message(message))
                continue
            self.out.append(describe_message(message))
            decoded = decode_messages(b"".join(encode_messages([message])))
            assert decoded == [message]
            self.replicas[name].node.step(decoded[0])

    def _take(self, name: str, sender: str | None) -> list[Message]:
        taken = [m for m in self.network if m.receiver == name and sender in (None, m.sender)]
        self.network = [m for m in self.network if not (m.receiver == name and sender in (None, m.sender))]
        return taken

    # --- printing ---------------------------------------------------------------------------------------------------

    def _print_ready(self, replica: Replica, ready: Ready) -> None:
        out = self.out
        if ready.soft_state_changed:
            out.append(f"  {ROLE_NAMES[replica.node.role]} of {replica.node.leader or 'nobody'}")
        if ready.hard_state is not None:
            out.append(f"  write term={ready.hard_state.term} vote={ready.hard_state.vote or '-'}")
        if ready.snapshot is not None:
            snapshot = ready.snapshot
            out.append(f"  write snapshot {snapshot.term}/{snapshot.index} of {_members(snapshot.membership)}")
        for entry in ready.entries:
            out.append(f"  write {_describe(entry)}")
        if ready.must_write() and ready.lazy:
            out.append("  lazily")
        for message in ready.messages:
            out.append("  " + describe_message(message))
        for message in ready.messages_after_sync:
            out.append("  after sync: " + describe_message(message))
        for entry in ready.committed:
            out.append(f"  apply {_describe(entry)}")
        for read in ready.read_states:
            out.append(f"  read {read.context} at {read.index}" if read.index else f"  read {read.context} refused")
        if out[-1].endswith("ready:"):
            out.append("  nothing")

    def _status(self, replica: Replica) -> str:
        node = replica.node
        leader = f" of {node.leader}" if node.leader not in ("", replica.config.peer_id) else ""
        role = ROLE_NAMES[node.role]
        sleeps = " asleep" if node.quiet else ""
        log = f"term={node.term} commit={node.commit} last={node.last_index}"
        return f"{replica.config.peer_id} {role}{leader} {log}{sleeps}"

    def do_status(self, command: Command) -> None:
        for name in [_name(word) for word in command.words] or list(self.replicas):
            self.out.append(self._status(self.replicas[name]))

    def do_peers(self, command: Command) -> None:
        status = self.replica(command).node.status()
        self.out.append(_members(status.membership))
        for peer in status.peers:
            kind = " learner" if peer.learner else ""
            self.out.append(f"{peer.peer} {peer.state} match={peer.match} next={peer.next_index}{kind}")

    def do_log(self, command: Command) -> None:
        node = self.replica(command).node
        first = node.log.first_index()
        if first > 1:
            self.out.append(f"(compacted before {first})")
        if first <= node.last_index:
            self.out.extend(_describe(entry) for entry in node.log.slice(first, node.last_index + 1, 1 << 20))


def _name(word: str) -> str:
    return word if word.startswith("n") else f"n{word}"


def _members(membership: Membership) -> str:
    text = "voters " + (",".join(membership.voters) or "-")
    return text + (" learners " + ",".join(membership.learners) if membership.learners else "")


def _describe(entry: Entry) -> str:
    """A membership entry's bytes say nothing to people."""
    if entry.kind == ENTRY_CONFIG:
        return f"{entry.term}/{entry.index} Config {_members(decode_membership(entry.data))}"
    return describe_entry(entry)
