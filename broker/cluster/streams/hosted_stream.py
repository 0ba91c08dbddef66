"""A dead-letter stream on this node: a stream that lives in the group, and in the log, of the stream it belongs to.

A `StreamGroup` without Raft of its own: what it proposes goes into its host's entries, under the other slot;
leadership is its host's. Not here: the move of a message (`jetstream.dead_letter_apply`), its files
(`dead_letter_stores`), when such a stream is made or ends (`dead_letters`).
"""

from typing import Final

from broker.cluster.groups.group import Waiter
from broker.cluster.meta.assignment import Assignment
from broker.cluster.streams.stream_group import StreamGroup
from broker.jetstream.ops import SLOT_DEAD_LETTERS
from broker.jetstream.stream import StreamMachine


class HostedStream(StreamGroup):
    """See the module's text."""

    def __init__(self, host: StreamGroup, assignment: Assignment, machine: StreamMachine) -> None:
        store = host.stores.store
        assert store is not None
        super().__init__(
            assignment, host.raft, host.log, machine, store, host.stores, host.answers, host.router, host.clock,
            host.rng, host.dead_letters, host.batch_quota,
        )  # fmt: skip
        self.delivery.context.domain = host.answers.domain
        self.slot = SLOT_DEAD_LETTERS
        self._host: Final = host
        self.confirmed_reads = host.confirmed_reads  # Raft answers its group, which is the host's

    def add_op(self, op: bytes, waiter: Waiter | None, urgent: bool) -> None:
        self._host.add_op(op, waiter, urgent)

    def touch(self) -> None:
        self._host.touch()

    def pending_bytes(self) -> int:
        """With what the host has under way."""
        return self._host.ops_bytes + super().pending_bytes()
