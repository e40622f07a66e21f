# SPDX-License-Identifier: GPL-2.0-only
"""Which schedulers notice faults, over mutants drawn at random: the default mix's reason.

    python -m benchmarks.schedulers [--mutants N] [--runs N] [--seed N] [--jobs N]

A fault is a mutant in a scenario that comes to its line and that some schedule
violates, but not the few without preemption that every search begins with.  Each
scheduler runs alone on it; from its rate follows the chance that a mix of so
many schedules misses the fault.  A mix is judged by its worst fault, then by the
mean.  Bounding is no lottery: its share is a prefix of its own runs.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from random import Random

import attrs

from sgxmodel.errors import UserError
from sgxmodel.invariants.checks import Checks
from sgxmodel.machine.op import Fault as ModelFault
from sgxmodel.mutate.catalogue import Changes, Mutant, catalogue, with_changes
from sgxmodel.mutate.cover import Reach, order, reach
from sgxmodel.mutate.scope import functions_in
from sgxmodel.revisions import revision
from sgxmodel.scenario.build import build
from sgxmodel.scenario.catalogue import SCENARIOS
from sgxmodel.search.bounding import Bounding
from sgxmodel.search.pct import Pct
from sgxmodel.search.random_walk import RandomWalk
from sgxmodel.search.run import Runner
from sgxmodel.search.schedule import Replay, Schedule, Scheduler
from sgxmodel.search.sequential import sequential_outcomes

TARGET = "list_fixed"
NAMES = ("walk", "PCT", "bounding")
EACH = 2
"""Scenarios of a mutant: those that come to its line, cheap ones first."""
MIXES = [(w, p, 8 - w - p) for w in range(9) for p in range(9 - w)]
"""Eighths of the schedules, by scheduler as in ``NAMES``."""


@attrs.frozen
class Fault:
    """A mutant in a scenario, and for each scheduler which of its runs noticed it."""

    mutant: str
    scenario: str
    hits: tuple[tuple[bool, ...], ...]

    def missed(self, mix: tuple[int, ...], schedules: int) -> float:
        """The chance that a mix misses it."""
        walk, pct, bounding = self.hits
        chance = 1.0
        for hits, share in ((walk, mix[0]), (pct, mix[1])):
            chance *= (1 - sum(hits) / len(hits)) ** (schedules * share / 8)
        return 0.0 if any(bounding[: schedules * mix[2] // 8]) else chance


Job = tuple[str, Changes, str, int, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=100)
    parser.add_argument("--runs", type=int, default=64, help="of each scheduler on each fault")
    parser.add_argument("--schedules", type=int, default=64, help="of a mix")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    jobs = list(planned(given.mutants, given.runs, given.seed))
    with ProcessPoolExecutor(given.jobs) as pool:
        looked = list(pool.map(look, jobs))
    faults = [fault for fault in looked if fault is not None and any(map(any, fault.hits))]
    print(
        f"{given.mutants} mutants of {TARGET} (seed {given.seed}), {len(jobs)} with a scenario, "
        f"{len(faults)} are faults that need a schedule; {given.runs} runs of each scheduler"
    )
    if not faults:
        return
    alone(faults)
    mixes(faults, given.schedules)


def planned(count: int, runs: int, seed: int) -> Iterable[Job]:
    """Mutants drawn by the seed, each with scenarios of two tasks or more."""
    target = revision(TARGET)
    every = list(catalogue(functions_in(target)).values())
    Random(seed).shuffle(every)
    many = [s for s in SCENARIOS.values() if len(s.tasks) + s.ksgxd > 1 and not s.boot]
    reaches = [reach(target, scenario, seed) for scenario in many]
    for mutant in every[:count]:
        for name in scenarios(mutant, reaches)[:EACH]:
            yield mutant.id, ((mutant.function, mutant.tree()),), name, runs, seed


def scenarios(mutant: Mutant, reaches: list[Reach]) -> list[str]:
    """Those that come to a mutant's line."""
    there = [r for r in reaches if (mutant.fn.filename, mutant.line) in r.lines]
    return order(there, mutant.fn, mutant.line, [])


def look(job: Job) -> Fault | None:
    """Run all schedulers on one mutant in one scenario; None: nothing needs a schedule there."""
    try:
        return _look(*job)
    except (UserError, ModelFault):  # stillborn, or the set-up fails
        return None


def _look(name: str, changes: Changes, scenario: str, runs: int, seed: int) -> Fault | None:
    world = build(with_changes(revision(TARGET), name, changes), SCENARIOS[scenario])
    runner = Runner(world, Checks(world, sequential_outcomes(world)))
    steps = []
    for t in range(len(world.tasks)):
        outcome = runner.run(Replay(Schedule(((0, t),) if t else ())))
        steps.append(outcome.steps)
        if outcome.found:
            return None
    length = max(1, sum(steps) // len(steps))
    bounding = Bounding()
    hits = []
    for kind in NAMES:
        mine = []
        for i in range(runs):
            rng = Random(f"{seed}/{name}/{scenario}/{kind}/{i}")
            mine.append(bool(runner.run(scheduler(kind, rng, length, bounding)).found))
        hits.append(tuple(mine))
    return Fault(name, scenario, tuple(hits))


def scheduler(kind: str, rng: Random, length: int, bounding: Bounding) -> Scheduler:
    """One run's."""
    if kind == "walk":
        return RandomWalk(rng)
    return Pct(rng, length) if kind == "PCT" else bounding.run(rng)


def alone(faults: Sequence[Fault]) -> None:
    """Each scheduler by itself, on all faults and on the hard ones."""
    print(f"\n{'alone':10} {'noticed':>8} {'of runs':>8} {'only it':>8}")
    for k, name in enumerate(NAMES):
        noticed = [f for f in faults if any(f.hits[k])]
        rate = sum(sum(f.hits[k]) / len(f.hits[k]) for f in faults) / len(faults)
        only = [f for f in noticed if not any(any(h) for i, h in enumerate(f.hits) if i != k)]
        print(f"{name:10} {len(noticed):5} of {len(faults)} {rate:7.0%} {len(only):8}")


def mixes(faults: Sequence[Fault], schedules: int) -> None:
    """Mixes, the best by their worst fault first."""
    table = []
    for mix in MIXES:
        missed = sorted((f.missed(mix, schedules) for f in faults), reverse=True)
        table.append((missed[0], sum(missed) / len(missed), sum(m > 0.5 for m in missed), mix))
    table.sort()
    plain = [(8, 0, 0), (0, 8, 0), (0, 0, 8), (2, 4, 2)]
    print(f"\nmix of {schedules} schedules, in eighths: the chance to miss")
    print(f"{'walk':>4} {'PCT':>4} {'bounding':>8} {'worst':>8} {'mean':>8} {'over half':>10}")
    for worst, mean, likely, mix in table[:6] + [row for row in table[6:] if row[3] in plain]:
        print(f"{mix[0]:4} {mix[1]:4} {mix[2]:8} {worst:8.3f} {mean:8.3f} {likely:10}")


if __name__ == "__main__":
    main()
