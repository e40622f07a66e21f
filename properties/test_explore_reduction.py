# SPDX-License-Identifier: GPL-2.0-only
"""No reduction changes a verdict or loses a visible state, on random small systems."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from properties.explore_toys import Open, toy
from sgxmodel.search.explore.explorer import Explorer
from sgxmodel.search.explore.liveness import fair_cycle
from sgxmodel.search.explore.races import Races

SEEDS = 400
SHARDS = 8


def states(explorer: Explorer) -> Iterator[tuple[Any, ...]]:
    """(shared state, local state of every task), as the machine has them."""
    for state in explorer.seen:
        row = explorer.graph.row(state)
        yield (row, *(explorer.graph.local(t, state) for t in explorer.tasks))


def at_rest(explorer: Explorer) -> set[tuple[Any, ...]]:
    """The states in which nobody can run."""
    stuck = explorer.seen
    for t in explorer.tasks:
        stuck = {state for state in stuck if not explorer.graph.following(t, state)}
    kept = explorer.seen
    explorer.seen = stuck
    found = set(states(explorer))
    explorer.seen = kept
    return found


@pytest.mark.parametrize("shard", range(SHARDS))
def test_no_verdict_changes_and_no_visible_state_is_lost(shard: int) -> None:
    for seed in range(shard, SEEDS, SHARDS):
        full = Explorer(toy(seed), reduction=False, keep_going=True)
        reduced = Explorer(toy(seed), reduction=True, keep_going=True)
        everything, less = full.run(), reduced.run()
        assert everything.closed
        assert less.closed
        kinds = {f.problem.kind for f in everything.findings}
        found = {f.problem.kind for f in less.findings}
        # A path ends at its first problem, so a second kind may hide behind it.
        assert found == kinds if len(kinds) < 2 else found and found <= kinds, seed
        if not kinds:
            seen = set(states(reduced))
            assert seen <= set(states(full)), seed
            assert at_rest(reduced) == at_rest(full), seed


@pytest.mark.parametrize("shard", range(SHARDS))
def test_no_race_and_no_fair_cycle_is_lost(shard: int) -> None:
    raced = cycled = 0
    for seed in range(shard, SEEDS, SHARDS):
        machine = toy(seed, Open)
        assert isinstance(machine, Open)
        full = Explorer(machine, reduction=False, keep_going=True)
        reduced = Explorer(machine, reduction=True, keep_going=True)
        if full.run().findings:
            continue
        reduced.run()
        races = [Races(explorer, machine).find() for explorer in (full, reduced)]
        assert (races[0] is None) == (races[1] is None), seed
        cycles = [fair_cycle(explorer) for explorer in (full, reduced)]
        assert (cycles[0] is None) == (cycles[1] is None), seed
        raced += races[0] is not None
        cycled += cycles[0] is not None
    assert raced
    assert cycled
