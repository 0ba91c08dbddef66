"""What the meta leader does about streams unasked: off servers that were removed, onto those that are missed.

SERVER.REMOVE is a decision in the meta log (`MetaMachine.removed`). The removed server leaves the meta group
(`readmission`), and here every stream that it holds is given to others. It comes in again, as a new one would, once it
connects anew. A stream that has fewer replicas than it should (nobody was there when one was taken off) gets more when
there is somebody, but for those that an operator took it off.

Not here: the requests (`api_peers`), lost disks (`readmission`). One change of a stream at a time, a few a second.
"""

from typing import TYPE_CHECKING, Final

from broker.cluster.meta.assignment import Assignment
from broker.cluster.meta.meta_ops import returned_op, update_op

if TYPE_CHECKING:
    from broker.cluster.meta.api_meta import MetaApi
    from broker.cluster.meta.api_peers import PeersApi

STEP_NS: Final = 500_000_000
LOOK_NS: Final = 3_000_000_000  # while nothing is to be done: it looks at every stream
CHANGES_MAX: Final = 16


class Healing:
    """See the module's text."""

    def __init__(self, api: "MetaApi", peers: "PeersApi") -> None:
        self._api: Final = api
        self._peers: Final = peers
        self._next_ns: int = 0

    def tick(self, now_ns: int) -> None:
        """50 ms passed."""
        if now_ns < self._next_ns or not self._api.leads():
            return
        machine = self._api.meta().machine
        changes = 0
        for assignment in list(machine.streams.values()):
            if changes < CHANGES_MAX and assignment.host == 0 and self._heal(assignment, machine.removed):
                changes += 1
        self._next_ns = now_ns + (STEP_NS if changes else LOOK_NS)

    def _heal(self, assignment: Assignment, removed: list[str]) -> bool:
        gone = [peer for peer in assignment.peers if peer in removed]
        if not gone and (assignment.is_changing() or len(assignment.peers) >= assignment.config.num_replicas):
            return False
        peers, is_better = self._peers.without(assignment, gone[0] if gone else "")
        if not peers or not (gone or is_better):
            return False
        lost = bool(gone) and len(assignment.peers) == 1 and not assignment.leaving and not self._api.is_here(gone[0])
        op = update_op(assignment.config, b"", "", peers, refounds=lost)
        self._api.meta().propose(op, None)
        return True

    def arrived(self, peer: str) -> None:
        """There is a new connection to the peer."""
        if self._api.leads() and peer in self._api.meta().machine.removed:
            self._api.meta().propose(returned_op(peer), None)
