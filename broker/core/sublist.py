"""All subscriptions, by subject.

Is: `Sublist` (literal subjects in a dict, the others in a tree of tokens) and `SublistResult`, what a subject leads to,
sorted by how it is delivered.
Is not: a cache of results (`router` keeps that, and marks them when interest changes).
Invariants: results are snapshots: nothing in one changes but `is_current`, which goes from True to False once.
Subjects that may not be subscribed to never enter; a subject with an empty token matches nothing.
Read next: `router.py`.
"""

from typing import Final

from broker.core.subjects import ANY, REST, is_insertable, is_literal
from broker.core.subscription import (
    ClientSubscription,
    RoutePeer,
    RouteSubscription,
    ServiceSubscription,
    StreamIngress,
    StreamSubscription,
    Subscription,
)

ACK_PREFIX: Final = b"$JS.ACK."


class QueueGroup:
    """The members of one queue group that a subject leads to."""

    def __init__(self, queue: bytes) -> None:
        self.queue: Final = queue
        self.local: Final[list[Subscription]] = []  # clients' and services'
        self.remote: Final[list[RouteSubscription]] = []
        self.remote_weight: int = 0


_NO_CLIENTS: Final[list[ClientSubscription]] = []  # shared by results, never changed
_NO_GROUPS: Final[list[QueueGroup]] = []
_NO_SERVICES: Final[list[ServiceSubscription]] = []
_NO_PEERS: Final[list[RoutePeer]] = []


class SublistResult:
    """What a subject leads to. Once `is_current` is False it must be looked up again."""

    def __init__(self, found: list[Subscription]) -> None:
        self.is_current: bool = True
        self.plain: list[ClientSubscription] = _NO_CLIENTS
        self.groups: list[QueueGroup] = _NO_GROUPS
        self.services: list[ServiceSubscription] = _NO_SERVICES
        self.peers: list[RoutePeer] = _NO_PEERS  # those with plain interest, each once
        self.ingress: StreamIngress | None = None
        self.is_empty: Final = not found
        for subscription in found:
            self._add(subscription)
        # Whether a run of messages may be written in one go: nothing is chosen or called per message.
        has_stream = self._has_stream()
        self.is_plain: Final = not self.groups and not self.services and not has_stream
        self.is_stream_only: Final = has_stream and len(found) == 1

    def fanout(self) -> int:
        """How many get a message; a queue group counts as one."""
        return len(self.plain) + len(self.groups) + len(self.services) + len(self.peers) + int(self._has_stream())

    def _has_stream(self) -> bool:
        return self.ingress is not None

    def _add(self, subscription: Subscription) -> None:
        if subscription.queue:
            self._add_member(subscription)
        elif isinstance(subscription, ClientSubscription):
            if self.plain is _NO_CLIENTS:
                self.plain = []
            self.plain.append(subscription)
        elif isinstance(subscription, RouteSubscription):
            if self.peers is _NO_PEERS:
                self.peers = []
            if subscription.peer not in self.peers:
                self.peers.append(subscription.peer)
        elif isinstance(subscription, ServiceSubscription):
            if self.services is _NO_SERVICES:
                self.services = []
            self.services.append(subscription)
        elif isinstance(subscription, StreamSubscription):
            self.ingress = subscription.ingress

    def _add_member(self, subscription: Subscription) -> None:
        if self.groups is _NO_GROUPS:
            self.groups = []
        group = self.group(subscription.queue)
        if group is None:
            group = QueueGroup(subscription.queue)
            self.groups.append(group)
        if isinstance(subscription, RouteSubscription):
            group.remote.append(subscription)
            group.remote_weight += subscription.weight
        else:
            group.local.append(subscription)

    def group(self, queue: bytes) -> QueueGroup | None:
        for group in self.groups:
            if group.queue == queue:
                return group
        return None


class _Level:
    """A place in the tree: what is subscribed with exactly these tokens, with `>` behind them, and what goes on."""

    def __init__(self) -> None:
        self.children: Final[dict[bytes, _Level]] = {}
        self.any: _Level | None = None
        self.here: Final[list[Subscription]] = []
        self.rest: Final[list[Subscription]] = []

    def is_unused(self) -> bool:
        return not self.children and self.any is None and not self.here and not self.rest


def prefix_of(subject: bytes) -> bytes:
    """Everything up to the last dot, with it; b"" when there is none."""
    position = len(subject) - 1
    while position >= 0 and subject[position] != 46:
        position -= 1
    return subject[: position + 1]


class Sublist:
    def __init__(self) -> None:
        self.count: int = 0
        self._literals: Final[dict[bytes, list[Subscription]]] = {}
        self._prefixes: Final[dict[bytes, int]] = {}  # how many literal subjects share everything but the last token
        self._ack_literals: int = 0
        self._root: Final = _Level()

    def insert(self, subscription: Subscription) -> bool:
        """False when the subject may not be subscribed to."""
        subject = subscription.subject
        if not is_insertable(subject):
            return False
        self.count += 1
        if is_literal(subject):
            members = self._literals.get(subject)
            if members is None:
                self._literals[subject] = [subscription]
                prefix = prefix_of(subject)
                self._prefixes[prefix] = self._prefixes.get(prefix, 0) + 1
                if subject.startswith(ACK_PREFIX):
                    self._ack_literals += 1
            else:
                members.append(subscription)
            return True
        level = self._root
        for token in subject.split(b"."):
            if token == REST:
                level.rest.append(subscription)
                return True
            following = level.any if token == ANY else level.children.get(token)
            if following is None:
                following = _Level()
                if token == ANY:
                    level.any = following
                else:
                    level.children[token] = following
            level = following
        level.here.append(subscription)
        return True

    def remove(self, subscription: Subscription) -> bool:
        """False when it was not there."""
        subject = subscription.subject
        members = self._literals.get(subject)
        if members is not None and subscription in members:
            members.remove(subscription)
            if not members:
                del self._literals[subject]
                if subject.startswith(ACK_PREFIX):
                    self._ack_literals -= 1
                prefix = prefix_of(subject)
                left = self._prefixes[prefix] - 1
                if left:
                    self._prefixes[prefix] = left
                else:
                    del self._prefixes[prefix]
            self.count -= 1
            return True
        if self._remove_wildcard(subscription, subject.split(b".")):
            self.count -= 1
            return True
        return False

    def _remove_wildcard(self, subscription: Subscription, tokens: list[bytes]) -> bool:
        level = self._root
        path = [level]
        for token in tokens:
            if token == REST:
                break
            following = level.any if token == ANY else level.children.get(token)
            if following is None:
                return False
            level = following
            path.append(level)
        members = level.rest if tokens[-1] == REST else level.here
        if subscription not in members:
            return False
        members.remove(subscription)
        while len(path) > 1 and path[-1].is_unused():
            unused = path.pop()
            parent = path[-1]
            if parent.any is unused:
                parent.any = None
            else:
                del parent.children[tokens[len(path) - 1]]
        return True

    def match(self, subject: bytes) -> list[Subscription]:
        """Everything subscribed to a literal subject."""
        found: list[Subscription] = []
        members = self._literals.get(subject)
        if members is not None:
            found.extend(members)
        root = self._root
        if root.children or root.any is not None or root.rest:
            tokens = subject.split(b".")
            if b"" in tokens:
                return found
            for level in self._reached(tokens, len(tokens), found):
                found.extend(level.here)
        return found

    def _reached(self, tokens: list[bytes], depth: int, passed: list[Subscription]) -> list[_Level]:
        """The levels that the first `depth` tokens lead to; what ends in `>` on the way is added to `passed`."""
        levels = [self._root]
        for position in range(depth):
            token = tokens[position]
            following: list[_Level] = []
            for level in levels:
                passed.extend(level.rest)
                child = level.children.get(token)
                if child is not None:
                    following.append(child)
                if level.any is not None:
                    following.append(level.any)
            if not following:
                return following
            levels = following
        return levels

    def is_uniform(self, prefix: bytes) -> bool:
        """Whether all subjects made of `prefix` (which ends in a dot) and one more token lead to the same."""
        if prefix in self._prefixes:
            return False
        tokens = prefix.split(b".")
        if b"" in tokens[:-1]:
            return False
        passed: list[Subscription] = []
        return all(not level.children for level in self._reached(tokens, len(tokens) - 1, passed))

    def is_uniform_for_acks(self) -> bool:
        """The same for all subjects that begin with `$JS.ACK.`, however many tokens follow."""
        if self._ack_literals:
            return False
        passed: list[Subscription] = []
        for level in self._reached(ACK_PREFIX.split(b"."), 2, passed):
            if level.children or level.any is not None:
                return False
        return True

    def all(self) -> list[Subscription]:
        """Every subscription, in no particular but a reproducible order."""
        found: list[Subscription] = []
        for members in self._literals.values():
            found.extend(members)
        levels = [self._root]
        while levels:
            level = levels.pop()
            found.extend(level.here)
            found.extend(level.rest)
            levels.extend(level.children.values())
            if level.any is not None:
                levels.append(level.any)
        return found
