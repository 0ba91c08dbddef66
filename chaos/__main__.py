"""`make chaos`: faults on real processes, disks and networks, and whether the promises hold.

    python -m chaos [SCENARIO … | all] [--server reference|PATH] [--sync always] [--seed N] [--by-seed] [--dir DIR]
                    [--plain] [--list]
Exit 0: everything holds. 1: a promise or a target was broken. 2: a fault was harmless, or a run was not finished.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

from clients.servers import BIN, FROM_SOURCE, ROOT, Program

from chaos import isolation, needs
from chaos.report.page import write_index
from chaos.run import Verdict, default_ground, run
from chaos.scenarios.catalogue import CATALOGUE, SMALL, quick_by_seed


def main() -> int:
    """Run what was asked for."""
    options = arguments()
    if options.list:
        for scenario in CATALOGUE.values():
            print(f"{scenario.name:20} {scenario.workloads:6} {scenario.text}")
        return 0
    rooted = os.geteuid() == 0 and not options.plain
    if options.needs:
        print(" ".join(needs.packages() if rooted else []))
        return 0
    if lacks := needs.complaints(rooted=rooted):
        print("\n".join(lacks), file=sys.stderr)
        return 2
    if rooted and (why := isolation.impossible()):
        say(f"root, but no namespaces and disks ({why}): as without root")
        rooted = False
    if rooted:
        isolation.enter("chaos")
    program = chosen_program(options.server)
    if options.sync:
        program.title += f"-sync-{options.sync}"
    runs: list[tuple[Verdict, Path]] = []
    wishes = [quick_by_seed(options.seed, rooted=rooted)] if options.by_seed else options.scenarios
    for name in chosen_scenarios(wishes, rooted=rooted):
        scenario = CATALOGUE[name]
        directory = options.dir / f"{time.strftime('%m%d-%H%M%S')}-{name}-{program.title}"
        say(f"== {name}: {scenario.text} ({program.title}, seed {options.seed})")
        if options.workloads:
            scenario = replace(scenario, workloads=options.workloads, limits={})
        kind = default_ground(scenario, rooted=rooted)
        verdict = run(scenario, program, kind, options.seed, directory, say, options.sync)
        say(f"   {verdict.line()}\n   {directory / 'report.html'}")
        runs.append((verdict, directory))
    write_index(options.dir / "index.html", runs)
    return summary([verdict for verdict, _ in runs])


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make chaos", description="Faults on real processes, disks and networks.")
    parser.add_argument(
        "scenarios", nargs="*", default=list(SMALL), help=f"names, or `all`; default: {' '.join(SMALL)}"
    )
    parser.add_argument("--server", default="", help="`reference` (nats-server), `source`, or the path of a server")
    parser.add_argument("--sync", default="", help="sync_interval of the servers, e.g. always; theirs without it")
    parser.add_argument("--workloads", default="", help="letters of P, D, C, W, M instead of the scenario's own")
    parser.add_argument("--seed", type=int, default=1, help="of what is left to chance")
    parser.add_argument("--by-seed", action="store_true", help="one scenario of a minute or two, picked by the seed")
    parser.add_argument("--dir", default=str(ROOT / "build" / "chaos"), help="where runs are written to")
    parser.add_argument("--plain", action="store_true", help="as without root: toxiproxy only")
    parser.add_argument("--needs", action="store_true", help="only print the Debian packages that are missing")
    parser.add_argument("--list", action="store_true", help="what there is")
    options = parser.parse_args()
    options.dir = Path(options.dir).absolute()
    return options


def chosen_program(wish: str) -> Program:
    """Ours, installed and compiled, by default."""
    if wish == "reference":
        return Program.nats_server()
    if wish == "source":
        return Program([sys.executable, "-c", FROM_SOURCE], reference=False)
    if wish:
        return Program([wish], reference=Path(wish).name == "nats-server")
    return Program([str(BIN / "ternmq-server")], reference=False)


def chosen_scenarios(wishes: list[str], *, rooted: bool) -> list[str]:
    """Names, all that can be run here for `all`."""
    if wishes == ["all"]:
        return [name for name, scenario in CATALOGUE.items() if rooted or not scenario.rooted]
    for wish in wishes:
        if wish not in CATALOGUE:
            sys.exit(f"no scenario {wish}: {', '.join(CATALOGUE)}")
        if CATALOGUE[wish].rooted and not rooted:
            sys.exit(f"{wish} needs root")
    return wishes


def summary(verdicts: list[Verdict]) -> int:
    """The last lines, and the exit code."""
    say("")
    for verdict in verdicts:
        say(f"{'ok  ' if verdict.holds else 'FAIL'} {verdict.line()}")
    if all(verdict.holds for verdict in verdicts):
        return 0
    return 1 if any(verdict.broken_promises or verdict.misses for verdict in verdicts) else 2


def say(text: str) -> None:
    """Onto the terminal, at once."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
