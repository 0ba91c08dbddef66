"""`make scale`: a second table, of how both servers bear many and large things. Not part of `make bench` or CI.

Each group has a fresh three-node cluster of each product, with the defaults of each: TernMQ syncs what it acknowledges,
nats-server every two minutes. Steps run in order, one product after the other; a line says how long a step took and
what the largest node weighs afterwards.
    python -m bench.scale [--quick] [--groups streams,consumers,…] [--sides ours,reference]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clients.servers import Cluster, Program
from clients.waiting import wait_until

from bench.__main__ import build_load, load, machine, progress, side_title

WAIT_S = 300.0
IDLE_S = 5.0
LARGE_MAX = "max_payload: 8MB\nmax_pending: 64MB\n"


@dataclass
class Step:
    """One line. `act` returns the figure as people read it; `counts` are ours and the reference's."""

    title: str
    act: Callable[[Cluster, int], str]
    count: int
    reference: int


@dataclass
class Group:
    """Lines that share a cluster."""

    key: str
    steps: list[Step]
    extra: str = ""


def run_load(name: str, size: int = 128, replicas: int = 3) -> Callable[[Cluster, int], str]:
    """A step that is a row of the load generator."""

    def act(cluster: Cluster, count: int) -> str:
        began = time.monotonic()
        result = load(cluster, name, count, size, replicas)
        return "failed" if result is None else figure(result, time.monotonic() - began)

    return act


def figure(result: dict[str, Any], took: float) -> str:
    """A rate, latencies, or how long it took."""
    if "p99_us" in result:
        return f"p50 {result['p50_us'] / 1000:.2f} ms, p99 {result['p99_us'] / 1000:.2f} ms"
    if "rate" in result:
        each = f", {result['p50_us'] / 1000:.1f} ms a publish" if "p50_us" in result else ""
        return f"{took:.1f} s ({result['rate']:,.0f}/s{each})"
    return f"{result['p50_us'] / 1e6:.2f} s"


def restart_one(cluster: Cluster, _count: int) -> str:
    """A node is killed and started: until it is healthy again."""
    node = cluster.nodes[1]
    node.kill()
    began = time.monotonic()
    node.start()
    wait_until(f"{node.name} healthy", node.healthy, WAIT_S)
    return f"{time.monotonic() - began:.1f} s"


def restart_all(cluster: Cluster, _count: int) -> str:
    """All nodes are stopped, and started: how long either takes."""
    began = time.monotonic()
    for node in cluster.nodes:
        node.ask_to_stop()
    for node in cluster.nodes:
        wait_until(f"{node.name} stopped", lambda: not node.running(), WAIT_S)  # noqa: B023
    stopped = time.monotonic()
    for node in cluster.nodes:
        node.start()
    cluster.wait_healthy(WAIT_S)
    return f"stop {stopped - began:.1f} s, start {time.monotonic() - stopped:.1f} s"


def idle(cluster: Cluster, _count: int) -> str:
    """Processor time of an idle node, in percent of a core; the busiest."""
    time.sleep(IDLE_S)  # what is still under way ends
    before = [processor_s(node.pid) for node in cluster.nodes]
    time.sleep(IDLE_S)
    spent = [processor_s(node.pid) - start for node, start in zip(cluster.nodes, before, strict=True)]
    return f"{max(spent) / IDLE_S * 100:.1f} % of a core"


def processor_s(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def groups() -> list[Group]:
    """The table's lines. The reference gets less where it would need more memory or time than there is."""
    many, million = 10_000, 1_000_000
    return [
        Group("streams", [
            Step("streams with one replica made, 16 askers", run_load("many_streams", replicas=1), many, many),
            Step("… publish to one of them", run_load("touch_streams"), many, many),
            Step("… STREAM.LIST of all", run_load("list_streams"), many, many),
            Step("… account info", run_load("account_info"), many, many),
            Step("… idle", idle, many, many),
            Step("… one node restarted", restart_one, many, many),
            Step("… all nodes restarted", restart_all, many, many),
            Step("… publish after that", run_load("touch_streams"), many, many),
            Step("… deleted", run_load("delete_streams"), many, many),
        ]),
        Group("replicated", [
            Step("streams with three replicas made, 16 askers", run_load("many_streams"), many, many // 10),
            Step("… publish to one of them", run_load("touch_streams"), many, many // 10),
            Step("… STREAM.LIST of all", run_load("list_streams"), many, many // 10),
            Step("… idle", idle, many, many // 10),
            Step("… one node restarted", restart_one, many, many // 10),
            Step("… all nodes restarted", restart_all, many, many // 10),
            Step("… publish after that", run_load("touch_streams"), many, many // 10),
        ]),
        Group("consumers", [
            Step("durable R3 consumers made on 10 streams", run_load("many_consumers"), 10 * many, many // 5),
            Step("… one fetches and acks", run_load("use_consumers"), 10 * many, many // 5),
            Step("… CONSUMER.LIST of one stream", run_load("list_consumers"), 10 * many, many // 5),
            Step("… idle", idle, 10 * many, many // 5),
            Step("… all nodes restarted", restart_all, 10 * many, many // 5),
            Step("… one fetches and acks after that", run_load("use_consumers"), 10 * many, many // 5),
        ]),
        Group("durables", [
            Step("durable R3 consumers made on 1 stream, one asker", run_load("idle"), many // 10, many // 10),
        ]),
        Group("subjects", [
            Step("subjects loaded into one R3 stream", run_load("fill_subjects"), million, million),
            Step("… last message of one", run_load("lookup"), million, million),
            Step("… all of them through STREAM.INFO, a page", run_load("page_subjects"), million, million),
            Step("… a consumer with a wildcard filter made", run_load("filtered_consumers"), million, million),
            Step("… one is put, max_msgs_per_subject 1, and watched", run_load("rewrite_subjects"), million, million),
            Step("… all nodes restarted", restart_all, million, million),
            Step("… last message of one after that", run_load("lookup"), million, million),
        ]),
        Group("large", [
            Step("messages of 1 MB published, fetched and acked", run_load("large", 1_000_000), 100, 100),
            Step("messages of 8 MB published, fetched and acked", run_load("large", 8_000_000), 20, 20),
        ], LARGE_MAX),
        Group("pending", [
            Step("messages stored that wait for a consumer", run_load("pending_fill"), million, million),
            Step("… fetched, not acked", run_load("pending_fetch"), many * 10, many * 10),
            Step("… with these pending, leader changed", run_load("pending_leader"), many * 10, many * 10),
            Step("… acked", run_load("pending_ack"), many * 10, many * 10),
        ]),
    ]  # fmt: skip


def run_group(group: Group, side: str, program: Program, directory: Path, share: int) -> list[tuple[str, str, float]]:
    """What each step of a group gave: count, figure, megabytes of the largest node."""
    found: list[tuple[str, str, float]] = []
    with Cluster(program, directory / group.key / side, 3, extra=group.extra) as cluster:
        for step in group.steps:
            count = (step.reference if program.reference else step.count) // share
            try:
                text = step.act(cluster, count)
            except (AssertionError, OSError, TimeoutError) as error:
                text = "failed"
                progress(f"{step.title}: {error}")
            found.append((f"{count:,}", text, max(node.resident_mb() for node in cluster.nodes)))
            progress(f"{side}: {count:,} {step.title}: {text}, {found[-1][2]:.0f} MB")
            if text == "failed":
                break
    return found


def main() -> int:
    """Run the chosen groups and print the table."""
    parser = argparse.ArgumentParser(prog="make scale", description="Many and large things, TernMQ beside nats-server.")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--groups", default="", help="only these, comma-separated")
    parser.add_argument("--sides", default="ours,reference", help="ours, reference, or both")
    parser.add_argument("--dir", default=None, help="where stores are kept meanwhile")
    options = parser.parse_args()
    programs = {"ours": Program.chosen(), "reference": Program.nats_server()}
    build_load()
    wanted = [group for group in groups() if not options.groups or group.key in options.groups.split(",")]
    head = f"| {machine()} | {side_title(programs['ours'])} | MB | nats-server 2.15.1 | MB |"
    lines = ["", head, "|---|---|---:|---|---:|"]
    with tempfile.TemporaryDirectory(prefix="ternmq-scale-", dir=options.dir) as directory:
        for group in wanted:
            sides = {
                side: run_group(group, side, program, Path(directory), 10 if options.quick else 1)
                for side, program in programs.items()
                if side in options.sides.split(",")
            }
            for at, step in enumerate(group.steps):
                cells: list[str] = []
                counts: list[str] = []
                for side in programs:
                    steps = sides.get(side, [])
                    count, text, memory = steps[at] if at < len(steps) else ("", "–", 0.0)
                    cells += [text, f"{memory:.0f}" if memory else "–"]
                    counts += [count] if count and count not in counts else []
                lines.append(f"| {' / '.join(counts)} {step.title} | {' | '.join(cells)} |")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
