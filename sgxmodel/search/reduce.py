# SPDX-License-Identifier: GPL-2.0-only
"""Make an example small: its schedule, and then its scenario.

Delta debugging over what a scenario says: a task, a call, a line of the set-up
is left out, or a task's first call is made in the set-up, where its steps do
not count.  What still shows the violation is kept.  The result is small, not
proved smallest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import attrs

from sgxmodel.errors import UserError
from sgxmodel.machine.op import Fault
from sgxmodel.revisions import Revision, revision
from sgxmodel.scenario import text
from sgxmodel.scenario.build import build
from sgxmodel.scenario.model import CallSpec, Scenario, TaskLine
from sgxmodel.search.minimise import Key, Minimiser
from sgxmodel.search.record import checks_for, follow_names, record
from sgxmodel.search.run import Outcome, Runner
from sgxmodel.search.schedule import Replay, Schedule
from sgxmodel.search.sighting import Sighting
from sgxmodel.trace.events import Trace

T = TypeVar("T")
PART = "-part"
"""Added to the name of a scenario that is no longer the one of that name."""
LISTS = ("fail", "vepcs", "children", "enclaves", "boot", "setup")
NUMBERS = ("scan", "low", "high", "va_slots", "check_sched", "pcmds")


def reduced(target: str, seen: Sighting) -> Trace | None:
    """The smallest run found that shows the same, written down; None if it does not replay."""
    if seen.schedule is None:
        return None
    reducer = Reducer(revision(target), seen.key)
    first = reducer.minimised(text.parse(seen.program), seen.schedule)
    return None if first is None else reducer.trace(reducer.smallest(first))


def recorded(target: str, seen: Sighting) -> Trace | None:
    """A sighting as it is, written down."""
    if seen.schedule is None:
        return None
    example = Example(text.parse(seen.program), seen.schedule, seen.steps, seen.preemptions)
    return Reducer(revision(target), seen.key).trace(example)


@attrs.frozen
class Example:
    """A run that shows the violation."""

    scenario: Scenario
    schedule: Schedule
    steps: int
    preemptions: int

    @property
    def size(self) -> tuple[int, ...]:
        """What is made small: tasks, preemptions, steps, what there is to read, the EPC."""
        scenario = self.scenario
        read = len(text.format(scenario))
        return (len(scenario.tasks), self.preemptions, self.steps, read, sum(scenario.epc))


class Reducer:
    """Makes examples of one violation small."""

    def __init__(self, target: Revision, key: Key) -> None:
        self.target = target
        self.key = key

    def smallest(self, best: Example) -> Example:
        """Leave out what can be, until nothing can."""
        before = None
        while before != best.size:
            before = best.size
            best = self._once(best)
        return self.minimised(best.scenario, best.schedule) or best

    def minimised(self, scenario: Scenario, schedule: Schedule) -> Example | None:
        """The same scenario with a small schedule."""
        outcome = Minimiser(self._runner(scenario)).shrink(self.key, schedule)
        return None if outcome is None else self._example(scenario, outcome)

    def trace(self, example: Example) -> Trace:
        runner = self._runner(example.scenario)
        return record(runner.world, runner.checks, example.schedule, self.key)

    def _runner(self, scenario: Scenario) -> Runner:
        """By way of the text, which is read again when the trace is replayed."""
        world = build(self.target, text.parse(text.format(scenario)))
        return Runner(world, checks_for(world, self.key))

    def _example(self, scenario: Scenario, outcome: Outcome) -> Example:
        steps = outcome.found[self.key][1]
        return Example(scenario, outcome.schedule, steps, outcome.preemptions)

    def _once(self, best: Example) -> Example:
        """Each way to say less, once."""
        names: Trace | None = None
        at = 0
        while at < len(ways := list(smaller(best.scenario))):
            if names is None and (best.schedule.switches or best.schedule.choices):
                names = self.trace(best)
            found = self._smaller(best, ways[at], names)
            if found is None:
                at += 1
            else:
                best, names = found, None
        return best

    def _smaller(self, best: Example, scenario: Scenario, names: Trace | None) -> Example | None:
        """A run of ``scenario`` that shows the violation and is smaller than ``best``."""
        try:
            runner = self._runner(scenario)
        except (UserError, Fault):
            return None  # the rest needs what was left out
        for outcome in self._runs(runner, best.schedule, names):
            if self.key in outcome.found:
                found = self._example(scenario, outcome)
                if found.size < best.size:
                    return found
        return None

    def _runs(self, runner: Runner, schedule: Schedule, names: Trace | None) -> Iterator[Outcome]:
        """Without preemption, each task first; then by the names of the steps of the best."""
        for t in range(len(runner.tasks)):
            first = Schedule(((0, t),) if t else (), schedule.choices)
            yield runner.run(Replay(first), stop=lambda key: key == self.key)
        if names is not None:
            yield follow_names(runner.world, names)


def smaller(scenario: Scenario) -> Iterator[Scenario]:
    """The scenario with one thing less."""
    for i, task in enumerate(scenario.tasks):
        if len(scenario.tasks) > 1:
            yield _part(scenario, tasks=_without(scenario.tasks, i))
        for n, call in enumerate(task.calls):
            rest = _tasks(scenario, i, _without(task.calls, n))
            if rest and n == 0:
                yield _part(scenario, tasks=rest, setup=(*scenario.setup, call))
            if rest:
                yield _part(scenario, tasks=rest)
    if scenario.ksgxd:
        yield _part(scenario, ksgxd=False)
    for what in LISTS:
        values = getattr(scenario, what)
        for i in reversed(range(len(values))):
            yield _part(scenario, **{what: _without(values, i)})
    yield from _plainer(scenario)


def _plainer(scenario: Scenario) -> Iterator[Scenario]:
    """Numbers as they are where a scenario does not name them; a smaller EPC on one node."""
    plain = Scenario("")
    for what in NUMBERS:
        if getattr(scenario, what) != getattr(plain, what):
            yield _part(scenario, **{what: getattr(plain, what)})
    if len(scenario.epc) > 1:
        yield _part(scenario, epc=(sum(scenario.epc),))
    elif scenario.epc[0] > 1:
        yield _part(scenario, epc=(scenario.epc[0] - 1,))


def _part(scenario: Scenario, **changes: Any) -> Scenario:
    """Changed, so what was said about it may not be true any more."""
    name = scenario.name.removesuffix(PART) + PART
    return attrs.evolve(scenario, name=name, about="", promises=(), **changes)


def _without(values: tuple[T, ...], i: int) -> tuple[T, ...]:
    return values[:i] + values[i + 1 :]


def _tasks(scenario: Scenario, i: int, calls: tuple[CallSpec, ...]) -> tuple[TaskLine, ...]:
    """The tasks, of which one makes these calls; a task without calls is none."""
    task = attrs.evolve(scenario.tasks[i], calls=calls)
    changed = (*scenario.tasks[:i], task, *scenario.tasks[i + 1 :])
    return tuple(t for t in changed if t.calls)
