"""The rows of the benchmark: what each one runs, in which setting, and the floor below which it is marked.

Data only. A floor is a ratio ours / theirs where more is better for both kinds of row: of rates, or of the inverse of
latencies. Both products run with the same promise in one row: lazy against lazy, durable against durable.
"""

from __future__ import annotations

from dataclasses import dataclass

RATE = "msgs/s"
MEGABYTES = "MB/s"
P50 = "p50 µs"
OBJECT_BYTES = 8_000_000


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


def interface_rows(setting: Setting, promise: str, floor: float) -> list[Row]:
    """What is written through JetStream's other interfaces, where it matters when the log is synced."""

    def row(load: str, title: str, unit: str, count: int, size: int = 128) -> Row:
        return Row(
            f"{setting.key}-{load}",
            f"R3 {promise}, {title}",
            setting,
            load,
            unit,
            count,
            max(1, count // 10),
            floor,
            size,
        )

    return [
        row("kv_put", "KV put", P50, 1000),
        row("kv_watch", "KV put → watcher", P50, 1000),
        row("object_put", "object put, 8 MB", MEGABYTES, 6, OBJECT_BYTES),
        row("atomic", "atomic batches of 100", RATE, 30_000),
        row("fast", "fast batch", RATE, 100_000),
        row("mirror", "mirror catches up", RATE, 50_000),
        row("source", "source catches up", RATE, 50_000),
    ]


def reading_rows(setting: Setting, floor: float) -> list[Row]:
    """What is only read: no sync is waited for."""

    def row(load: str, title: str, unit: str, count: int, size: int = 128) -> Row:
        return Row(
            f"{setting.key}-{load}", f"R3, {title}", setting, load, unit, count, max(1, count // 10), floor, size
        )

    return [
        row("ordered_push", "ordered push", RATE, 100_000),
        row("kv_get", "KV get", P50, 2000),
        row("object_get", "object get, 8 MB", MEGABYTES, 10, OBJECT_BYTES),
        row("direct_get", "direct get", P50, 2000),
        row("direct_batch", "direct get, batches of 500", RATE, 50_000),
        row("push_1", "publish → 1 push consumer", RATE, 100_000),
        row("push_100", "publish → 100 push consumers (deliveries)", RATE, 3_000),
        row("push_500", "publish → 500 push consumers (deliveries)", RATE, 600),
    ]


ROWS = [
    Row("core-pub", "core publish", SINGLE_LAZY, "core_pub", RATE, 2_000_000, 200_000, 0.5),
    Row("core-pubsub", "core publish → 1 subscriber", SINGLE_LAZY, "pubsub", RATE, 1_000_000, 100_000, 0.5),
    Row("core-fanout", "core fan-out 1 → 20 (deliveries)", SINGLE_LAZY, "fanout", RATE, 100_000, 10_000, 0.5),
    Row("core-request", "core request", SINGLE_LAZY, "request", P50, 10_000, 1_000, 0.5),
    *jetstream_rows(SINGLE_LAZY, 0.5),
    *jetstream_rows(SINGLE_DURABLE, 0.5),
    *jetstream_rows(CLUSTER_LAZY, 1.0),
    *jetstream_rows(CLUSTER_DURABLE, 2.0),
    *reading_rows(CLUSTER_LAZY, 0.5),
    *interface_rows(CLUSTER_LAZY, "lazy", 0.5),
    *interface_rows(CLUSTER_DURABLE, "durable", 1.0),
    Row("lookup", "last of one of 1 M subjects", SINGLE_LAZY, "lookup", P50, 1_000_000, 100_000, 0.5),
]

# Memory of a fresh three-node cluster, in megabytes a node: idle, and added by idle durable consumers on an R3 stream.
MEMORY_KEY = "memory"
MEMORY_CONSUMERS = 1000
MEMORY_CONSUMERS_QUICK = 100
MEMORY_IDLE_MAX_MB = 60.0
MEMORY_CONSUMERS_MAX_MB = 10.0
