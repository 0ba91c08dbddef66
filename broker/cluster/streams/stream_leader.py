"""What a stream's leader does about the effects of an entry, and the world as its consumers see it.

Followers apply the same entries and do nothing: `LeaderSink` looks whether this node leads. Not here: the entries
(`stream_group`), what an operation does (`jetstream.stream`).
"""

from typing import TYPE_CHECKING, Final

from mypy_extensions import mypyc_attr

from broker.cluster.groups.group import Waiter
from broker.cluster.links.answers import LOCAL
from broker.cluster.streams.publishing import PublishWaiter
from broker.core.router import InterestWatcher, Router
from broker.jetstream.api_errors import ApiError
from broker.jetstream.consumers.consumer import Consumer
from broker.jetstream.delivery.delivery_output import DeliveryOutput, OpWaiter
from broker.jetstream.delivery.push import PushSubjects
from broker.jetstream.effects import EffectSink
from broker.jetstream.ops import SLOT_OWN

if TYPE_CHECKING:
    from broker.cluster.streams.stream_group import StreamGroup


@mypyc_attr(allow_interpreted_subclasses=True)
class DeadLetterListener:
    """Who makes and ends dead-letter streams (`dead_letters`)."""

    def wanted(self, group: "StreamGroup") -> None:
        """A message was given up and there is no stream for it; this node leads."""

    def changed(self, group: "StreamGroup") -> None:
        """The machine's dead-letter stream began or ended."""


class OutcomeWaiter(Waiter):
    """Passes the outcome of an operation on to a consumer's leader side."""

    def __init__(self, waiter: OpWaiter) -> None:
        self.waiter: Final = waiter

    def applied(self, result: object) -> None:
        """The operation was applied here."""
        self.waiter.applied(result)

    def abandoned(self) -> None:
        self.waiter.abandoned()


class LeaderSink(EffectSink):
    """Effects of the entry being applied, performed because this node proposed it."""

    def __init__(self, group: "StreamGroup") -> None:
        super().__init__()
        self._group: Final = group
        self.waiters: list[Waiter | None] | None = None
        self.ignored: Final = EffectSink()

    def published(self, ordinal: int, first: int, count: int, first_sequence: int) -> None:
        waiter = self._publish_waiter(ordinal)
        if waiter is not None:
            waiter.acknowledge(first, count, first_sequence)

    def counted(self, ordinal: int, position: int, sequence: int, value: str) -> None:
        waiter = self._publish_waiter(ordinal)
        if waiter is not None:
            waiter.counted(position, sequence, value)

    def duplicate(self, ordinal: int, position: int, sequence: int) -> None:
        waiter = self._publish_waiter(ordinal)
        if waiter is not None:
            waiter.duplicate(position, sequence)

    def refused(self, ordinal: int, position: int, error: ApiError) -> None:
        waiter = self._publish_waiter(ordinal)
        if waiter is not None:
            waiter.refuse(position, error)

    def done(self, ordinal: int, result: object) -> None:
        if self.waiters is not None:
            waiter = self.waiters[ordinal]
            if isinstance(waiter, OutcomeWaiter):
                self.waiters[ordinal] = None
                waiter.applied(result)

    def stored(self, first_sequence: int, last_sequence: int) -> None:
        if self._group.is_leader:
            self._group.delivery.stored()
            self._group.reads.stored()

    def republishes(self) -> bool:
        return self._group.is_leader

    def republish(
        self, subject: bytes, headers: bytes, payload: bytes, sequence: int, timestamp_ns: int, previous: int
    ) -> None:
        mapping = self._group.machine.mapping
        if mapping is None or not self._group.is_leader:
            return
        place = mapping.republished_subject(subject, sequence)
        router = self._group.router
        if place and not router.lookup(place).is_empty:
            head, body = mapping.republished(subject, headers, payload, sequence, timestamp_ns, previous)
            router.publish(None, place, b"", len(head), head + body)

    def removed(self, sequence: int) -> None:
        if self._group.is_leader:
            self._group.delivery.removed(sequence)

    def config_changed(self) -> None:
        if self._group.is_leader and self._group.slot == SLOT_OWN:
            self._group.leader_changes.append(self._group.id)  # its sources may be others

    def consumer_created(self, consumer: Consumer) -> None:
        if self._group.is_leader:
            self._group.delivery.consumer_created(consumer)
            self._group.watcher.follow()
            self._group.tell_leader_of(consumer.name)

    def consumer_reset(self, consumer: Consumer) -> None:
        if self._group.is_leader:
            self._group.delivery.consumer_reset(consumer)

    def consumer_deleted(self, consumer: Consumer) -> None:
        if self._group.is_leader:
            self._group.delivery.consumer_deleted(consumer)
            self._group.watcher.follow()

    def advisory(self, subject: str, fields: dict[str, object]) -> None:
        if self._group.is_leader:
            self._group.advise(subject, fields)

    def dead_letters_wait(self) -> None:
        if self._group.is_leader:
            self._group.dead_letters.wanted(self._group)

    def dead_letter_stream_changed(self) -> None:
        self._group.dead_letters.changed(self._group)

    def of_dead_letters(self) -> EffectSink:
        beside = self._group.beside
        return self.ignored if beside is None else beside.sink

    def _publish_waiter(self, ordinal: int) -> PublishWaiter | None:
        if self.waiters is None:
            return None
        waiter = self.waiters[ordinal]
        return waiter if isinstance(waiter, PublishWaiter) else None


class PushWatcher(InterestWatcher):
    """Hears when somebody subscribes to, or leaves, the deliver subject of a push consumer."""

    def __init__(self, group: "StreamGroup", router: Router) -> None:
        self._group: Final = group
        self._router: Final = router
        self._watched: dict[bytes, bool] = {}
        self._pushes: PushSubjects | None = None  # whose subjects are watched

    def interest_changed(self, subject: bytes) -> None:
        self._group.delivery.interest_changed(subject)
        self._group.touch()

    def follow(self) -> None:
        """Watch exactly the deliver subjects there are."""
        pushes = self._group.delivery.pushes
        changed = pushes.take_changed()
        if pushes is not self._pushes:
            changed.extend(self._watched)  # of a term that is over
            self._pushes = pushes
        for subject in changed:
            if pushes.is_used(subject) == (subject in self._watched):
                continue
            if subject in self._watched:
                del self._watched[subject]
                self._router.unwatch(subject, self)
            else:
                self._watched[subject] = True
                self._router.watch(subject, self)


class StreamOutput(DeliveryOutput):
    """The world as the consumers of one stream see it."""

    def __init__(self, group: "StreamGroup", router: Router) -> None:
        self._group: Final = group
        self._router: Final = router

    def send(self, origin: str, inbox: bytes, subject: bytes, reply: bytes, header_length: int, data: bytes) -> None:
        if origin == LOCAL:
            self._router.deliver(inbox, subject, reply, header_length, data)
        else:
            self._group.answers.send(origin, inbox, subject, reply, header_length, data)

    def propose(self, kind: int, body: bytes, urgent: bool, waiter: OpWaiter) -> None:
        self._group.propose(kind, body, waiter, urgent)

    def has_interest(self, inbox: bytes, queue: bytes) -> bool:
        return self._router.has_interest(inbox, queue)
