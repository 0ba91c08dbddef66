"""The leader's volatile side of one consumer: choose the next message, send it, note it.

Everything here runs ahead of the log and dies with the term. A pump is `settle` (acks that need the time, waits that
are over), then `work` (requests that came, deliveries, requests at their end). What was delivered becomes one
OP_DELIVERED, which `delivery` proposes.

Not here: acks (`ack_intake`), proposing (`delivery`), the line of requests (`pull`), windows and heartbeats (`push`),
the facts (`consumer`), how many messages are ahead (`backlog`).

Invariants: redeliveries go before new messages and pass `max_ack_pending`; a message is delivered only to somebody who
is there.
"""

from typing import Final

from broker.jetstream.advisories import consumer_paused
from broker.jetstream.config.consumer_config import ACK_NONE, PRIORITY_NONE
from broker.jetstream.consumers.backlog import Backlog
from broker.jetstream.consumers.consumer import Consumer
from broker.jetstream.consumers.delivered import Delivered
from broker.jetstream.deadlines import earlier
from broker.jetstream.delivery.ack_intake import AckIntake
from broker.jetstream.delivery.idle_watch import IdleWatch
from broker.jetstream.delivery.lead_context import LeadContext
from broker.jetstream.delivery.outstanding import Outstanding
from broker.jetstream.delivery.pace import Pace, needs_pace
from broker.jetstream.delivery.priority import PriorityGroup
from broker.jetstream.delivery.pull import SWEEP_PAUSE_NS, PullQueue
from broker.jetstream.delivery.pull_request import (
    STATUS_MAX_WAITING,
    STATUS_NO_MESSAGES,
    STATUS_REQUESTS_PENDING,
    PullRequest,
)
from broker.jetstream.delivery.push import PushLink, idle_heartbeat
from broker.jetstream.store import StoredMessage
from broker.wire import headers

RUN_MESSAGES_MAX: Final = 4096
RUN_BYTES_MAX: Final = 4 * 1024 * 1024


class ConsumerLead:
    """See the module's text."""

    def __init__(self, consumer: Consumer, context: LeadContext) -> None:
        self.consumer: Final = consumer
        self.context: Final = context
        self.ack_prefix: Final = f"$JS.ACK.{consumer.stream}.{consumer.name}.".encode()
        self.backlog: Final = Backlog(consumer, context.store)
        self.acks: Final = AckIntake(consumer, context)
        self.consumer_sequence: int = consumer.delivered_consumer
        self.delivered_ns: int = consumer.delivered_ns
        self.acked_ns: int = consumer.acked_ns
        self.queue: PullQueue | None = None
        self.push: PushLink | None = None
        self.requests: list[PullRequest] = []
        self.op: Delivered | None = None
        self.started: bool = False
        self.ready: bool = False
        self.more: bool = False
        self.stalled: bool = False
        self.deleting: bool = False
        self.idle: Final = IdleWatch()
        self.pace: Pace | None = None
        if consumer.config.deliver_subject:
            self.push = PushLink(consumer.stream, consumer.name, consumer.config, context.output)
        if needs_pace(consumer.config):
            self.pace = Pace(consumer.config, context.store.last_sequence)

    def take_over(self, before: "ConsumerLead") -> None:
        """Who waited on the consumer goes on waiting."""
        self.requests = before.requests
        if self.push is None:
            self.queue = before.queue

    def start(self) -> None:
        """The first work of a term: times begin to run."""
        context = self.context
        self.started = True
        self.acks.out.start(self.consumer, context.now_ns, context.wall_ns)
        self.idle.start(
            context.now_ns, self.consumer.config.inactive_threshold_ns, self.push is None, context.rng
        )
        if self.push is not None:
            self.push.check_interest(context.now_ns)
        if self.pace is not None:
            self.pace.follow(self.consumer.config, context.wall_ns)

    def config_changed(self) -> None:
        """The consumer got another configuration."""
        config = self.consumer.config
        self.acks.follow_config()
        self.backlog.recount()
        self.ready = True
        if self.pace is None and needs_pace(config):
            self.pace = Pace(config, 0)
        if self.pace is not None:
            self.pace.follow(config, self.context.wall_ns)
        if self.queue is not None and (self.queue.group is None) != (config.priority_policy == PRIORITY_NONE):
            self.queue.group = self._group()
        if self.push is not None and self.push.subject != config.deliver_subject.encode():
            self.push.follow(config)
            out = self.acks.out
            for sequence in out.entries:
                out.make_due(sequence, out.entries[sequence])
            self.push.poll_ns = 1

    def line(self) -> PullQueue:
        """Where requests wait, made when the first one comes."""
        if self.queue is None:
            self.queue = PullQueue(self.context.output, self._group())
        return self.queue

    def _group(self) -> PriorityGroup | None:
        grouped = self.consumer.config.priority_policy != PRIORITY_NONE
        return PriorityGroup(self.consumer, self.context) if grouped else None

    def hungry(self) -> bool:
        """Whether a new message would leave at once."""
        if self.push is not None:
            return self.push.active
        return self.queue is not None and bool(self.queue.waiting)

    def num_waiting(self) -> int:
        """Requests that wait and have somebody behind them."""
        queue = self.queue
        if queue is None:
            return len(self.requests)
        if queue.waiting:
            self.context.pump += 1  # who was there in the last pump may have left
            queue.sweep(self.context.now_ns, False, self.heartbeat(), self.context.pump)
        return len(queue.waiting) + len(self.requests)

    # Work of a pump.

    def settle(self) -> None:
        """Acks that had to wait for the time, and waits that are over."""
        if not self.started:
            self.start()
        acks = self.acks
        acks.drop_removed()
        if acks.has_deferred():
            acks.settle_deferred()
        acks.expire()
        if acks.acked:
            acks.acked = False
            self.acked_ns = self.context.wall_ns
            self.idle.since_ns = self.context.now_ns

    def work(self) -> None:
        """Deliver everything that can be delivered now, and answer requests."""
        context = self.context
        self.more = False
        if self.pace is not None and self.pace.resumes(context.wall_ns):
            consumer = self.consumer
            context.publish(consumer_paused(consumer.stream, consumer.name, consumer.config.pause_until_ns, False))
        if self.push is not None and self.push.poll_ns and context.now_ns >= self.push.poll_ns:
            self.check_interest()
        if self.requests:
            requests = self.requests
            self.requests = []
            for request in requests:
                self._accept(request)
        if self.push is not None:
            self._work_push(self.push)
        elif self.queue is not None:
            self._work_pull(self.queue)

    def _work_push(self, push: PushLink) -> None:
        if push.active and (self.acks.out.due_count or self.backlog.may_have_next()):
            self.check_interest()
            if push.active:
                self._deliver()
        push.beat(self.context.now_ns, self.heartbeat())

    def _work_pull(self, queue: PullQueue) -> None:
        now_ns = self.context.now_ns
        if queue.group is not None:
            queue.group.expire()
        if queue.waiting:
            if queue.next_deadline_ns and now_ns >= queue.next_deadline_ns:
                # Who will not wait waits for acks after all where too much is unacknowledged, until any request is due.
                queue.sweep(now_ns, self.stalled, self.heartbeat(), self.context.pump)
            ended = self._deliver()
            if queue.one_shots and ended and queue.waiting:
                queue.sweep(now_ns, True, self.heartbeat(), self.context.pump)
        if not queue.waiting:
            queue.next_deadline_ns = 0

    def check_interest(self) -> None:
        """See whether a push consumer has somebody to deliver to."""
        push = self.push
        if push is not None and push.check_interest(self.context.now_ns):
            self.idle.since_ns = self.context.now_ns

    def heartbeat(self) -> bytes:
        """The header of an idle heartbeat now."""
        return idle_heartbeat(self.consumer_sequence, self.backlog.next_sequence - 1)

    def _accept(self, request: PullRequest) -> None:
        """Let a request wait, or say why not."""
        context = self.context
        queue = self.line()
        refusal = queue.refusal(request, self.consumer.config)
        if refusal:
            queue.tell(request, refusal)
            return
        most = self.consumer.config.max_waiting
        if len(queue.waiting) >= most and context.now_ns - queue.swept_ns > SWEEP_PAUSE_NS:
            queue.sweep(context.now_ns, False, self.heartbeat(), context.pump)
        if request.no_wait:
            available = self.backlog.count() + self.acks.out.due_count
            if available == 0:
                if request.expires == 0:
                    queue.last_active_ns = context.now_ns
                    queue.tell(request, STATUS_NO_MESSAGES)
                    return
            elif available < queue.sweep(context.now_ns, False, self.heartbeat(), context.pump):
                queue.last_active_ns = context.now_ns
                queue.tell(request, STATUS_REQUESTS_PENDING)
                return
        if len(queue.waiting) >= most:
            if request.heartbeat == 0:
                queue.tell(request, STATUS_MAX_WAITING)
            return
        queue.add(request, context.now_ns)
        queue.interested(request, context.pump)
        if request.no_wait:
            self._work_pull(queue)

    # Deliveries.

    def _deliver(self) -> bool:
        """Send what may leave; True when it ended because there is nothing more for now."""
        context = self.context
        store = context.store
        queue = self.queue
        push = self.push
        out = self.acks.out
        left = RUN_MESSAGES_MAX
        bytes_left = RUN_BYTES_MAX
        self.stalled = False
        pace = self.pace
        if pace is not None and pace.pausing:
            return True
        self.backlog.refresh()
        while True:
            if push is not None:
                if not push.may_send():
                    return False
            elif queue is None or not queue.waiting:
                return True
            if left <= 0 or bytes_left <= 0:
                self.more = True
                return False
            left -= 1
            entry: Outstanding | None = None
            sequence = out.next_due() if out.due_count else 0
            if sequence:
                entry = out.entries[sequence]
                message = store.get(sequence)
                if message is None:
                    self.acks.terminate_removed(sequence, True)
                    continue
            else:
                most = self.consumer.config.max_ack_pending
                if 0 < most <= len(out.entries):
                    self.stalled = True
                    return False
                message = self.backlog.next_message()
                if message is None:
                    return True
                sequence = message.sequence
            if pace is not None:
                weight = len(message.subject) + len(message.data)
                if pace.holds_back(sequence, message.timestamp_ns, weight, entry is None, context.now_ns):
                    return False
            size = self._send(message, sequence, entry, queue, push)
            if size == 0:
                return True
            bytes_left -= size

    def _send(
        self,
        message: StoredMessage,
        sequence: int,
        entry: Outstanding | None,
        queue: PullQueue | None,
        push: PushLink | None,
    ) -> int:
        """Deliver one message; its size, or 0 when nobody took it."""
        context = self.context
        subject = message.subject
        data = message.data
        header_length = message.header_length
        if self.consumer.config.headers_only:
            data = headers.only(data, header_length)
            header_length = len(data)
        consumer_sequence = self.consumer_sequence + 1
        deliveries = 1
        ahead = self.backlog.ahead
        if entry is not None:
            deliveries = int(entry.deliveries) + 1
        else:
            ahead -= 1
        reply = b"%b%d.%d.%d.%d.%d" % (
            self.ack_prefix, deliveries, sequence, consumer_sequence, message.timestamp_ns, ahead,
        )
        size = len(subject) + len(reply) + len(data)
        if push is not None:
            self._note(sequence, entry, consumer_sequence)
            context.output.send("", push.subject, subject, reply, header_length, data)
            push.sent(size, context.rng)
            push.busy(context.now_ns)
            return size
        assert queue is not None
        group = queue.group
        if group is not None:
            group.measure(ahead + 1, len(self.acks.out.entries))
        request = queue.choose(size, context.pump)
        if request is None:
            return 0
        self._note(sequence, entry, consumer_sequence)
        if request.client or entry is not None:
            self.acks.note_client(sequence, request.client)
        if group is not None:
            header_length, data = group.marked(header_length, data)
        context.output.send(request.origin, request.inbox, subject, reply, header_length, data)
        queue.sent(request, context.now_ns)
        return size

    def _note(self, sequence: int, entry: Outstanding | None, consumer_sequence: int) -> None:
        """Count a delivery, here at once and in the operation to be proposed."""
        context = self.context
        config = self.consumer.config
        self.consumer_sequence = consumer_sequence
        op = self.op
        if op is None:
            op = Delivered(self.consumer.name, self.consumer.epoch_ns, context.wall_ns, consumer_sequence)
            self.op = op
            self.delivered_ns = context.wall_ns
        if entry is not None:
            deliveries = int(entry.deliveries) + 1
            op.add_again(sequence, deliveries)
            self.acks.out.again(sequence, entry, context.now_ns + config.wait_ns(deliveries))
            return
        op.add_new(sequence)
        self.acks.delivered_sequence = sequence
        self.backlog.took(sequence)
        if config.ack_policy != ACK_NONE:
            self.acks.out.add(sequence, consumer_sequence, context.now_ns + config.wait_ns(1))

    def next_deadline_ns(self) -> int:
        """When this consumer wants to be looked at next; 0 = never."""
        next_ns = self.acks.out.timers.next_deadline_ns()
        if self.pace is not None and (self.pace.pausing or self.hungry()):
            next_ns = earlier(next_ns, self.pace.next_deadline_ns(self.context.now_ns, self.context.wall_ns))
        if self.queue is not None:
            next_ns = earlier(next_ns, self.queue.next_deadline_ns)
            if self.queue.group is not None:
                next_ns = earlier(next_ns, self.queue.group.deadline_ns)
        if self.push is not None:
            next_ns = earlier(next_ns, self.push.next_deadline_ns())
        return earlier(next_ns, self.idle_deadline_ns())

    # Nobody there.

    def idle_deadline_ns(self) -> int:
        """When the consumer will have been unused for its inactive threshold; 0 = never."""
        threshold_ns = self.consumer.config.inactive_threshold_ns
        if threshold_ns <= 0 or self.deleting or not self.started:
            return 0
        if self.push is not None and self.push.active:
            return 0
        return self.idle.deadline_ns(threshold_ns, 0 if self.queue is None else self.queue.last_active_ns)

    def is_abandoned(self) -> bool:
        """Whether the inactive threshold has passed. Waiting requests and messages out keep a pull consumer alive."""
        now_ns = self.context.now_ns
        deadline_ns = self.idle_deadline_ns()
        if deadline_ns == 0 or now_ns < deadline_ns:
            return False
        if self.push is not None:
            self.check_interest()
            return not self.push.active
        queue = self.queue
        if queue is not None and queue.waiting:
            queue.sweep(now_ns, False, self.heartbeat(), self.context.pump)
            if queue.waiting:
                self.idle.since_ns = now_ns
                return False
        busy_until_ns = self.acks.out.latest_deadline_ns()
        if busy_until_ns > now_ns:
            self.idle.since_ns = busy_until_ns
            return False
        return True
