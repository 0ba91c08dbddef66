"""How a node without a meta group of its own comes in: new ones, and those that lost their disk under an old name.

The meta leader does it, step by step, without an operator: whoever is connected and no member becomes a learner of the
meta group; the store that had its name before goes; once it has caught up it votes; then every stream that the lost
store held is assigned to the new one, and each stream's leader takes it in likewise (`replicas`). A peer's id names its
store (`identity`), so what a lost disk promised is never counted for the new one: for Raft they are two peers.

A group of which too many stores are gone stays silent for ever; that is said once.

Not here: the first boot (`bootstrap`), changes of membership (`replicas`), carrying an assignment out (`assignments`).
"""

from typing import Final

import cbor2

from broker.cluster.groups.engine import Engine
from broker.cluster.groups.group import RaftGroup
from broker.cluster.groups.replicas import change_members
from broker.cluster.links.forward import REQUEST
from broker.cluster.links.transport import LinkTable
from broker.cluster.meta.assignments import Assignments
from broker.cluster.meta.identity import META_GROUP
from broker.cluster.meta.meta import MetaMachine
from broker.cluster.meta.meta_group import MetaGroup
from broker.cluster.meta.meta_ops import peers_op, replace_op
from broker.cluster.repair.removal import Removals
from broker.cluster.streams.stream_group import StreamGroup
from raft.membership import ADD_LEARNER, PROMOTE
from raft.quorum import majority

STEP_NS: Final = 200_000_000
LOOKS_MAX: Final = 1024  # groups that are looked at in a step; where there are more, each has its turn
SETTLED_PREFIX: Final = b"$TMQ.SETTLED."


class Readmission:
    """See the module's text. One step at a time, and only when nothing else is under way in the meta group."""

    def __init__(self, assignments: Assignments, engine: Engine, links: LinkTable) -> None:
        self.removals: Final = Removals(links)
        self.events: list[tuple[str, str, dict[str, object]]] = []
        self._assignments: Final = assignments
        self._engine: Final = engine
        self._links: Final = links
        self._next_ns: int = 0
        self._told: dict[int, bool] = {}
        self._round: list[int] = []  # groups still to be looked at before it begins again

    def tick(self, now_ns: int) -> None:
        """50 ms passed."""
        if now_ns < self._next_ns:
            return
        self._next_ns = now_ns + STEP_NS
        meta = self._assignments.meta
        if meta is None:
            return
        self.removals.tick(self._engine.groups, now_ns)
        connected = [self._links.peer, *self._links.links]
        groups = self._assignments.groups
        if not self._round:
            self._round = list(groups)
        looked_at = self._round[-LOOKS_MAX:]
        del self._round[-LOOKS_MAX:]
        for group_id in looked_at:
            group = groups.get(group_id)
            if group is None or group.assignment.host:
                continue  # dead letters are where their host is
            self._tell_lost_quorum(group, meta.machine)
            if group.is_leader and group.is_current():
                self._follow(group, connected)
        self._tell_lost_quorum(meta, meta.machine)
        if meta.is_leader and meta.raft.last_index == meta.raft.applied:
            self._step(meta, connected)

    def _follow(self, group: StreamGroup, connected: list[str]) -> None:
        """Bring the members of a stream's group to what is assigned; say when that is done and others may forget it."""
        assignment = group.assignment
        membership = group.membership()
        wanted = sorted(self.removals.wanted(group, assignment.peers))
        raft = group.raft
        if wanted != list(membership.voters) or membership.learners:
            change_members(group, wanted, connected)
        elif not assignment.is_changing() or len(wanted) != len(assignment.peers):
            return
        elif raft.history.latest_index() <= raft.commit:
            forwarder = self._assignments.forwarder
            assert forwarder is not None
            body = bytes(cbor2.dumps([assignment.revision, list(membership.voters), [raft.commit, raft.term]]))
            subject = SETTLED_PREFIX + str(group.id).encode()
            forwarder.submit(META_GROUP, REQUEST, subject, b"", 0, body, "", "")

    def _step(self, meta: MetaGroup, connected: list[str]) -> None:
        machine = meta.machine
        named = {peer: self._links.hellos[peer].name for peer in self._links.peers() if self._has_store(peer)}
        unknown = {peer: name for peer, name in named.items() if machine.names.get(peer) != name}
        if unknown:
            meta.propose(peers_op(unknown), None)
            return
        change = change_members(meta, self._wanted(meta, named), connected)
        if change is None:
            self._replace(meta)
        elif change.kind in (ADD_LEARNER, PROMOTE):
            what = "peer_admitted" if change.kind == PROMOTE else "peer_catching_up"
            self.events.append(("info", what, {"peer": machine.names[change.peer]}))

    def _has_store(self, peer: str) -> bool:
        hello = self._links.hellos[peer]
        return hello.has_jetstream and hello.store_id != ""

    def _wanted(self, meta: MetaGroup, named: dict[str, str]) -> list[str]:
        """The members, without those whose name is here with another store, and everybody who is here. A server that an
        operator removed goes too; one that is here first gives away what it holds."""
        here = {name: peer for peer, name in named.items()}
        here[self._links.name] = self._links.peer
        names = meta.machine.names
        kept = [peer for peer in meta.membership().peers() if here.get(names.get(peer, ""), peer) == peer]
        gone = {peer for peer in meta.machine.removed if peer not in here.values() or not meta.machine.holds(peer)}
        return self.removals.wanted(meta, sorted({*kept, *named} - gone))

    def _replace(self, meta: MetaGroup) -> None:
        """Streams that are assigned to a store which is gone go to the one that has its name now."""
        membership = meta.membership()
        machine = meta.machine
        voters = {machine.names[peer]: peer for peer in membership.voters if peer in machine.names}
        for old in sorted(machine.shares.held()):
            new = voters.get(machine.names.get(old, ""), "")
            if new and not membership.contains(old):
                meta.propose(replace_op(old, new), None)
                self.events.append(("info", "streams_reassigned", {"peer": machine.names[new]}))
                return

    def _tell_lost_quorum(self, group: RaftGroup, machine: MetaMachine) -> None:
        """Too many of a group's stores are gone, as their names are here with others: nobody can ever lead it."""
        if group.raft.leader:
            if group.id in self._told:
                del self._told[group.id]
            return
        voters = group.membership().voters
        if group.id in self._told or not voters:
            return
        here = {link.name: link.peer for link in self._links.links.values()}
        names = [machine.names.get(peer, "") for peer in voters if here.get(machine.names.get(peer, ""), peer) != peer]
        if len(voters) - len(names) < majority(len(voters)):
            self._told[group.id] = True
            self.events.append(("error", "quorum_lost", {"group": group.title(), "lost": ", ".join(sorted(names))}))
