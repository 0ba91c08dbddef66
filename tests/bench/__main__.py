"""`make bench`: a table of TernMQ beside nats-server, both loaded by the same program in the same minutes.

Servers of both products run side by side; each row alternates between them, round by round, and takes medians, so
that a
busy minute of the machine weighs on both. The load generator (tests/bench/load, Go) is built on first use.
    python -m bench [--quick] [--rows core,R3…] [--rounds N] [--json FILE] [--ours reference|PATH]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from clients.servers import ROOT, Cluster, Program

from bench.rows import (
    CLUSTER_LAZY,
    MEMORY_CONSUMERS,
    MEMORY_CONSUMERS_MAX_MB,
    MEMORY_CONSUMERS_QUICK,
    MEMORY_IDLE_MAX_MB,
    MEMORY_KEY,
    P50,
    ROWS,
    Row,
    Setting,
)

LOAD = ROOT / ".tools" / "load"


def main() -> int:
    """Run the chosen rows, print the table, write JSON. Exit 1 when a row could not be run, never for a missed
    floor."""
    options = arguments()
    if options.ours:
        os.environ["TERNMQ_TEST_SERVER"] = options.ours
    programs = {"ours": Program.chosen(), "reference": Program.nats_server()}
    build_load()
    rows = [row for row in ROWS if wanted(options.rows, row.key, row.title)]
    results: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory(prefix="ternmq-bench-", dir=options.dir) as directory:
        settings = list(dict.fromkeys(row.setting for row in rows))
        for setting in settings:
            mine = [row for row in rows if row.setting == setting]
            results.update(run_setting(setting, mine, programs, Path(directory), options))
        memory = {}
        if wanted(options.rows, MEMORY_KEY, MEMORY_KEY):
            memory = measure_memory(programs, Path(directory), options.quick)
    print(table(rows, results, memory, programs, options))
    if options.json:
        Path(options.json).write_text(json.dumps({"machine": machine(), "rows": results, "memory": memory}, indent=1))
    complete = all(len(runs) == options.rounds for pair in results.values() for runs in pair.values())
    return 0 if complete else 1


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make bench", description="TernMQ beside nats-server, one table.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the operations, one round")
    parser.add_argument("--rounds", type=int, default=0, help="rounds per row (default 3, quick 1)")
    parser.add_argument(
        "--rows", default="", help="only rows whose key or title contains one of these, comma-separated"
    )
    parser.add_argument("--json", default="", metavar="FILE", help="also write every single figure to FILE")
    parser.add_argument("--ours", default="", metavar="SERVER", help="`reference` or a path: what stands on our side")
    parser.add_argument(
        "--dir", default=None, help="where stores are kept meanwhile (default: the temporary directory)"
    )
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 3)
    return options


def wanted(chosen: str, key: str, title: str) -> bool:
    """True when --rows is absent or names this row."""
    return not chosen or any(part in key or part in title for part in chosen.split(","))


def build_load() -> None:
    """Build the load generator; Go's cache makes the second time quick."""
    LOAD.parent.mkdir(exist_ok=True)
    subprocess.run(["go", "build", "-o", str(LOAD), "."], cwd=ROOT / "tests" / "bench" / "load", check=True)


def run_setting(
    setting: Setting, rows: list[Row], programs: dict[str, Program], directory: Path, options: argparse.Namespace
) -> dict[str, dict[str, list[float]]]:
    """Start both products in one setting and run its rows, alternating; the order turns from round to round."""
    results: dict[str, dict[str, list[float]]] = {row.key: {side: [] for side in programs} for row in rows}
    clusters: dict[str, Cluster] = {}
    try:
        for side, program in programs.items():
            sync = setting.ours if side == "ours" and not program.reference else setting.reference
            clusters[side] = Cluster(program, directory / setting.key / side, setting.nodes, sync)
            clusters[side].start()
        for row in rows:
            for number in range(options.rounds):
                order = list(programs) if number % 2 == 0 else list(reversed(programs))
                for side in order:
                    value = run_row(row, clusters[side], row.quick if options.quick else row.count)
                    if value is not None:
                        results[row.key][side].append(value)
            progress(f"{row.title}: {describe(row, results[row.key])}")
    finally:
        for cluster in clusters.values():
            cluster.__exit__()
    return results


def load(cluster: Cluster, name: str, count: int, size: int, replicas: int = 0) -> dict[str, Any] | None:
    """One run of the load generator; None when it failed, said on stderr. `replicas` 0: as many as there are nodes."""
    command = [str(LOAD), "-server", ",".join(cluster.urls), "-row", name, "-count", str(count), "-size", str(size)]
    done = subprocess.run([*command, "-replicas", str(replicas or len(cluster.nodes))], capture_output=True, text=True)
    if done.returncode:
        progress(f"{name} failed on {cluster.nodes[0].program.title}: {done.stderr.strip()}")
        return None
    result: dict[str, Any] = json.loads(done.stdout)
    if result["errors"]:
        progress(f"{name} on {cluster.nodes[0].program.title}: {result['errors']} messages lost or refused")
        return None
    if done.stderr:
        progress(f"{name} on {cluster.nodes[0].program.title}: {done.stderr.count('again')} tried again")
    return result


def run_row(row: Row, cluster: Cluster, count: int) -> float | None:
    """The figure of one run: a rate or a median latency."""
    result = load(cluster, row.load, count, row.size)
    if result is None:
        return None
    return float(result["p50_us" if row.unit == P50 else "rate"])


def measure_memory(programs: dict[str, Program], directory: Path, quick: bool) -> dict[str, dict[str, float]]:
    """Resident megabytes of the largest node: idle, and added by idle durable consumers on an R3 stream."""
    count = MEMORY_CONSUMERS_QUICK if quick else MEMORY_CONSUMERS
    memory: dict[str, dict[str, float]] = {}
    for side, program in programs.items():
        sync = CLUSTER_LAZY.reference if program.reference else CLUSTER_LAZY.ours
        with Cluster(program, directory / "memory" / side, 3, sync) as cluster:
            idle = max(node.resident_mb() for node in cluster.nodes)
            made = load(cluster, "idle", count, 128)
            full = max(node.resident_mb() for node in cluster.nodes)
            added = full - idle if made else float("nan")
            memory[side] = {"idle_mb": idle, "consumers": count, "added_mb": added}
    return memory


def ratio(row: Row, pair: dict[str, list[float]]) -> float | None:
    """Ours against theirs, above 1 is better; None where a side has no figure."""
    if not pair["ours"] or not pair["reference"]:
        return None
    ours, theirs = statistics.median(pair["ours"]), statistics.median(pair["reference"])
    return theirs / ours if row.unit == P50 else ours / theirs


def describe(row: Row, pair: dict[str, list[float]]) -> str:
    """One row in words, for the progress lines."""
    got = ratio(row, pair)
    ours, theirs = (figure(pair[side]) for side in ("ours", "reference"))
    return f"{ours} against {theirs} {row.unit}" + (f", {got:.2f}×" if got is not None else "")


def figure(runs: list[float]) -> str:
    """A median for people."""
    return f"{statistics.median(runs):,.0f}" if runs else "failed"


def table(
    rows: list[Row],
    results: dict[str, dict[str, list[float]]],
    memory: dict[str, dict[str, float]],
    programs: dict[str, Program],
    options: argparse.Namespace,
) -> str:
    """The table in Markdown."""
    lines = [
        "",
        f"{machine()}; medians of {options.rounds} round(s), alternating{'; quick' if options.quick else ''}",
        "",
        f"| row | unit | {side_title(programs['ours'])} | nats-server 2.15.1 | ratio | floor | |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        pair = results[row.key]
        got = ratio(row, pair)
        ours, theirs = (figure(pair[side]) for side in ("ours", "reference"))
        shown = "–" if got is None else f"{got:.2f}×"
        mark = "FAILED" if got is None else "" if got >= row.floor else "BELOW FLOOR"
        lines.append(f"| {row.title} | {row.unit} | {ours} | {theirs} | {shown} | {row.floor:.1f}× | {mark} |")
    if memory:
        ours_memory, their_memory = memory["ours"], memory["reference"]
        limits = (("idle_mb", MEMORY_IDLE_MAX_MB, "idle three-node cluster"),)
        limits += (("added_mb", MEMORY_CONSUMERS_MAX_MB, f"added by {ours_memory['consumers']:.0f} idle R3 consumers"),)
        for key, most, title in limits:
            mark = "" if ours_memory[key] <= most else "ABOVE LIMIT"
            values = f"{ours_memory[key]:.1f} | {their_memory[key]:.1f}"
            lines.append(f"| {title} | MB a node | {values} | | ≤ {most:.0f} | {mark} |")
    return "\n".join(lines)


def side_title(program: Program) -> str:
    """What stands on our side; for TernMQ also whether it was compiled."""
    if program.reference:
        return "nats-server (as ours)"
    from broker.compiled import is_compiled

    return "TernMQ" if is_compiled() else "TernMQ, INTERPRETED"


def machine() -> str:
    """Enough of the machine to read the figures."""
    cores = len(os.sched_getaffinity(0))
    return f"{platform.system()} {platform.machine()}, {cores} cores, Python {platform.python_version()}"


def progress(text: str) -> None:
    """One line for the person who waits."""
    print(f"  {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
