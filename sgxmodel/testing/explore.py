# SPDX-License-Identifier: GPL-2.0-only
"""What an example raises, and how a search goes on after a finding.

An example ends in one exception, and a common violation would hide a rare one
of the same run.  So a search is repeated: each round leaves out what earlier
rounds reported, until a round finds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

import attrs

from sgxmodel.invariants.base import Violation
from sgxmodel.invariants.checks import Checks
from sgxmodel.revisions import Revision
from sgxmodel.scenario import text
from sgxmodel.scenario.build import World, build
from sgxmodel.scenario.catalogue import scenario
from sgxmodel.scenario.model import Scenario
from sgxmodel.search.run import Outcome, Runner
from sgxmodel.search.sequential import sequential_outcomes
from sgxmodel.testing.plan import Plan, Planned

Key = tuple[str, str]
ROUNDS = 24


@attrs.frozen(order=True)
class Example:
    """How large an example is.  ``preemptions`` is -1 where rules step the tasks."""

    tasks: int
    steps: int
    preemptions: int

    def __str__(self) -> str:
        parts = [_count(self.tasks, "task"), _count(self.steps, "step")]
        if self.preemptions >= 0:
            parts.append(_count(self.preemptions, "preemption"))
        return ", ".join(parts)


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


@attrs.define
class Reported:
    """The findings of earlier rounds, which an example does not raise again."""

    keys: set[Key] = attrs.field(factory=set)

    def wants(self, key: Key) -> bool:
        """Whether an example is to raise this violation."""
        return key not in self.keys

    def first_new(self, found: Iterable[tuple[Violation, int]]) -> Violation | None:
        """The violation that came first, of those wanted."""
        new = [(steps, v) for v, steps in found if self.wants(v.key)]
        return min(new, key=lambda pair: pair[0])[1] if new else None

    def examine(self, world: World, outcome: Outcome) -> None:
        """Raise the first wanted violation of a run."""
        violation = self.first_new(outcome.found.values())
        if violation is not None:
            steps = outcome.found[violation.key][1]
            size = Example(len(world.scenario.tasks), steps, outcome.preemptions)
            raise annotated(violation, world.scenario, size)


@attrs.define
class Wanted(Reported):
    """One violation is looked for, all others are let pass."""

    key: Key = ("", "")

    def wants(self, key: Key) -> bool:
        return key == self.key


def annotated(violation: Violation, scenario: Scenario, size: Example) -> Violation:
    """The violation with what the reports say of its example: how large, which scenario."""
    vars(violation)["example"] = size
    violation.add_note(f"example: {scenario.name}, {size}")
    violation.add_note(text.format(scenario))
    return violation


def example_of(violation: Violation) -> Example:
    """The size that :func:`annotated` noted."""
    size: Example = vars(violation)["example"]
    return size


def explore(search: Callable[[Reported], None]) -> None:
    """Run a Hypothesis test until it finds nothing new; then raise all that it found.

    One violation is raised as itself, several as an exception group.
    """
    __tracebackhide__ = True
    reported = Reported()
    found: list[Violation] = []
    for _ in range(ROUNDS):
        try:
            search(reported)
        except (Violation, ExceptionGroup) as error:
            new = _violations(error)
            if not new:
                raise
            found += [v.with_traceback(None) for v in new]
            reported.keys |= {v.key for v in new}
        else:
            break
    raise_all(found)


def raise_all(found: list[Violation]) -> None:
    """Raise what was found, if anything: by itself, or several in a group."""
    __tracebackhide__ = True
    if len(found) == 1:
        raise found[0]
    if found:
        names = ", ".join(sorted({type(v).__name__ for v in found}))
        raise ExceptionGroup(f"{len(found)} violations: {names}", found)


def _violations(error: Exception) -> list[Violation]:
    """The violations of Hypothesis's report; none if it reports anything else as well."""
    if isinstance(error, Violation):
        return [error]
    if type(error) is not ExceptionGroup:
        return []  # hypothesis.errors.FlakyFailure is a group, and a bug to look at
    parts = [v for v in error.exceptions if isinstance(v, Violation)]
    return parts if len(parts) == len(error.exceptions) else []


# -- runs -------------------------------------------------------------------------------------

ORDERS = 6


@lru_cache(maxsize=48)
def runner(revision: Revision, scenario: Scenario, yardstick: bool = True) -> Runner:
    """A runner of one scenario; without ``yardstick`` 16-benign-race is not looked for.

    Kept for a while, as Hypothesis tries many plans on one scenario when it shrinks.
    """
    world = build(revision, scenario)
    return Runner(world, Checks(world, sequential_outcomes(world) if yardstick else None))


@lru_cache
def named_runner(revision: Revision, name: str) -> Runner:
    """As :func:`runner`, for a scenario of the catalogue."""
    return runner(revision, scenario(name))


def few_orders(scenario: Scenario) -> bool:
    """Whether it costs little to run all orders of a scenario's calls."""
    total = seen = 1
    for task in scenario.tasks:
        for i in range(1, len(task.calls) + 1):
            total = total * seen // i
            seen += 1
    return total <= ORDERS


def run_plan(runner: Runner, plan: Plan, reported: Reported) -> Outcome:
    """Run a plan up to the first violation that is new; raise that."""
    outcome = runner.run(Planned(plan), stop=reported.wants)
    reported.examine(runner.world, outcome)
    return outcome
