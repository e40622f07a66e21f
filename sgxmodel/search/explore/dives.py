# SPDX-License-Identifier: GPL-2.0-only
"""Random runs, to learn which slots locks protect.

A belief that falls in the middle of a large search costs all that was explored
on it.  Most beliefs that are wrong are shown wrong by a few random runs, which
cost next to nothing; those that are not still fall later.  Runs from states
that the search came to go where a run from the start seldom does.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from random import Random

from sgxmodel.search.explore.discipline import Discipline
from sgxmodel.search.explore.fields import Fields
from sgxmodel.search.explore.graph import Graph
from sgxmodel.search.explore.machine import Machine
from sgxmodel.search.explore.space import Place, Steps

ROUNDS, DIVES, DEEPEST = 12, 100, 2_000
WIDE = 24
"""Bits of a field: a dive never outgrows it."""


def learn(machine: Machine, steps: Steps, discipline: Discipline, places: Sequence[Place]) -> None:
    """Dive until a round of dives teaches nothing.

    A round has as many dives from the start as from ``places``.
    """
    rng = Random(0)
    for _ in range(ROUNDS):
        graph = Graph(machine, steps)
        fields = graph.fields
        graph.lay(Fields(fields.tasks, [WIDE] * len(fields.widths)))
        steps.forget(discipline.begins())
        for _ in places:
            _dive(graph, graph.start, discipline, rng)
        for place in places:
            _dive(graph, graph.space.state(place), discipline, rng)
        if not discipline.fallen:
            break


def _dive(graph: Graph, state: int, discipline: Discipline, rng: Random) -> None:
    """One run.  Who ran last runs on in half of the cases: some faults need long stretches."""
    last = -1
    pairs: set[tuple[int, int]] = set()
    for _ in range(DEEPEST):
        after = [graph.following(t, state) for t in graph.tasks]
        owned = [label for t in graph.tasks if (label := graph.owned(t, state))]
        for pair in combinations(owned, 2):
            if pair not in pairs:
                pairs.add(pair)
                discipline.together(*(graph.labels[label] for label in pair))
        able = [t for t in graph.tasks if after[t]]
        if not able:
            return
        last = last if last in able and rng.random() < 0.5 else rng.choice(able)
        state += rng.choice(after[last])
