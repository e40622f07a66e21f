# SPDX-License-Identifier: GPL-2.0-only
"""All scenarios of one target: in parallel, within one budget, defects contained."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterator

import attrs

from sgxmodel.errors import UserError
from sgxmodel.revisions import revision
from sgxmodel.scenario.build import build
from sgxmodel.scenario.model import Scenario
from sgxmodel.search.check import Progress, check_scenario
from sgxmodel.search.exhaustive import explore_scenario
from sgxmodel.search.record import checks_for, record
from sgxmodel.search.verdict import Checked, failed, unsearched
from sgxmodel.search.workers import in_workers, share

DEBUG = "SGXMODEL_DEBUG"
MEMORY_MB = 4_000
"""Of one process that covers every interleaving; past it the search is INCONCLUSIVE."""
DIED = "its process was killed (out of memory?); try --jobs 1"


@attrs.frozen
class Plan:
    """What a check is to do.  ``deadline``: time.monotonic() at which all ends."""

    target: str
    scenarios: tuple[Scenario, ...]
    schedules: int | None = None
    seed: int = 0
    deadline: float | None = None
    jobs: int = 1
    exhaustive: bool = False
    reduction: bool = True
    memory_mb: float = MEMORY_MB


def check_one(
    plan: Plan, scenario: Scenario, deadline: float | None, progress: Progress | None = None
) -> Checked:
    """Search one scenario and record what was found.  A defect is an ERROR, not a crash."""
    if deadline is not None and time.monotonic() >= deadline:
        return unsearched(scenario, plan.schedules or scenario.schedules)
    try:
        target = revision(plan.target)
        if plan.exhaustive:
            result = explore_scenario(
                target,
                scenario,
                reduction=plan.reduction,
                deadline=deadline,
                memory_mb=plan.memory_mb,
            )
        else:
            result = check_scenario(
                target,
                scenario,
                schedules=plan.schedules,
                seed=plan.seed,
                deadline=deadline,
                progress=progress,
            )
        traces = []
        if result.findings:
            world = build(target, scenario)
            for finding in result.findings:
                key = finding.violation.key
                traces.append(record(world, checks_for(world, key), finding.schedule, key))
        return Checked(attrs.evolve(result, findings=()), tuple(traces))
    except UserError as error:
        return failed(scenario, str(error))
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        return failed(
            scenario,
            f"a defect of sgxmodel: {type(error).__name__}: {error} ({DEBUG}=1 shows where)",
        )


def check_target(plan: Plan, progress: Progress | None = None) -> Iterator[Checked]:
    """Each scenario's result as it comes; the order is the scenarios' only with one job."""
    if min(plan.jobs, len(plan.scenarios)) > 1:
        work = functools.partial(check_one, plan)
        yield from in_workers(work, plan.scenarios, plan.jobs, plan.deadline, DIED)
        return
    for i, scenario in enumerate(plan.scenarios):
        until = share(plan.deadline, plan.jobs, len(plan.scenarios) - i)
        yield check_one(plan, scenario, until, progress)
