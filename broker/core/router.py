"""The choke point: whatever is published on this node passes here.

Is: `Router`: who subscribed, what a subject leads to (remembered), publishing, JetStream's deliveries, messages from
routes, and what must be told to routes. How bytes are laid out for each receiver is `delivery`'s.
Is not: a protocol state; sessions parse and authorise before they call.
Invariants:
* a message goes to every plain subscription, to one member of each queue group, and once to each route it needs;
* what came over a route is never sent to a route and never enters a stream;
* a remembered result whose interest changed says so (`is_current`), so that every memo hanging on it is dropped.

For a route session (or its glue): make a `RoutePeer`, call `remote_interest(peer, subject, queue, weight)` for each
RS+/RS-, `route_message(...)` for each RMSG/HMSG, `remove_peer(peer)` at the end; implement `RoutePeer.write`; add an
`InterestListener` with `add_listener`, and begin with `local_interest()`.
For the node: `take_dirty()` after each turn.
Read next: `delivery.py`, `session.py`.
"""

import random
from typing import Final

from mypy_extensions import i64

from broker.core.delivery import Delivery
from broker.core.interest import InterestListener, InterestWatcher, LocalInterest, Watchers
from broker.core.outbox import Outbox
from broker.core.subjects import is_literal
from broker.core.sublist import ACK_PREFIX, Sublist, SublistResult, prefix_of
from broker.core.subscription import (
    ClientSubscription,
    RoutePeer,
    RouteSubscription,
    ServiceSubscription,
    StreamIngress,
    StreamSubscription,
    Subscriber,
    Subscription,
)

__all__ = [
    "InterestListener",
    "InterestWatcher",
    "RoutePeer",
    "Router",
    "ServiceSubscription",
    "StreamIngress",
    "Subscriber",
]

_RESULTS_MAX: Final = 8192


class Router:
    def __init__(self, rng: random.Random | None = None) -> None:
        self.delivery: Final = Delivery((rng or random.Random(0)).getrandbits(30))
        self.in_messages: int = 0  # published by clients of this node
        self.in_bytes: int = 0
        self.generation: int = 0  # counts every change of interest
        self.inserts: int = 0  # the changes that added some
        self.lookups: i64 = 0
        self.misses: i64 = 0  # look-ups that nothing remembered
        self._sublist: Final = Sublist()
        self._results: Final[dict[bytes, SublistResult]] = {}
        # What all subjects lead to that differ in their last token only, by everything before it.
        self._prefix_results: Final[dict[bytes, SublistResult]] = {}
        self._ack_result: SublistResult | None = None
        self._ack_known: bool = False
        self._dirty: list[Outbox] = []
        self._local: Final = LocalInterest()
        self._watchers: Final = Watchers()
        self._streams: Final[dict[bytes, list[StreamSubscription]]] = {}  # by subject
        self._last_inbox: bytes = b""
        self._last_result: SublistResult | None = None

    # Outboxes

    def outbox(self, cid: int, max_pending: int) -> Outbox:
        return Outbox(cid, max_pending, self._dirty)

    def take_dirty(self) -> list[Outbox]:
        """Outboxes that got something to send, or are to be closed, since the last call."""
        dirty = self._dirty[:]
        self._dirty.clear()
        return dirty

    # Interest

    def subscribe(self, subscription: Subscription) -> bool:
        """A client or a service of this node subscribes. False when the subject may not be subscribed to."""
        if not self._insert(subscription):
            return False
        if _is_announced(subscription):
            self._local.change(subscription.subject, subscription.queue, 1)
        return True

    def unsubscribe(self, subscription: Subscription) -> None:
        """Forget it; nothing happens when it is not there."""
        if self._remove(subscription) and _is_announced(subscription):
            self._local.change(subscription.subject, subscription.queue, -1)

    def add_stream(self, subject: bytes, ingress: StreamIngress) -> None:
        """Messages published here to what matches `subject` enter a stream."""
        subscription = StreamSubscription(subject, ingress)
        if self._insert(subscription):
            self._streams.setdefault(subject, []).append(subscription)

    def remove_stream(self, subject: bytes, ingress: StreamIngress) -> None:
        known = self._streams.get(subject, [])
        for subscription in known:
            if subscription.ingress is ingress:
                self._remove(subscription)
                known.remove(subscription)
                if not known:
                    del self._streams[subject]
                return

    def remote_interest(self, peer: RoutePeer, subject: bytes, queue: bytes, weight: int) -> None:
        """A peer wants a subject (again: with a changed weight), or, with weight 0, no longer."""
        key = subject + b" " + queue
        known = peer.subscriptions.pop(key, None)
        if known is not None:
            self._remove(known)
        if weight > 0:
            subscription = RouteSubscription(peer, subject, queue, weight if queue else 1)
            if self._insert(subscription):
                peer.subscriptions[key] = subscription

    def remove_peer(self, peer: RoutePeer) -> None:
        for subscription in list(peer.subscriptions.values()):
            self._remove(subscription)
        peer.subscriptions.clear()

    def add_listener(self, listener: InterestListener) -> None:
        self._local.listeners.append(listener)

    def local_interest(self) -> list[tuple[bytes, bytes, int]]:
        """(subject, queue, weight) of everything that is wanted on this node: what a new route is told first."""
        return self._local.all()

    def watch(self, subject: bytes, watcher: InterestWatcher) -> None:
        """Tell `watcher` whenever interest in a literal subject may have changed, here or on another node."""
        self._watchers.add(subject, watcher)

    def unwatch(self, subject: bytes, watcher: InterestWatcher) -> None:
        self._watchers.remove(subject, watcher)

    def has_interest(self, subject: bytes, queue: bytes = b"") -> bool:
        """Whether anybody, here or on another node, would get a message to `subject`; as a member of `queue`, if
        given."""
        result = self.lookup(subject)
        if queue:
            return result.group(queue) is not None
        return bool(result.plain or result.groups or result.peers)

    def is_named(self, subject: bytes) -> bool:
        """Whether a plain subscription, here or on another node, is to this very subject and not to a wildcard."""
        result = self.lookup(subject)
        key = subject + b" "
        return any(one.subject == subject for one in result.plain) or any(
            key in peer.subscriptions for peer in result.peers
        )

    def count(self) -> int:
        """Subscriptions of all kinds."""
        return self._sublist.count

    def remembered(self) -> int:
        """How many results."""
        return len(self._results) + len(self._prefix_results)

    def fanouts(self) -> list[int]:
        """To how many each remembered result leads."""
        return [result.fanout() for result in [*self._results.values(), *self._prefix_results.values()]]

    def _insert(self, subscription: Subscription) -> bool:
        if not self._sublist.insert(subscription):
            return False
        self.inserts += 1
        self._changed(subscription.subject)
        return True

    def _remove(self, subscription: Subscription) -> bool:
        if not self._sublist.remove(subscription):
            return False
        self._changed(subscription.subject)
        return True

    # Results

    def _changed(self, subject: bytes) -> None:
        """Interest in `subject` changed: what was remembered and may differ now is no longer current."""
        self.generation += 1
        if is_literal(subject):
            _outdate(self._results.pop(subject, None))
            _outdate(self._prefix_results.pop(prefix_of(subject), None))
            if subject.startswith(ACK_PREFIX):
                self._forget_acks()
        else:
            self._forget_all()
        self._watchers.changed(subject)

    def _forget_all(self) -> None:
        for result in self._results.values():
            result.is_current = False
        for result in self._prefix_results.values():
            result.is_current = False
        self._results.clear()
        self._prefix_results.clear()
        self._forget_acks()

    def _forget_acks(self) -> None:
        _outdate(self._ack_result)
        self._ack_result = None
        self._ack_known = False

    def lookup(self, subject: bytes) -> SublistResult:
        """What a literal subject leads to, from memory where possible.

        Subjects that nobody distinguishes (unique inboxes, acks, one subject per order) share a result.
        """
        self.lookups += 1
        result = self._results.get(subject)
        if result is not None:
            return result
        if subject.startswith(ACK_PREFIX) and subject[-1] != 46 and b".." not in subject:  # no empty token
            if not self._ack_known:
                self._ack_known = True
                self._ack_result = (
                    SublistResult(self._sublist.match(ACK_PREFIX + b"x"))
                    if self._sublist.is_uniform_for_acks()
                    else None
                )
            if self._ack_result is not None:
                return self._ack_result
        prefix = prefix_of(subject)
        result = self._prefix_results.get(prefix)
        if result is not None and len(prefix) < len(subject):
            return result
        if len(self._results) + len(self._prefix_results) >= _RESULTS_MAX:
            self._forget_all()
        self.misses += 1
        result = SublistResult(self._sublist.match(subject))
        if prefix and len(prefix) < len(subject) and self._sublist.is_uniform(prefix):
            self._prefix_results[prefix] = result
        else:
            self._results[subject] = result
        return result

    # Messages

    def publish(self, source: Subscriber | None, subject: bytes, reply: bytes, header_length: int, data: bytes) -> int:
        """A client's message (authorised), or, without a source, the node's own. Number of receivers; 0: nobody.

        `data` is headers (of `header_length` bytes), then payload.
        """
        result = self.lookup(subject)
        if result.is_empty:
            return 0
        return self.delivery.publish(result, source, subject, reply, header_length, data)

    def deliver(self, inbox: bytes, subject: bytes, reply: bytes, header_length: int, data: bytes) -> int:
        """A message of a stream for the subscribers of `inbox`, who read `subject` in its line."""
        result = self._last_result
        if result is None or not result.is_current or inbox != self._last_inbox:
            result = self.lookup(inbox)
            self._last_inbox = inbox
            self._last_result = result
        if result.is_empty:
            return 0
        return self.delivery.deliver(result, inbox, subject, reply, header_length, data)

    def route_message(
        self, peer: RoutePeer, subject: bytes, reply: bytes, queues: list[bytes], header_length: int, data: bytes
    ) -> int:
        """A message that came over a route: for the plain subscriptions here and one member of each group named."""
        peer.in_messages += 1
        result = self.lookup(subject)
        if result.is_empty:
            return 0
        return self.delivery.from_route(result, peer, subject, reply, queues, header_length, data)


def _outdate(result: SublistResult | None) -> None:
    if result is not None:
        result.is_current = False


def _is_announced(subscription: Subscription) -> bool:
    if isinstance(subscription, ServiceSubscription):
        return subscription.announced
    return isinstance(subscription, ClientSubscription)
