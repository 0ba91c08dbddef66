"""From a result to bytes: what each receiver of a message gets.

Is: the hot half of the router. `publish_run` writes a whole run of messages with one line, `publish_body` one message.
Is not: matching (`router`), authorisation (`session`).
Invariants: order is kept per publisher and receiver; a message is counted where it is written; a receiver whose outbox
is closed gets nothing and counts as nobody; bodies end in CRLF.
Read next: `outbox.py`.
"""

from typing import Final

from mypy_extensions import i64

from broker.core.sublist import QueueGroup, SublistResult
from broker.core.subscription import (
    ClientSubscription,
    RoutePeer,
    ServiceSubscription,
    Subscriber,
    Subscription,
)
from broker.wire.encode import message_head, route_message_head

_CRLF: Final = b"\r\n"
_MSG: Final = b"MSG "
_HMSG: Final = b"HMSG "
_READY_SIZES: Final = 2048
_SIZE_ENDS: Final = [b"%d\r\n" % size for size in range(_READY_SIZES)]
_SPACED_SIZE_ENDS: Final = [b" %d\r\n" % size for size in range(_READY_SIZES)]
_SPACED_SIZES: Final = [b" %d" % size for size in range(_READY_SIZES)]
_JOIN_BODY_MAX: Final = 4096  # larger bodies are shared by reference instead of copied into a run
_JOIN_BYTES_MAX: Final = 16 * 1024 * 1024  # of all receivers of a run together
_ACK_DOTS: Final = 8  # in `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<sequence>.<time>.<pending>`


class PublishMemo:
    """A publish line that was parsed, authorised and matched once. Messages that repeat it skip all three."""

    def __init__(
        self, line: bytes, subject: bytes, reply: bytes, header_length: int, size: int, result: SublistResult
    ) -> None:
        self.line: Final = line  # with its CRLF
        self.subject: Final = subject
        self.reply: Final = reply
        self.header_length: Final = header_length
        self.size: Final = size
        self.result: SublistResult = result
        self.heads: list[bytes] = []  # one for each of `result.plain`, made when first needed
        self.route_head: bytes = b""
        self.has_twice: bool = False  # some connection gets each message more than once

    def renew(self, result: SublistResult) -> None:
        self.result = result
        self.heads = []
        self.route_head = b""

    def make_heads(self) -> None:
        self.heads = [
            message_head(self.subject, subscription.sid, self.reply, self.header_length, self.size)
            for subscription in self.result.plain
        ]
        self.route_head = route_message_head(self.subject, self.reply, [], self.header_length, self.size)
        cids = {subscription.owner.cid: True for subscription in self.result.plain}
        self.has_twice = len(cids) < len(self.heads)


class Delivery:
    def __init__(self, seed: int) -> None:
        self.out_messages: i64 = 0  # to clients
        self.out_bytes: i64 = 0
        self.asking: Subscriber | None = None  # whose message a service was given last
        self._random: i64 = seed

    def publish_run(self, memo: PublishMemo, source: Subscriber, bodies: list[bytes]) -> None:
        """`bodies[1:]` are the messages (`bodies[0]` is b""), all with the memo's line. The result is plain."""
        result = memo.result
        if not memo.heads:
            memo.make_heads()
        heads = memo.heads
        count: i64 = len(bodies) - 1
        size: i64 = memo.size
        has_headers = memo.header_length > 0
        plain = result.plain
        if memo.has_twice and count > 1:
            self._publish_in_turn(memo, source, bodies)
            return
        joins = count > 1 and size <= _JOIN_BODY_MAX and (size + 64) * count * len(plain) <= _JOIN_BYTES_MAX
        position: i64 = 0
        for subscription in plain:
            head = heads[position]
            position += 1
            owner = subscription.owner
            if owner is source and not source.echo:
                continue
            if subscription.max > 0 or (has_headers and not owner.headers):
                for index in range(1, count + 1):
                    self._write(subscription, memo.subject, memo.reply, memo.header_length, bodies[index])
                continue
            outbox = owner.outbox
            if outbox.close_reason:
                continue
            if joins:
                outbox.append(head.join(bodies))
            else:
                for index in range(1, count + 1):
                    outbox.append_pair(head, bodies[index])
            subscription.delivered += count
            owner.out_messages += count
            owner.out_bytes += count * size
            self.out_messages += count
            self.out_bytes += count * size
        for peer in result.peers:
            peer.out_messages += int(count)
            peer.write(memo.route_head.join(bodies))

    def _publish_in_turn(self, memo: PublishMemo, source: Subscriber, bodies: list[bytes]) -> None:
        """Message by message: a connection with two subscriptions must not see the second message before the first."""
        for index in range(1, len(bodies)):
            for subscription in memo.result.plain:
                if subscription.owner is not source or source.echo:
                    self._write(subscription, memo.subject, memo.reply, memo.header_length, bodies[index])
        for peer in memo.result.peers:
            peer.out_messages += len(bodies) - 1
            peer.write(memo.route_head.join(bodies))

    def publish(
        self,
        result: SublistResult,
        source: Subscriber | None,
        subject: bytes,
        reply: bytes,
        header_length: int,
        data: bytes,
    ) -> int:
        """One message without its CRLF; see `Router.publish`."""
        ingress = result.ingress
        if result.is_stream_only and ingress is not None:
            ingress.ingest(subject, reply, header_length, data)
            return 1
        return self.publish_body(result, source, subject, reply, header_length, data + _CRLF)

    def publish_body(
        self,
        result: SublistResult,
        source: Subscriber | None,
        subject: bytes,
        reply: bytes,
        header_length: int,
        body: bytes,
    ) -> int:
        """One message with its CRLF to everybody: subscribers, groups, routes, services, a stream."""
        receivers = 0
        for subscription in result.plain:
            if subscription.owner is source and not subscription.owner.echo:
                continue
            receivers += self._write(subscription, subject, reply, header_length, body)
        if result.groups or result.peers:
            receivers += self._to_groups_and_peers(result, source, subject, subject, reply, header_length, body)
        if result.services or result.ingress is not None:
            data = body[:-2]
            for service in result.services:
                self.asking = source
                service.on_message(subject, reply, header_length, data, "")
                receivers += 1
            ingress = result.ingress
            if ingress is not None:
                ingress.ingest(subject, reply, header_length, data)
                receivers += 1
        return receivers

    def deliver(
        self, result: SublistResult, inbox: bytes, subject: bytes, reply: bytes, header_length: int, data: bytes
    ) -> int:
        """A stream's message for `inbox`, shown as `subject`; see `Router.deliver`."""
        body = data + _CRLF
        receivers = 0
        for subscription in result.plain:
            receivers += self._write(subscription, subject, reply, header_length, body)
        if result.groups or result.peers:
            receivers += self._to_groups_and_peers(result, None, inbox, subject, reply, header_length, body)
        for service in result.services:
            self.asking = None
            service.on_message(inbox, reply, header_length, data, "")
            receivers += 1
        ingress = result.ingress
        if ingress is not None:
            ingress.ingest(inbox, reply, header_length, data)
            receivers += 1
        return receivers

    def from_route(
        self,
        result: SublistResult,
        peer: RoutePeer,
        subject: bytes,
        reply: bytes,
        queues: list[bytes],
        header_length: int,
        data: bytes,
    ) -> int:
        """A message of another node, for this node's clients (and announced services) only."""
        shown = subject
        if reply and reply.startswith(b"$JS.ACK."):
            at = _deliver_index(reply)
            if 0 < at < len(reply) - 1:
                shown = reply[at + 1 :]
                reply = reply[:at]
        body = data + _CRLF
        receivers = 0
        for subscription in result.plain:
            receivers += self._write(subscription, shown, reply, header_length, body)
        for queue in queues:
            group = result.group(queue)
            if group is not None and group.local:
                start = self._choose(len(group.local))
                if self._to_local_member(group, start, None, subject, shown, reply, header_length, body, peer.name):
                    receivers += 1
        for service in result.services:
            if service.announced:
                service.on_message(subject, reply, header_length, data, peer.name)
                receivers += 1
        return receivers

    # One receiver

    def _write(
        self, subscription: ClientSubscription, subject: bytes, reply: bytes, header_length: i64, body: bytes
    ) -> int:
        """One message to one client; 1, or 0 when it cannot take it."""
        owner = subscription.owner
        outbox = owner.outbox
        if outbox.close_reason:
            return 0
        maximum = subscription.max
        if maximum > 0 and subscription.delivered >= maximum:
            return 0
        if not outbox.is_dirty:
            outbox.mark_dirty()
        parts = outbox.parts
        if header_length > 0 and not owner.headers:
            body = body[int(header_length) :]
            header_length = 0
        size: i64 = len(body) - 2
        parts.append(_HMSG if header_length > 0 else _MSG)
        parts.append(subject)
        parts.append(subscription.sid_part)
        overhead: i64 = len(subject) + len(subscription.sid_part) + 8
        if reply:
            parts.append(reply)
            overhead += len(reply)
        if header_length > 0:
            sizes = _spaced_size(header_length) if reply else _spaced_size(header_length)[1:]
            parts.append(sizes)
            parts.append(_spaced_size_end(size))
        elif reply:
            parts.append(_spaced_size_end(size))
        elif size < _READY_SIZES:
            parts.append(_SIZE_ENDS[size])
        else:
            parts.append(_spaced_size_end(size)[1:])
        parts.append(body)
        subscription.delivered += 1
        owner.out_messages += 1
        owner.out_bytes += size
        self.out_messages += 1
        self.out_bytes += size
        outbox.grow(size + overhead)
        if maximum > 0 and subscription.delivered >= maximum:
            owner.subscription_ended(subscription)
        return 1

    # Queue groups and routes

    def _choose(self, count: int) -> int:
        """A number below `count`, evenly enough."""
        self._random = (self._random * 1103515245 + 12345) & 0x7FFFFFFF
        return int((self._random >> 8) % count)

    def _to_groups_and_peers(
        self,
        result: SublistResult,
        source: Subscriber | None,
        subject: bytes,
        shown: bytes,
        reply: bytes,
        header_length: int,
        body: bytes,
    ) -> int:
        """One member of each group, here or elsewhere by weight, then each needed route once, with its groups."""
        receivers = 0
        peers: list[RoutePeer] = list(result.peers)
        queues: list[list[bytes]] = [[] for _peer in peers]
        for group in result.groups:
            locals_ = len(group.local)
            choice = self._choose(locals_ + group.remote_weight)
            if choice < locals_ or not group.remote:
                start = choice if choice < locals_ else 0
                if self._to_local_member(group, start, source, subject, shown, reply, header_length, body, ""):
                    receivers += 1
                    continue
            if not group.remote:
                continue
            peer = _remote_member(group, choice - locals_)
            if peer not in peers:
                peers.append(peer)
                queues.append([])
            queues[peers.index(peer)].append(group.queue)
        if peers:
            if reply and shown != subject:
                reply = reply + b"@" + shown
            for position, peer in enumerate(peers):
                head = route_message_head(subject, reply, queues[position], header_length, len(body) - 2)
                peer.out_messages += 1
                peer.write(head + body)
                receivers += 1
        return receivers

    def _to_local_member(
        self,
        group: QueueGroup,
        start: int,
        source: Subscriber | None,
        subject: bytes,
        shown: bytes,
        reply: bytes,
        header_length: int,
        body: bytes,
        origin: str,
    ) -> bool:
        """The first member from `start` on that can take the message."""
        members: list[Subscription] = group.local
        count = len(members)
        for step in range(count):
            member = members[(start + step) % count]
            if isinstance(member, ClientSubscription):
                if member.owner is source and not member.owner.echo:
                    continue
                if self._write(member, shown, reply, header_length, body):
                    return True
            elif isinstance(member, ServiceSubscription) and (not origin or member.announced):
                member.on_message(subject, reply, header_length, body[:-2], origin)
                return True
        return False


def _remote_member(group: QueueGroup, choice: int) -> RoutePeer:
    """The peer that stands at `choice` when each remote member counts as often as its weight says."""
    for subscription in group.remote:
        if choice < subscription.weight:
            return subscription.peer
        choice -= subscription.weight
    return group.remote[0].peer


def _deliver_index(reply: bytes) -> int:
    """Where `@<subject>` begins behind an ack subject; -1 when it does not. Names may hold `@` themselves."""
    dots = 0
    for position in range(len(reply)):
        byte = reply[position]
        if byte == 46:
            dots += 1
        elif byte == 64 and dots >= _ACK_DOTS:
            return position
    return -1


def _spaced_size(size: i64) -> bytes:
    if size < _READY_SIZES:
        return _SPACED_SIZES[size]
    return b" " + str(size).encode()


def _spaced_size_end(size: i64) -> bytes:
    if size < _READY_SIZES:
        return _SPACED_SIZE_ENDS[size]
    return b" " + str(size).encode() + _CRLF
