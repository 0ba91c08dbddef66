"""`make sim`: simulated clusters by seed, on all cores. Exit 1 when a promise was broken, with the way to see it
again."""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator

from sim.run import Result, simulate


def main() -> int:
    """Run the seeds."""
    parser = argparse.ArgumentParser(prog="sim")
    parser.add_argument("--seeds", type=int, default=20, help="how many stories, from seed 1 on")
    parser.add_argument("--seed", type=int, help="only this one")
    options = parser.parse_args()
    seeds = [options.seed] if options.seed is not None else list(range(1, options.seeds + 1))
    started = time.monotonic()
    failed = 0
    for result in results(seeds):
        failed += bool(result.faults)
        print(result.text(), flush=True)
    print(f"{len(seeds) - failed} of {len(seeds)} seeds hold, {time.monotonic() - started:.0f} s")
    return 1 if failed else 0


def results(seeds: list[int]) -> Iterator[Result]:
    """In the order of the seeds; a process a story, so that what one leaves behind costs the next nothing."""
    if len(seeds) == 1:
        yield simulate(seeds[0])
        return
    with multiprocessing.Pool(os.cpu_count(), maxtasksperchild=1) as pool:
        yield from pool.imap(simulate, seeds)


if __name__ == "__main__":
    sys.exit(main())
