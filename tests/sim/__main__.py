"""`make sim`: simulated clusters by seed, on all cores. Exit 1 when a promise was broken, with the way to see it
again."""

import argparse
import multiprocessing
import sys
import time

from sim.run import Verdict, simulate


def main() -> int:
    """Run the seeds."""
    parser = argparse.ArgumentParser(prog="sim")
    parser.add_argument("--seeds", type=int, default=20, help="how many stories, from seed 1 on")
    parser.add_argument("--seed", type=int, help="only this one")
    options = parser.parse_args()
    seeds = [options.seed] if options.seed is not None else list(range(1, options.seeds + 1))
    started = time.monotonic()
    failed = 0
    with multiprocessing.Pool() as pool:
        for verdict in pool.imap(simulate, seeds):
            failed += report(verdict)
    print(f"{len(seeds) - failed} of {len(seeds)} seeds hold, {time.monotonic() - started:.0f} s")
    return 1 if failed else 0


def report(verdict: Verdict) -> int:
    """One line a seed; the whole story where something broke."""
    if not verdict.faults:
        print(f"seed {verdict.seed}: holds, {verdict.acked} acknowledged", flush=True)
        return 0
    print(f"seed {verdict.seed}: BROKEN", flush=True)
    for line in verdict.story + verdict.faults[:10]:
        print(f"    {line}")
    print(f"    again: {verdict.replay()}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
