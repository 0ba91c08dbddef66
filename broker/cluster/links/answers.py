"""Where answers go: to a client of this node, to the node that the request came through, or to an inner caller.

A request that entered the cluster at node A and is answered at its leader B goes back to A over the peer link, and
A publishes it: only A is sure to know the requester's inbox already, since interest travels on other connections.
"""

from typing import Final

from mypy_extensions import mypyc_attr

from broker.cluster.links.transport import LinkTable
from broker.core.router import Router

INNER_PREFIX: Final = b"_TMQ."
LOCAL: Final = ""
ERROR_WITHIN: Final = 120  # an answer begins with its type, then comes the error
_ERROR: Final = b'"error":{"code"'


@mypyc_attr(allow_interpreted_subclasses=True)
class InnerCaller:
    """A part of this node that asked a leader something, and is not a client."""

    def answered(self, inbox: bytes, data: bytes) -> None:
        """The payload of the answer."""
        raise NotImplementedError


class Answers:
    """Sends answers; remembers which ones are still expected from which peer."""

    def __init__(self, router: Router, links: LinkTable, domain: str = "") -> None:
        """`domain`: of JetStream, which answers to publishers name."""
        self.domain: Final = domain
        self.api_total: int = 0  # answers of the API that were given here
        self.api_errors: int = 0
        self._router: Final = router
        self._links: Final = links
        self.overheard: dict[bytes, InnerCaller] = {}  # who else wants the answer that goes to a client's inbox
        self._inner: dict[bytes, InnerCaller] = {}
        self._inner_count: int = 0
        self._expected: dict[str, dict[bytes, bytes]] = {}
        self._expected_long: dict[str, dict[bytes, bytes]] = {}  # since before `forget_old` was called last

    def say(self, origin: str, inbox: bytes, payload: bytes) -> None:
        """Send an answer of the API, and count it."""
        if not inbox.startswith(INNER_PREFIX):
            self.api_total += 1
            if _ERROR in payload[:ERROR_WITHIN]:
                self.api_errors += 1
        self.send(origin, inbox, b"", b"", 0, payload)

    def send(self, origin: str, inbox: bytes, subject: bytes, reply: bytes, header_length: int, data: bytes) -> None:
        """Publish at `origin`: matched by `inbox`, written with `subject` (b"": the inbox itself)."""
        if origin == LOCAL:
            if inbox.startswith(INNER_PREFIX):
                self._answer_inner(inbox, data)
            else:
                self._router.deliver(inbox, subject or inbox, reply, header_length, data)
                if self.overheard:
                    listener = self.overheard.pop(inbox, None)
                    if listener is not None:
                        listener.answered(inbox, data)
            return
        link = self._links.links.get(origin)
        if link is not None and link.output_bytes + link.answers.bytes < self._links.answers_bytes_max:
            link.answers.add(inbox, subject, reply, header_length, data)
            link.dirty = True

    def received(self, peer: str, inbox: bytes, subject: bytes, reply: bytes, header_length: int, data: bytes) -> None:
        """An answer that a peer asks us to publish."""
        expected = self._expected.get(peer)
        if not expected or expected.pop(inbox, None) is None:
            expected = self._expected_long.get(peer)
            if expected:
                expected.pop(inbox, None)
        self.send(LOCAL, inbox, subject, reply, header_length, data)

    # What is expected from peers.

    def expect(self, peer: str, inbox: bytes, subject: bytes) -> None:
        """A request or publish on `subject`, to be answered at `inbox`, went to `peer`."""
        expected = self._expected.get(peer)
        if expected is None:
            expected = self._expected[peer] = {}
        expected[inbox] = subject

    def expected_count(self, peer: str) -> int:
        """How many answers are missing from `peer`."""
        expected = self._expected.get(peer)
        long = self._expected_long.get(peer)
        return (0 if expected is None else len(expected)) + (0 if long is None else len(long))

    def take_expected(self, peer: str) -> dict[bytes, bytes]:
        """The link to `peer` broke: all that it will not answer, subject by inbox."""
        found = self._expected_long.pop(peer, {})
        found.update(self._expected.pop(peer, {}))
        return found

    def forget_old(self) -> None:
        """Called now and then: what was expected at the last call already is no longer. Some answers never come (they
        were lost at a change of leader, or came through another peer), and their number is bounded."""
        self._expected_long = self._expected
        self._expected = {}

    # Callers inside the node.

    def inner_inbox(self, caller: InnerCaller) -> bytes:
        """A fresh reply subject for a request of our own."""
        self._inner_count += 1
        inbox = INNER_PREFIX + str(self._inner_count).encode()
        self._inner[inbox] = caller
        return inbox

    def forget_inner(self, inbox: bytes) -> None:
        """Nobody waits for this one any more."""
        self._inner.pop(inbox, None)

    def _answer_inner(self, inbox: bytes, data: bytes) -> None:
        caller = self._inner.pop(inbox, None)
        if caller is not None:
            caller.answered(inbox, data)
