# SPDX-License-Identifier: GPL-2.0-only
"""All scenarios of one target: in parallel, within one budget, defects contained."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterator
from concurrent.futures import Executor, as_completed

import attrs

from sgxmodel.errors import UserError
from sgxmodel.revisions import revision
from sgxmodel.scenario.build import build
from sgxmodel.scenario.model import Scenario
from sgxmodel.search.check import Progress, check_scenario
from sgxmodel.search.exhaustive import explore_scenario
from sgxmodel.search.explore.explorer import INTERRUPT, Count
from sgxmodel.search.record import checks_for, record
from sgxmodel.search.resume import Unfinished
from sgxmodel.search.verdict import Checked, failed, unsearched
from sgxmodel.search.workers import in_workers, share

DEBUG = "SGXMODEL_DEBUG"
MEMORY_MB = 4_000
"""Of one process that covers every interleaving; past it the search is INCONCLUSIVE."""
LAST_WORDS = 60.0
"""Seconds that an interrupt leaves to exhaustive searches, to say where they were."""
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
    unfinished: tuple[Unfinished, ...] = ()
    """Exhaustive searches to go on with."""


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
                progress=None if progress is None else functools.partial(_tell, progress),
                unfinished=next((u for u in plan.unfinished if u.scenario == scenario.name), None),
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
        grace = LAST_WORDS if plan.exhaustive else 0.0
        yield from in_workers(work, plan.scenarios, plan.jobs, plan.deadline, DIED, grace)
        return
    for i, scenario in enumerate(plan.scenarios):
        until = share(plan.deadline, plan.jobs, len(plan.scenarios) - i)
        checked = check_one(plan, scenario, until, progress)
        yield checked
        if checked.result.message.startswith(INTERRUPT):
            raise KeyboardInterrupt


def _tell(progress: Progress, count: Count) -> None:
    """How far an exhaustive search is.  Nobody knows how many states there will be."""
    rate = count.states / max(count.seconds, 0.001)
    progress(
        f"{count.states} states, {count.frontier} to go on from, {count.depth} steps deep, "
        f"{rate:.0f}/s"
    )


def check_on(plan: Plan, executor: Executor) -> Iterator[Checked]:
    """Each scenario's result as it comes, worked on by an executor of the caller's.

    Any will do whose tasks may run elsewhere: a pool of this machine, or a
    cluster's (Dask: ``client.get_executor()``).  Same verdicts as with one process.
    """
    left = None if plan.deadline is None else plan.deadline - time.monotonic()
    rounds = -(-len(plan.scenarios) // plan.jobs)
    seconds = None if left is None else max(0.0, left / rounds)
    elsewhere = attrs.evolve(plan, deadline=None)
    futures = {
        executor.submit(_check_within, elsewhere, scenario, seconds): scenario
        for scenario in plan.scenarios
    }
    for future in as_completed(futures):
        try:
            yield future.result()
        except Exception as error:
            yield failed(futures[future], f"{DIED}: {type(error).__name__}: {error}")


def _check_within(plan: Plan, scenario: Scenario, seconds: float | None) -> Checked:
    """Clocks of two machines have nothing in common, so the time is a length."""
    return check_one(plan, scenario, None if seconds is None else time.monotonic() + seconds)
