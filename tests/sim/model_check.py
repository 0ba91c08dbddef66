"""A replica's machine against `model.Model` after the same log.

Compared is what anybody can see: which messages are there, which sequences were used, which message ids are known, and
for each consumer what is out, what was given up and what is still to come. Messages that are gone do not count: the
machine may forget late that they were out.
"""

from broker.jetstream.consumers.consumer import Consumer
from broker.jetstream.stream import StreamMachine
from sim.model import Model, ModelConsumer
from sim.model_store import read_headers


def against_model(machine: StreamMachine, model: Model) -> list[str]:
    """What differs."""
    return [
        *model.faults,
        *_messages(machine, model),
        *_ids(machine, model),
        *_consumers(machine, model),
        *_dead_letters(machine, model),
    ]


def _dead_letters(machine: StreamMachine, model: Model) -> list[str]:
    found: list[tuple[str, int, int]] = []
    if machine.dead is not None:
        store = machine.dead.store
        for at in range(store.first_sequence, store.last_sequence + 1):
            message = store.get(at)
            assert message is not None
            headers = read_headers(bytes(message.data[: message.header_length]))
            words = [headers[f"Ternmq-Dlq-{name}"] for name in ("Consumer", "Sequence", "Deliveries")]
            found.append((words[0], int(words[1]), int(words[2])))
    if sorted(found) == sorted(model.letters):  # of two consumers, the order is nobody's promise
        return []
    return [f"dead letters: {sorted(set(found) ^ set(model.letters))[:5]} are for one of machine and model only"]


def _messages(machine: StreamMachine, model: Model) -> list[str]:
    store = machine.store
    faults = []
    if store.last_sequence != model.last:
        faults.append(f"the last sequence is {store.last_sequence}, should be {model.last}")
    for sequence in range(1, max(store.last_sequence, model.last) + 1):
        kept, right = store.get(sequence), model.messages.get(sequence)
        if kept is None and right is not None:
            faults.append(f"message {sequence} is missing")
        elif kept is not None and right is None:
            faults.append(f"message {sequence} is there though it is {model.removed.get(sequence, 'not stored')}")
        elif kept is not None and right is not None:
            found = (bytes(kept.subject).decode(), kept.timestamp_ns, bytes(kept.data))
            if found != (right.subject, right.time_ns, right.data):
                faults.append(f"message {sequence} is {found}")
    return faults


def _ids(machine: StreamMachine, model: Model) -> list[str]:
    known = machine.dedupe.sequences
    faults = []
    for message_id, (sequence, _) in model.ids.items():
        if model.knows(message_id, model.time_ns) and known.get(message_id.encode()) != sequence:
            faults.append(f"message id {message_id} is {known.get(message_id.encode())}, should be {sequence}")
    for message_id_bytes, sequence in known.items():
        right = model.ids.get(message_id_bytes.decode())
        if right is None or right[0] != sequence:
            faults.append(f"message id {message_id_bytes.decode()} is known as {sequence}, should be {right}")
    return faults


def _consumers(machine: StreamMachine, model: Model) -> list[str]:
    if machine.consumers.keys() != model.consumers.keys():
        return [f"consumers are {list(machine.consumers)}, should be {list(model.consumers)}"]
    faults = []
    for name, consumer in machine.consumers.items():
        faults += [f"consumer {name}: {fault}" for fault in _consumer(consumer, model.consumers[name], model)]
    return faults


def _consumer(consumer: Consumer, right: ModelConsumer, model: Model) -> list[str]:
    there = {s for s, message in model.messages.items() if right.wants(message.subject)}
    out = {s: entry.deliveries for s, entry in consumer.pending.items() if s in there}
    faults = []
    if out != {s: deliveries for s, deliveries in right.out.items() if s in there}:
        faults.append(f"{out} are out, should be {right.out}")
    if there & consumer.exceeded.keys() != there & right.given_up:
        faults.append(f"{sorted(consumer.exceeded)} are given up, should be {sorted(right.given_up)}")
    to_come, should_come = ({s for s in there if s > d} for d in (consumer.delivered_stream, right.delivered))
    if to_come != should_come:
        faults.append(f"{sorted(to_come ^ should_come)} is to come for one of machine and model only")
    below = [s for s in right.out if s in there and s <= consumer.ack_floor_stream]
    if below or consumer.ack_floor_stream > consumer.delivered_stream:
        floor = consumer.ack_floor_stream
        faults.append(f"the ack floor is {floor}, delivered {consumer.delivered_stream}, out below it: {below}")
    return faults
