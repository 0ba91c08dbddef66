"""What waits to be sent on one connection: parts, joined once a turn.

Is: a list of `bytes`, a bound, and the wish to close. The first part of a turn enters the outbox in the list of dirty
ones that the router hands to the node.
Is not: a socket; the rim sends and says what stays unsent.
Invariants: `pending_bytes` never grows beyond `max_pending` for longer than the append that notices it; an outbox that
is closed takes nothing more; closing never raises.
Read next: `subscription.py`, `router.py`.
"""

from typing import Final

from mypy_extensions import i64

from broker.wire.errors import SLOW_CONSUMER_PENDING

_PARTS_MAX: Final = 4096  # joined then, as small parts cost more memory than bytes on the wire


class Outbox:
    """The output of connection `cid`.

    The node, for each outbox of `router.take_dirty()`: send `take()`; when `close_reason` is set, close the
    connection, after the output has left unless `drop_output`.
    """

    def __init__(self, cid: int, max_pending: int, dirty: "list[Outbox]") -> None:
        self.cid: Final = cid
        self.max_pending: i64 = max_pending
        self.pending_bytes: i64 = 0
        self.close_reason: str = ""
        self.drop_output: bool = False
        self.is_slow: bool = False
        self.is_dirty: bool = False
        self.parts: list[bytes] = []
        self._dirty: Final = dirty

    def is_closed(self) -> bool:
        return bool(self.close_reason)

    def append(self, data: bytes) -> None:
        if self.close_reason:
            return
        if not self.is_dirty:
            self.mark_dirty()
        self.parts.append(data)
        self.grow(len(data))

    def append_pair(self, head: bytes, body: bytes) -> None:
        """A message: its line and its body, which ends in CRLF."""
        if self.close_reason:
            return
        if not self.is_dirty:
            self.mark_dirty()
        self.parts.append(head)
        self.parts.append(body)
        self.grow(len(head) + len(body))

    def grow(self, size: i64) -> None:
        """`size` bytes were put into `parts`. Beyond the bound the connection is a slow consumer and ends at once."""
        self.pending_bytes += size
        if self.pending_bytes > self.max_pending:
            self.is_slow = True
            self.close(SLOW_CONSUMER_PENDING, drop_output=True)
        elif len(self.parts) > _PARTS_MAX:
            self._compact()

    def mark_dirty(self) -> None:
        self.is_dirty = True
        self._dirty.append(self)

    def _compact(self) -> None:
        """Join the small parts behind the last big one, so that nothing is joined more than a few times."""
        parts = self.parts
        start = len(parts)
        while start > 0 and len(parts[start - 1]) < 65536:
            start -= 1
        if len(parts) - start > 1:
            tail = b"".join(parts[start:])
            del parts[start:]
            parts.append(tail)

    def take(self) -> bytes:
        """Everything that waits, as one piece. Taken bytes no longer count: take only when the socket is empty."""
        self.is_dirty = False
        parts = self.parts
        if not parts:
            return b""
        output = parts[0] if len(parts) == 1 else b"".join(parts)
        self.parts = []
        self.pending_bytes = 0
        return output

    def close(self, reason: str, drop_output: bool) -> None:
        """Ask for the connection to be closed; the first reason stays."""
        if self.close_reason:
            return
        self.close_reason = reason
        self.drop_output = drop_output
        if drop_output:
            self.parts = []
            self.pending_bytes = 0
        if not self.is_dirty:
            self.mark_dirty()
