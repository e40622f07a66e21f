# SPDX-License-Identifier: GPL-2.0-only
"""Predicates over shared states, each looked at once for what it reads."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sgxmodel.search.explore.graph import Graph
from sgxmodel.search.explore.machine import Check, Problem
from sgxmodel.search.explore.memo import Memo, Reading

Problems = tuple[Problem, ...]


class Predicate:
    """One check, and what it said of states under the mask of all that it ever read."""

    def __init__(self, check: Check, graph: Graph) -> None:
        self.check = check
        self.graph = graph
        self.memo = Memo[Problems]()
        self.widened()

    def widened(self) -> None:
        """The graph's fields are others, or the check read more than before."""
        self.mask = self.graph.fields.mask(self.memo.groups)
        self.fine: set[int] = set()
        self.bad: dict[int, Problems] = {}

    def of(self, state: int) -> Problems:
        """What is wrong in one state."""
        next(self.wrong([state]), None)
        return self.bad.get(state & self.mask, ())

    def wrong(self, states: Collection[int]) -> Iterator[tuple[Problem, int]]:
        """All that is wrong in some states, each with one of them."""
        while not self._looked(states):
            pass
        if self.bad:
            bad = {state & self.mask: state for state in states if state & self.mask in self.bad}
            for key, state in bad.items():
                for problem in self.bad[key]:
                    yield problem, state

    def _looked(self, states: Collection[int]) -> bool:
        """Look at what is new of some states; False: the mask changed, so do it again."""
        mask = self.mask
        unknown = {state & mask for state in states}.difference(self.fine).difference(self.bad)
        if not unknown:
            return True
        fresh = {state & mask: state for state in states if state & mask in unknown}
        groups = self.memo.groups
        for key, state in fresh.items():
            problems = self._evaluated(state)
            if self.memo.groups is not groups:
                self.widened()
                return False
            if problems:
                self.bad[key] = problems
            else:
                self.fine.add(key)
        return True

    def _evaluated(self, state: int) -> Problems:
        known = self.memo.get(self.graph.space.rows, state)
        if known is None:
            reading = Reading(self.graph.row(state))
            known = tuple(self.check(reading))
            self.memo.put(self.graph.space.rows, state, list(reading.reads), known)
        return known
