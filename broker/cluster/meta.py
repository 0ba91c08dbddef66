"""The meta group's machine: which streams exist, who holds them, which peers the cluster knows.

Only commands that everybody committed change it; nothing is ever deleted because it looks orphaned. Consumers are
not here: they live in their stream's group.

An entry is one CBOR map with a key ``op``. `apply` returns what changed, or an ApiError that every replica computes
alike. Read next: `meta_group` (the group around this machine), `api_meta` (who proposes).
"""

import json
from typing import Final

import cbor2

from broker.core.subjects import overlaps
from broker.jetstream.api_errors import STREAM_NAME_EXIST, STREAM_NOT_FOUND, STREAM_SUBJECT_OVERLAP, ApiError
from broker.jetstream.stream_config import StreamConfig

OP_CREATE: Final = "create"
OP_UPDATE: Final = "update"
OP_DELETE: Final = "delete"
OP_PEERS: Final = "peers"
OP_REPLACE: Final = "replace"


class Assignment:
    """One stream: its configuration, its group, and the peers that hold it. `peers[0]` campaigns first.

    `founders` began the group together; a peer that was assigned later waits to be taken in. `is_refounded`: the only
    replica's store was lost, and the stream began again, empty.
    """

    def __init__(
        self,
        config: StreamConfig,
        group: int,
        peers: list[str],
        created_ns: int,
        revision: int,
        founders: list[str] | None = None,
        is_refounded: bool = False,
    ) -> None:
        self.config = config
        self.founding_config: StreamConfig = config  # every replica begins with it, whenever it begins
        self.group: Final = group
        self.peers = peers
        self.founders = peers if founders is None else founders
        self.is_refounded = is_refounded
        self.created_ns: Final = created_ns
        self.revision = revision
        self.created_revision: int = revision
        self.host: int = 0  # of a dead-letter stream: the group it lives in; 0 = a group of its own
        self.reply: bytes = b""  # who waits for the last change; answered by the stream's leader
        self.origin: str = ""

    def config_bytes(self) -> bytes:
        """The configuration as JSON."""
        return json.dumps(self.config.to_json(), separators=(",", ":")).encode()

    def origin_for(self, peer: str) -> str:
        """The node to answer through, as `peer` sees it."""
        return "" if self.origin == peer else self.origin

    def founding(self) -> "Assignment":
        """The assignment as it was when the stream was created: the log of its group says what changed since."""
        return Assignment(
            self.founding_config,
            self.group,
            self.peers,
            self.created_ns,
            self.created_revision,
            self.founders,
            self.is_refounded,
        )

    def encode(self) -> bytes:
        """What a group must know of its assignment to start without the meta group."""
        return _encode(
            {
                "config": self.config.to_json(),
                "group": self.group,
                "peers": self.peers,
                "created": self.created_ns,
                "revision": self.revision,
                "founders": self.founders,
                "refounded": self.is_refounded,
            }
        )


def decode_assignment(data: bytes) -> Assignment:
    """The inverse of `Assignment.encode`."""
    state = cbor2.loads(data)
    return Assignment(
        _config(state["config"]),
        state["group"],
        state["peers"],
        state["created"],
        state["revision"],
        state.get("founders"),
        state.get("refounded", False),
    )


class MetaChange:
    """What one entry did: `created`, `updated`, `deleted` or `moved` is set; or `error`."""

    def __init__(self) -> None:
        self.created: Assignment | None = None
        self.updated: Assignment | None = None
        self.deleted: Assignment | None = None
        self.deleted_beside: Assignment | None = None  # the dead-letter stream of what was deleted
        self.moved: list[Assignment] = []
        self.peers_changed: bool = False
        self.error: ApiError | None = None


def create_op(
    config: StreamConfig, peers: list[str], wall_ns: int, reply: bytes, origin: str, host: int = 0
) -> bytes:
    """The entry that creates a stream; in the group `host` where it is given."""
    return _encode(
        {
            "op": OP_CREATE,
            "config": config.to_json(),
            "peers": peers,
            "time": wall_ns,
            "reply": reply,
            "origin": origin,
            "host": host,
        }
    )


def update_op(config: StreamConfig, reply: bytes, origin: str) -> bytes:
    """The entry that gives a stream a new configuration."""
    return _encode({"op": OP_UPDATE, "config": config.to_json(), "reply": reply, "origin": origin})


def delete_op(name: str, reply: bytes, origin: str) -> bytes:
    """The entry that deletes a stream; its leader tells who asked for that when it has stopped serving it."""
    return _encode({"op": OP_DELETE, "name": name, "reply": reply, "origin": origin})


def peers_op(names: dict[str, str]) -> bytes:
    """The entry that teaches names of peers (peer id → server name)."""
    return _encode({"op": OP_PEERS, "names": names})


def replace_op(old: str, new: str) -> bytes:
    """The entry that assigns to the peer `new` everything that `old`, whose store is lost, held."""
    return _encode({"op": OP_REPLACE, "old": old, "new": new})


def _encode(entry: dict[str, object]) -> bytes:
    return bytes(cbor2.dumps(entry))


class MetaMachine:
    """The assignments, by stream name and by group id."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names: dict[str, str] = dict(sorted(names.items()))
        self.streams: dict[str, Assignment] = {}
        self.by_group: dict[int, Assignment] = {}
        self.next_group: int = 1

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
            assignment = self.streams.pop(entry["name"], None)
            if assignment is None:
                change.error = STREAM_NOT_FOUND
            else:
                del self.by_group[assignment.group]
                change.deleted_beside = self._delete_beside(assignment.group)
                assignment.reply, assignment.origin = entry["reply"], entry["origin"]
                change.deleted = assignment
        elif op == OP_PEERS:
            self.names = dict(sorted({**self.names, **entry["names"]}.items()))
            change.peers_changed = True
        elif op == OP_REPLACE:
            self._replace(entry["old"], entry["new"], change)
        else:
            raise AssertionError(f"unknown meta operation {op!r}: written by a newer version?")
        return change

    def _create(self, index: int, entry: dict[str, object], change: MetaChange) -> None:
        config = _config(entry["config"])
        if config.name in self.streams:
            change.error = STREAM_NAME_EXIST
            return
        if self.overlapping(config, ""):
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
        assignment.reply = reply
        assignment.origin = origin
        self.next_group += 1
        self._add(assignment)
        change.created = assignment

    def _delete_beside(self, host: int) -> Assignment | None:
        """A dead-letter stream goes with the group it lives in."""
        for name, assignment in self.streams.items():
            if assignment.host == host:
                del self.streams[name]
                del self.by_group[assignment.group]
                return assignment
        return None

    def _update(self, index: int, entry: dict[str, object], change: MetaChange) -> None:
        config = _config(entry["config"])
        assignment = self.streams.get(config.name)
        if assignment is None:
            change.error = STREAM_NOT_FOUND
        elif self.overlapping(config, config.name):
            change.error = STREAM_SUBJECT_OVERLAP
        else:
            reply, origin = entry["reply"], entry["origin"]
            assert isinstance(reply, bytes) and isinstance(origin, str)
            assignment.config = config
            assignment.revision = index
            assignment.reply = reply
            assignment.origin = origin
            change.updated = assignment

    def _replace(self, old: str, new: str, change: MetaChange) -> None:
        for assignment in self.streams.values():
            if old in assignment.peers and new not in assignment.peers:
                assignment.peers = [new if peer == old else peer for peer in assignment.peers]
                if len(assignment.peers) == 1:
                    assignment.founders = assignment.peers
                    assignment.is_refounded = True
                    assignment.founding_config = assignment.config
                change.moved.append(assignment)
        name = self.names.get(new, "")
        self.names = {
            peer: known for peer, known in self.names.items() if known != name or peer in (old, new)
        }  # of the stores that had this name before, only the last one may still be a member of something

    def _add(self, assignment: Assignment) -> None:
        self.streams[assignment.config.name] = assignment
        self.by_group[assignment.group] = assignment

    def overlapping(self, config: StreamConfig, except_name: str) -> str:
        """The name of a stream whose subjects overlap with `config`'s; "" when there is none."""
        for name, assignment in self.streams.items():
            if name == except_name:
                continue
            for mine in config.subjects:
                for other in assignment.config.subjects:
                    if overlaps(mine.encode(), other.encode()):
                        return name
        return ""

    def held(self) -> dict[str, int]:
        """How many streams each peer holds."""
        counts: dict[str, int] = {}
        for assignment in self.streams.values():
            for peer in assignment.peers if assignment.host == 0 else []:
                counts[peer] = counts.get(peer, 0) + 1
        return counts

    def led(self) -> dict[str, int]:
        """How many streams each peer was chosen to lead."""
        counts: dict[str, int] = {}
        for assignment in [each for each in self.streams.values() if each.host == 0]:
            counts[assignment.peers[0]] = counts.get(assignment.peers[0], 0) + 1
        return counts

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
            ]
            for _, a in sorted(self.streams.items())
        ]
        return _encode({"names": self.names, "next_group": self.next_group, "streams": streams})

    def restore(self, data: bytes) -> None:
        """Replace the state."""
        state = cbor2.loads(data)
        self.names = dict(sorted(state["names"].items()))
        self.next_group = state["next_group"]
        self.streams = {}
        self.by_group = {}
        for row in state["streams"]:
            config, group, peers, created_ns, revision, founding_config, created_revision = row[:7]
            founders, is_refounded = (row[7], row[8]) if len(row) > 7 else (peers, False)
            assignment = Assignment(_config(config), group, peers, created_ns, revision, founders, is_refounded)
            if founding_config is not None:
                assignment.founding_config = _config(founding_config)
            assignment.created_revision = created_revision
            assignment.host = row[9] if len(row) > 9 else 0
            self._add(assignment)


def _config(value: object) -> StreamConfig:
    """A configuration that this cluster accepted before; it cannot be wrong now."""
    assert isinstance(value, dict)
    config = StreamConfig.from_json(value)
    assert isinstance(config, StreamConfig), config
    return config
