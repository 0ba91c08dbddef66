"""All scenarios by name, and the small set that `make chaos` runs."""

from __future__ import annotations

from chaos.ground import PROXIED
from chaos.scenarios import connections, crashes, disks, mixture, partitions, statistics
from chaos.scenarios.scenario import ISOLATED_S, KILLED_S, PLANNED_S, WRITE_OUTAGE, Scenario, Story

# What CI picks from: of each kind of fault those that take a minute or two and ask nothing unusual of a machine.
QUICK = (
    "leader-kill", "follower-kill", "pause-leader", "strobe-leader", "partition-leader", "halves", "power-cut-all",
    "bit-flip", "registers", "work-queue",
)  # fmt: skip
SMALL = ("leader-kill", "partition-leader", "power-cut-all", "bit-flip")


def scenario(story: Story, *, limit_s: float = 0.0, **how: object) -> Scenario:
    """Named after its function; the sentence is its docstring's."""
    name = story.__name__.replace("_", "-")
    if limit_s:
        how["limits"] = {WRITE_OUTAGE: limit_s}
    return Scenario(name, (story.__doc__ or "").strip(), story, **how)  # type: ignore[arg-type]


CATALOGUE = {
    each.name: each
    for each in (
        scenario(crashes.leader_kill, limit_s=KILLED_S, rooted=False),
        scenario(crashes.follower_kill, limit_s=KILLED_S, rooted=False),
        scenario(crashes.majority_kill, rooted=False),
        scenario(crashes.kill_all, rooted=False),
        scenario(crashes.pause_leader, limit_s=ISOLATED_S, rooted=False),
        scenario(crashes.strobe_leader, rooted=False),
        scenario(crashes.rolling_restart, rooted=False),
        scenario(partitions.partition_leader, limit_s=ISOLATED_S, rooted=False),
        scenario(partitions.halves, limit_s=ISOLATED_S, rooted=False),
        scenario(partitions.one_way, limit_s=ISOLATED_S, rooted=False),
        scenario(partitions.bridge, limit_s=ISOLATED_S, rooted=False),
        scenario(partitions.ring, rooted=False),
        scenario(partitions.clients_only, limit_s=ISOLATED_S, rooted=False),
        scenario(partitions.cable_out, limit_s=ISOLATED_S),
        scenario(partitions.packet_loss),
        scenario(disks.power_cut_all),
        scenario(disks.power_cut_one, limit_s=ISOLATED_S),
        scenario(disks.power_cut_two),
        scenario(disks.bit_flip, preload_mb=20),
        scenario(disks.bit_flip_all_files, preload_mb=20),
        scenario(disks.truncation, preload_mb=20),
        scenario(disks.wiped_disk),
        scenario(disks.disk_full),
        scenario(disks.sync_error),
        scenario(disks.slow_sync),
        scenario(disks.frozen_disk),
        scenario(connections.latency, rooted=False, ground=PROXIED),
        scenario(connections.bandwidth, rooted=False, ground=PROXIED),
        scenario(connections.slicer, rooted=False, ground=PROXIED),
        scenario(connections.resets, rooted=False, ground=PROXIED),
        scenario(connections.timeouts, rooted=False, ground=PROXIED),
        scenario(connections.refused, rooted=False, ground=PROXIED, limit_s=ISOLATED_S),
        scenario(statistics.leader_kills, long=True, workloads="P", limits={"SIGKILL: outage p99 s": KILLED_S}),
        scenario(
            statistics.leader_isolations, long=True, workloads="P", limits={"leader isolated: outage max s": ISOLATED_S}
        ),
        scenario(statistics.leader_pauses, long=True, workloads="P", limits={"SIGSTOP: outage max s": ISOLATED_S}),
        scenario(
            statistics.planned_changes, long=True, workloads="P", limits={"planned change: outage max s": PLANNED_S}
        ),
        scenario(mixture.clock_jumps, movable_clocks=True),
        scenario(mixture.registers, workloads="C", rooted=False),
        scenario(mixture.work_queue, workloads="W", rooted=False),
        scenario(mixture.stream_life, workloads="M", rooted=False),
        scenario(mixture.random_mix, long=True, workloads="PDCW", rooted=False),
    )
}


def quick_by_seed(seed: int, *, rooted: bool) -> str:
    """One of the quick scenarios, of those that can be run here; the same seed, the same scenario."""
    quick = [name for name in QUICK if rooted or not CATALOGUE[name].rooted]
    return quick[seed % len(quick)]
