"""A stream's snapshot remembers the bytes of consumers at rest, and says the same as if it did not."""

import json
import random

import cbor2
from effort import calls

from broker.jetstream.consumers.consumer_bytes import ConsumerBytes
from broker.jetstream.ops import OP_STREAM_CONFIG, encode_config
from broker.jetstream.stream import StreamMachine
from jetstream.consumer_world import SECOND, WALL, Sent, Sink, World, make_stream_config, state_of
from storage.memory import MemoryStreamStore

NAMES = ["A", "B", "C", "D"]


def any_step(world: World, rng: random.Random, out: list[Sent]) -> None:
    """Something happens to the stream or to a consumer."""
    name = rng.choice(NAMES)
    what = rng.randrange(12)
    if what < 3:
        world.publish(rng.randint(1, 3), f"s.{rng.choice('ab')}")
    elif what == 3:
        world.create(name, max_deliver=3, metadata={"ternmq.dead_letter": "off"}, description=str(rng.random()))
    elif what == 4:
        world.request("CONSUMER.DELETE", f"S.{name}")
    elif what == 5:
        world.request("CONSUMER.PAUSE", f"S.{name}", {"pause_until": rng.choice(["2030-01-01T00:00:00Z", ""])})
    elif what == 6:
        world.request("CONSUMER.RESET", f"S.{name}", {"seq": 1})
    elif what == 7:
        world.advance(40 * SECOND)
    elif what == 8:
        world.local("purge", "s.a")
    elif what == 9 and out:
        world.ack(out.pop(rng.randrange(len(out))), rng.choice([b"", b"-NAK", b"+TERM"]))
    elif name in world.machine.consumers:
        out += [message for message in world.pull(name, batch=2, no_wait=True) if message.reply]


def test_what_is_remembered_is_what_would_be_written_now() -> None:
    for seed in range(6):
        rng = random.Random(seed)
        world = World()
        out: list[Sent] = []
        for step in range(150):
            any_step(world, rng, out)
            machine = world.machine
            now = ConsumerBytes().encode(machine.consumers)
            assert machine._consumer_bytes.encode(machine.consumers) == now, (seed, step)
        again = StreamMachine(world.machine.config, MemoryStreamStore.open(None), WALL)
        again.restore(world.machine.snapshot())
        assert state_of(again) == state_of(world.machine)
        assert again._consumer_bytes.encode(again.consumers) == ConsumerBytes().encode(again.consumers)


def test_fewer_replicas_of_the_stream_show_in_what_is_remembered() -> None:
    world = World()
    world.create(num_replicas=3)
    machine = world.machine
    machine.snapshot()
    config = json.dumps(make_stream_config(num_replicas=1).to_json()).encode()
    machine.apply(OP_STREAM_CONFIG, encode_config(WALL, 2, config), 0, Sink(world, False))
    assert machine.consumers["C"].config.num_replicas == 1
    assert machine._consumer_bytes.encode(machine.consumers) == ConsumerBytes().encode(machine.consumers)


def test_consumers_that_come_and_go_leave_nothing_behind() -> None:
    world = World()
    for number in range(50):
        world.create(f"C{number}")
        world.request("CONSUMER.DELETE", f"S.C{number}")
    assert not world.machine._consumer_bytes._known


def test_a_snapshot_of_the_first_version_is_read() -> None:
    world = World()
    world.create()
    world.publish(3)
    world.pull(batch=2)
    machine = world.machine
    state = cbor2.loads(machine.snapshot())
    state.update({"version": 1, "consumers": [consumer.snapshot() for consumer in machine.consumers.values()]})
    again = StreamMachine(machine.config, MemoryStreamStore.open(None), WALL)
    again.restore(cbor2.dumps(state))
    assert state_of(again) == state_of(machine)


def test_one_consumer_in_use_among_many_at_rest_costs_a_snapshot_little() -> None:
    world = World()
    for number in range(300):
        world.create(f"C{number}")
    machine = world.machine
    everything = calls(lambda: ConsumerBytes().encode(machine.consumers))
    world.publish(1)
    world.pull("C7", batch=1)
    assert calls(machine.snapshot) * 4 <= everything + 10, "the first one too"
    again = StreamMachine(machine.config, MemoryStreamStore.open(None), WALL)
    again.restore(machine.snapshot())
    assert calls(again.snapshot) * 4 <= everything + 10
