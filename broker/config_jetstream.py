"""The block `jetstream { … }` of a configuration file.

Not here: the other blocks and the rules for all of them (`config_keys`), the types (`config_values`).
"""

from __future__ import annotations

from typing import Final

from broker import config_values as values
from broker.config import JetStreamLimits, Options
from broker.config_file import Node
from broker.config_values import words

# Accepted and without effect: they tune what we do not have.
JETSTREAM_HARMLESS: Final = words(
    "max_outstanding_catchup max_buffered_size max_buffered_msgs request_queue_limit info_queue_limit meta_compact "
    "meta_compact_size meta_compact_sync max_concurrent_io"
)
# Known to nats-server, not built here yet.
JETSTREAM_UNSUPPORTED: Final = words(
    "key ek encryption_key prev_key prev_ek prev_encryption_key cipher extension_hint tpm"
)
LIMITS_UNSUPPORTED: Final = words("batch")


def store_dir(options: Options, key: str, node: Node, warnings: list[str]) -> None:
    """Also a key of the file itself."""
    if options.jetstream.store_dir:
        raise node.failure("Duplicate 'store_dir' configuration")
    options.jetstream.store_dir = values.text(key, node)


def jetstream_block(options: Options, key: str, node: Node, warnings: list[str]) -> None:
    """`jetstream: enabled`, or all of it."""
    value = node.value
    if isinstance(value, bool):
        options.jetstream.enabled = value
    elif isinstance(value, str):
        if value.lower() not in ("enabled", "enable", "disabled", "disable"):
            raise node.failure(f"Expected 'enabled' or 'disabled' for string value, got '{value}'")
        options.jetstream.enabled = value.lower().startswith("enable")
    elif isinstance(value, dict):
        options.jetstream.enabled = True
        for name, entry in value.items():
            _jetstream_entry(options, name, entry, warnings)
    else:
        raise node.failure(f"Expected map, bool or string to define JetStream, got {values.kind(node)}")


def _domain(key: str, node: Node) -> str:
    domain = values.text(key, node)
    if any(character.isspace() for character in domain):
        raise node.failure(f'invalid domain name: derived "$JS.{domain}.API.>" is not a valid subject')
    if any(character in ".*>" for character in domain):
        raise node.failure("invalid domain name: may not contain ., * or >")
    return domain


def _limit(limits: JetStreamLimits, key: str, node: Node, warnings: list[str]) -> None:
    name = key.lower()
    if name in ("max_request_batch", "max_ack_pending", "max_ha_assets", "default_max_consumers"):
        setattr(limits, name, values.integer(name, node))
    elif name == "duplicate_window":
        limits.duplicate_window_ns = values.duration_ns(name, node, warnings)
    else:
        values.refuse(key, node, LIMITS_UNSUPPORTED, block="jetstream.limits.")


def _jetstream_entry(options: Options, key: str, node: Node, warnings: list[str]) -> None:
    jetstream = options.jetstream
    name = key.lower()
    if name in ("enable", "enabled"):
        jetstream.enabled = values.boolean(name, node)
    elif name in ("store", "store_dir", "storedir"):
        store_dir(options, name, node, warnings)
    elif name in ("sync", "sync_interval"):
        always = isinstance(node.value, str) and node.value.lower() == "always"
        jetstream.sync_interval_ns = 0 if always else values.duration_ns(name, node, warnings)
        if jetstream.sync_interval_ns < 0:
            raise node.failure(f"{name} cannot be negative")
    elif name in ("max_memory_store", "max_mem_store", "max_mem"):
        jetstream.max_memory = values.storage_bytes(name, node)
    elif name in ("max_file_store", "max_file"):
        jetstream.max_file = values.storage_bytes(name, node)
    elif name == "unique_tag":
        jetstream.unique_tag = values.text(name, node).strip().lower()
    elif name == "limits":
        for limit, value in values.tree(name, node).items():
            _limit(jetstream.limits, limit, value, warnings)
    elif name == "domain":
        jetstream.domain = _domain(name, node)
    elif name == "strict":
        if not values.boolean(name, node):
            raise node.failure('"jetstream.strict: false" is not supported yet')
    elif name not in JETSTREAM_HARMLESS:
        values.refuse(key, node, JETSTREAM_UNSUPPORTED, block="jetstream.")
