"""What servers may hold: bytes that streams reserve by their `max_bytes`, replicated groups. Asked by the meta leader.

Every server of a cluster is taken to be configured as this one. A stream without a limit reserves nothing.
"""

from collections.abc import Callable
from typing import Final

from broker.cluster.meta.assignment import Assignment
from broker.cluster.meta.meta import MetaMachine
from broker.cluster.meta.placement import NO_STORAGE, REASON, TOO_MANY_GROUPS
from broker.config import JetStreamOptions
from broker.jetstream.api_errors import (
    MEMORY_RESOURCES_EXCEEDED,
    NO_SUITABLE_PEERS,
    STORAGE_RESOURCES_EXCEEDED,
    ApiError,
)
from broker.jetstream.config.server_limits import ServerLimits
from broker.jetstream.config.stream_config import MEMORY_STORAGE, StreamConfig


class Resources:
    """Of all servers, as this one is configured."""

    def __init__(self, options: JetStreamOptions, limits: ServerLimits, machine: Callable[[], MetaMachine]) -> None:
        self._options: Final = options
        self._limits: Final = limits
        self._machine: Final = machine

    def beyond(self, config: StreamConfig, updates: bool) -> ApiError | None:
        """More than a server may hold at all; a lone server holds everything that is reserved."""
        limit = self._limit(config.storage)
        reserved = 0
        if not self._limits.clustered:
            reserved = max([self._reserved(peer, config) for peer in self._machine().names], default=0)
        if _fits(config, reserved, limit):
            return None
        if self._limits.clustered and not updates:
            return NO_SUITABLE_PEERS.of(err=f"{REASON}, {NO_STORAGE}")
        return MEMORY_RESOURCES_EXCEEDED if config.storage == MEMORY_STORAGE else STORAGE_RESOURCES_EXCEEDED

    def outgrown(self, known: Assignment, config: StreamConfig) -> ApiError | None:
        """A stream that is to reserve more than its servers have left."""
        if config.max_bytes <= known.config.max_bytes or not self._limits.clustered:
            return None
        if all(self.refusal(peer, config) != NO_STORAGE for peer in known.peers):
            return None
        return MEMORY_RESOURCES_EXCEEDED if config.storage == MEMORY_STORAGE else STORAGE_RESOURCES_EXCEEDED

    def refusal(self, peer: str, config: StreamConfig) -> str:
        """Why a peer cannot hold one more stream like this; "" when it can."""
        limit = self._limit(config.storage)
        if limit >= 0 and not _fits(config, self._reserved(peer, config), limit):
            return NO_STORAGE
        if config.num_replicas > 1 and self._limits.max_ha_assets > 0:
            machine = self._machine()
            replicated = machine.shares.replicated().get(peer, 0)
            known = machine.streams.get(config.name)
            if known is not None and peer in known.peers and known.config.num_replicas > 1:
                replicated -= 1
            if 1 + replicated > self._limits.max_ha_assets:  # one: the meta group
                return TOO_MANY_GROUPS
        return ""

    def _reserved(self, peer: str, config: StreamConfig) -> int:
        """What other streams than this one have reserved on a peer."""
        machine = self._machine()
        reserved = machine.shares.reserved(config.storage).get(peer, 0)
        known = machine.streams.get(config.name)
        if known is not None and peer in known.peers and known.config.storage == config.storage:
            reserved -= max(known.config.max_bytes, 0)
        return reserved

    def _limit(self, storage: str) -> int:
        """Bytes; negative: none."""
        return self._options.max_memory if storage == MEMORY_STORAGE else self._options.max_file


def _fits(config: StreamConfig, reserved: int, limit: int) -> bool:
    """Where everything is reserved, a stream that reserves nothing has no room either."""
    return limit < 0 or (reserved < limit and reserved + max(config.max_bytes, 0) <= limit)


def reserved_bytes(streams: dict[str, Assignment], storage: str) -> int:
    """What streams of that storage may take at most on each of their nodes; those without a limit reserve nothing."""
    configs = [found.config for found in streams.values()]
    return sum([config.max_bytes for config in configs if config.storage == storage and config.max_bytes > 0])
