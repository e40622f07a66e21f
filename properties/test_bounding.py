# SPDX-License-Identifier: GPL-2.0-only
"""Iterative bounding takes every schedule once, those with fewest preemptions first."""

from __future__ import annotations

from random import Random

import pytest

from sgxmodel.invariants.checks import Checks
from sgxmodel.revisions import revision
from sgxmodel.scenario.build import build
from sgxmodel.scenario.catalogue import SCENARIOS
from sgxmodel.search.bounding import Bounding
from sgxmodel.search.run import Outcome, Runner


def outcomes(scenario: str, runs: int) -> list[Outcome]:
    world = build(revision("list_fixed"), SCENARIOS[scenario])
    runner, bounding, rng = Runner(world, Checks(world)), Bounding(), Random(0)
    return [runner.run(bounding.run(rng)) for _ in range(runs)]


@pytest.mark.parametrize("scenario", ["eaug-eaug", "create-fails"])
def test_no_schedule_is_run_twice(scenario: str) -> None:
    schedules = [outcome.schedule for outcome in outcomes(scenario, 60)]
    assert len(set(schedules)) == len(schedules)


def test_bounds_rise() -> None:
    """Two tasks: two schedules without preemption, then one for each place and task."""
    preemptions = [outcome.preemptions for outcome in outcomes("eaug-eaug", 120)]
    assert preemptions == sorted(preemptions)
    free = preemptions.count(0)
    assert 2 <= free < 20
    assert preemptions.count(1) > 60


def test_every_place_where_the_other_task_could_run_is_tried() -> None:
    """Until the first task is done; then there is nobody to preempt."""
    at = {o.schedule.switches[-1][0] for o in outcomes("eaug-eaug", 200) if o.preemptions == 1}
    assert at == set(range(1, max(at) + 1))
    assert len(at) > 20
