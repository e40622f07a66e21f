# SPDX-License-Identifier: GPL-2.0-only
"""A small system searched with and without reduction, and where the two differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from properties.explore_toys import Open, Toy
from sgxmodel.search.explore.explorer import Explorer
from sgxmodel.search.explore.liveness import fair_cycle
from sgxmodel.search.explore.races import Races


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


@attrs.define(slots=False)
class Both:
    """Both searches, run to their ends."""

    machine: Toy

    def __attrs_post_init__(self) -> None:
        self.full, self.reduced = (
            Explorer(self.machine, reduction=reduction, keep_going=True)
            for reduction in (False, True)
        )
        everything, less = self.full.run(), self.reduced.run()
        assert everything.closed
        assert less.closed
        self.kinds = {f.problem.kind for f in everything.findings}
        self.found = {f.problem.kind for f in less.findings}

    def lost(self) -> list[str]:
        """What only one of them saw, in words."""
        out = []
        # A path ends at its first problem, so a second kind may hide behind it.
        few = len(self.kinds) < 2
        if not (self.found == self.kinds if few else self.found and self.found <= self.kinds):
            out.append(f"{sorted(self.kinds)} became {sorted(self.found)}")
        if not set(states(self.reduced)) <= set(states(self.full)):
            out.append("a state that there is not")
        if "assert" not in self.kinds and at_rest(self.reduced) != at_rest(self.full):
            out.append("states at rest")
        return out

    def races(self) -> list[bool]:
        """Whether there is a race, as each says."""
        machine = self.machine
        assert isinstance(machine, Open)
        return [Races(e, machine).find() is not None for e in (self.full, self.reduced)]

    def cycles(self) -> list[bool]:
        """Whether there is a fair cycle, as each says."""
        return [fair_cycle(e) is not None for e in (self.full, self.reduced)]

    def blocked(self) -> set[str]:
        """The instructions that were blocked in some state."""
        graph, out = self.full.graph, set()
        for t in self.full.tasks:
            for node, part in graph.parts(t, self.full.seen):
                at: Any = graph.space.locals[t][node.local]
                if node.blocks and not self.machine.over(t, at):
                    if not all(graph.step(t, state).outcomes for state in part):
                        out.add(self.machine.programs[t][at[0]][0])
        return out
