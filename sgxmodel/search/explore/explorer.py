# SPDX-License-Identifier: GPL-2.0-only
"""Breadth first over all states, level by level, with sets of integers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from random import Random

import attrs

from sgxmodel.search.explore.discipline import Discipline
from sgxmodel.search.explore.dives import DIVES, learn
from sgxmodel.search.explore.fields import Crowded, Fields
from sgxmodel.search.explore.graph import Graph
from sgxmodel.search.explore.machine import Machine, Problem
from sgxmodel.search.explore.memory import resident, uncollected
from sgxmodel.search.explore.predicates import Predicate
from sgxmodel.search.explore.saved import Mark, Saved
from sgxmodel.search.explore.space import Steps
from sgxmodel.search.explore.step import Single, Transactions

ENOUGH = 500
"""After a belief fell the search goes on until it has this many states more, and twice
as many, to learn what else is wrong before it begins anew."""

WORTH_A_DIVE = 2_000
"""A belief that falls after so many states: learn more by random runs before the next try."""
STATES_A_DIVE = 50
"""A dive costs as much as some states do: no more of them than so."""
INTERRUPT = "an interrupt"


class Foreign(Exception):
    """A saved search is not one of this machine."""


class Fallen(Exception):
    """A belief was wrong: what was explored with it does not count."""


@attrs.frozen
class Count:
    """How far a search is."""

    states: int
    frontier: int
    depth: int
    transitions: int
    seconds: float


Progress = Callable[[Count], None]


@attrs.frozen
class Move:
    """One operation of a path: who, and which outcome."""

    task: int
    choice: int


@attrs.frozen
class Finding:
    """A problem with a path to it that has as few steps as any."""

    problem: Problem
    path: tuple[Move, ...]


@attrs.frozen
class Result:
    """``closed``: every state was seen.  ``why``: what ended a search that was not."""

    closed: bool
    why: str
    states: int
    transitions: int
    depth: int
    seconds: float
    executed: int
    restarts: int
    findings: tuple[Finding, ...]


@attrs.frozen
class Budget:
    """When to give up: a ``time.monotonic()`` value, MB of this process, states."""

    deadline: float | None = None
    memory_mb: float | None = None
    states: int | None = None

    def over(self, states: int) -> str:
        """Which limit is reached, in words; empty: none."""
        if self.states is not None and states >= self.states:
            return f"the limit of {self.states} states"
        if self.deadline is not None and time.monotonic() >= self.deadline:
            return "the deadline"
        if self.memory_mb is not None and resident() >= self.memory_mb:
            return f"the limit of {self.memory_mb:.0f} MB"
        return ""


class Explorer:
    """All interleavings of a machine; ``reduction`` as in ``step`` and ``discipline``."""

    def __init__(
        self,
        machine: Machine,
        *,
        reduction: bool = True,
        budget: Budget | None = None,
        progress: Progress | None = None,
        keep_going: bool = False,
        saved: Saved | None = None,
    ) -> None:
        self.machine = machine
        self.reduction = reduction
        self.budget = budget or Budget()
        self.progress = progress
        self.keep_going = keep_going
        self.tasks = range(len(machine.names))
        self.discipline = Discipline(machine.kinds)
        transactions = Transactions(machine, self.discipline)
        self.steps = Steps(transactions if reduction else Single(machine))
        self.restarts = 0
        self.resumed = saved

    def run(self) -> Result:
        """Search until every state was seen, a problem is found or the budget is over."""
        self.began = time.monotonic()
        try:
            with uncollected():
                why = self._tries()
        except KeyboardInterrupt:
            why = INTERRUPT
        return self._result(why)

    def _tries(self) -> str:
        """Begin anew until the beliefs hold."""
        self._begin()
        while True:
            try:
                if self.resumed is not None:
                    self._resume(self.resumed)
                return self._levels()
            except Crowded:
                self._widen()
            except Fallen:
                self.restarts += 1
                self._learn()
                self._begin(self.graph.fields)

    def _learn(self) -> None:
        """What a search of some size believed wrongly, dives may tell more of."""
        size = len(self.seen)
        if size > WORTH_A_DIVE:
            rng = Random(size)
            levels = rng.choices(self.levels, k=min(DIVES, size // STATES_A_DIVE))
            places = [self.graph.space.place(rng.choice(level)) for level in levels if level]
            learn(self.machine, self.steps, self.discipline, places)

    def _begin(self, fields: Fields | None = None) -> None:
        """The first state; ``fields``: how wide they became in an earlier try."""
        machine = self.machine
        self.steps.forget(self.discipline.begins())
        self.graph = Graph(machine, self.steps, fields)
        self.predicates = [Predicate(check, self.graph) for check in machine.checks]
        self.start = self.graph.start
        self.seen = {self.start}
        self.levels = [[self.start]]
        self.transitions = 0
        self.findings: dict[str, Finding] = {}
        self.pairs: set[tuple[int, int]] = set()
        self.enough = 0
        self._mark()

    def _widen(self) -> None:
        """Ids outgrew their fields: all states move to wider ones."""
        before, after = self.graph.widen(), self.graph.fields
        self.start = self.graph.start
        self.levels = [before.moved(after, level) for level in self.levels]
        self.seen = {state for level in self.levels for state in level}
        for predicate in self.predicates:
            predicate.widened()
        if not self.enough:
            self._mark()

    # -- to be taken up again -------------------------------------------------------------

    def _mark(self) -> None:
        """All of the search up to here is right; what follows may be cut off anywhere."""
        graph = self.graph
        mark = Mark(
            len(self.levels),
            len(graph.log),
            graph.proof,
            self.transitions,
            self.restarts,
            self.steps.executed,
            graph.fields.widths,
            self.discipline.learnt(),
        )
        self.marked = (mark, graph.log, self.levels)

    def save(self) -> Saved:
        """The search up to the last level that was complete."""
        mark, log, levels = self.marked
        return Saved(mark, log[: mark.log], levels[: mark.levels])

    def _resume(self, saved: Saved) -> None:
        """Go to where a search of the same machine was."""
        self.resumed = None
        mark = saved.mark
        self.discipline.knows(mark.learnt)
        self.restarts, self.steps.executed = mark.restarts, mark.executed
        try:
            self._begin(Fields(len(self.tasks), mark.widths))
            for t, state in saved.log:
                self.graph.meet(t, state)
        except (LookupError, ValueError, TypeError, Crowded) as error:
            raise Foreign from error
        if self.graph.proof != mark.proof or saved.levels[:1] != self.levels:
            raise Foreign
        self.levels = [list(level) for level in saved.levels]
        self.seen = {state for level in self.levels for state in level}
        self.transitions = mark.transitions
        self._mark()

    # -- the search -----------------------------------------------------------------------

    def _levels(self) -> str:
        """Level after level; what ended the search, empty if there was no more to see."""
        frontier = self.levels[-1]
        self._wrong(frontier)
        self._falling()
        while frontier or self.enough:
            if self.enough and (len(self.seen) >= self.enough or not frontier or self.findings):
                raise Fallen
            if self.findings and not self.keep_going:
                return "a finding"
            if not self.enough:
                self._mark()
            why = self.budget.over(len(self.seen))
            if why:
                return why
            frontier = self._level(frontier)
            self._wrong(frontier)
            if self.progress is not None:
                self.progress(self._count(frontier))
            self._falling()
        return "a finding" if self.findings and not self.keep_going else ""

    def _falling(self) -> None:
        """A belief is wrong: search a while longer, to learn what else is."""
        if self.discipline.fallen and not self.enough:
            self.enough = 2 * len(self.seen) + ENOUGH

    def _level(self, frontier: list[int]) -> list[int]:
        """All that follows from a level and is new."""
        following: set[int] = set()
        within: set[int] = set()
        owned: list[dict[int, int]] = [{} for _ in self.tasks]
        blocked: list[int] = []
        transitions = 0
        for t in self.tasks:
            for node, part in self.graph.parts(t, frontier):
                mask, table = node.mask, node.table
                after = [state + d for state in part for d in table[state & mask]]
                transitions += len(after)
                following.update(after)
                if node.inside:
                    inside = node.inside.get
                    within.update([s + d for s in part for d in inside(s & mask, ())])
                if node.owned:
                    owned[t].update(labelled(part, mask, node.owned))
                if node.blocks and t == 0:
                    blocked += [state for state in part if not table[state & mask]]
        self.transitions += transitions
        self._broken()
        self._wrong_within(frontier, within)
        self._stuck(blocked)
        self._together(owned)
        following -= self.seen
        self.seen |= following
        self.levels.append(list(following))
        return self.levels[-1]

    def _count(self, frontier: list[int]) -> Count:
        seconds = time.monotonic() - self.began
        return Count(len(self.seen), len(frontier), len(self.levels) - 1, self.transitions, seconds)

    # -- what is wrong --------------------------------------------------------------------

    def _broken(self) -> None:
        """Assertions that did not hold in steps out of this level."""
        for t, state, outcome in self.graph.broken:
            assert outcome.problem is not None
            self._finding(outcome.problem, state, [Move(t, c) for c in outcome.choices])
        self.graph.broken.clear()

    def _wrong(self, states: list[int]) -> None:
        for predicate in self.predicates:
            for problem, state in predicate.wrong(states):
                self._finding(problem, state)

    def _wrong_within(self, frontier: list[int], within: set[int]) -> None:
        """What is wrong in the middle of steps out of this level."""
        for predicate in self.predicates:
            for problem, state in predicate.wrong(within):
                if problem.kind not in self.findings:
                    before, moves = self._way_into(frontier, state, predicate.mask)
                    self._finding(problem, before, moves)

    def _way_into(self, frontier: list[int], within: int, mask: int) -> tuple[int, list[Move]]:
        """A state and the moves from it into the middle of a step, as far as a mask sees."""
        if self.discipline.fallen:
            raise Fallen  # a step that is run once more may be another now
        for t in self.tasks:
            for node, part in self.graph.parts(t, frontier):
                for state in part if node.inside else ():
                    for middle, outcome, count in self.graph.early(t, state):
                        if middle & mask == within & mask:
                            return state, [Move(t, c) for c in outcome.choices[:count]]
        raise RuntimeError("the middle of no step: a defect of the explorer")

    def _stuck(self, blocked: list[int]) -> None:
        """States in which nobody can run: all are done, or it is a deadlock."""
        for state in blocked:
            if any(self.graph.following(t, state) for t in self.tasks):
                continue
            if any(self.graph.step(t, state).outcomes for t in self.tasks):
                continue  # a step whose every outcome is a problem leads nowhere, but is one
            waiting = [t for t in self.tasks if not self._done(t, state)]
            if waiting:
                names = ", ".join(self.machine.names[t] for t in waiting)
                self._finding(Problem("deadlock", f"nobody can run: {names}"), state)
            else:
                for problem in self.machine.final(self.graph.row(state)):
                    self._finding(problem, state)

    def _done(self, t: int, state: int) -> bool:
        return self.machine.done(t, self.graph.local(t, state))

    def _together(self, owned: list[dict[int, int]]) -> None:
        """Tell the discipline which steps are enabled, or look, in one state."""
        labels = self.graph.labels
        for one, two in combinations(owned, 2):
            new = {(a, two[state]) for state, a in one.items() if state in two}
            for a, b in sorted(new - self.pairs):
                self.pairs.add((a, b))
                self.discipline.together(labels[a], labels[b])

    # -- paths ----------------------------------------------------------------------------

    def _finding(self, problem: Problem, state: int, moves: Sequence[Move] = ()) -> None:
        """Note the first of each kind: a state, and moves from it."""
        if problem.kind not in self.findings:
            path = (*self.path(state), *moves)
            self.findings[problem.kind] = Finding(problem, path)

    def path(self, state: int) -> list[Move]:
        """A shortest way to a state, found backwards through the levels."""
        if self.discipline.fallen:
            raise Fallen
        depth = next(i for i in reversed(range(len(self.levels))) if state in set(self.levels[i]))
        moves: list[Move] = []
        for level in reversed(self.levels[:depth]):
            before, step = self._before(level, state)
            moves = step + moves
            state = before
        return moves

    def _before(self, level: list[int], goal: int) -> tuple[int, list[Move]]:
        """A state of a level from which one step leads to a state, and that step."""
        graph, masks = self.graph, self.graph.fields.masks
        locals_ = sum(masks[t] for t in self.tasks)
        for t in self.tasks:
            others = locals_ & ~masks[t]
            for state in level:
                if (state ^ goal) & others == 0 and goal - state in graph.following(t, state):
                    choices = next(o.choices for end, o in graph.ends(t, state) if end == goal)
                    return state, [Move(t, choice) for choice in choices]
        raise RuntimeError("a state without a predecessor: a defect of the explorer")

    def _result(self, why: str) -> Result:
        return Result(
            closed=not why,
            why=why,
            states=len(self.seen),
            transitions=self.transitions,
            depth=len(self.levels) - 2,
            seconds=time.monotonic() - self.began,
            executed=self.steps.executed,
            restarts=self.restarts,
            findings=tuple(self.findings.values()),
        )


def labelled(states: Iterable[int], mask: int, labels: dict[int, int]) -> dict[int, int]:
    """Those states that have a label, and which."""
    known = labels.get
    return {state: label for state in states if (label := known(state & mask))}
