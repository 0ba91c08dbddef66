"""Consumers as bytes in their stream's snapshot, remembered while nothing happens to them.

A snapshot is taken within a turn, and a stream may have a hundred thousand consumers of which few are in use: those at
rest are not written anew, and each is written once when it is made, so that none waits for the first snapshot. Not
here: what is in it (`consumer`).

Invariant: what is remembered is what would be written now. It is only for a consumer without messages out, dead letters
or a list to deliver; then its configuration (which is replaced, never changed) and eight numbers are all of it.
"""

from typing import Any, Final

import cbor2

from broker.jetstream.config.consumer_config import ConsumerConfig
from broker.jetstream.consumers.consumer import Consumer, restore_consumer


class AtRest:
    """The bytes of a consumer, and what it was when they were written."""

    def __init__(self, numbers: tuple[int, ...], config: ConsumerConfig, content: bytes) -> None:
        self.numbers: Final = numbers
        self.config: Final = config
        self.content: Final = content


class ConsumerBytes:
    """Of one stream's consumers."""

    def __init__(self) -> None:
        self._known: dict[str, AtRest] = {}

    def encode(self, consumers: dict[str, Consumer]) -> list[bytes]:
        """All of them."""
        before = self._known
        self._known = {}
        return [self._encode(consumer, before.get(name)) for name, consumer in consumers.items()]

    def made(self, consumer: Consumer) -> None:
        """There is another one."""
        self._encode(consumer, None)

    def gone(self, consumer: Consumer) -> None:
        """It was deleted."""
        self._known.pop(consumer.name, None)

    def restored(self, consumer: Consumer, entry: object) -> None:
        """As `entry` of a snapshot says."""
        if isinstance(entry, bytes) and is_at_rest(consumer):
            self._known[consumer.name] = AtRest(numbers_of(consumer), consumer.config, entry)

    def _encode(self, consumer: Consumer, known: AtRest | None) -> bytes:
        if not is_at_rest(consumer):
            return bytes(cbor2.dumps(consumer.snapshot()))
        numbers = numbers_of(consumer)
        if known is None or known.config is not consumer.config or known.numbers != numbers:
            known = AtRest(numbers, consumer.config, bytes(cbor2.dumps(consumer.snapshot())))
        self._known[consumer.name] = known
        return known.content


def is_at_rest(consumer: Consumer) -> bool:
    """Whether `numbers_of` it and its configuration are all there is to say."""
    return not (consumer.pending or consumer.exceeded or consumer.dead or consumer.skip_list)


def numbers_of(consumer: Consumer) -> tuple[int, ...]:
    """When it was made, and how far it is."""
    return (
        consumer.created_ns, consumer.epoch_ns, consumer.delivered_stream, consumer.delivered_consumer,
        consumer.delivered_ns, consumer.ack_floor_stream, consumer.ack_floor_consumer, consumer.acked_ns,
    )  # fmt: skip


def decode_consumer(stream: str, entry: bytes | dict[str, Any]) -> Consumer:
    """One entry of a snapshot; snapshots of version 1 hold the plain fields."""
    return restore_consumer(stream, cbor2.loads(entry) if isinstance(entry, bytes) else entry)
