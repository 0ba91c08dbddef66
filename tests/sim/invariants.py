"""What must hold at every moment of a simulation, checked against the disks where durability is meant.

| promise | where |
|---|---|
| one leader a term, who has every entry committed before | `_leads` |
| terms and votes never go back on a disk | `durable.DurableLog.promise` |
| logs match: one entry an index and term, one entry before it | `_entry_is_durable` |
| a committed entry is on the disks of a majority; a leader counts only its own term's | `_committed` |
| a committed entry is never replaced on a disk | `_entry_is_durable` |
| applied <= committed, neither goes back | `_progress` |
| machines at the same index are in the same state | `_compare_machines` |
| votes and "I have it" leave after they are durable | `sending` |
| the log lets go only of what a durable snapshot holds | `_released` |
| a restart finds everything that was durable | `durable.DurableDisk.recovered` |
| what a consumer is sent | `checkers/leaving` |
| queues are bounded | `_bounded` |
| a damaged replica has no voice before it has what was committed then | `_forgets`, `sending` |

At the end: `verdict`. Nothing here changes a node. Read next: `durable`, `run`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from broker.cluster.groups.engine import Engine
from broker.cluster.groups.group_store import decode_group_snapshot, group_directory
from broker.cluster.groups.jobs import WalJob
from broker.cluster.meta.identity import META_GROUP
from broker.cluster.streams.stream_group import StreamGroup, StreamOutput
from broker.jetstream.stream import StreamMachine
from raft.messages import APPEND_RESPONSE, VOTE_RESPONSE
from raft.node import LEADER
from raft.types import Message
from sim.checkers.leaving import look
from sim.complaint import PROCESS, Broken, Complaint
from sim.durable import DurableDisk, newest_snapshot, openable, read_log
from sim.history import History
from sim.replay import machine_digest
from sim.server import Machine, Watcher
from sim.world import World
from storage.errors import StorageError
from storage.group_log import GroupLog
from storage.memory import MemoryStreamStore
from storage.wal_batch import RECORD_ENTRY, RECORD_START, Records, log_path

COMPARE_EVERY = 16  # log entries
LINK_BYTES_MAX = 64 * 1024 * 1024
AFTER_SYNC_MAX = 20_000


class Seen:
    """One group on one running node, as it was when looked at last. A group that a node left and holds again is
    another one."""

    def __init__(self, group: Any) -> None:
        self.group = group
        self.commit = -1
        self.applied = -1
        self.role = -1
        self.term = -1


class Checks(Watcher):
    """See the module's text. `broken` says what does not hold; the simulation ends at the first."""

    def __init__(self, world: World, history: History, is_lazy: bool = False) -> None:
        """`is_lazy`: nodes acknowledge what is written, not what is synced."""
        self.world = world
        self.history = history
        self.is_lazy = is_lazy
        self.cut_short: set[int] = set()  # groups that lost the end of their log with the power, and said so
        self.broken: list[Complaint] = []
        self.machines: dict[str, Machine] = {}
        self.disks: dict[str, DurableDisk] = {}  # by peer id: an emptied disk belongs to another peer
        self.leaders: dict[tuple[int, int], str] = {}
        self.leader_terms: dict[int, int] = {}
        self.entries: dict[tuple[int, int, int], tuple[int, int, bytes]] = {}  # (group, index, term) → kind, before
        self.commits: dict[int, dict[int, int]] = {}
        self.commit_max: dict[int, int] = {}
        self.compared = 0
        self.restarts = 0
        self._digests: dict[tuple[int, int], tuple[bytes, str]] = {}
        self._seen: dict[tuple[str, int], Seen] = {}
        self._names: dict[str, str] = {}
        self._voters: dict[int, set[str]] = {}
        self._by_links: dict[Any, str] = {}
        self._forgot: dict[tuple[str, int], int] = {}  # (peer, group) → what was committed when it was damaged

    def add(self, machine: Machine) -> None:
        """Watch a machine's disk."""
        self.machines[machine.name] = machine

    def _disk(self, machine: Machine) -> DurableDisk:
        return self.disks[machine.node.links.peer]

    def wiped(self, machine: Machine) -> None:
        """The disk of a machine that is down was emptied. What it promised may still be on its way, and was true."""
        for group in [group for group, peers in self._voters.items() if peers == {machine.name}]:
            self._forget(group)  # nobody else had it: it may begin again

    def _forget(self, group: int) -> None:
        self.entries = {key: entry for key, entry in self.entries.items() if key[0] != group}
        self.leaders = {key: name for key, name in self.leaders.items() if key[0] != group}
        self._digests = {key: digest for key, digest in self._digests.items() if key[0] != group}
        for known in (self.commits, self.commit_max, self.leader_terms):
            known.pop(group, None)  # type: ignore[attr-defined]

    # What machines tell.

    def started(self, machine: Machine) -> None:
        self.restarts += 1
        for key in [key for key in self._seen if key[0] == machine.name]:
            del self._seen[key]
        peer = machine.node.links.peer
        self._names[peer] = machine.name
        self.disks.setdefault(peer, DurableDisk(machine.disk, self.is_lazy))
        wal = machine.node.jetstream.engine.wal
        found = {group: read_log(wal.group(group)) for group in wal.groups() if not wal.group(group).damage}
        if machine.rotten:
            for group in wal.groups():
                if wal.group(group).damage:  # it says so itself, and nothing that it promised counts any more
                    self.disks[peer].groups.pop(group, None)
        with self._noting(machine):
            self.disks[peer].recovered(found)
            for group in found:
                self._note_recovered(wal.group(group))

    def _note_recovered(self, log: GroupLog) -> None:
        """A batch that was under way when the process ended may be on the disk: nobody saw it become durable."""
        for index in range(log.snapshot_index + 1, log.last_index + 1):
            key = (log.group, index, log.term(index))
            if key not in self.entries:
                record = log.read(index, index + 1, 0)[0]
                self.entries[key] = (record.kind, log.term(index - 1), record.data)

    def ran(self, machine: Machine, job: Any) -> None:
        if isinstance(job, WalJob):
            disk = self._disk(machine)
            batch = job.batch
            with self._noting(machine):
                for records in disk.wrote(batch.records, log_path(batch.writer.directory, batch.file)):
                    for at in range(len(records.types)):
                        self._record_is_durable(machine, disk, records, at)

    def broke(self, machine: Machine, error: str) -> None:
        self.broken.append(Complaint(PROCESS, f"{machine.name} raised\n{error}"))

    def turned(self, machine: Machine) -> None:
        engine = machine.node.jetstream.engine
        name = machine.name
        with self._noting(machine):
            for group_id, group in engine.groups.items():
                seen = self._seen.get((name, group_id))
                if seen is None or seen.group is not group:  # a replica that was repaired began again
                    seen = self._seen[(name, group_id)] = Seen(group)
                raft = group.raft
                if raft.commit != seen.commit or raft.applied != seen.applied:
                    self._progress(machine, group, seen)
                if raft.role != seen.role or raft.term != seen.term:
                    seen.role, seen.term = raft.role, raft.term
                    if raft.role == LEADER:
                        self._leads(machine, group)
            self._bounded(machine, engine)
            if machine.rotten:
                self._forgets(machine)

    @contextmanager
    def _noting(self, machine: Machine) -> Iterator[None]:
        try:
            yield
        except Broken as broken:
            self.broken.append(broken.complaint(machine.name))

    # Disks.

    def _record_is_durable(self, machine: Machine, disk: DurableDisk, records: Records, at: int) -> None:
        kind, group = records.types[at], records.groups[at]
        if kind == RECORD_ENTRY:
            self._entry_is_durable(disk, records, at)
        elif kind == RECORD_START:
            self._released(machine, group, records.indexes[at])
        disk.apply(records, at)

    def _entry_is_durable(self, disk: DurableDisk, records: Records, at: int) -> None:
        group, index, term = records.groups[at], records.indexes[at], records.terms[at]
        before = disk.log(group).term_at(index - 1)
        entry = (records.kinds[at], before, records.bodies[at])
        known = self.entries.setdefault((group, index, term), entry)
        if known[2] != entry[2] or known[0] != entry[0]:
            raise Broken("log matching", f"group {group}: two entries {index} of term {term}")
        if before >= 0 and known[1] >= 0 and before != known[1]:
            raise Broken(
                "log matching", f"group {group}: entry {index} of term {term} follows terms {known[1]} and {before}"
            )
        committed = self.commits.get(group, {}).get(index)
        # An older entry may still come from a batch that waited, as long as it replaces nothing that counted.
        replaces = committed is not None and (term > committed or disk.log(group).terms.get(index) == committed)
        if replaces and committed != term:
            raise Broken(
                "commits", f"group {group}: entry {index} was committed in term {committed}, replaced in {term}"
            )

    def _released(self, machine: Machine, group: int, index: int) -> None:
        """The log begins behind `index` now: a snapshot on the disk must reach as far, and its blocks be there."""
        if group not in machine.node.jetstream.engine.groups or machine.rotten:
            return  # deleted meanwhile; or what is on the disk is not what was written
        directory = group_directory(group)
        data = newest_snapshot(machine.disk, directory)
        snapshot = decode_group_snapshot(data) if data is not None else None
        if snapshot is None or snapshot.index < index:
            reaches = "nothing" if snapshot is None else str(snapshot.index)
            raise Broken(
                "releases", f"group {group}: the log let go of {index}, the durable snapshot reaches {reaches}"
            )
        running = machine.node.jetstream.assignments.groups.get(group)
        in_memory = running is None or isinstance(running.store, MemoryStreamStore)
        if snapshot.machine and group != META_GROUP and not in_memory:
            try:
                openable(machine.disk, directory + "/blocks", StreamMachine.store_state(snapshot.machine))
            except StorageError as error:
                raise Broken(
                    "releases", f"group {group}: the log let go of {index}, blocks not durable: {error}"
                ) from error

    def _forgets(self, machine: Machine) -> None:
        """A replica whose data are damaged has no voice before it has all that was committed until it said so."""
        peer = machine.node.links.peer
        for group in machine.node.jetstream.assignments.damaged:
            self._forgot.setdefault((peer, group), self.commit_max.get(group, 0))
        for key, index in list(self._forgot.items()):
            group = machine.node.jetstream.engine.groups.get(key[1])
            if key[0] == peer and group is not None and not group.failed and group.raft.log.last_index >= index:
                del self._forgot[key]

    # Consensus.

    def _leads(self, machine: Machine, group: Any) -> None:
        raft = group.raft
        known = self.leaders.setdefault((group.id, raft.term), machine.name)
        if known != machine.name:
            raise Broken("leaders", f"group {group.id}: {known} and {machine.name} lead term {raft.term}")
        if raft.elected_in_doubt:
            self._cut(group.id, raft.term_start - 1, raft.term)
        self.leader_terms[group.id] = max(self.leader_terms.get(group.id, 0), raft.term)
        commits = self.commits.get(group.id, {})
        for index in reversed(commits):  # the newest ones first; older ones follow from log matching
            if commits[index] < raft.term:
                if raft.log.last_index < index or (
                    index >= raft.log.first_index() and raft.log.term(index) != commits[index]
                ):
                    raise Broken(
                        "leaders", f"group {group.id}: leader of term {raft.term} lacks committed entry {index}"
                    )
                break

    def _cut(self, group: int, last: int, term: int) -> None:
        """What was behind `last` is lost with the power of a majority."""
        self.cut_short.add(group)
        self.entries = {
            key: entry for key, entry in self.entries.items() if key[0] != group or key[1] <= last or key[2] >= term
        }
        self._digests = {key: known for key, known in self._digests.items() if key[0] != group or key[1] <= last}
        commits = self.commits.get(group, {})
        self.commits[group] = {index: known for index, known in commits.items() if index <= last}
        self.commit_max[group] = min(self.commit_max.get(group, 0), last)

    def _progress(self, machine: Machine, group: Any, seen: Seen) -> None:
        raft = group.raft
        if raft.commit < seen.commit or raft.applied < seen.applied:
            raise Broken("progress", f"group {group.id}: commit or applied index went back")
        if raft.applied > raft.commit:
            raise Broken("progress", f"group {group.id}: applied {raft.applied}, committed {raft.commit}")
        if raft.commit != seen.commit:
            self._committed(group, seen.role == LEADER and raft.role == LEADER and seen.term == raft.term)
            seen.commit = raft.commit
        if raft.applied != seen.applied:
            seen.applied = raft.applied
            if raft.applied % COMPARE_EVERY == 0 and group.id != META_GROUP:
                self._compare_machines(machine, group)

    def _committed(self, group: Any, led: bool) -> None:
        raft = group.raft
        index = raft.commit
        if index < raft.log.first_index():
            return
        term = raft.log.term(index)
        if led and term != raft.term:
            raise Broken(
                "commits", f"group {group.id}: leader of term {raft.term} committed entry {index} of term {term}"
            )
        commits = self.commits.setdefault(group.id, {})
        if commits.setdefault(index, term) != term:
            raise Broken("commits", f"group {group.id}: entry {index} committed in terms {commits[index]} and {term}")
        if index <= self.commit_max.get(group.id, 0):
            return
        self.commit_max[group.id] = index
        voters = raft.membership.voters
        self._voters[group.id] = {self._names[peer] for peer in voters}
        if self.is_lazy and group.id != META_GROUP:
            return  # who acknowledged may have lost it since
        # A change of membership that was appended later in this turn was not yet in force when it was counted.
        counted = (voters, raft.history.at(index).voters)
        if not any(self._is_on_most(group.id, index, term, peers) for peers in counted):
            names = [self._names[peer] for peer in voters if self.disks[peer].log(group.id).has(index, term)]
            raise Broken("commits", f"group {group.id}: entry {index} is committed, but only on the disks of {names}")

    def _is_on_most(self, group: int, index: int, term: int, peers: tuple[str, ...]) -> bool:
        return sum(self.disks[peer].log(group).has(index, term) for peer in peers) * 2 > len(peers)

    def _compare_machines(self, machine: Machine, group: StreamGroup) -> None:
        digest = machine_digest(group.machine)
        known, name = self._digests.setdefault((group.id, group.raft.applied), (digest, machine.name))
        self.compared += name != machine.name
        if known != digest:
            raise Broken(
                "machines", f"group {group.id}: {name} and {machine.name} differ at index {group.raft.applied}"
            )

    # What leaves a node.

    def sending(self, engine: Engine, message: Message) -> None:
        """A Raft message is about to leave."""
        if message.reject or (message.kind != VOTE_RESPONSE and message.kind != APPEND_RESPONSE):
            return
        name = self._names[message.sender]
        log = self.disks[message.sender].log(message.group)
        if message.kind == VOTE_RESPONSE:
            known = engine.groups[message.group].raft.log.last_index
            if known < self._forgot.get((message.sender, message.group), 0):
                self.broken.append(
                    Complaint("sending", f"{name}: group {message.group}: votes with what is left of it after damage")
                )
            # A later term on the disk will do: no second vote in this one can follow.
            if log.term < message.term or (log.term == message.term and log.vote != message.receiver):
                self.broken.append(
                    Complaint(
                        "sending", f"{name}: group {message.group}: a vote in term {message.term} left, not durable"
                    )
                )
            return
        group = engine.groups.get(message.group)
        if group is None:
            return  # the node has left it since, and its log is still there
        raft = group.raft
        index = message.index
        if raft.term != message.term or index > raft.log.last_index or index < raft.log.first_index():
            return
        if not log.has(index, raft.log.term(index)):
            self.broken.append(
                Complaint(
                    "sending", f"{name}: group {message.group}: says that it has entry {index}, which is not durable"
                )
            )

    def delivering(self, group: StreamGroup, inbox: bytes, reply: bytes) -> None:
        """A consumer's message is about to leave."""
        if group.raft.term >= self.leader_terms.get(group.id, 0) and group.id not in self.cut_short:
            self.broken += look(group, inbox, reply, self.history, self.world.now_ns)

    def _bounded(self, machine: Machine, engine: Engine) -> None:
        if len(engine.batches.after_sync) > AFTER_SYNC_MAX:
            raise Broken("bounds", f"{len(engine.batches.after_sync)} messages wait for the disk")
        for link in engine.links.links.values():
            if link.output_bytes > LINK_BYTES_MAX:
                raise Broken("bounds", f"{link.output_bytes} bytes wait for {link.name}")


@contextmanager
def watching(checks: Checks) -> Iterator[None]:
    """While this lasts, every Raft message and every delivery is looked at before it leaves."""
    send, deliver = Engine.send, StreamOutput.send

    def watched_send(self: Engine, message: Message) -> None:
        checks.sending(self, message)
        send(self, message)

    def watched_deliver(
        self: StreamOutput, origin: str, inbox: bytes, subject: bytes, reply: bytes, header_length: int, data: bytes
    ) -> None:
        if reply.startswith(b"$JS.ACK."):
            checks.delivering(self._group, inbox, reply)
        deliver(self, origin, inbox, subject, reply, header_length, data)

    Engine.send = watched_send  # type: ignore[method-assign]
    StreamOutput.send = watched_deliver  # type: ignore[method-assign]
    try:
        yield
    finally:
        Engine.send = send  # type: ignore[method-assign]
        StreamOutput.send = deliver  # type: ignore[method-assign]
