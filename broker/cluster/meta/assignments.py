"""What the meta group decided, carried out on this node: streams begin, change and end here.

Every node knows every stream (its subjects are captured wherever a client publishes); the nodes named in the
assignment also hold a group. Groups end only by committed deletion, see `groups`.
"""

from typing import Final

from broker.cluster.contained import bug_text
from broker.cluster.groups.departures import BuryGroupJob, Departures
from broker.cluster.groups.engine import Engine
from broker.cluster.groups.group_store import (
    FOUNDED_TOGETHER_MAX,
    TOMBSTONE,
    FoundGroupsJob,
    GroupSnapshot,
    RemoveGroupJob,
)
from broker.cluster.groups.groups import GroupFactory, founding_stream, stranger_meta
from broker.cluster.groups.jobs import Job
from broker.cluster.links.forward import Forwarder
from broker.cluster.meta.assignment import Assignment, decode_assignment
from broker.cluster.meta.identity import META_GROUP
from broker.cluster.meta.meta import MetaChange
from broker.cluster.meta.meta_group import MetaGroup, MetaListener
from broker.cluster.repair.damage import UNKNOWN, Damage, damage_of, tell, why_not
from broker.cluster.streams.dead_letters import DeadLetters
from broker.cluster.streams.ingress import Ingresses
from broker.cluster.streams.sourcing import Sourcing
from broker.cluster.streams.stream_group import StreamGroup
from broker.core.router import Router
from storage.disk import Disk


class Assignments(MetaListener):
    """The streams as this node sees them."""

    def __init__(
        self,
        engine: Engine,
        factory: GroupFactory,
        dead_letters: DeadLetters,
        disk: Disk,
        router: Router,
        peer: str,
        jobs: list[Job],
    ) -> None:
        self.forwarder: Forwarder | None = None
        self.sourcing: Sourcing | None = None
        self.meta: MetaGroup | None = None
        self.groups: dict[int, StreamGroup] = {}
        self.damaged: dict[int, Damage] = {}
        self.events: list[tuple[str, str, dict[str, object]]] = []
        self._ingresses: Final = Ingresses(router)
        self.deleted: list[Assignment] = []  # this node tells who asked
        self._founding: dict[int, Assignment] = {}
        self._updated: list[int] = []
        self.dead_letters: Final = dead_letters
        dead_letters.assignments = self
        self.departures: Final = Departures(disk, engine, jobs)
        self._hosts: dict[int, int] = {}  # dead-letter stream → the group it lives in
        self._engine: Final = engine
        self._factory: Final = factory
        self._disk: Final = disk
        self.peer: Final = peer
        self._jobs: Final = jobs

    def open(self, stored: list[GroupSnapshot], damaged: dict[int, str]) -> None:
        """Start what the store holds; `damaged` says what is wrong with groups that cannot be opened. What a group's
        own state does to us, be it a bug of ours, ends that replica and no other (`contained`)."""
        known: dict[int, Assignment] = {}
        for found in stored:
            if found.about not in (b"", TOMBSTONE):
                try:
                    known[found.group] = decode_assignment(found.about)
                except Exception as bug:
                    damaged[found.group] = bug_text(bug)
        for group_id, reason in damaged.items():
            self.damaged[group_id] = damage_of(known.get(group_id), group_id, reason)
        for snapshot in stored:
            if snapshot.about == TOMBSTONE:
                self.departures.resume(snapshot.group, snapshot.index)
            elif snapshot.group != META_GROUP and snapshot.group not in damaged:
                try:
                    self._begin(self._factory.stream(snapshot))
                except Exception as error:
                    self.damaged[snapshot.group] = damage_of(known[snapshot.group], snapshot.group, why_not(error))
        for snapshot in stored:
            if snapshot.group == META_GROUP and META_GROUP not in damaged:
                try:
                    self.meta = self._factory.meta(snapshot, self)
                except Exception as error:
                    if len(snapshot.membership.peers()) == 1:
                        raise  # nobody else has it
                    self.damaged[META_GROUP] = damage_of(None, META_GROUP, why_not(error))
                else:
                    self.assignments_restored()
        self._tell_damage()

    def _tell_damage(self) -> None:
        self.events.extend(tell(self.damaged, None if self.meta is None else self.meta.machine))

    def _open_meta(self, snapshot: GroupSnapshot) -> None:
        self.meta = self._factory.meta(snapshot, self)
        self.assignments_restored()

    def open_as_stranger(self) -> None:
        """There is a meta group elsewhere: wait to be admitted to it."""
        self._open_meta(stranger_meta())

    def forget_stranger(self) -> None:
        """This node founds a cluster after all: nobody has admitted it, so nothing is lost."""
        if self.meta is not None:
            assert self.meta.membership().is_empty()
            self.meta = None
            self._engine.remove(META_GROUP)

    def begin_again(self, snapshot: GroupSnapshot) -> None:
        """The group's data here were discarded: it is a stranger now."""
        group_id = snapshot.group
        self.damaged.pop(group_id, None)
        self._factory.forget_files(group_id)
        group = self.groups.pop(group_id, None)
        if group is not None and group.beside is not None:
            self.unbind(group.beside)
        if group_id != META_GROUP:
            assert self.meta is not None
            assignment = self.meta.machine.by_group.get(group_id)
            if assignment is not None:
                self._founding[group_id] = assignment
        self.founded(snapshot)

    def _begin(self, group: StreamGroup) -> None:
        self.groups[group.id] = group

    def founded(self, snapshot: GroupSnapshot) -> None:
        """A group's first snapshot is durable: it may speak now."""
        if snapshot.group == META_GROUP:
            self._open_meta(snapshot)
            return
        assignment = self._founding.pop(snapshot.group, None)
        if assignment is None:
            self._jobs.append(RemoveGroupJob(self._disk, snapshot.group))  # deleted meanwhile
            return
        if assignment.moved_index != decode_assignment(snapshot.about).moved_index:
            self.departures.discard(snapshot.group)  # others are to hold it by now, or this node in another way
            return
        group = self._factory.stream(snapshot)
        group.assignment = assignment
        group.revision = assignment.revision
        self._begin(group)
        self._hold(assignment)
        if snapshot.membership.is_empty():
            return
        group.owe_reply()
        if assignment.founders[:1] == [self.peer]:
            if len(assignment.founders) > 1:
                group.campaign_in_ticks = 1  # the others are being founded, too
            else:
                group.raft.campaign()
                group.touch()
        if assignment.is_refounded:
            self.events.append(("error", "stream_lost", {"stream": assignment.config.name}))

    # From the meta group.

    def assignments_changed(self, change: MetaChange) -> None:
        if change.created is not None:
            self._add(change.created)
        elif change.deleted is not None:
            group_id = change.deleted.group
            is_here = group_id in self.groups or group_id in self._founding or group_id in self.damaged
            if is_here and change.deleted.teller == self.peer and change.deleted.reply:
                self.deleted.append(change.deleted)
            if change.deleted_beside is not None:
                self._delete(change.deleted_beside.group)
            self._delete(change.deleted.group)
        elif change.updated is not None:
            self._update(change.updated)
            if change.updated_beside is not None:
                self._update(change.updated_beside)
        for assignment in change.moved:
            self._hold(assignment)

    def assignments_restored(self) -> None:
        meta = self.meta
        if meta is None:
            return
        known = meta.machine.by_group
        groups = {*self.groups, *self._ingresses.known, *self._founding, *self.damaged, *self._engine.wal.groups()}
        for group in sorted(groups):
            if group != META_GROUP and group not in known and group < meta.machine.next_group:
                self._delete(group)
        for group in sorted(known):
            if group in self._ingresses.known:
                self._update(known[group])
            else:
                self._add(known[group])

    def _add(self, assignment: Assignment) -> None:
        group_id = assignment.group
        assert self.forwarder is not None
        self._ingresses.capture(assignment, self.forwarder)
        group = self.groups.get(group_id)
        if assignment.host:
            self._hosts[group_id] = assignment.host
            self.dead_letters.assigned(assignment)
            return
        if group is not None:
            group.assignment = assignment
        self._hold(assignment)

    def _hold(self, assignment: Assignment) -> None:
        """Begin to hold a stream that is assigned to this node, or stop. Dead letters are where their host is."""
        if assignment.host:
            return
        group_id = assignment.group
        if self.peer in assignment.left:
            self._leave(group_id, assignment.left[self.peer])
            return
        if self.departures.is_leaving(group_id):
            return  # it begins again when its old files are gone
        is_held = self.peer in assignment.peers or self.peer in assignment.leaving
        group = self.groups.get(group_id)
        if group is not None:
            group.assignment.peers = assignment.peers
            group.assignment.leaving = assignment.leaving
            group.assignment.founders = assignment.founders
            group.set_assigned(is_held)
            self._ingresses.lead_to(group_id, group if is_held else None)
        elif is_held and group_id not in self._founding and group_id not in self.damaged:
            if self._engine.wal.has_group(group_id):
                error = "its files are missing, though it has voted before"
                self.damaged[group_id] = Damage(assignment.config.name, error)
                self._tell_damage()
                return
            self._founding[group_id] = assignment
            self._found(founding_stream(assignment, self.peer))

    def _found(self, snapshot: GroupSnapshot) -> None:
        """Streams that are made in one turn begin together."""
        job = self._jobs[-1] if self._jobs else None
        if isinstance(job, FoundGroupsJob) and len(job.snapshots) < FOUNDED_TOGETHER_MAX:
            job.snapshots.append(snapshot)
        else:
            self._jobs.append(FoundGroupsJob(self._disk, snapshot))

    def _leave(self, group_id: int, index: int) -> None:
        """The meta group's entry `index` has taken this node out of the group, which goes on elsewhere. After a restart
        that may be old news: the node may hold the group again."""
        group = self.groups.get(group_id)
        damage = self.damaged.get(group_id)
        if group is not None:
            since = group.since
        else:
            since = UNKNOWN if damage is None else damage.since
        if since > index:
            return
        self.damaged.pop(group_id, None)
        if group is not None:
            del self.groups[group_id]
            if group.beside is not None:
                self.unbind(group.beside)
        self._ingresses.lead_to(group_id, None)
        self.departures.leave(group_id, index)

    def files_gone(self, job: Job, error: Exception | None) -> None:
        """A step of the removal of a group's files is done."""
        assert isinstance(job, BuryGroupJob | RemoveGroupJob)
        if error is not None:
            self.events.append(("error", "group_files_left", {"group": job.group, "error": str(error)}))
        elif isinstance(job, BuryGroupJob):
            self.departures.buried(job.group)
        elif self.departures.removed(job.group) and self.meta is not None:
            assignment = self.meta.machine.by_group.get(job.group)
            if assignment is not None:
                self._hold(assignment)

    def _update(self, assignment: Assignment) -> None:
        assert self.forwarder is not None
        self._ingresses.capture(assignment, self.forwarder)
        if assignment.group in self._founding:
            self._founding[assignment.group] = assignment
        group = self.groups.get(assignment.group)
        if group is not None and assignment.revision > group.revision:
            group.assignment = assignment
            group.revision = assignment.revision
            group.owe_reply()
            self._updated.append(group.id)
        self._hold(assignment)

    def _delete(self, group_id: int) -> None:
        self._ingresses.drop(group_id)
        self._founding.pop(group_id, None)
        group = self.groups.pop(group_id, None)
        damage = self.damaged.pop(group_id, None)
        host = self._hosts.pop(group_id, 0)
        if group is not None:
            if group.is_leader:
                group.tell_deleted()
            group.delivery.stream_deleted()
            group.reads.drop()
            if self.sourcing is not None:
                self.sourcing.forget(group_id, True)
        if host:
            self.dead_letters.ended(host)
        elif group is not None or damage is not None or self._engine.wal.has_group(group_id):
            # Without the group: its files were damaged, or gone before the log knew. The log must not wait for it.
            self._engine.remove(group_id)
            self._jobs.append(RemoveGroupJob(self._disk, group_id))

    # Dead-letter streams, which live in another stream's group.

    def host_of(self, group_id: int) -> int:
        """The Raft group that carries a stream."""
        return self._hosts.get(group_id, group_id)

    def bind(self, group: StreamGroup) -> None:
        """The stream has begun: requests and messages reach it."""
        self._begin(group)
        self._ingresses.lead_to(group.id, group)
        assert self.forwarder is not None
        self.forwarder.leader_changed(group.id)

    def unbind(self, group: StreamGroup) -> None:
        """It has ended."""
        if self.groups.get(group.id) is group:
            del self.groups[group.id]
            self._ingresses.lead_to(group.id, None)

    # Questions.

    def is_offline(self, group_id: int) -> bool:
        """Whether the group is damaged here, and held by nobody else."""
        if group_id not in self.damaged or self.meta is None:
            return False
        assignment = self.meta.machine.by_group.get(group_id)
        return assignment is not None and assignment.peers == [self.peer]

    def leading(self) -> list[StreamGroup]:
        """Streams that this node leads."""
        return [group for group in self.groups.values() if group.is_leader]

    def by_name(self, stream: str) -> Assignment | None:
        """A stream's assignment, as far as this node has heard."""
        return None if self.meta is None else self.meta.machine.streams.get(stream)

    def mirror_of(self, stream: str) -> Assignment | None:
        """A mirror that answers direct gets for its origin, which is not here."""
        if self.meta is not None:
            for assignment in self.meta.machine.streams.values():
                mirror = assignment.config.mirror
                if mirror is not None and assignment.config.mirror_direct and mirror.get("name") == stream:
                    return assignment
        return None

    def stream_capturing(self, subject: bytes) -> str:
        """The name of the stream that a subject belongs to, "" when there is none."""
        if self.meta is not None:
            for name in self.meta.machine.owners(subject):
                if self.meta.machine.shown(name) is not None:
                    return name
        return ""

    def name_of(self, peer: str) -> str:
        """A peer's server name, as far as it is known."""
        return peer if self.meta is None else self.meta.machine.names.get(peer, peer)

    def take_updated(self) -> list[int]:
        """Groups whose assignment changed since the last call."""
        updated, self._updated = self._updated, []
        return updated
