# SPDX-License-Identifier: GPL-2.0-only
"""Breadth first over all states, level by level, with sets of integers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import combinations

import attrs

from sgxmodel.search.explore.discipline import Discipline
from sgxmodel.search.explore.dives import learn
from sgxmodel.search.explore.machine import Local, Machine, Problem
from sgxmodel.search.explore.memory import resident, uncollected
from sgxmodel.search.explore.saved import Mark, Saved
from sgxmodel.search.explore.step import Single, Transactions
from sgxmodel.search.explore.tables import Space, Table, TooNarrow

SHARED_WIDTH, LOCAL_WIDTH, MORE = 22, 12, 4
"""Bits for ids at first, and how many more are given when they do not suffice."""
ENOUGH = 500
"""After a belief fell the search goes on until it has this many states more, and twice
as many, to learn what else is wrong before it begins anew."""

WORTH_A_DIVE = 2_000
"""A belief that falls after so many states: learn more by random runs before the next try."""
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
    shared: int
    locals: tuple[int, ...]
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
        self.widths = [SHARED_WIDTH, *(LOCAL_WIDTH for _ in machine.names)]
        self.executed = 0
        self.restarts = 0
        self.dived = False
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
        """Begin anew until the beliefs hold and the ids fit."""
        fresh = True
        while True:
            if fresh:
                self.space = Space(self.machine, self._steps())
            self._pack()
            try:
                if self.resumed is not None:
                    self._resume(self.resumed)
                return self._levels()
            except TooNarrow as narrow:
                self.widths[narrow.field] += MORE
                fresh = False
            except Fallen:
                self.restarts += 1
                self.executed += self.space.executed
                fresh = True
                if len(self.seen) > WORTH_A_DIVE and not self.dived:
                    self.dived = True
                    self.executed += learn(self.machine, self.discipline)

    def _steps(self) -> Single | Transactions:
        if self.reduction:
            return Transactions(self.machine, self.discipline)
        return Single(self.machine)

    def _pack(self) -> None:
        self.tables = [Table(self.space, t, self.widths) for t in self.tasks]
        self.shared = (1 << self.widths[0]) - 1
        state, local_ids = self.space.first()
        for table, local in zip(self.tables, local_ids, strict=True):
            state |= local << table.offset
        self.start = state
        self.seen = {state}
        self.levels = [[state]]
        self.transitions = 0
        self.findings: dict[str, Finding] = {}
        self._mark()

    # -- to be taken up again -------------------------------------------------------------

    def _mark(self) -> None:
        """All of the search up to here is right; what follows may be cut off anywhere."""
        space = self.space
        mark = Mark(
            len(self.levels),
            len(space.log),
            space.proof,
            self.transitions,
            self.restarts,
            self.executed,
            self.dived,
            tuple(self.widths),
            self.discipline.learnt(),
        )
        self.marked = (mark, space.log, self.levels)

    def save(self) -> Saved:
        """The search up to the last level that was complete."""
        mark, log, levels = self.marked
        return Saved(mark, log[: mark.log], levels[: mark.levels])

    def _resume(self, saved: Saved) -> None:
        """Go to where a search of the same machine was."""
        self.resumed = None
        mark = saved.mark
        self.discipline.knows(mark.learnt)
        self.widths = list(mark.widths)
        self.restarts, self.executed, self.dived = mark.restarts, mark.executed, mark.dived
        self._pack()
        try:
            log = iter(saved.log)
            for t, shared, local in zip(log, log, log, strict=True):
                table = self.tables[t]
                table[shared | local << table.offset]
        except (LookupError, ValueError, TypeError) as error:
            raise Foreign from error
        if self.space.proof != mark.proof or saved.levels[:1] != self.levels:
            raise Foreign
        self.levels = [list(level) for level in saved.levels]
        self.seen = {state for level in self.levels for state in level}
        self.transitions = mark.transitions
        self._mark()

    # -- the search -----------------------------------------------------------------------

    def _levels(self) -> str:
        """Level after level; what ended the search, empty if there was no more to see."""
        frontier = self.levels[-1]
        self._bad_rows(frontier)
        tables = [(table.mask, table) for table in self.tables]
        pairs: set[object] = set()
        self.discipline.fallen = False
        enough = 0
        while frontier or enough:
            if self.discipline.fallen:
                enough = enough or 2 * len(self.seen) + ENOUGH
                if len(self.seen) >= enough or not frontier or self.findings:
                    raise Fallen
            if self.findings and not self.keep_going:
                return "a finding"
            if not enough:
                self._mark()
            why = self.budget.over(len(self.seen))
            if why:
                return why
            following: set[int] = set()
            for mask, table in tables:
                after = [state + d for state in frontier for d in table[state & mask]]
                self.transitions += len(after)
                following.update(after)
            self._found(frontier)
            self._stuck(frontier)
            if self.reduction:
                self._together(frontier, pairs)
            following -= self.seen
            self.seen |= following
            frontier = list(following)
            self.levels.append(frontier)
            self._bad_rows(frontier)
            if self.progress is not None:
                self.progress(self._count(frontier))
            if self.discipline.fallen:
                enough = enough or 2 * len(self.seen) + ENOUGH
        return "a finding" if self.findings and not self.keep_going else ""

    def _count(self, frontier: list[int]) -> Count:
        seconds = time.monotonic() - self.began
        return Count(len(self.seen), len(frontier), len(self.levels) - 1, self.transitions, seconds)

    def _found(self, frontier: list[int]) -> None:
        """What was wrong inside steps out of this level."""
        for table in self.tables:
            for t, key, problems in table.found:
                state = next((s for s in frontier if s & table.mask == key), None)
                if state is None:
                    continue
                for problem in problems:
                    self._finding(problem, [*self.path(state), *self._breaking(t, state, problem)])
            table.found.clear()

    def _breaking(self, t: int, state: int, problem: Problem) -> list[Move]:
        """The moves of the step that shows a problem."""
        shared, local = self.tables[t].split(state)
        for way in self.space.ways(t, self.space.step(t, shared, local)):
            count, problems = self.space.between(shared, way)
            if problem in problems:
                return [Move(t, c) for c in way[3].choices[:count]]
        return []

    def _stuck(self, frontier: list[int]) -> None:
        """States in which nobody can run: all are done, or it is a deadlock."""
        stuck: Iterable[int] = frontier
        for table in self.tables:
            stuck = [state for state in stuck if not table[state & table.mask]]
        for state in stuck:
            waiting = [t for t in self.tasks if not self._done(t, state)]
            if any(self._step_exists(t, state) for t in waiting):
                continue
            if waiting:
                names = ", ".join(self.machine.names[t] for t in waiting)
                self._finding(Problem("deadlock", f"nobody can run: {names}"), self.path(state))
            else:
                for problem in self.machine.final(self.space.row(state & self.shared)):
                    self._finding(problem, self.path(state))

    def _step_exists(self, t: int, state: int) -> bool:
        """A step whose every outcome is a problem leads nowhere, but is one."""
        shared, local = self.tables[t].split(state)
        return bool(self.space.step(t, shared, local).outcomes)

    def _done(self, t: int, state: int) -> bool:
        _, local = self.tables[t].split(state)
        return self.machine.done(t, self.space.steps.bare(self.space.locals[t][local]))

    def _bad_rows(self, frontier: list[int]) -> None:
        if not self.space.bad_rows:
            return
        for shared, problems in self.space.bad_rows.items():
            fresh = [p for p in problems if p.kind not in self.findings]
            state = next((s for s in frontier if s & self.shared == shared), None)
            if fresh and state is not None:
                for problem in fresh:
                    self._finding(problem, self.path(state))

    def _together(self, frontier: list[int], pairs: set[object]) -> None:
        """Tell the discipline which steps are enabled in one state."""
        for one, two in combinations(self.tables, 2):
            if not one.owned or not two.owned:
                continue
            new = {
                (state & one.mask, state & two.mask)
                for state in frontier
                if state & one.mask in one.owned and state & two.mask in two.owned
            }
            for a, b in sorted(new):
                pair = (one.owned[a], two.owned[b])
                if pair not in pairs:
                    pairs.add(pair)
                    self.discipline.together(*pair)

    # -- paths ----------------------------------------------------------------------------

    def _finding(self, problem: Problem, path: list[Move]) -> None:
        if problem.kind not in self.findings:
            self.findings[problem.kind] = Finding(problem, tuple(path))

    def path(self, state: int) -> list[Move]:
        """A shortest way to a state, found backwards through the levels."""
        if self.discipline.fallen:
            raise Fallen
        depth = next(i for i in reversed(range(len(self.levels))) if state in set(self.levels[i]))
        moves: list[Move] = []
        for level in reversed(self.levels[:depth]):
            before, t = self._before(level, state)
            moves = self._moves(t, before, state) + moves
            state = before
        return moves

    def _before(self, level: list[int], goal: int) -> tuple[int, int]:
        for table in self.tables:
            mask, others = table.mask, ~table.mask
            rest = goal & others
            for state in level:
                if state & others == rest and goal - state in table[state & mask]:
                    return state, table.t
        raise RuntimeError("a state without a predecessor: a defect of the explorer")

    def _moves(self, t: int, before: int, after: int) -> list[Move]:
        table = self.tables[t]
        shared, local = table.split(before)
        for way in self.space.ways(t, self.space.step(t, shared, local)):
            if not self.space.between(shared, way)[0]:
                if table.difference(shared, local, way) == after - before:
                    return [Move(t, c) for c in way[3].choices]
        raise RuntimeError("a step without an outcome: a defect of the explorer")

    def _result(self, why: str) -> Result:
        return Result(
            closed=not why,
            why=why,
            states=len(self.seen),
            transitions=self.transitions,
            depth=len(self.levels) - 2,
            seconds=time.monotonic() - self.began,
            shared=len(self.space.rows),
            locals=tuple(len(ids) for ids in self.space.local_ids),
            executed=self.executed + self.space.executed,
            restarts=self.restarts,
            findings=tuple(self.findings.values()),
        )

    def local(self, t: int, state: int) -> Local:
        """A task's local state in a state, as the machine has it."""
        _, local = self.tables[t].split(state)
        return self.space.steps.bare(self.space.locals[t][local])
