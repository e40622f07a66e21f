# SPDX-License-Identifier: GPL-2.0-only
"""Operations a second: with the checkers, and a bare loop of the same system beside it.

    python benchmarks/throughput.py [TARGET] [RUNS]

Machines are shared and noisy: quote the ratio.  CPU time, best of three.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import time
from collections.abc import Callable
from random import Random

from sgxmodel.invariants.checks import Checks
from sgxmodel.machine.blocks import Site
from sgxmodel.machine.op import Fault
from sgxmodel.machine.system import Silent
from sgxmodel.revisions import revision
from sgxmodel.scenario.build import World, build
from sgxmodel.scenario.text import parse
from sgxmodel.search.pct import Pct
from sgxmodel.search.random_walk import RandomWalk
from sgxmodel.search.run import Runner

SCENARIO = """
scenario throughput
about three tasks, four enclave pages
epc 7
enclave A 4
setup open A; create A; add A 0; add A 1; add A 2; add A 3; init A
task T1: touch A 0; touch A 1
task T2: touch A 2; touch A 3
task R: reclaim; reclaim
"""


class _Deaf(Silent):
    def fault(self, t: int, site: Site, fault: Fault) -> None:
        pass


def checked(world: World, runs: int) -> int:
    """Sampled runs with every checker, as ``sgxmodel check`` makes them."""
    runner = Runner(world, Checks(world))
    rngs = (Random(i) for i in range(runs))
    return sum(runner.run(Pct(r) if i % 2 else RandomWalk(r)).steps for i, r in enumerate(rngs))


def bare(world: World, runs: int) -> int:
    """The same system, switched at random, nothing watched."""
    steps = 0
    for i in range(runs):
        rng, system = Random(i), world.system(_Deaf())
        system.start()
        tasks = [t for t, spec in enumerate(world.tasks) if not spec.last]
        while able := [t for t in tasks if system.enabled(t)]:
            t = rng.choice(able)
            for _ in range(rng.randrange(1, 20)):
                if not system.enabled(t):
                    break
                system.step(t)
        steps += system.steps
    return steps


def rate(work: Callable[[World, int], int], world: World, runs: int) -> list[float]:
    """Operations a second of CPU time, three times."""
    rates = []
    for _ in range(3):
        start = time.process_time()
        steps = work(world, runs)
        rates.append(steps / (time.process_time() - start))
    return rates


def main() -> None:
    target = sys.argv[1] if len(sys.argv) > 1 else "list_fixed"
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    world = build(revision(target), parse(SCENARIO))
    checked(world, 10)
    rates = {"with checkers": rate(checked, world, runs), "bare loop": rate(bare, world, runs)}
    for name, values in rates.items():
        spread = (max(values) - min(values)) / max(values)
        print(f"{name:15} {max(values):10,.0f} operations/s  (spread {spread:.0%})")
    ratio = max(rates["bare loop"]) / max(rates["with checkers"])
    print(f"the checkers cost a factor of {ratio:.1f}; where the time goes:")
    profile = cProfile.Profile()
    profile.enable()
    checked(world, runs // 4)
    profile.disable()
    rows: dict[str, float] = {}
    for (path, _, name), (_, _, own, _, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        room = path.partition("sgxmodel/")[2] or (path if "attrs" in path else "python")
        rows[room if room != "python" else f"python: {name}"] = rows.get(room, 0) + own
    total = sum(rows.values())
    for room, own in sorted(rows.items(), key=lambda r: -r[1])[:8]:
        print(f"  {own / total:5.0%}  {room}")


if __name__ == "__main__":
    main()
