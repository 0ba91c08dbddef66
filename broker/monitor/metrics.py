"""`/metrics`: the same facts for Prometheus directly, without an exporter beside the server.

Is: built from one statistics tree per scrape; nothing is counted twice. Events of the turns are a counter by name.
Read next: `statistics.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from broker.monitor.statistics import JetStreamStatistics, ServerFacts, Statistics

STREAM_GAUGES = (
    ("messages", "messages", "Messages in the stream"),
    ("bytes", "bytes", "Bytes in the stream"),
    ("first_sequence", "first_seq", "First live sequence"),
    ("last_sequence", "last_seq", "Last sequence"),
)
CONSUMER_GAUGES = (
    ("pending", "num_pending", "Messages not yet delivered"),
    ("ack_pending", "num_ack_pending", "Messages delivered and not acknowledged"),
    ("redelivered", "num_redelivered", "Messages that were delivered more than once"),
    ("waiting", "num_waiting", "Pull requests that wait"),
)


def metrics(statistics: Statistics, facts: ServerFacts) -> bytes:
    """The page in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Page(statistics, facts))
    return generate_latest(registry)


class _Page(Collector):
    def __init__(self, statistics: Statistics, facts: ServerFacts) -> None:
        self._statistics = statistics
        self._facts = facts

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        server, facts = self._statistics["server"], self._facts
        info = GaugeMetricFamily("ternmq_server_info", "Who this is", labels=["server_name", "server_id", "cluster"])
        info.add_metric([server["server_name"], server["server_id"], server["cluster_name"]], 1)
        yield info
        yield GaugeMetricFamily("ternmq_start_time_seconds", "Start of the server", facts["start_ns"] / 1e9)
        yield GaugeMetricFamily("ternmq_memory_bytes", "Resident memory", facts["mem"])
        yield GaugeMetricFamily("ternmq_connections", "Clients connected", server["num_connections"])
        yield CounterMetricFamily("ternmq_connections_opened", "Clients ever connected", server["total_connections"])
        yield GaugeMetricFamily("ternmq_routes", "Routes to other nodes", len(self._statistics["routes"]))
        subscriptions = self._statistics["sublist"]["num_subscriptions"]
        yield GaugeMetricFamily("ternmq_subscriptions", "Subscriptions in force", subscriptions)
        yield CounterMetricFamily("ternmq_received_messages", "Messages received", server["in_msgs"])
        yield CounterMetricFamily("ternmq_received_bytes", "Bytes of messages received", server["in_bytes"])
        yield CounterMetricFamily("ternmq_sent_messages", "Messages sent", server["out_msgs"])
        yield CounterMetricFamily("ternmq_sent_bytes", "Bytes of messages sent", server["out_bytes"])
        slow = CounterMetricFamily("ternmq_slow_consumers", "Connections closed for being slow", labels=["kind"])
        slow.add_metric(["client"], server["slow_consumers_clients"])
        slow.add_metric(["route"], server["slow_consumers_routes"])
        yield slow
        events = CounterMetricFamily("ternmq_events", "What the log was told", labels=["level", "event"])
        for (level, name), count in sorted(facts["events"].items()):
            events.add_metric([level, name], count)
        yield events
        if self._statistics["jetstream"] is not None:
            yield from _jetstream(self._statistics["jetstream"], server["server_name"])


def _jetstream(jetstream: JetStreamStatistics, own_name: str) -> Iterable[Metric]:
    yield GaugeMetricFamily("ternmq_jetstream_memory_bytes", "Bytes in memory streams", jetstream["memory"])
    yield GaugeMetricFamily("ternmq_jetstream_storage_bytes", "Bytes in file streams", jetstream["storage"])
    yield CounterMetricFamily("ternmq_jetstream_api_requests", "API requests", jetstream["api_total"])
    yield CounterMetricFamily("ternmq_jetstream_api_errors", "API requests that failed", jetstream["api_errors"])
    meta = jetstream["meta"]
    if meta is not None:
        yield GaugeMetricFamily("ternmq_meta_leader", "1 on the meta leader", float(meta["leader"] == own_name))
        yield GaugeMetricFamily("ternmq_meta_has_leader", "1 while a meta leader is known", float(meta["leader"] != ""))
    leader = GaugeMetricFamily("ternmq_stream_leader", "1 where this node leads the stream", labels=["stream"])
    for stream in jetstream["streams"]:
        leader.add_metric([stream["info"]["config"]["name"]], float(stream["is_leader"]))
    yield leader
    for name, key, help_text in STREAM_GAUGES:
        gauge = GaugeMetricFamily(f"ternmq_stream_{name}", help_text, labels=["stream"])
        for stream in jetstream["streams"]:
            gauge.add_metric([stream["info"]["config"]["name"]], stream["info"]["state"][key])
        yield gauge
    for name, key, help_text in CONSUMER_GAUGES:
        gauge = GaugeMetricFamily(f"ternmq_consumer_{name}", help_text, labels=["stream", "consumer"])
        for stream in jetstream["streams"]:
            for consumer in stream["consumers"]:
                if consumer["is_leader"]:  # the others do not know what waits
                    labels = [stream["info"]["config"]["name"], consumer["info"]["name"]]
                    gauge.add_metric(labels, consumer["info"][key])
        yield gauge
