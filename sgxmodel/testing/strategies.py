# SPDX-License-Identifier: GPL-2.0-only
"""Schedules and scenarios as Hypothesis draws them."""

from __future__ import annotations

from hypothesis import strategies as st

from sgxmodel.scenario.catalogue import SCENARIOS
from sgxmodel.scenario.model import Scenario
from sgxmodel.testing.plan import Plan
from sgxmodel.testing.programs import Drawing

LONGEST = 500
"""The last step at which a plan may preempt: most runs are shorter."""
POINTS = 4
FAILURES = 6


def plans(tasks: int) -> st.SearchStrategy[Plan]:
    """Whole schedules of so many tasks; the simplest one never preempts and lets nothing fail."""
    return st.builds(
        Plan,
        order=st.permutations(range(tasks)).map(tuple),
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


@st.composite
def scenarios(draw: st.DrawFn, tasks: int = 3, calls: int = 3, quiet: bool = False) -> Scenario:
    """Small programs of one to ``tasks`` tasks; every set-up succeeds on every revision.

    ``quiet``: no memory error, no failure, no EAUG and no change of type, so that
    ``list_v2`` and ``mainline`` should not differ.
    """
    return Drawing(draw, quiet).scenario(tasks, calls)
