"""The meta group's machine: which streams exist, who holds them, which peers the cluster knows.

Only commands that everybody committed change it; nothing is ever deleted because it looks orphaned. Consumers are
not here: they live in their stream's group.

An entry is one CBOR map with a key ``op``. `apply` returns what changed, or an ApiError that every replica computes
alike. Read next: `meta_ops` (the entries), `meta_group` (the group around this machine), `api_meta` (who proposes).
"""

from typing import Any

import cbor2

from broker.cluster.meta.assignment import Assignment, config_of
from broker.cluster.meta.meta_ops import (
    OP_CREATE,
    OP_DELETE,
    OP_PEERS,
    OP_REMOVED,
    OP_REPLACE,
    OP_RESTORED,
    OP_RETURNED,
    OP_SETTLED,
    OP_UPDATE,
    encode_entry,
)
from broker.cluster.meta.shares import Shares
from broker.core.subject_owners import SubjectOwners
from broker.jetstream.api_errors import STREAM_NAME_EXIST, STREAM_NOT_FOUND, STREAM_SUBJECT_OVERLAP, ApiError
from broker.jetstream.config.stream_config import StreamConfig
from broker.jetstream.consumers.dead_letter import dead_letter_stream


class MetaChange:
    """What one entry did: `created`, `updated`, `deleted` or `moved` is set; or `error`."""

    def __init__(self) -> None:
        self.created: Assignment | None = None
        self.updated: Assignment | None = None
        self.updated_beside: Assignment | None = None  # the dead-letter stream of what was updated
        self.deleted: Assignment | None = None
        self.deleted_beside: Assignment | None = None  # the dead-letter stream of what was deleted
        self.moved: list[Assignment] = []
        self.peers_changed: bool = False
        self.error: ApiError | None = None


class MetaMachine:
    """The assignments, by stream name and by group id."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names: dict[str, str] = dict(sorted(names.items()))
        self.streams: dict[str, Assignment] = {}
        self.by_group: dict[int, Assignment] = {}
        self.next_group: int = 1
        self.shares: Shares = Shares(self.streams)
        self._subjects: SubjectOwners = SubjectOwners()
        self.mirrors: dict[str, list[str]] = {}  # a stream → its mirrors, whether or not it is one of these
        self.removed: list[str] = []  # peers that an operator took out of the cluster

    def apply(self, index: int, data: bytes) -> MetaChange:
        """One committed entry."""
        entry = cbor2.loads(data)
        change = MetaChange()
        op = entry["op"]
        if op == OP_CREATE:
            self._create(index, entry, change)
        elif op == OP_UPDATE:
            self._update(index, entry, change)
        elif op == OP_DELETE:
            assignment = self.streams.get(entry["name"])
            if assignment is None:
                change.error = STREAM_NOT_FOUND
            else:
                self._remove(assignment)
                change.deleted_beside = self._delete_beside(assignment)
                assignment.reply, assignment.origin = entry["reply"], entry["origin"]
                assignment.teller = entry.get("teller", "")
                change.deleted = assignment
        elif op == OP_PEERS:
            self.names = dict(sorted({**self.names, **entry["names"]}.items()))
            change.peers_changed = True
        elif op == OP_REPLACE:
            self._replace(index, entry["old"], entry["new"], change)
        elif op == OP_REMOVED:
            self.removed = sorted({*self.removed, entry["peer"]} & set(self.names))
        elif op == OP_RETURNED:
            self.removed = [peer for peer in self.removed if peer != entry["peer"]]
        elif op == OP_RESTORED:
            self._restored(index, entry, change)
        elif op == OP_SETTLED:
            self._settled(index, entry, change)
        else:
            raise AssertionError(f"unknown meta operation {op!r}: written by a newer version?")
        return change

    def _create(self, index: int, entry: dict[str, object], change: MetaChange) -> None:
        config = config_of(entry["config"])
        if config.name in self.streams:
            change.error = STREAM_NAME_EXIST
            return
        if self.is_taken(config, ""):
            change.error = STREAM_SUBJECT_OVERLAP
            return
        peers, created, reply, origin = entry["peers"], entry["time"], entry["reply"], entry["origin"]
        assert isinstance(peers, list) and isinstance(created, int)
        assert isinstance(reply, bytes) and isinstance(origin, str)
        assignment = Assignment(config, self.next_group, peers, created, index)
        host = entry["host"]
        assert isinstance(host, int)
        if host and host not in self.by_group:
            change.error = STREAM_NOT_FOUND  # deleted meanwhile
            return
        assignment.host = host
        assignment.restoring = bool(entry.get("restoring"))
        assignment.reply = reply
        assignment.origin = origin
        self.next_group += 1
        self._add(assignment)
        change.created = assignment

    def _beside(self, host: Assignment) -> Assignment | None:
        """The dead-letter stream that lives in a stream's group."""
        found = self.streams.get(dead_letter_stream(host.config.name))
        return found if found is not None and found.host == host.group else None

    def _delete_beside(self, host: Assignment) -> Assignment | None:
        """A dead-letter stream goes with the group it lives in."""
        assignment = self._beside(host)
        if assignment is not None:
            self._remove(assignment)
        return assignment

    def _update(self, index: int, entry: dict[str, object], change: MetaChange) -> None:
        config = config_of(entry["config"])
        assignment = self.streams.get(config.name)
        if assignment is None:
            change.error = STREAM_NOT_FOUND
        elif self.is_taken(config, config.name):
            change.error = STREAM_SUBJECT_OVERLAP
        else:
            reply, origin = entry["reply"], entry["origin"]
            assert isinstance(reply, bytes) and isinstance(origin, str)
            peers = entry.get("peers")
            if isinstance(peers, list):
                if assignment.before is None:
                    assignment.before = [assignment.peers, assignment.config.to_json()]
                assignment.moving = entry.get("moving") is True
                assignment.assign(peers, index)
                assignment.exclude(str(entry.get("excluded") or ""), config.num_replicas)
                if entry.get("refounds") is True:
                    assignment.refound()
                self.shares.forget()
            self._own(assignment, False)
            if config.reserves() != assignment.config.reserves():
                self.shares.forget()
            assignment.config = config
            self._own(assignment, True)
            assignment.revision = index
            assignment.reply = reply
            assignment.origin = origin
            assignment.answer_kind = str(entry.get("kind") or "")
            change.updated = assignment
            if isinstance(peers, list):
                change.updated_beside = self._follow(index, assignment)

    def _follow(self, index: int, host: Assignment) -> Assignment | None:
        """A dead-letter stream has the replicas of the group it lives in."""
        assignment = self._beside(host)
        if assignment is not None:
            assignment.peers = host.peers  # and who leaves, leaves the host's group
            assignment.config = assignment.config.copy()
            assignment.config.num_replicas = host.config.num_replicas
            assignment.revision = index
            assignment.reply = b""
        return assignment

    def _restored(self, index: int, entry: dict[str, Any], change: MetaChange) -> None:
        assignment = self.by_group.get(entry["group"])
        if assignment is not None and assignment.restoring:
            assignment.restoring = False
            assignment.revision = assignment.created_revision = index
            assignment.reply, assignment.origin = entry["reply"], entry["origin"]
            change.updated = assignment

    def _settled(self, index: int, entry: dict[str, Any], change: MetaChange) -> None:
        assignment = self.by_group.get(entry["group"])
        if assignment is None or assignment.revision != entry["revision"]:
            return
        if sorted(assignment.peers) != entry["peers"] or not assignment.is_changing():
            return
        assignment.before = None
        assignment.moving = False
        if assignment.leaving:
            assignment.left |= dict.fromkeys(assignment.leaving, index)
            assignment.left = {peer: at for peer, at in assignment.left.items() if peer in self.names}
            assignment.voices |= dict.fromkeys(assignment.leaving, entry["log"])
            assignment.voices = {peer: at for peer, at in assignment.voices.items() if peer in self.names}
            assignment.leaving = []
            assignment.founders = []  # whoever begins to hold the stream from now on is a stranger to its group
            change.moved.append(assignment)

    def _replace(self, index: int, old: str, new: str, change: MetaChange) -> None:
        self.shares.forget()
        for assignment in self.streams.values():
            assignment.leaving = [peer for peer in assignment.leaving if peer != old]
            if old in assignment.peers and new not in assignment.peers:
                assignment.peers = [new if peer == old else peer for peer in assignment.peers]
                assignment.left.pop(new, None)
                if assignment.before is not None:
                    assignment.before[0] = [new if peer == old else peer for peer in assignment.before[0]]
                assignment.moved_index = index
                if len(assignment.peers) == 1 and not assignment.leaving:
                    assignment.refound()
                change.moved.append(assignment)
        name = self.names.get(new, "")
        self.names = {
            peer: known for peer, known in self.names.items() if known != name or peer in (old, new)
        }  # of the stores that had this name before, only the last one may still be a member of something

    def _add(self, assignment: Assignment) -> None:
        self.streams[assignment.config.name] = assignment
        self.by_group[assignment.group] = assignment
        self._own(assignment, True)
        self.shares.began(assignment)

    def _remove(self, assignment: Assignment) -> None:
        del self.streams[assignment.config.name]
        del self.by_group[assignment.group]
        self._own(assignment, False)
        self.shares.ended(assignment)

    def _own(self, assignment: Assignment, owns: bool) -> None:
        """The stream owns the subjects of its configuration and mirrors what that says, or no longer."""
        config = assignment.config
        if config.mirror is not None:
            origin = str(config.mirror.get("name", ""))
            mirrors = self.mirrors.setdefault(origin, [])
            if owns:
                mirrors.append(config.name)
            else:
                mirrors.remove(config.name)
                if not mirrors:
                    del self.mirrors[origin]
        for subject in config.subjects:
            if owns:
                self._subjects.add(subject.encode(), config.name)
            else:
                self._subjects.remove(subject.encode(), config.name)

    def is_taken(self, config: StreamConfig, but: str) -> bool:
        """Whether subjects of `config` overlap with those of a stream other than `but`."""
        for subject in config.subjects:  # noqa: SIM110 (a generator is slow under mypyc)
            if self._subjects.is_taken(subject.encode(), but):
                return True
        return False

    def owners(self, pattern: bytes) -> list[str]:
        """Names of the streams that own a subject which `pattern` matches, those still being restored too; sorted."""
        return sorted(set(self._subjects.owners(pattern)))

    def config_of(self, name: str) -> StreamConfig | None:
        """A stream's configuration; None when there is no such stream."""
        assignment = self.streams.get(name)
        return None if assignment is None else assignment.config

    def shown(self, name: str) -> Assignment | None:
        """The stream of this name, unless it is still being restored."""
        assignment = self.streams.get(name)
        return None if assignment is None or assignment.restoring else assignment

    def holds(self, peer: str) -> bool:
        """Whether a peer holds a stream, or has not left it yet."""
        return any(peer in found.peers or peer in found.leaving for found in self.streams.values())

    def snapshot(self) -> bytes:
        """The whole state."""
        streams = [
            [
                a.config.to_json(),
                a.group,
                a.peers,
                a.created_ns,
                a.revision,
                None if a.founding_config is a.config else a.founding_config.to_json(),
                a.created_revision,
                a.founders,
                a.is_refounded,
                a.host,
                a.leaving,
                a.left,
                a.moved_index,
                a.voices,
                a.restoring,
                a.before,
                a.moving,
                a.excluded,
            ]
            for _, a in sorted(self.streams.items())
        ]
        return encode_entry(
            {"names": self.names, "next_group": self.next_group, "streams": streams, "removed": self.removed}
        )

    def restore(self, data: bytes) -> None:
        """Replace the state."""
        state = cbor2.loads(data)
        self.names = dict(sorted(state["names"].items()))
        self.next_group = state["next_group"]
        self.removed = state.get("removed", [])
        self.streams.clear()
        self.by_group.clear()
        self.shares.forget()
        self._subjects = SubjectOwners()
        self.mirrors = {}
        for row in state["streams"]:
            config, group, peers, created_ns, revision, founding_config, created_revision = row[:7]
            founders, is_refounded = (row[7], row[8]) if len(row) > 7 else (peers, False)
            assignment = Assignment(config_of(config), group, peers, created_ns, revision, founders, is_refounded)
            if founding_config is not None:
                assignment.founding_config = config_of(founding_config)
            assignment.created_revision = created_revision
            assignment.host = row[9] if len(row) > 9 else 0
            if len(row) > 10:
                assignment.leaving, assignment.left, assignment.moved_index, assignment.voices = row[10:14]
            assignment.restoring = row[14] if len(row) > 14 else False
            if len(row) > 15:
                assignment.before, assignment.moving, assignment.excluded = row[15:18]
            self._add(assignment)
