# SPDX-License-Identifier: GPL-2.0-only
"""All scenarios of one target: in parallel, within one budget, defects contained."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import attrs

from sgxmodel.errors import UserError
from sgxmodel.revisions import revision
from sgxmodel.scenario.build import build
from sgxmodel.scenario.model import Scenario
from sgxmodel.search.check import Progress, check_scenario
from sgxmodel.search.exhaustive import explore_scenario
from sgxmodel.search.record import checks_for, record
from sgxmodel.search.verdict import Evidence, ScenarioResult, Verdict, issue
from sgxmodel.trace.events import Trace

DEBUG = "SGXMODEL_DEBUG"
MEMORY_MB = 4_000
"""Of one process that covers every interleaving; past it the search is INCONCLUSIVE."""
RESERVE = 0.05
"""Part of a scenario's time that is kept for writing its traces down."""


@attrs.frozen
class Checked:
    """One scenario's result as data that crosses processes: ``traces`` for its findings."""

    result: ScenarioResult
    traces: tuple[Trace, ...] = ()


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


def unsearched(scenario: Scenario, planned: int) -> Checked:
    """A scenario whose turn came when the budget was over."""
    evidence = Evidence(planned=planned)
    verdict, message = issue((), evidence, ())
    return Checked(ScenarioResult(scenario, verdict, (), evidence, {}, {}, {}, message=message))


def failed(scenario: Scenario, message: str) -> Checked:
    """A scenario that could not be checked."""
    return Checked(
        ScenarioResult(scenario, Verdict.ERROR, (), Evidence(), {}, {}, {}, message=message)
    )


def check_target(plan: Plan, progress: Progress | None = None) -> Iterator[Checked]:
    """Each scenario's result as it comes; the order is the scenarios' only with one job."""
    if min(plan.jobs, len(plan.scenarios)) > 1:
        yield from _parallel(plan)
        return
    for i, scenario in enumerate(plan.scenarios):
        yield check_one(plan, scenario, _share(plan, len(plan.scenarios) - i), progress)


def _share(plan: Plan, waiting: int) -> float | None:
    """When the next one of the ``waiting`` scenarios has to end."""
    if plan.deadline is None:
        return None
    now = time.monotonic()
    left = max(0.0, plan.deadline - now)
    return now + left * (1 - RESERVE) * min(1.0, plan.jobs / waiting)


def _parallel(plan: Plan) -> Iterator[Checked]:
    todo = list(plan.scenarios)
    running: dict[Future[Checked], Scenario] = {}
    with _pool(min(plan.jobs, len(todo))) as pool:
        while todo or running:
            while todo and len(running) < plan.jobs:
                deadline = _share(plan, len(todo))
                scenario = todo.pop(0)
                running[pool(plan, scenario, deadline)] = scenario
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                scenario = running.pop(future)
                try:
                    yield future.result()
                except BrokenProcessPool:
                    message = "its process was killed (out of memory?); try --jobs 1"
                    for lost in (scenario, *running.values(), *todo):
                        yield failed(lost, message)
                    return


Submit = Callable[[Plan, Scenario, float | None], "Future[Checked]"]


@contextmanager
def _pool(jobs: int) -> Iterator[Submit]:
    """Worker processes; an interrupt ends them at once."""
    others = set(multiprocessing.active_children())
    executor = ProcessPoolExecutor(jobs, initializer=_leave_interrupts_to_the_parent)
    try:
        yield lambda plan, scenario, deadline: executor.submit(check_one, plan, scenario, deadline)
    except BaseException:
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        executor.shutdown(wait=False, cancel_futures=True)
        raise
    executor.shutdown()


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
