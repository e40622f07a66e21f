# SPDX-License-Identifier: GPL-2.0-only
"""Schedules and scenarios as Hypothesis draws them."""

from __future__ import annotations

from hypothesis import strategies as st

from sgxmodel.scenario import text
from sgxmodel.scenario.catalogue import SCENARIOS
from sgxmodel.scenario.model import Scenario
from sgxmodel.testing.plan import Plan
from sgxmodel.testing.programs import scenarios

__all__ = ["named_scenarios", "plans", "scenarios", "texts"]

LONGEST = 500
"""The last step at which a plan may preempt: most runs are shorter."""
POINTS = 4
FAILURES = 6
TASKS = 4


def plans() -> st.SearchStrategy[Plan]:
    """Whole schedules; the simplest one never preempts and lets nothing fail.

    They do not depend on the scenario, so that each shrinks without the other.
    """
    return st.builds(
        Plan,
        order=st.lists(st.integers(0, TASKS - 1), max_size=TASKS - 1, unique=True).map(tuple),
        preempt=st.lists(st.integers(1, LONGEST), max_size=POINTS, unique=True).map(_sorted),
        fail=st.lists(st.booleans(), max_size=FAILURES).map(tuple),
    )


def _sorted(points: list[int]) -> tuple[int, ...]:
    return tuple(sorted(points))


def _size(scenario: Scenario) -> tuple[int, int, str]:
    return (len(scenario.tasks), len(scenario.all_calls()), scenario.name)


def named_scenarios() -> st.SearchStrategy[str]:
    """Names of the catalogue, those of few tasks and calls first."""
    return st.sampled_from([s.name for s in sorted(SCENARIOS.values(), key=_size)])


def texts(drawn: st.SearchStrategy[Scenario]) -> st.SearchStrategy[str]:
    """Scenarios as text: a failing test case prints it, and it can be kept as a file."""
    return drawn.map(text.format)
