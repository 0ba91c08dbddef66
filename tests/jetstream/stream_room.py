"""A stream on three replicas, as a conversation: every operation is applied to all, and all must answer and stand
alike.

The second replica is saved and restored before each operation, the third keeps its store in (remembered) files, so
that a transcript
also says that snapshots lose nothing and that both stores agree. Commands: see the methods of `Room`.

`publish <subject>[=payload] [Header:value …] [| next message]` is one operation, however many messages.
"""

import json

from datadriven import Command

from broker.jetstream.api_errors import ApiError
from broker.jetstream.config.consumer_config import config_from_json
from broker.jetstream.config.server_limits import ServerLimits
from broker.jetstream.config.stream_config import StreamConfig
from broker.jetstream.config.stream_rules import complete_new, complete_update
from broker.jetstream.consumers.ack import AckSection, encode_acks
from broker.jetstream.consumers.consumer import Consumer
from broker.jetstream.consumers.consumer_apply import encode_create
from broker.jetstream.consumers.consumer_apply import encode_delete as encode_consumer_delete
from broker.jetstream.consumers.dead_letter import (
    DeadSection,
    dead_letter_config,
    encode_dead_letters,
    encode_stream,
    encode_stream_end,
)
from broker.jetstream.consumers.delivered import Delivered
from broker.jetstream.effects import EffectSink
from broker.jetstream.ops import (
    OP_ACKS,
    OP_ATOMIC_PUBLISH,
    OP_CONSUMER_CREATE,
    OP_CONSUMER_DELETE,
    OP_DEAD_LETTERS,
    OP_DEAD_STREAM,
    OP_DEAD_STREAM_END,
    OP_DELIVERED,
    OP_EXPIRE,
    OP_MESSAGE_DELETE,
    OP_PUBLISH,
    OP_PURGE,
    OP_STREAM_CONFIG,
    SLOT_DEAD_LETTERS,
    PublishBatch,
    PurgeOp,
    encode_config,
    encode_delete,
    encode_expire,
    encode_purge,
)
from broker.jetstream.publishing.admission import admit
from broker.jetstream.store import MessageStore, StoreMaker
from broker.jetstream.stream import StreamMachine
from storage.disk import OsDisk
from storage.memory import MemoryStreamStore
from storage.stream_store import FileStreamStore

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
LIMITS = ServerLimits(clustered=True)


def headers_of(fields: list[tuple[str, str]]) -> bytes:
    """A header block; b"" for none."""
    if not fields:
        return b""
    return b"NATS/1.0\r\n" + b"".join(f"{key}: {value}\r\n".encode() for key, value in fields) + b"\r\n"


def make_config(**fields: object) -> StreamConfig:
    """A checked configuration; fails the test when it is refused."""
    config = StreamConfig.from_json({"name": "S", "storage": "memory", **fields})
    assert isinstance(config, StreamConfig), config
    error = complete_new(config, LIMITS)
    assert error is None, error
    return config


class Recorder(EffectSink):
    """Effects in words."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[int, str] = {}
        self.outcome: object = None
        self.dead = EffectSink()
        self.gone: list[int] = []
        self.said: list[str] = []

    def published(self, ordinal: int, first: int, count: int, first_sequence: int) -> None:
        for position in range(count):
            self.answers[first + position] = f"ok {first_sequence + position}"

    def counted(self, ordinal: int, position: int, sequence: int, value: str) -> None:
        self.answers[position] = f"ok {sequence} = {value}"

    def duplicate(self, ordinal: int, position: int, sequence: int) -> None:
        self.answers[position] = f"duplicate {sequence}"

    def refused(self, ordinal: int, position: int, error: ApiError) -> None:
        self.answers[position] = error_text(error)

    def done(self, ordinal: int, result: object) -> None:
        self.outcome = result

    def removed(self, sequence: int) -> None:
        self.gone.append(sequence)

    def dead_letters_wait(self) -> None:
        self.said.append("waits for a dead-letter stream")

    def dead_letter_stream_changed(self) -> None:
        self.said.append("another dead-letter stream")

    def advisory(self, subject: str, fields: dict[str, object]) -> None:
        if "CREATED" not in subject and "DELETED" not in subject:
            self.said.append(subject.removeprefix("$JS.EVENT.ADVISORY."))

    def of_dead_letters(self) -> EffectSink:
        return self.dead

    def text(self) -> str:
        lines = [self.answers[position] for position in sorted(self.answers)]
        if not lines:
            lines = [error_text(self.outcome) if isinstance(self.outcome, ApiError) else outcome_text(self.outcome)]
        if self.gone:
            lines.append("removed " + " ".join(map(str, self.gone)))
        lines.extend(self.said)
        return "\n".join(lines)


def error_text(error: ApiError) -> str:
    return f"refused {error.err_code} {error.description}"


def outcome_text(outcome: object) -> str:
    if isinstance(outcome, Consumer):
        return f"consumer {outcome.name}"
    return "ok" if outcome is None or outcome is True else f"ok {outcome}"


def contents(machine: StreamMachine) -> str:
    """What a stream holds, in one line; the bytes are left out, as file and memory count differently."""
    store = machine.store
    held = []
    sequence = store.next_sequence(store.first_sequence, None) if store.messages else 0
    while sequence:
        message = store.get(sequence)
        assert message is not None
        payload = message.data[message.header_length :].decode()
        held.append(f"{sequence}:{message.subject.decode()}" + (f"={payload}" if payload else ""))
        sequence = store.next_sequence(sequence + 1, None)
    assert len(held) == store.messages
    return f"[{store.first_sequence}, {store.last_sequence}] " + (" ".join(held) or "empty")


class MemoryStores(StoreMaker):
    """For dead letters."""

    def open(self, config: StreamConfig, created_ns: int, state: bytes | None) -> MessageStore:
        return MemoryStreamStore.open(state)

    def drop(self) -> None:
        pass


class Room:
    """The replicas and the clock; `handle` plays one command of a transcript."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.wall_ns = START
        self.machines: list[StreamMachine] = []
        self.streams = 0

    def handle(self, command: Command) -> str:
        words = command.text.split()[1:]
        return str(getattr(self, "do_" + command.name.replace("-", "_"))(words))

    def apply(self, kind: int, body: bytes, slot: int = 0) -> str:
        """One operation on every replica."""
        self._reload()
        answers = []
        for machine in self.machines:
            sink = Recorder()
            if slot:
                sink.dead = Recorder()
            machine.apply_slot(slot, kind, body, 0, sink)
            answers.append(sink.dead.text() if isinstance(sink.dead, Recorder) else sink.text())
        assert len(set(answers)) == 1, answers
        stands = [contents(machine) for machine in self.machines]
        assert len(set(stands)) == 1, stands
        assert len({contents(machine.dead) if machine.dead else "" for machine in self.machines}) == 1
        first, second, _ = self.machines
        assert first.dedupe.snapshot() == second.dedupe.snapshot()
        assert first.ttl.snapshot() == second.ttl.snapshot()
        assert first.sources.snapshot() == second.sources.snapshot()
        assert first.schedules.snapshot() == second.schedules.snapshot()
        assert [c.snapshot() for c in first.consumers.values()] == [c.snapshot() for c in second.consumers.values()]
        return answers[0]

    def _reload(self) -> None:
        before = self.machines[1]
        snapshot = before.snapshot()
        store = MemoryStreamStore.open(StreamMachine.store_state(snapshot))
        self.machines[1] = StreamMachine(before.config, store, 0)
        self.machines[1].stores = MemoryStores()
        self.machines[1].restore(snapshot)

    # Commands.

    def do_stream(self, words: list[str]) -> str:
        """`stream field=json …`: begin anew."""
        self.streams += 1
        self.wall_ns = START
        config = make_config(**fields_of(words))
        third: MessageStore = FileStreamStore.open(OsDisk(self.root), f"s{self.streams}", None)
        if config.max_bytes > 0:  # messages weigh more in files: replicas of one stream never differ in storage
            third = MemoryStreamStore.open(None)
        stores: list[MessageStore] = [MemoryStreamStore.open(None), MemoryStreamStore.open(None), third]
        self.machines = [StreamMachine(config.copy(), store, self.wall_ns) for store in stores]
        for machine in self.machines:
            machine.stores = MemoryStores()
        return "ok"

    def do_update(self, words: list[str]) -> str:
        """`update field=json …`: fields that change."""
        machine = self.machines[0]
        config = StreamConfig.from_json({**machine.config.to_json(), **fields_of(words)})
        assert isinstance(config, StreamConfig), config
        error = complete_update(machine.config, config, LIMITS)
        if error is not None:
            return error_text(error)
        return self.apply(OP_STREAM_CONFIG, encode_config(self.wall_ns, 1, json.dumps(config.to_json()).encode()))

    def do_publish(self, words: list[str]) -> str:
        return self._publish(OP_PUBLISH, words)

    def do_atomic(self, words: list[str]) -> str:
        """`atomic …`: as `publish`, all or nothing."""
        return self._publish(OP_ATOMIC_PUBLISH, words)

    def _publish(self, kind: int, words: list[str]) -> str:
        batch = PublishBatch()
        for message in " ".join(words).split(" | "):
            first, *rest = message.split(" ")
            subject, _, payload = first.partition("=")
            headers = headers_of([(part.partition(":")[0], part.partition(":")[2].replace("_", " ")) for part in rest])
            batch.add(subject.encode(), len(headers), headers + payload.encode())
        return self.apply(kind, batch.encode(self.wall_ns))

    def do_admit(self, words: list[str]) -> str:
        """`admit subject bytes [header bytes]`: what the leader says at once."""
        header_length = int(words[2]) if len(words) > 2 else 0
        error = admit(self.machines[0], words[0].encode(), header_length, bytes(int(words[1])))
        return "ok" if error is None else error_text(error)

    def do_at(self, words: list[str]) -> str:
        """`at seconds`: the leader's clock, since the beginning."""
        self.wall_ns = START + int(float(words[0]) * SECOND)
        return f"expiry due: {'yes' if self.machines[0].expiry_due(self.wall_ns) else 'no'}"

    def do_expire(self, words: list[str]) -> str:
        self.apply(OP_EXPIRE, encode_expire(self.wall_ns))
        return contents(self.machines[0])

    def do_state(self, words: list[str]) -> str:
        return contents(self.machines[0])

    def do_headers(self, words: list[str]) -> str:
        """`headers sequence`: of a stored message."""
        message = self.machines[0].store.get(int(words[0]))
        assert message is not None
        return message.data[: message.header_length].decode().replace("\r\n", " | ").removesuffix(" |  | ") or "none"

    def do_ids(self, words: list[str]) -> str:
        """The duplicate window."""
        known = self.machines[0].dedupe.sequences
        return " ".join(f"{name.decode()}={known[name]}" for name in sorted(known)) or "none"

    def do_purge(self, words: list[str]) -> str:
        fields = dict(word.split("=") for word in words)
        op = PurgeOp(fields.get("subject", "").encode(), int(fields.get("seq", 0)), int(fields.get("keep", 0)))
        return self.apply(OP_PURGE, encode_purge(self.wall_ns, op))

    def do_delete(self, words: list[str]) -> str:
        return self.apply(OP_MESSAGE_DELETE, encode_delete(self.wall_ns, int(words[0])))

    def do_consumer(self, words: list[str]) -> str:
        """`consumer name field=json …`."""
        fields = {"ack_policy": "explicit", "durable_name": words[0], **fields_of(words[1:])}
        body = encode_create(words[0], "", self.wall_ns, config_from_json(fields))
        return self.apply(OP_CONSUMER_CREATE, body)

    def do_drop(self, words: list[str]) -> str:
        """`drop consumer`."""
        return self.apply(OP_CONSUMER_DELETE, encode_consumer_delete(words[0], 0))

    def do_deliver(self, words: list[str]) -> str:
        """`deliver consumer sequence …`."""
        consumer = self.machines[0].consumers[words[0]]
        delivered = Delivered(words[0], consumer.epoch_ns, self.wall_ns, consumer.delivered_consumer + 1)
        for word in words[1:]:
            delivered.add_new(int(word))
        return self.apply(OP_DELIVERED, delivered.encode())

    def do_again(self, words: list[str]) -> str:
        """`again consumer sequence …`: the second delivery."""
        consumer = self.machines[0].consumers[words[0]]
        delivered = Delivered(words[0], consumer.epoch_ns, self.wall_ns, consumer.delivered_consumer + 1)
        for word in words[1:]:
            delivered.add_again(int(word), 2)
        return self.apply(OP_DELIVERED, delivered.encode())

    def do_ack(self, words: list[str]) -> str:
        """`ack consumer sequence …`; answers what the stream holds then."""
        section = AckSection(words[0], self.machines[0].consumers[words[0]].epoch_ns)
        section.acks = [int(word) for word in words[1:]]
        self.apply(OP_ACKS, encode_acks(self.wall_ns, [section]))
        return contents(self.machines[0])

    def do_dead_stream(self, words: list[str]) -> str:
        """`dead-stream group field=json …`: the dead-letter stream begins."""
        config = dead_letter_config(self.machines[0].config)
        fields = {**config.to_json(), **fields_of(words[1:])}
        body = encode_stream(self.wall_ns, int(words[0]), self.wall_ns, 1, json.dumps(fields).encode())
        return self.apply(OP_DEAD_STREAM, body)

    def do_dead_stream_end(self, words: list[str]) -> str:
        return self.apply(OP_DEAD_STREAM_END, encode_stream_end(self.wall_ns, int(words[0])))

    def do_bury(self, words: list[str]) -> str:
        """`bury consumer sequence …` or `bury consumer sequence:reason …` (terminated with that reason)."""
        section = DeadSection(words[0], self.machines[0].consumers[words[0]].epoch_ns)
        for word in words[1:]:
            sequence, terminated, reason = word.partition(":")
            section.rows.append((int(sequence), bool(terminated), reason, "worker 7" if terminated else ""))
        return self.apply(OP_DEAD_LETTERS, encode_dead_letters(self.wall_ns, [section]))

    def do_dead_letters(self, words: list[str]) -> str:
        """What the dead-letter stream holds."""
        dead = self.machines[0].dead
        return "none" if dead is None else contents(dead)

    def do_dead_letter(self, words: list[str]) -> str:
        """`dead-letter sequence`: its headers."""
        dead = self.machines[0].dead
        message = None if dead is None else dead.store.get(int(words[0]))
        assert message is not None
        return message.data[: message.header_length].decode().rstrip().replace("\r\n", "\n")

    def do_dead_purge(self, words: list[str]) -> str:
        """`dead-purge [seq]`: of the dead-letter stream."""
        op = PurgeOp(b"", int(words[0]) if words else 0, 0)
        return self.apply(OP_PURGE, encode_purge(self.wall_ns, op), SLOT_DEAD_LETTERS)

    def do_waiting(self, words: list[str]) -> str:
        """`waiting consumer`: given up, and not moved yet."""
        return " ".join(map(str, self.machines[0].consumers[words[0]].dead)) or "none"

    def do_pending(self, words: list[str]) -> str:
        """`pending consumer`."""
        return " ".join(map(str, sorted(self.machines[0].consumers[words[0]].pending))) or "none"


def fields_of(words: list[str]) -> dict[str, object]:
    """`key=json` words; what is no JSON is a text."""
    fields: dict[str, object] = {}
    for word in words:
        key, _, value = word.partition("=")
        try:
            fields[key] = json.loads(value)
        except ValueError:
            fields[key] = value
    return fields
