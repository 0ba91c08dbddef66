"""From the node a client happens to be connected to, to the node that leads: publishes, acks and API requests.

Work for a group that leads here is done at once. Otherwise it goes to the leader over the peer link, or, while no
leader is known, it is held for a short time within a bound: what was never sent can safely wait. What was sent and
is not answered when the link breaks is answered with an error at once, because only its publisher may decide
whether to try again.

A node that is not the leader (any more) passes on what it received directly from the first node, once; after that
it holds it, so that two nodes that believe each other to lead do not play ping-pong.

Read next: `dispatch` (which group a request is for), `answers` (the way back).
"""

from typing import Final

from mypy_extensions import mypyc_attr

from broker.cluster.links.answers import LOCAL, Answers
from broker.cluster.links.columns import SUBJECT_MAX, Columns
from broker.cluster.links.link import PeerLink
from broker.cluster.links.transport import LinkTable
from broker.cluster.meta.identity import META_GROUP
from broker.cluster.turn_clock import TurnClock

HOLD_NS: Final = 2_500_000_000
HOLD_BYTES_MAX: Final = 32 * 1024 * 1024
HELD_OVERHEAD: Final = 200
EXPECTED_MAX: Final = 200_000

API_PREFIX: Final = b"$JS.API."
INNER_PREFIX: Final = b"$TMQ."  # what nodes ask one another
PULL_PREFIX: Final = b"$JS.API.CONSUMER.MSG.NEXT."  # answered by messages, or never
FORGET_NS: Final = 60_000_000_000

PUBLISH: Final = 0
ACK: Final = 1
REQUEST: Final = 2


class Held:
    """One message that waits for a leader to be known."""

    def __init__(
        self, kind: int, subject: bytes, reply: bytes, header_length: int, data: bytes, origin: str, deadline_ns: int
    ) -> None:
        self.kind: Final = kind
        self.subject: Final = subject
        self.reply: Final = reply
        self.header_length: Final = header_length
        self.data: Final = data
        self.origin: Final = origin
        self.deadline_ns: Final = deadline_ns
        self.size: Final = len(subject) + len(reply) + len(data) + HELD_OVERHEAD


@mypyc_attr(allow_interpreted_subclasses=True)
class LeaderDirectory:
    """Who leads a group, and how work is done that leads here. Implemented by the JetStream service of the node."""

    def leader_of(self, group: int) -> str:
        """The peer to send work for `group` to (possibly this node); "" when nobody is known to lead."""
        raise NotImplementedError

    def perform(
        self, group: int, kind: int, subject: bytes, reply: bytes, header_length: int, data: bytes, origin: str
    ) -> None:
        """Do the work: this node leads the group."""
        raise NotImplementedError

    def was_deleted(self, group: int) -> bool:
        """Whether the group's stream is known to be gone: then the meta leader answers requests for it."""
        raise NotImplementedError

    def is_offline(self, group: int) -> bool:
        """Whether nobody will lead the group until an operator has done something on this node."""
        raise NotImplementedError

    def refuse(self, kind: int, subject: bytes, reply: bytes, origin: str, is_offline: bool = False) -> None:
        """Say that the system is temporarily unavailable, or that the stream is offline."""
        raise NotImplementedError


class Forwarder:
    """Routes work for groups to their leaders."""

    def __init__(
        self, peer: str, links: LinkTable, answers: Answers, clock: TurnClock, directory: LeaderDirectory
    ) -> None:
        self._peer: Final = peer
        self._links: Final = links
        self._answers: Final = answers
        self._clock: Final = clock
        self._directory: Final = directory
        self._held: dict[int, list[Held]] = {}
        self._held_bytes: int = 0
        self._forget_at_ns: int = 0

    def submit(
        self,
        group: int,
        kind: int,
        subject: bytes,
        reply: bytes,
        header_length: int,
        data: bytes,
        origin: str,
        came_from: str,
    ) -> None:
        """Work that a client of this node asked for (both LOCAL), or that came over the link to `came_from`."""
        if kind == REQUEST and self._directory.was_deleted(group):
            group = META_GROUP
        leader = self._directory.leader_of(group)
        waits = group in self._held  # and nobody overtakes who waits
        if leader == self._peer and not waits:
            self._directory.perform(group, kind, subject, reply, header_length, data, origin)
            return
        link = self._links.links.get(leader) if leader and not waits else None
        if link is None and self._directory.is_offline(group):
            self._directory.refuse(kind, subject, reply, origin, True)
        elif link is None or leader == origin or origin != came_from:
            self._hold(group, Held(kind, subject, reply, header_length, data, origin, self._clock.now_ns + HOLD_NS))
        elif not self._send(link, group, kind, subject, reply, header_length, data, origin):
            self._directory.refuse(kind, subject, reply, origin)

    def _send(
        self,
        link: PeerLink,
        group: int,
        kind: int,
        subject: bytes,
        reply: bytes,
        header_length: int,
        data: bytes,
        origin: str,
    ) -> bool:
        if len(subject) > SUBJECT_MAX or len(reply) > SUBJECT_MAX:
            return False  # only where `max_control_line` was raised that far
        table: dict[int, Columns]
        if kind == PUBLISH:
            table = link.publishes
        elif kind == ACK:
            table = link.acks
        else:
            table = link.requests
        block = link.columns(table, group)
        if block is None:
            return False
        if reply and origin == LOCAL and kind != ACK and not subject.startswith(PULL_PREFIX):
            if self._answers.expected_count(link.peer) >= EXPECTED_MAX:
                return False
            self._answers.expect(link.peer, reply, subject)
        block.add(subject, origin.encode(), reply, header_length, data)
        link.dirty = True
        return True

    def _hold(self, group: int, held: Held) -> None:
        if self._held_bytes + held.size > HOLD_BYTES_MAX:
            self._directory.refuse(held.kind, held.subject, held.reply, held.origin)
            return
        self._held_bytes += held.size
        waiting = self._held.get(group)
        if waiting is None:
            self._held[group] = [held]
        else:
            waiting.append(held)

    def leader_changed(self, group: int) -> None:
        """Somebody leads now, or nobody does: what is held gets another try, in order."""
        for held in self._take_held(group):
            self._retry(group, held)

    def _take_held(self, group: int) -> list[Held]:
        waiting = self._held.pop(group, None)
        if waiting is None:
            return []
        for held in waiting:
            self._held_bytes -= held.size
        return waiting

    def tick(self) -> None:
        """Give up on what waited too long; retry the rest, as a link may have come up."""
        if self._clock.now_ns >= self._forget_at_ns:
            self._forget_at_ns = self._clock.now_ns + FORGET_NS
            self._answers.forget_old()
        for group in list(self._held):
            for held in self._take_held(group):
                if held.deadline_ns <= self._clock.now_ns:
                    self._directory.refuse(held.kind, held.subject, held.reply, held.origin)
                else:
                    self._retry(group, held)

    def _retry(self, group: int, held: Held) -> None:
        if held.kind == REQUEST and self._directory.was_deleted(group):
            group = META_GROUP
        leader = self._directory.leader_of(group)
        if leader == self._peer:
            self._directory.perform(
                group, held.kind, held.subject, held.reply, held.header_length, held.data, held.origin
            )
            return
        link = self._links.links.get(leader) if leader and leader != held.origin else None
        if link is not None and self._send(
            link, group, held.kind, held.subject, held.reply, held.header_length, held.data, held.origin
        ):
            return
        self._hold(group, held)

    def link_lost(self, peer: str) -> None:
        """What `peer` did not answer will not be answered by it: tell the clients now."""
        expected = self._answers.take_expected(peer)
        for reply, subject in expected.items():
            kind = REQUEST if subject.startswith((API_PREFIX, INNER_PREFIX)) else PUBLISH
            self._directory.refuse(kind, subject, reply, LOCAL)
