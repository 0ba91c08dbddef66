"""The rows of the benchmark: what each one runs, in which setting, and the floor below which it is marked.

Data only. A floor is a ratio ours / theirs where more is better for both kinds of row: of rates, or of the inverse of
latencies. Both products run with the same promise in one row: lazy against lazy, durable against durable.
"""

from __future__ import annotations

from dataclasses import dataclass

RATE = "msgs/s"
P50 = "p50 µs"


@dataclass(frozen=True)
class Setting:
    """How the servers are started: nodes, and the `sync_interval` of each product for the same promise."""

    key: str
    nodes: int
    ours: str
    reference: str


SINGLE_LAZY = Setting("single-lazy", 1, "2m", "")
SINGLE_DURABLE = Setting("single-durable", 1, "", "always")
CLUSTER_LAZY = Setting("cluster-lazy", 3, "2m", "")
CLUSTER_DURABLE = Setting("cluster-durable", 3, "", "always")


@dataclass(frozen=True)
class Row:
    """One line of the table. `count` operations a run; `quick` of them with --quick."""

    key: str
    title: str
    setting: Setting
    load: str
    unit: str
    count: int
    quick: int
    floor: float
    size: int = 128


def jetstream_rows(setting: Setting, floor: float) -> list[Row]:
    """The same JetStream rows for one setting."""
    name, replicas = setting.key, f"R{setting.nodes}"
    promise = "lazy" if setting in (SINGLE_LAZY, CLUSTER_LAZY) else "durable"
    many = 20_000 if setting == SINGLE_DURABLE else 200_000  # nats-server syncs each message there: 4,000 a second
    rows = [
        Row(f"{name}-sync", f"{replicas} {promise}, sync publish", setting, "js_sync", P50, 2000, 300, floor),
        Row(f"{name}-async", f"{replicas} {promise}, async 128 B", setting, "js_async", RATE, many, many // 10, floor),
    ]
    if setting.nodes > 1:
        title = f"{replicas} {promise}, async 1 KB"
        rows.append(Row(f"{name}-async-1k", title, setting, "js_async", RATE, 80_000, 8_000, floor, 1024))
    title = f"{replicas} {promise}, fetch + ack"
    rows.append(Row(f"{name}-fetch", title, setting, "fetch_ack", RATE, many // 2, many // 20, floor))
    return rows


ROWS = [
    Row("core-pub", "core publish", SINGLE_LAZY, "core_pub", RATE, 2_000_000, 200_000, 0.5),
    Row("core-pubsub", "core publish → 1 subscriber", SINGLE_LAZY, "pubsub", RATE, 1_000_000, 100_000, 0.5),
    Row("core-fanout", "core fan-out 1 → 20 (deliveries)", SINGLE_LAZY, "fanout", RATE, 100_000, 10_000, 0.5),
    Row("core-request", "core request", SINGLE_LAZY, "request", P50, 10_000, 1_000, 0.5),
    *jetstream_rows(SINGLE_LAZY, 0.5),
    *jetstream_rows(SINGLE_DURABLE, 0.5),
    *jetstream_rows(CLUSTER_LAZY, 1.0),
    *jetstream_rows(CLUSTER_DURABLE, 2.0),
]

# Memory of a fresh three-node cluster, in megabytes a node: idle, and added by idle durable consumers on an R3 stream.
MEMORY_KEY = "memory"
MEMORY_CONSUMERS = 1000
MEMORY_CONSUMERS_QUICK = 100
MEMORY_IDLE_MAX_MB = 60.0
MEMORY_CONSUMERS_MAX_MB = 10.0
