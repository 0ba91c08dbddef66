"""The leader's volatile side of all consumers of one stream: intake, the pump, timers, change of leader.

Called by the stream's group (`broker/cluster`), only between `become_leader` and `resign`:
* `become_leader()` once every entry of earlier terms is applied here; `resign()` when leadership is lost,
  `stream_deleted()` when there is nothing to lead any more.
* during a turn: `pull_request`, `ack`, `flow_control`, `interest_changed`; as effects of `apply`: `stored`, `removed`,
  `consumer_created`, `consumer_deleted`.
* at the end of a turn in which `dirty` is set, or when `next_deadline_ns()` has passed: `pump(now_ns, wall_ns)`. It
  returns True when there is more to do at once (another turn, after sockets had theirs).

A delivery leaves at once; its operation is proposed in the same pump, behind the acks of the turn.

Not here: one consumer's choices (`consumer_lead`, `ack_intake`), proposing (`delivery_proposals`), facts (`consumer`),
API requests (`api/consumers`).

Invariants: when an operation is abandoned though leadership goes on, nothing is delivered until all others are told
and a while has passed; then everything is rebuilt from the machine, and only waiting requests are kept. A consumer
without requests, interest, deadline or messages out has nothing here.
"""

import random
from typing import Final

from broker.jetstream.api_types import ApiRequest, no_responders, required_level_error
from broker.jetstream.config.consumer_config import ACK_NONE
from broker.jetstream.consumers import ack as acks
from broker.jetstream.consumers.ack import AckSubject
from broker.jetstream.consumers.consumer import Consumer
from broker.jetstream.consumers.consumer_apply import ConsumerOwner, encode_delete
from broker.jetstream.deadlines import Deadlines
from broker.jetstream.delivery.consumer_lead import ConsumerLead
from broker.jetstream.delivery.delivery_output import DeliveryOutput
from broker.jetstream.delivery.delivery_proposals import Proposals
from broker.jetstream.delivery.hungry import HungryConsumers
from broker.jetstream.delivery.lead_context import LeadContext
from broker.jetstream.delivery.pull_request import (
    STATUS_API_LEVEL,
    STATUS_CONSUMER_DELETED,
    STATUS_LEADERSHIP_CHANGE,
    STATUS_PUSH_BASED,
    PullRequest,
    read_request,
    signature,
    status,
)
from broker.jetstream.delivery.push import PushSubjects
from broker.jetstream.ops import OP_CONSUMER_DELETE, OP_DELIVERED


class Delivery:
    """See the module's text."""

    def __init__(self, machine: ConsumerOwner, output: DeliveryOutput, rng: random.Random) -> None:
        self.machine: Final = machine
        self.output: Final = output
        self.context: Final = LeadContext(machine.store, output, rng)
        self.leading: bool = False
        self.dirty: bool = False
        self.leads: dict[str, ConsumerLead] = {}
        self.ready: list[ConsumerLead] = []
        self.hungry: HungryConsumers = HungryConsumers()
        self.wake_hungry: bool = False
        self.woken_last: int = 0  # who is hungry has looked at all up to this sequence
        self.gone: list[int] = []
        self.proposals: Proposals = Proposals(self.context)
        self.deadlines: Deadlines[str] = Deadlines()
        self.pushes: PushSubjects = PushSubjects()
        self.subject: Final = AckSubject()
        self.last_name: str = ""
        self.last_lead: ConsumerLead | None = None

    # Terms.

    def become_leader(self) -> None:
        """This node leads and has applied everything of earlier terms."""
        self.leading = True
        self._rebuild()

    def resign(self) -> None:
        """Others lead: who waits must ask again."""
        self._end(STATUS_LEADERSHIP_CHANGE)

    def stream_deleted(self) -> None:
        """The stream, and with it every consumer, is gone."""
        self._end(STATUS_CONSUMER_DELETED)

    def _end(self, header: bytes) -> None:
        self.leading = False
        for lead in self.leads.values():
            self._dismiss(lead, header)
        self._clear()
        self.dirty = False

    def _dismiss(self, lead: ConsumerLead, header: bytes) -> None:
        """Tell everybody who waits on a consumer the same."""
        if lead.queue is not None:
            lead.queue.end(header)
        for request in lead.requests:
            self._tell(request, header)
        lead.requests = []

    def _clear(self) -> None:
        self.leads = {}
        self.ready = []
        self.hungry = HungryConsumers()
        self.wake_hungry = False
        self.gone = []
        self.proposals.drop()
        self.proposals = Proposals(self.context)
        self.deadlines = Deadlines()
        self.pushes = PushSubjects()
        self.last_name = ""
        self.last_lead = None
        self.context.sections = []
        self.context.dead_sections = []
        self.context.store = self.machine.store

    def _rebuild(self) -> None:
        """Everything anew from the machine; requests that wait here go on waiting."""
        before = self.leads
        self._clear()
        for name in self.machine.consumers:
            consumer = self.machine.consumers[name]
            old = before.get(name)
            if old is not None or consumer.pending or _has_times(consumer):
                lead = self._lead_of(consumer)
                if old is not None and old.consumer is consumer:
                    lead.take_over(old)
        self.woken_last = self.machine.store.last_sequence
        self.dirty = True

    def _lead_of(self, consumer: Consumer) -> ConsumerLead:
        name = consumer.name
        lead = self.leads.get(name)
        if lead is None:
            lead = ConsumerLead(consumer, self.context)
            self.leads[name] = lead
            if lead.push is not None:
                self.pushes.add(lead.push.subject, name)
            self._make_ready(lead)
        return lead

    def lead(self, name: str) -> ConsumerLead | None:
        """A consumer's side, made when first asked for; None when there is no such consumer."""
        consumer = self.machine.consumers.get(name)
        return None if consumer is None else self._lead_of(consumer)

    def _make_ready(self, lead: ConsumerLead) -> None:
        if not lead.ready:
            lead.ready = True
            self.ready.append(lead)
        self.dirty = True

    # Intake.

    def pull_request(self, consumer: str, request: ApiRequest) -> bool:
        """`CONSUMER.MSG.NEXT`; False when there is no such consumer (answer as to a subject nobody serves)."""
        lead = self.lead(consumer)
        if lead is None:
            return False
        if request.reply and required_level_error(request) is not None:
            self._tell(PullRequest(request.reply, request.origin), STATUS_API_LEVEL)
        elif request.reply:
            client = signature(request.header_length, request.data)
            self._request(lead, request.reply, request.origin, request.data[request.header_length :], client)
        return True

    def _request(self, lead: ConsumerLead, reply: bytes, origin: str, payload: bytes, client: bytes) -> None:
        pull = read_request(reply, origin, payload, client)
        if lead.push is not None:
            self._tell(pull, STATUS_PUSH_BASED)
        elif pull.refusal:
            self._tell(pull, status(400, pull.refusal))
        else:
            lead.requests.append(pull)
            self._make_ready(lead)

    def _tell(self, request: PullRequest, header: bytes) -> None:
        self.output.send(request.origin, request.inbox, request.inbox, b"", len(header), header)

    def ack(self, subject: bytes, reply: bytes, header_length: int, data: bytes, origin: str) -> None:
        """A message on `$JS.ACK.<stream>.…`; malformed ones are ignored."""
        read = self.subject
        if not self.leading or not read.read(subject):
            return
        if read.consumer == self.last_name:
            lead = self.last_lead
        else:
            lead = self.lead(read.consumer)
            self.last_name = read.consumer
            self.last_lead = lead
        if lead is None or (reply and lead.consumer.config.ack_policy == ACK_NONE):
            if reply:
                headers = no_responders(subject)
                self.output.send(origin, reply, reply, b"", len(headers), headers)
            return
        sequence = read.stream_sequence
        payload = data[header_length:] if header_length else data
        kind = acks.payload_kind(payload)
        if kind == acks.ACK_PLAIN:
            if lead.acks.ack(sequence, read.consumer_sequence, bool(reply)) and reply:
                self.proposals.double_acks.append((origin, reply))
            self._make_ready(lead)
            return
        self._other_ack(lead, kind, payload, reply, origin)

    def _other_ack(self, lead: ConsumerLead, kind: int, payload: bytes, reply: bytes, origin: str) -> None:
        read = self.subject
        sequence = read.stream_sequence
        self._make_ready(lead)
        if kind == acks.ACK_NEXT:
            client = lead.acks.client_of(sequence)
            lead.acks.ack(sequence, read.consumer_sequence, False)
            if reply:
                self._request(lead, reply, origin, payload[4:], client)
            return
        if kind == acks.ACK_TERM:
            reason = acks.term_reason(payload)
            if lead.acks.terminate(sequence, read.consumer_sequence, read.deliveries, reason, bool(reply)) and reply:
                self.proposals.double_acks.append((origin, reply))
            return
        if kind == acks.ACK_NAK:
            delay_ns = acks.nak_delay_ns(payload)
            lead.acks.nak(sequence, read.consumer_sequence, read.deliveries, delay_ns)
        elif kind == acks.ACK_PROGRESS:
            lead.acks.progress(sequence)
        if reply:
            self.output.send(origin, reply, reply, b"", 0, b"")

    def unpin(self, consumer: Consumer, group: str) -> None:
        """Whoever is pinned in a priority group is so no longer."""
        lead = self._lead_of(consumer)
        members = lead.line().group
        if members is not None:
            members.unpin(group)
        self._make_ready(lead)

    def flow_control(self, subject: bytes) -> None:
        """A message on `$JS.FC.<stream>.<consumer>.<…>`: the client has caught up."""
        tokens = subject.split(b".")
        if not self.leading or len(tokens) < 5:
            return
        lead = self.leads.get(tokens[-2].decode("utf-8", "replace"))
        if lead is not None and lead.push is not None and lead.push.answered(subject):
            self._make_ready(lead)

    def interest_changed(self, subject: bytes) -> None:
        """Somebody, here or behind a route, began or ceased to subscribe to `subject` (a pattern is looked at as a
        whole)."""
        if not self.leading:
            return
        for name in self.pushes.concerned(subject):
            lead = self.leads.get(name)
            if lead is not None and lead.push is not None:
                lead.push.poll_ns = 1
                self._make_ready(lead)

    # Effects of apply.

    def stored(self) -> None:
        """The stream has new messages."""
        if len(self.hungry):
            self.wake_hungry = True
            self.dirty = True

    def removed(self, sequence: int) -> None:
        """A message left the stream otherwise than at its front (what is before its first sequence is noticed)."""
        if self.leads:
            self.gone.append(sequence)
            self.dirty = True

    def _settle_gone(self) -> None:
        gone = self.gone
        self.gone = []
        for lead in self.leads.values():
            entries = lead.acks.out.entries
            if entries:
                for sequence in gone:
                    if sequence in entries:
                        lead.acks.terminate_removed(sequence, True)
                        self._make_ready(lead)

    def consumer_created(self, consumer: Consumer) -> None:
        """A consumer was created or its configuration changed."""
        if not self.leading:
            return
        lead = self.leads.get(consumer.name)
        if lead is None:
            if _has_times(consumer):
                self._lead_of(consumer)
            return
        subject = lead.push.subject if lead.push is not None else b""
        lead.config_changed()
        self.hungry.drop(consumer.name)
        if lead.push is not None and lead.push.subject != subject:
            self.pushes.remove(subject, consumer.name)
            self.pushes.add(lead.push.subject, consumer.name)
        lead.ready = False
        self._make_ready(lead)

    def consumer_reset(self, consumer: Consumer) -> None:
        """A consumer begins again: everything of it anew, but for who waits on it."""
        old = self.leads.pop(consumer.name, None)
        self.hungry.drop(consumer.name)
        self.last_name = ""
        if old is None:
            return
        if old.push is not None:
            self.pushes.remove(old.push.subject, consumer.name)
        self._lead_of(consumer).take_over(old)

    def consumer_deleted(self, consumer: Consumer) -> None:
        """A consumer is gone: who waits on it is told."""
        lead = self.leads.pop(consumer.name, None)
        self.hungry.drop(consumer.name)
        self.last_name = ""
        if lead is None:
            return
        self._dismiss(lead, STATUS_CONSUMER_DELETED)
        if lead.push is not None:
            self.pushes.remove(lead.push.subject, consumer.name)

    # The pump.

    def pump(self, now_ns: int, wall_ns: int) -> bool:
        """Do what this turn asks for; True when there is more to do at once."""
        if not self.leading:
            return False
        context = self.context
        context.now_ns = now_ns
        context.wall_ns = wall_ns
        context.pump += 1
        self.dirty = False
        if self.proposals.counter.broken:
            if not self.proposals.are_over():
                return False
            self._rebuild()
        for name in self.deadlines.take_due(now_ns):
            due = self.leads.get(name)
            if due is not None:
                self._make_ready(due)
        if self.gone:
            self._settle_gone()
        last = context.store.last_sequence
        if self.wake_hungry:
            self.wake_hungry = False
            for lead in self.hungry.concerned(context.store, self.woken_last + 1, last):
                self._make_ready(lead)
        self.woken_last = last
        leads = self.ready
        self.ready = []
        for lead in leads:
            lead.ready = False
            lead.settle()
        self.proposals.propose_acks()
        more = False
        for lead in leads:
            if self._work(lead):
                more = True
        if context.sections or context.dead_sections:
            self.proposals.propose_acks()
        self.dirty = more or bool(self.ready)
        return more

    def _work(self, lead: ConsumerLead) -> bool:
        """One consumer's turn; True when it could go on."""
        name = lead.consumer.name
        if self.leads.get(name) is not lead:
            return False
        lead.work()
        op = lead.op
        if op is not None:
            lead.op = None
            self.proposals.propose(OP_DELIVERED, op.encode())
        if not lead.deleting and lead.is_abandoned():
            lead.deleting = True
            self.proposals.propose(OP_CONSUMER_DELETE, encode_delete(name, lead.consumer.created_ns))
        if lead.hungry():
            self.hungry.add(lead)
        else:
            self.hungry.drop(name)
        self.deadlines.arm(name, lead.next_deadline_ns())
        if lead.more:
            self._make_ready(lead)
        return lead.more

    def next_deadline_ns(self) -> int:
        """When `pump` must be called at the latest; 0 = not because of time."""
        if self.proposals.counter.broken:
            return self.proposals.retry_at_ns()
        return self.deadlines.next_deadline_ns() if self.leading else 0


def _has_times(consumer: Consumer) -> bool:
    """Whether a consumer wants to be looked at though nobody asks anything of it."""
    config = consumer.config
    return bool(config.deliver_subject or config.inactive_threshold_ns > 0 or config.pause_until_ns)
