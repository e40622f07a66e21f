# SPDX-License-Identifier: GPL-2.0-only
"""``sgxmodel compare mainline DIRECTORY``: the same programs on the model and on a tree.

After every call of one task the result, the order of every page list, flags,
counters, EPCM entries, VA slots and references have to be the same.  A
difference is a fault of one of the two; the program is made small first.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import attrs

from sgxmodel.errors import ScenarioError
from sgxmodel.revisions import Revision
from sgxmodel.scenario.model import Scenario, TaskLine
from sgxmodel.tree.binding import Engine
from sgxmodel.tree.build import build, compiler
from sgxmodel.tree.source import opened
from sgxmodel.twoway import model, tree
from sgxmodel.twoway.programs import program
from sgxmodel.twoway.state import Difference, difference


@attrs.frozen
class Plan:
    """``programs`` from ``seed`` on; ``deadline``: ``time.monotonic()`` at which all ends.

    ``concurrent``: how many programs of several tasks follow.
    """

    target: str
    programs: int = 300
    concurrent: int = 100
    seed: int = 0
    deadline: float | None = None
    command: str | None = None
    trusted: bool = False


@attrs.define
class Agreement:
    """What was compared, and the first difference."""

    programs: int = 0
    calls: int = 0
    results: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    """(call, result) -> how often."""
    different: tuple[Scenario, Difference] | None = None
    ended: str = ""
    """Why it ended early."""


class Pair:
    """A revision of the model and a loaded tree."""

    def __init__(self, revision: Revision, engine: Engine) -> None:
        self.revision = revision
        self.engine = engine

    def compare(self, scenario: Scenario, seen: Agreement | None = None) -> Difference | None:
        """One program on both.  Raises :class:`ScenarioError` for what one has no room for."""
        calls = scenario.tasks[0].calls
        one = model.run(self.revision, scenario)
        other = tree.run(self.engine, scenario)
        if seen is not None:
            seen.programs += 1
            seen.calls += min(len(one), len(other))
            seen.results.update((c.verb, a.result) for c, a in zip(calls, one, strict=False))
        return difference(tuple(map(str, calls)), one, other)

    def smaller(self, scenario: Scenario, found: Difference) -> tuple[Scenario, Difference]:
        """Calls left out while the two still differ."""
        scenario = _with(scenario, scenario.tasks[0].calls[: found.index + 1])
        i = len(scenario.tasks[0].calls) - 1
        while i >= 0:
            calls = scenario.tasks[0].calls
            less = _with(scenario, calls[:i] + calls[i + 1 :])
            still = self._differs(less) if less.tasks[0].calls else None
            if still is not None:
                scenario = _with(less, less.tasks[0].calls[: still.index + 1])
                found = still
                i = min(i, len(scenario.tasks[0].calls))
            i -= 1
        return scenario, found

    def _differs(self, scenario: Scenario) -> Difference | None:
        try:
            return self.compare(scenario)
        except ScenarioError:
            return None


def _with(scenario: Scenario, calls: tuple[object, ...]) -> Scenario:
    task = scenario.tasks[0]
    line = TaskLine(task.name, calls, task.node)  # type: ignore[arg-type]
    return attrs.evolve(scenario, tasks=(line,))


def loaded(plan: Plan) -> Engine:
    """The tree's driver.  Raises a :class:`UserError`."""
    with opened(plan.target) as source:
        return Engine(build(source, compiler(plan.command), trusted=plan.trusted))


def compare(
    revision: Revision, plan: Plan, engine: Engine, progress: Callable[[], None] = lambda: None
) -> Agreement:
    """All programs of one task, up to the first difference.  Raises a :class:`UserError`."""
    seen = Agreement()
    pair = Pair(revision, engine)
    for seed in range(plan.seed, plan.seed + plan.programs):
        if plan.deadline is not None and time.monotonic() >= plan.deadline:
            seen.ended = "the budget ended"
            break
        scenario = program(seed)
        try:
            found = pair.compare(scenario, seen)
        except KeyboardInterrupt:
            seen.ended = "interrupted"
            break
        progress()
        if found is not None:
            seen.different = pair.smaller(scenario, found)
            break
    return seen
