# SPDX-License-Identifier: GPL-2.0-only
"""A counterexample that is smallest in preemptions, then in steps.

A shortest-path search over (state, task that ran last): leaving a task that
could go on costs one preemption, all else nothing; then steps count.  Leaving
a task that is blocked, finished or has yielded is free, as in the context
bounds of Musuvathi and Qadeer (PLDI 2007).  No reduction: a step here is one
operation.  What it returns is a minimum, not a bound, as every cheaper state
has been looked at before.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush

from sgxmodel.search.explore.explorer import Budget, Explorer, Finding, Move, Result
from sgxmodel.search.explore.machine import Machine, Problem

Node = tuple[int, int]
"""(state, task that ran last, or -1 where the next one is free to choose)."""
Cost = tuple[int, int]
NOBODY = -1


class Smallest(Explorer):
    """Looks for one kind of problem, or for any."""

    def __init__(
        self, machine: Machine, kind: str | None = None, budget: Budget | None = None
    ) -> None:
        super().__init__(machine, reduction=False, budget=budget)
        self.kind = kind
        self.preemptions = 0

    def _widen(self) -> None:
        """Nodes hold states, so begin anew; the steps need not be run again."""
        super()._widen()
        self.seen = {self.start}

    def _levels(self) -> str:
        first = (self.start, NOBODY)
        self.came: dict[Node, tuple[Node, Move]] = {}
        self.heap: list[tuple[Cost, int, Node, Node | None, Move | None, Problem | None]] = []
        self.pushed = 0
        self._push((0, 0), first, None, None, None)
        done: set[Node] = set()
        while self.heap:
            cost, _, node, before, move, problem = heappop(self.heap)
            if problem is not None:
                return self._goal(cost, problem, before, move)
            if node in done:
                continue
            done.add(node)
            self.seen.add(node[0])
            if before is not None and move is not None:
                self.came[node] = (before, move)
            if not len(done) % 1024:
                why = self.budget.over(len(done))
                if why:
                    return why
            for problem in self._standing(node):
                return self._goal(cost, problem, node, None)
            self._expand(cost, node)
        return ""

    def _push(
        self,
        cost: Cost,
        node: Node,
        before: Node | None,
        move: Move | None,
        problem: Problem | None,
    ) -> None:
        self.pushed += 1
        heappush(self.heap, (cost, self.pushed, node, before, move, problem))

    def _goal(self, cost: Cost, problem: Problem, node: Node | None, move: Move | None) -> str:
        path = [] if move is None else [move]
        while node is not None and node in self.came:
            node, step = self.came[node]
            path.insert(0, step)
        self.preemptions = cost[0]
        self.findings = {problem.kind: Finding(problem, tuple(path))}
        return "a finding"

    def _wanted(self, problem: Problem) -> bool:
        return self.kind is None or problem.kind == self.kind

    def _standing(self, node: Node) -> Iterator[Problem]:
        """What is wrong in a state itself."""
        state = node[0]
        for predicate in self.predicates:
            yield from filter(self._wanted, predicate.of(state))
        if not any(self._able(t, state) for t in self.tasks):
            self._stuck([state])
            stuck, self.findings = self.findings, {}
            yield from (f.problem for f in stuck.values() if self._wanted(f.problem))

    def path(self, state: int) -> list[Move]:
        return []

    def _able(self, t: int, state: int) -> bool:
        """Whether a task has a step, be it one that breaks an assertion."""
        return bool(self.graph.following(t, state)) or bool(self.graph.step(t, state).outcomes)

    def _expand(self, cost: Cost, node: Node) -> None:
        state, current = node
        runs_on = current != NOBODY and self._able(current, state)
        for t in self.tasks:
            price = (cost[0] + (runs_on and t != current), cost[1] + 1)
            for after, outcome in self.graph.ends(t, state):
                move = Move(t, outcome.choices[0])
                self._push(price, (after, NOBODY if outcome.yields else t), node, move, None)
            for outcome in self.graph.step(t, state).outcomes:
                if outcome.problem is not None and self._wanted(outcome.problem):
                    move = Move(t, outcome.choices[0])
                    self._push(price, node, node, move, outcome.problem)


def smallest(
    machine: Machine, kind: str | None = None, budget: Budget | None = None
) -> tuple[Result, int]:
    """The search's result, and the preemptions of its finding, if there is one."""
    search = Smallest(machine, kind, budget)
    return search.run(), search.preemptions
