"""The body of OP_DELIVERED: what the leader sent to one consumer in one pump.

Not here: what it does to the state (`consumer.Consumer.apply_delivered`). Read next: `consumer`.
"""

import struct
from typing import Final

from broker.jetstream.consumers.ack import pack_column, unpack_column

_DELIVERED_HEAD: Final = struct.Struct("<HIIqqQ")


class Delivered:
    """One OP_DELIVERED: what one consumer was sent in one pump; redeliveries first, then new messages.

    Body: `u16 name length | u32 redeliveries | u32 runs | i64 epoch ns | i64 time ns | u64 first consumer sequence |
    name | u64 stream sequence[redeliveries] | u32 deliveries[redeliveries] | u64 first stream sequence[runs] | u32
    length[runs]`. Consumer sequences are consecutive over redeliveries, then runs.
    """

    def __init__(self, consumer: str, epoch_ns: int, timestamp_ns: int, first_consumer_sequence: int) -> None:
        self.consumer: Final = consumer
        self.epoch_ns: Final = epoch_ns
        self.timestamp_ns: Final = timestamp_ns
        self.first_consumer_sequence: Final = first_consumer_sequence
        self.redelivered: list[int] = []
        self.deliveries: list[int] = []
        self.run_first: list[int] = []
        self.run_length: list[int] = []

    def add_again(self, sequence: int, deliveries: int) -> None:
        """A redelivery, the `deliveries`-th delivery of that message."""
        self.redelivered.append(sequence)
        self.deliveries.append(deliveries)

    def add_new(self, sequence: int) -> None:
        """A first delivery."""
        if self.run_length:
            length = self.run_length[-1]
            if self.run_first[-1] + length == sequence:
                self.run_length[-1] = length + 1
                return
        self.run_first.append(sequence)
        self.run_length.append(1)

    def encode(self) -> bytes:
        """The operation's body."""
        name = self.consumer.encode()
        head = _DELIVERED_HEAD.pack(
            len(name),
            len(self.redelivered),
            len(self.run_first),
            self.epoch_ns,
            self.timestamp_ns,
            self.first_consumer_sequence,
        )
        runs = pack_column("Q", self.run_first) + pack_column("I", self.run_length)
        if not self.redelivered:
            return head + name + runs
        return head + name + pack_column("Q", self.redelivered) + pack_column("I", self.deliveries) + runs


def decode_delivered(body: bytes) -> Delivered:
    """Inverse of `Delivered.encode`. Raises struct.error or ValueError on malformed input."""
    name_length, redeliveries, runs, epoch_ns, timestamp_ns, first = _DELIVERED_HEAD.unpack_from(body)
    position = _DELIVERED_HEAD.size
    op = Delivered(body[position : position + name_length].decode(), epoch_ns, timestamp_ns, first)
    position += name_length
    if redeliveries:
        op.redelivered = unpack_column("Q", body, position, redeliveries)
        position += 8 * redeliveries
        op.deliveries = unpack_column("I", body, position, redeliveries)
        position += 4 * redeliveries
    op.run_first = unpack_column("Q", body, position, runs)
    position += 8 * runs
    op.run_length = unpack_column("I", body, position, runs)
    return op
