"""`make sim`: simulated clusters by seed, on all cores. Exit 1 when a promise was broken, with the way to see it
again. `make sim PLANTED=1`: bugs are planted, and each must be found."""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator

from sim.hunt import BUGS, hunt_all
from sim.run import Result, simulate


def main() -> int:
    """Run the seeds."""
    parser = argparse.ArgumentParser(prog="sim")
    parser.add_argument("--seeds", type=int, default=20, help="how many stories, from seed 1 on")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--planted", action="store_true", help="plant bugs and see whether they are found")
    options = parser.parse_args()
    if options.planted:
        return planted()
    seeds = [options.seed] if options.seed is not None else list(range(1, options.seeds + 1))
    started = time.monotonic()
    failed = 0
    for result in results(seeds):
        failed += bool(result.faults)
        print(result.text(), flush=True)
    print(f"{len(seeds) - failed} of {len(seeds)} seeds hold, {time.monotonic() - started:.0f} s")
    return 1 if failed else 0


def planted() -> int:
    """Every planted bug must be found, and what finds it must hold without it."""
    started = time.monotonic()
    missed = 0
    for found in hunt_all():
        missed += not found.seed or bool(found.innocent)
        print(found.text(), flush=True)
    print(f"{len(BUGS) - missed} of {len(BUGS)} planted bugs found, {time.monotonic() - started:.0f} s")
    return 1 if missed else 0


def results(seeds: list[int]) -> Iterator[Result]:
    """In the order of the seeds; a process a story, so that what one leaves behind costs the next nothing."""
    if len(seeds) == 1:
        yield simulate(seeds[0])
        return
    with multiprocessing.Pool(os.cpu_count(), maxtasksperchild=1) as pool:
        yield from pool.imap(simulate, seeds)


if __name__ == "__main__":
    sys.exit(main())
