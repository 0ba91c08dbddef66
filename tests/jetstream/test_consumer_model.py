"""Random clients, clocks and changes of leader against the promises: at least once, and nothing confirmed comes
again."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from broker.jetstream.delivery.delivery_proposals import RETRY_NS
from jetstream.consumer_world import MS, SECOND, Sent, World, state_of

ACK_WAIT = SECOND


class ConsumerPromises(RuleBasedStateMachine):
    """One consumer under everything that can happen to it. The model: what was published, received, confirmed,
    given up."""

    def __init__(self) -> None:
        super().__init__()
        self.received: list[Sent] = []
        self.confirmed: set[int] = set()
        self.waiting: dict[str, set[int]] = {}
        self.removed: set[int] = set()
        self.seen: set[int] = set()
        self.asked = 0
        self.last_consumer_sequence = 0

    @initialize(
        policy=st.sampled_from(["explicit", "all"]),
        max_deliver=st.sampled_from([-1, -1, 2]),
        max_ack_pending=st.sampled_from([1000, 3]),
        filtered=st.booleans(),
        backoff=st.booleans(),
    )
    def begin(self, policy, max_deliver, max_ack_pending, filtered, backoff):
        self.world = World(commit_at_once=False)
        self.all = policy == "all"
        self.limited = max_deliver > 0
        config = {"ack_policy": policy, "ack_wait": ACK_WAIT, "max_ack_pending": max_ack_pending}
        if filtered:
            config["filter_subject"] = "s.a"
        if backoff:
            config["backoff"] = [ACK_WAIT, 2 * ACK_WAIT]
        self.world.create(max_deliver=max_deliver, **config)
        self.wanted: set[int] = set()
        self.filtered = filtered

    def collect(self) -> None:
        """Look at everything that arrived."""
        for message in self.world.sent:
            if message.inbox == b"in" and not message.status:
                assert message.sequence not in self.confirmed, "confirmed, and delivered again"
                assert message.sequence in self.wanted
                assert message.consumer_sequence > self.last_consumer_sequence
                self.last_consumer_sequence = message.consumer_sequence
                self.seen.add(message.sequence)
                self.received.append(message)
            elif message.inbox.decode() in self.waiting:
                self.confirmed |= self.waiting.pop(message.inbox.decode())
        self.world.sent = []

    @rule(count=st.integers(1, 4), subject=st.sampled_from(["s.a", "s.b"]))
    def publish(self, count, subject):
        self.world.publish(count, subject=subject)
        last = self.world.machine.store.last_sequence
        if subject == "s.a" or not self.filtered:
            self.wanted |= set(range(last - count + 1, last + 1))
        self.collect()

    @rule(batch=st.integers(1, 5), no_wait=st.booleans())
    def pull(self, batch, no_wait):
        self.world.pull_into(batch=batch, expires=20 * SECOND, no_wait=no_wait)
        self.collect()

    def answered(self, message: Sent) -> str:
        self.asked += 1
        inbox = f"sure{self.asked}"
        covered = {s for s in self.seen if s <= message.sequence} if self.all else {message.sequence}
        self.waiting[inbox] = covered
        return inbox

    @rule(data=st.data(), double=st.booleans(), payload=st.sampled_from([b"", b"+TERM"]))
    def ack(self, data, double, payload):
        if self.received:
            message = data.draw(st.sampled_from(self.received))
            self.world.ack(
                message, payload, reply=self.answered(message) if double else "", turn=data.draw(st.booleans())
            )
            self.collect()

    @rule(data=st.data(), payload=st.sampled_from([b"-NAK", b"-NAK 500ms", b"+WPI", b"+NXT", b"+HUH"]))
    def refuse(self, data, payload):
        if self.received:
            self.world.ack(data.draw(st.sampled_from(self.received)), payload)
            self.collect()

    @rule(milliseconds=st.integers(1, 1500))
    def wait(self, milliseconds):
        self.world.advance(milliseconds * MS)
        self.collect()

    @rule(share=st.sampled_from([0.5, 1.0]))
    def commit(self, share):
        self.world.commit(round(len(self.world.proposed) * share))
        self.world.turn()
        self.collect()

    @rule()
    def lose_the_leader(self):
        self.world.change_leader()
        self.waiting = {}  # whoever waited for a confirmation gets none
        self.last_consumer_sequence = 0
        self.collect()

    @rule()
    def lose_an_operation(self):
        if self.world.proposed:
            self.world.proposed.pop()[3].abandoned()
            self.last_consumer_sequence = 0
            self.world.turn()
            self.world.advance(RETRY_NS)
            self.collect()

    @rule(data=st.data())
    def delete_a_message(self, data):
        held = sorted(self.wanted)
        if held:
            sequence = data.draw(st.sampled_from(held))
            self.world.local("delete", sequence)
            self.world.turn()
            self.wanted.discard(sequence)
            self.removed.add(sequence)
            self.received = [message for message in self.received if message.sequence != sequence]
            self.collect()

    @invariant()
    def replicas_are_equal(self):
        if not hasattr(self, "world"):
            return
        states = [state_of(machine) for machine in self.world.machines]
        assert states[0] == states[1] == states[2]
        consumer = self.world.consumer()
        assert consumer.ack_floor_stream <= consumer.delivered_stream
        assert consumer.ack_floor_consumer <= consumer.delivered_consumer
        assert all(consumer.ack_floor_stream < sequence <= consumer.delivered_stream for sequence in consumer.pending)

    @invariant()
    def the_leader_agrees_with_the_facts_when_nothing_is_under_way(self):
        if not hasattr(self, "world") or self.world.proposed or self.world.delivery.dirty or self.is_waiting():
            return
        info = self.world.info()
        consumer = self.world.consumer()
        assert info["num_ack_pending"] == len(consumer.pending)
        assert info["delivered"]["stream_seq"] == consumer.delivered_stream
        ahead = [s for s in self.wanted if s > consumer.delivered_stream]
        assert info["num_pending"] == len(ahead)

    def is_waiting(self) -> bool:
        """Whether the leader lost an operation and has not begun anew."""
        return self.world.delivery.proposals.counter.broken

    def teardown(self):
        """In the end a patient client gets everything that was not acked, and acks it."""
        if not hasattr(self, "world"):
            return
        world = self.world
        for _ in range(60):
            world.pull_into(batch=100, expires=5 * SECOND)
            world.commit()
            world.turn()
            self.collect()
            for message in self.received:
                world.ack(message, reply=self.answered(message), turn=False)
            self.received = []
            world.turn()
            world.commit()
            self.collect()
            world.advance(3 * ACK_WAIT)
            world.commit()
            world.turn()
        self.collect()
        assert self.wanted <= self.seen, "never delivered"
        info = world.info()
        assert info["num_pending"] == 0
        assert info["num_ack_pending"] == 0
        if not self.limited:
            assert self.wanted <= self.confirmed | {s for s in self.wanted if s <= info["ack_floor"]["stream_seq"]}


ConsumerPromises.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestConsumerPromises = ConsumerPromises.TestCase
