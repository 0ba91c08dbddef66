"""What the leader's side of consumers needs from the group it lives in, and how it learns the fate of what it proposed.

Implemented by `broker/cluster`; tests put a recording fake here. Not here: any behaviour.

Rules for the implementor:
* `propose` keeps the order of calls; all operations of a turn may be one entry. `urgent` False: nobody waits for its
  sync.
* Each waiter is told once: `applied` right after the operation was applied on this node, `abandoned` when its fate is
  unknown (leadership lost, proposal refused). Nothing else has to be done about a refused proposal: `Delivery` rebuilds
  itself.
* `send` publishes `data` so that the subscribers of `inbox` get it with `subject` in the message line and `reply` as
  reply; `origin` is the node on which the asker is ("" = this node or unknown). `inbox` equals `subject` for statuses
  and advisories.
"""

from mypy_extensions import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class OpWaiter:
    """Who wants to know what became of one proposed operation."""

    def applied(self, result: object) -> None:
        """The operation is committed and applied here; `result` is what the machine gave to `done` (None if
        nothing)."""

    def abandoned(self) -> None:
        """Whether it will ever be applied is unknown."""


@mypyc_attr(allow_interpreted_subclasses=True)
class DeliveryOutput:
    """The world around a `Delivery`."""

    def send(self, origin: str, inbox: bytes, subject: bytes, reply: bytes, header_length: int, data: bytes) -> None:
        """Publish a message towards `inbox`."""
        raise NotImplementedError

    def propose(self, kind: int, body: bytes, urgent: bool, waiter: OpWaiter) -> None:
        """Append an operation to this turn's entry of the group."""
        raise NotImplementedError

    def has_interest(self, inbox: bytes, queue: bytes) -> bool:
        """Whether anybody, here or on a node with a route, subscribes to `inbox` (with that queue group when given)."""
        raise NotImplementedError
