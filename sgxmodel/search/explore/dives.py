# SPDX-License-Identifier: GPL-2.0-only
"""Random runs before a reduced search, to learn which slots locks protect.

A belief that falls in the middle of a large search costs all that was explored
on it.  Most beliefs that are wrong are shown wrong by a few random runs, which
cost next to nothing; those that are not still fall later.
"""

from __future__ import annotations

from itertools import combinations
from random import Random

from sgxmodel.search.explore.discipline import Discipline, Touch
from sgxmodel.search.explore.machine import Machine
from sgxmodel.search.explore.space import Space
from sgxmodel.search.explore.step import Transactions

ROUNDS, DIVES, DEEPEST = 12, 24, 2_000


def learn(machine: Machine, discipline: Discipline) -> int:
    """Dive until a round of dives teaches nothing; how many steps were run."""
    rng = Random(0)
    executed = 0
    for _ in range(ROUNDS):
        space = Space(machine, Transactions(machine, discipline))
        discipline.fallen = False
        for _ in range(DIVES):
            _dive(space, discipline, rng)
        executed += space.executed
        if not discipline.fallen:
            break
    return executed


def _dive(space: Space, discipline: Discipline, rng: Random) -> None:
    """One run.  Who ran last runs on in half of the cases: some faults need long stretches."""
    packed, local_ids = space.first()
    last = -1
    pairs: set[tuple[frozenset[Touch], frozenset[Touch]]] = set()
    for _ in range(DEEPEST):
        steps = [space.step(t, packed, local) for t, local in enumerate(local_ids)]
        for one, two in combinations(steps, 2):
            if one.owned and two.owned and (one.owned, two.owned) not in pairs:
                pairs.add((one.owned, two.owned))
                discipline.together(one.owned, two.owned)
        able = [t for t, step in enumerate(steps) if any(o.problem is None for o in step.outcomes)]
        if not able:
            return
        t = last if last in able and rng.random() < 0.5 else rng.choice(able)
        last = t
        ways = [w for w in space.ways(t, steps[t]) if w[3].problem is None]
        change, local_ids[t], _, _ = rng.choice(ways)
        packed = space.packer.applied(packed, change)
