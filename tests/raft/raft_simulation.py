"""Raft alone against a hostile world, from one seed: loss, duplicates, reordering, crashes, partitions, lost writes.

After every step the promises of the Raft paper's figure 3 are checked, against the disks where durability is meant, not
against what nodes believe. At the end the world is healed and the group has to come to an agreement again.

Not here: the rules (raft/), nor anything about time: a tick is one action among others.
"""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

from raft_replica import Replica

from raft.config import RaftConfig
from raft.errors import RaftError
from raft.membership import ADD_LEARNER, PROMOTE, REMOVE, MembershipChange
from raft.messages import SNAPSHOT
from raft.node import FOLLOWER, LEADER
from raft.types import ENTRY_LAZY, ENTRY_NORMAL, Entry, Membership, Message

NETWORK_MAX = 300


class Simulation:
    def __init__(
        self, seed: int, voters: int = 3, strangers: int = 2, storm: float = 0.005, lulls: bool = False, **settings: int
    ) -> None:
        """`storm`: how much of what happens is a disturbance, up to 0.035. `lulls`: at times nobody proposes."""
        self.storm = storm
        self.lulls = lulls
        self.rng = random.Random(seed)
        names = [f"peer{i}" for i in range(voters + strangers)]
        first = Membership(tuple(names[:voters]))
        self.replicas: dict[str, Replica] = {}
        options: dict[str, Any] = {
            "election_ticks_min": 6, "election_ticks_max": 12, "heartbeat_ticks": 2, "inflight_max": 4,
            "append_bytes_max": 40, "committed_bytes_max": 60, "uncommitted_bytes_max": 400,
            "snapshot_retry_ticks": 40, **settings,
        }  # fmt: skip
        for name in names:
            membership = first if name in first.voters else Membership(())
            self.replicas[name] = Replica(RaftConfig(name, 1, **options), membership, random.Random(self.rng.random()))
        self.names = names
        self.network: list[Message] = []
        self.cuts: set[tuple[str, str]] = set()
        self.hostile = True
        self.lull = False  # nobody proposes anything, so that groups fall asleep
        self.slept = 0
        self.proposed = 0
        self.contexts = 0
        # What the checks remember.
        self.leaders: dict[int, str] = {}
        self.contents: dict[tuple[int, int], tuple[int, int, bytes]] = {}
        self.committed: dict[int, int] = {}
        self.commit_max = 0
        self.seen: dict[str, tuple[int, int, int]] = {}
        self.reads: dict[int, tuple[str, int]] = {}
        self.reads_answered = 0
        self.snapshots_installed = 0
        self.changes_committed = 0

    # --- the world --------------------------------------------------------------------------------------------------

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.act(self.replicas[self.rng.choice(self.names)])

    def act(self, replica: Replica) -> None:
        dice = self.rng.random()
        if dice < 0.45:
            self.deliver()
        elif dice < 0.62:
            self.ready(replica)
        elif dice < 0.75:
            self.persist(replica)
        elif dice < 0.88:
            replica.node.tick()
        elif dice < 0.94:
            if not self.lull:
                self.propose(replica)
        elif dice < 0.95:
            if not self.lull:
                self.read(replica)
        elif dice < 0.958:
            self.compact(replica)
        elif dice < 0.965:
            self.change_membership(replica)
        elif dice < 0.965 + self.storm:
            self.disturb(replica)
        elif self.lulls and dice < 0.968 + self.storm:
            self.watch(replica)
        self.check(replica)

    def disturb(self, replica: Replica) -> None:
        dice = self.rng.randrange(4)
        if dice == 0:
            self.partition()
        elif dice == 1:
            self.crash(replica)
        else:
            self.hint(replica)

    def ready(self, replica: Replica) -> None:
        if not replica.node.has_ready():
            return
        ready = replica.take_ready()
        node = replica.node
        if ready.entries and (node.role != LEADER or node.term_durable):
            # A leader by its own vote alone may lose its term again; until that is durable nobody hears of it.
            self.check_log_matching(ready.entries, node.log.term(ready.entries[0].index - 1))
        if ready.snapshot is not None:
            self.snapshots_installed += 1
        for entry in ready.committed:
            assert self.committed.setdefault(entry.index, entry.term) == entry.term, "two machines differ"
        for answer in ready.read_states:
            asked = self.reads.pop(answer.context, None)
            assert asked is not None and asked[0] == replica.config.peer_id, "a read is answered twice"
            if answer.index:
                assert answer.index >= asked[1], "a stale read"
                self.reads_answered += 1
        self.send(ready.messages)

    def persist(self, replica: Replica) -> None:
        if not replica.writing:
            return
        entries = replica.writing[0].entries
        self.send(replica.finish_write())
        if entries:
            self.check_log_matching(entries, replica.disk.term(entries[0].index - 1))

    def send(self, messages: list[Message]) -> None:
        self.network.extend(messages)
        while len(self.network) > NETWORK_MAX:
            self.network.pop(self.rng.randrange(len(self.network)))

    def deliver(self) -> None:
        if not self.network:
            return
        # Mostly in order, sometimes from anywhere.
        position = 0 if self.rng.random() < 0.7 else self.rng.randrange(len(self.network))
        message = self.network.pop(position)
        lost = self.hostile and ((message.sender, message.receiver) in self.cuts or self.rng.random() < 0.05)
        if message.kind == SNAPSHOT and lost and self.rng.random() < 0.5:
            self.replicas[message.sender].node.snapshot_sent(message.receiver, False)
        if lost:
            return
        if self.hostile and self.rng.random() < 0.05:
            self.network.insert(self.rng.randrange(len(self.network) + 1), message)
        self.replicas[message.receiver].node.step(message)
        self.check(self.replicas[message.receiver])

    def propose(self, replica: Replica) -> None:
        for _ in range(self.rng.randrange(1, 4)):
            self.proposed += 1
            kind = ENTRY_LAZY if self.rng.random() < 0.3 else ENTRY_NORMAL
            try:
                replica.node.propose(b"entry %d" % self.proposed, kind)
            except RaftError:
                return

    def read(self, replica: Replica) -> None:
        self.contexts += 1
        try:
            replica.node.read_index(self.contexts)
        except RaftError:
            return
        self.reads[self.contexts] = (replica.config.peer_id, self.commit_max)

    def compact(self, replica: Replica) -> None:
        index = replica.can_compact()
        if index > replica.disk.first_index() + 2:
            replica.compact(index - self.rng.randrange(3))
        elif index:
            replica.node.trim(index)

    def change_membership(self, replica: Replica) -> None:
        node = replica.node
        if node.role != LEADER:
            return
        kind = self.rng.choice((ADD_LEARNER, PROMOTE, PROMOTE, REMOVE))
        candidates = [name for name in self.names if not node.membership.contains(name)]
        if kind == PROMOTE:
            candidates = list(node.membership.learners)
        elif kind == REMOVE:
            candidates = node.membership.peers() if len(node.membership.voters) > 2 else list(node.membership.learners)
        if not candidates:
            return
        peer = self.rng.choice(candidates)
        try:
            node.propose_membership(MembershipChange(kind, peer))
        except RaftError:
            return
        self.changes_committed += 1

    def partition(self) -> None:
        self.cuts.clear()
        if self.rng.random() < 0.5:
            return
        alone = set(self.rng.sample(self.names, self.rng.randrange(1, 3)))
        one_way = self.rng.random() < 0.3
        for a in self.names:
            for b in self.names:
                if (a in alone) and (b not in alone):
                    self.cuts.add((a, b))
                    if not one_way:
                        self.cuts.add((b, a))

    def crash(self, replica: Replica) -> None:
        """Sometimes the oldest of the writes under way just made it to the disk."""
        if replica.writing and self.rng.random() < 0.3:
            replica.disk.write(replica.writing[0])
        replica.restart()
        name = replica.config.peer_id
        self.seen.pop(name, None)
        self.reads = {context: asked for context, asked in self.reads.items() if asked[0] != name}
        for other in self.names:
            self.replicas[other].node.peer_unreachable(name)

    def watch(self, replica: Replica) -> None:
        """What the caller's watch of the connections says, truly or by mistake; now and then nobody proposes."""
        if self.rng.random() < 0.5:
            self.lull = self.rng.random() < 0.7
            return
        peer = self.rng.choice(self.names)
        if peer == replica.config.peer_id:
            return
        if (peer, replica.config.peer_id) in self.cuts or self.rng.random() < 0.2:
            replica.node.peer_silent(peer)
        else:
            replica.node.peer_back(peer)

    def hint(self, replica: Replica) -> None:
        if replica.node.role != LEADER:
            replica.node.campaign()
            return
        with suppress(RaftError):
            replica.node.transfer_leadership(self.rng.choice(self.names) if self.rng.random() < 0.8 else "")

    # --- the promises -----------------------------------------------------------------------------------------------

    def check(self, replica: Replica) -> None:
        node = replica.node
        name = replica.config.peer_id
        term, commit, role = self.seen.get(name, (0, 0, 0))
        assert node.term >= term, "a term went back"
        assert node.commit >= commit, "a commit index went back"
        assert node.applied <= node.applying <= node.commit <= node.last_index
        assert node.log.persisted <= node.log.handed <= node.last_index
        if node.role == LEADER:
            assert self.leaders.setdefault(node.term, name) == name, "two leaders in one term"
            if role != LEADER or term != node.term:
                self.check_completeness(replica)
            if node.commit > commit:
                self.check_durable(replica)
        if node.commit > self.commit_max:
            self.commit_max = node.commit
        if node.quiet:
            self.slept += 1
            self.check_sleep(replica)
        self.seen[name] = (node.term, node.commit, node.role)

    def check_sleep(self, replica: Replica) -> None:
        """Who sleeps has nothing to do, and knows whom to wait for."""
        node = replica.node
        assert node.role in (LEADER, FOLLOWER) and node.leader, "asleep in an election"
        assert node.commit == node.last_index and not node.reads, "asleep with work to do"

    def check_log_matching(self, entries: list[Entry], previous: int) -> None:
        """One (index, term) has one content and one predecessor, everywhere and always: logs match by induction."""
        for entry in entries:
            content = (previous, entry.kind, entry.data)
            assert self.contents.setdefault((entry.index, entry.term), content) == content, "logs do not match"
            previous = entry.term

    def check_completeness(self, replica: Replica) -> None:
        """Whatever any machine applied is in the log of every later leader."""
        log = replica.node.log
        first = log.first_index()
        for index, term in self.committed.items():
            if index >= first:
                assert index <= log.last_index and log.term(index) == term, "a leader lacks a committed entry"

    def check_durable(self, replica: Replica) -> None:
        """What the leader calls committed is on the disks of a majority of those who vote."""
        node = replica.node
        term = node.log.term(node.commit)
        voters = node.membership.voters
        durable = [name for name in voters if self.replicas[name].disk.has(node.commit, term)]
        assert len(durable) * 2 > len(voters), f"committed {node.commit} but durable only at {durable}"

    # --- afterwards -------------------------------------------------------------------------------------------------

    def heal_and_agree(self) -> None:
        """No more faults: within a bounded time there is one leader, and everything proposed then is applied by all."""
        self.hostile = False
        self.lull = False
        self.cuts.clear()
        for replica in self.replicas.values():
            for peer in self.names:
                replica.node.peer_back(peer)  # connections were made anew
        # Without pre-vote peers (removed ones too) depose each other for a while; luck needs more tries then.
        calm = all(replica.config.pre_vote for replica in self.replicas.values())
        leader = None
        for _ in range(1 if calm else 10):
            leader = leader or self.settle(60)
        assert leader is not None, "no leader after healing"
        index = leader.node.propose(b"the last word")
        self.settle(10)
        members = leader.node.membership.peers()
        assert leader.node.applied >= index
        for name in members:
            replica = self.replicas[name]
            assert replica.node.applied == leader.node.applied, f"{name} did not catch up"
            assert replica.node.log.persisted == leader.node.log.persisted

    def settle(self, rounds: int) -> Replica | None:
        for _ in range(rounds):
            for name in self.names:
                self.replicas[name].node.tick()
            moving = True
            while moving:
                moving = bool(self.network)
                while self.network:
                    self.deliver()
                for name in self.names:
                    replica = self.replicas[name]
                    while replica.node.has_ready() or replica.writing:
                        self.ready(replica)
                        self.persist(replica)
                        self.check(replica)
                        moving = True
        leaders = [self.replicas[n] for n in self.names if self.replicas[n].node.role == LEADER]
        leaders.sort(key=lambda replica: replica.node.term)
        return leaders[-1] if leaders else None
