"""A backup of a stream, made piece by piece: nats-server 2.15's archive (`archive`) inside S2 (`s2`).

What is in it is the stream as of the moment it began, but for what is removed while it is read. Consumers are told as
they were then, with everything that waits for an ack. Not here: who asks (`broker/cluster/streams/snapshots`).
"""

import json
from typing import Final

from broker.jetstream.api.streams import stream_state
from broker.jetstream.backups.archive import CONSUMERS, END, MAGIC, Entry, state_entry
from broker.jetstream.backups.s2 import BLOCK_BYTES, write_block
from broker.jetstream.backups.s2 import MAGIC as S2_MAGIC
from broker.jetstream.consumers.consumer import Consumer
from broker.jetstream.stream import StreamMachine


class Backup:
    """See the module's text. Reading raises storage errors."""

    def __init__(self, machine: StreamMachine, wall_ns: int, with_consumers: bool) -> None:
        self._store: Final = machine.store
        self.state: Final = stream_state(machine)
        if not with_consumers:
            self.state["consumer_count"] = 0
        self._out: bytes = S2_MAGIC
        self._next: int = machine.store.first_sequence
        self._last: Final = machine.store.last_sequence
        self._plain: list[bytes] = [MAGIC, state_entry(self.state, wall_ns).encode()]
        for name in sorted(machine.consumers) if with_consumers else []:
            about = consumer_json(machine.consumers[name])
            self._plain.append(Entry(CONSUMERS + name.encode(), wall_ns, 0, 0, about).encode())
        self._plain_bytes: int = sum([len(part) for part in self._plain])
        self._ended: bool = False

    def read(self, size: int) -> bytes:
        """The next `size` bytes; fewer only at the end, b"" behind it."""
        while len(self._out) < size and not self._ended:
            self._more()
        found = self._out[:size]
        self._out = self._out[size:]
        return found

    def _more(self) -> None:
        """Add a block or more to what can be read."""
        while self._plain_bytes < BLOCK_BYTES and not self._ended:
            sequence = self._store.next_sequence(self._next, None) if self._next <= self._last else 0
            message = self._store.get(sequence) if 0 < sequence <= self._last else None
            if message is None:
                self._add(END.encode())
                self._ended = True
            else:
                self._next = sequence + 1
                data = bytes(message.data)
                entry = Entry(bytes(message.subject), message.timestamp_ns, sequence, message.header_length, data)
                self._add(entry.encode())
        plain = b"".join(self._plain)
        whole = len(plain) if self._ended else len(plain) - len(plain) % BLOCK_BYTES
        blocks = [write_block(plain[at : min(at + BLOCK_BYTES, whole)]) for at in range(0, whole, BLOCK_BYTES)]
        self._out += b"".join(blocks)
        self._plain = [plain[whole:]]
        self._plain_bytes = len(plain) - whole

    def _add(self, part: bytes) -> None:
        self._plain.append(part)
        self._plain_bytes += len(part)


def consumer_json(consumer: Consumer) -> bytes:
    """Configuration and state of a consumer, as nats-server writes them."""
    state: dict[str, object] = {
        "delivered": {"consumer_seq": consumer.delivered_consumer, "stream_seq": consumer.delivered_stream},
        "ack_floor": {"consumer_seq": consumer.ack_floor_consumer, "stream_seq": consumer.ack_floor_stream},
    }
    pending = consumer.pending
    if pending:
        state["pending"] = {
            str(sequence): {"Sequence": entry.consumer_sequence, "Timestamp": entry.timestamp_ns}
            for sequence, entry in pending.items()
        }
        again = {str(sequence): entry.deliveries - 1 for sequence, entry in pending.items() if entry.deliveries > 1}
        if again:
            state["redelivered"] = again
    config = consumer.config.to_json()
    config["name"] = consumer.name
    return json.dumps({"config": config, "state": state}, separators=(",", ":")).encode()
