# SPDX-License-Identifier: GPL-2.0-only
"""What an example runs, and what became of it.

A search raises no violation.  An example would end at the first one, a common
violation would hide a rare one, and Hypothesis would shrink the same kinds in
every item.  So an example runs to its end and its violations are noted
(``search/sighting.py``); the plugin makes one example of each kind small, once.
Only who looks for one known violation lets it be raised, and shrunk by
Hypothesis.
"""

from __future__ import annotations

from functools import cache, lru_cache

import attrs

from sgxmodel.invariants.base import Violation
from sgxmodel.invariants.checks import Checks
from sgxmodel.revisions import Revision
from sgxmodel.scenario import text
from sgxmodel.scenario.build import build
from sgxmodel.scenario.catalogue import scenario
from sgxmodel.scenario.model import Scenario
from sgxmodel.search.run import Runner
from sgxmodel.search.sequential import sequential_outcomes
from sgxmodel.search.sighting import Key, Sightings
from sgxmodel.testing.plan import Plan, Planned

ORDERS = 6


@lru_cache(maxsize=48)
def runner(revision: Revision, scenario: Scenario, yardstick: bool = True) -> Runner:
    """A runner of one scenario; without ``yardstick`` 16-benign-race is not looked for.

    Kept for a while, as Hypothesis tries many plans on one scenario when it shrinks.
    """
    world = build(revision, scenario)
    return Runner(world, Checks(world, sequential_outcomes(world) if yardstick else None))


@cache
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


def note_plan(runner: Runner, plan: Plan, seen: Sightings) -> None:
    """Run a plan to its end, and note what it violates."""
    seen.outcome(runner.world.scenario, runner.run(Planned(plan)))


# -- one known violation ----------------------------------------------------------------------


@attrs.frozen(order=True)
class Size:
    """How large an example is."""

    tasks: int
    steps: int
    preemptions: int


def raise_if_shown(runner: Runner, plan: Plan, key: Key) -> None:
    """Run a plan up to the violation ``key``; raise that, with its size."""
    outcome = runner.run(Planned(plan), stop=lambda found: found == key)
    if key in outcome.found:
        violation, steps = outcome.found[key]
        world = runner.world
        vars(violation)["size"] = Size(len(world.scenario.tasks), steps, outcome.preemptions)
        violation.add_note(text.format(world.scenario))
        raise violation


def size_of(violation: Violation) -> Size:
    """The size that :func:`raise_if_shown` noted."""
    size: Size = vars(violation)["size"]
    return size
