"""The durable description of one group on this node: `snapshot` files, and what is in them.

A group's directory holds generations of a snapshot (`storage.snapshots`), each a CBOR map: which group this is, its
log position, its membership and its machine's state. The first one is written when the group begins, before its
Raft node answers anybody, so that a restart finds every group without asking the meta group.
"""

from typing import Final

import cbor2

from raft.types import Membership

FOUNDING_INDEX: Final = 1
"""Groups begin with a snapshot at index 1, term 1, so that a blank peer always needs a snapshot (and its membership)."""
FOUNDING_TERM: Final = 1


class GroupSnapshot:
    """Everything that a group was at `index`."""

    def __init__(self, group: int, index: int, term: int, membership: Membership, about: bytes, machine: bytes) -> None:
        self.group: Final = group
        self.index: Final = index
        self.term: Final = term
        self.membership: Final = membership
        self.about: Final = about
        self.machine: Final = machine

    def encode(self) -> bytes:
        """CBOR."""
        return bytes(
            cbor2.dumps(
                {
                    "group": self.group,
                    "index": self.index,
                    "term": self.term,
                    "voters": list(self.membership.voters),
                    "learners": list(self.membership.learners),
                    "about": self.about,
                    "machine": self.machine,
                }
            )
        )


def decode_group_snapshot(data: bytes) -> GroupSnapshot:
    """The inverse of `encode`. The bytes were checked by whoever stored or carried them."""
    state = cbor2.loads(data)
    membership = Membership(tuple(state["voters"]), tuple(state["learners"]))
    return GroupSnapshot(
        state["group"], state["index"], state["term"], membership, state["about"], state["machine"]
    )
