# SPDX-License-Identifier: GPL-2.0-only
"""``sgxmodel check DIRECTORY``: all scenarios on a kernel tree, with patches or without.

Each scenario runs in a worker process, so that nothing that a driver does takes
the tool down.  With patches only those kinds of findings count, (invariant,
function), that the tree does not have without them.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import attrs

from sgxmodel.errors import ScenarioError, UserError
from sgxmodel.scenario.model import Scenario
from sgxmodel.search.verdict import Evidence, ScenarioResult, Verdict, issue
from sgxmodel.trace.events import Trace
from sgxmodel.tree.binding import Engine, TreeError
from sgxmodel.tree.build import build, compiler
from sgxmodel.tree.check import check_scenario
from sgxmodel.tree.runs import Key
from sgxmodel.tree.source import opened


@attrs.frozen
class TreePlan:
    """What a check of a tree is to do.

    ``target``: a directory, or ``directory@revision`` of git; ``runs``: schedules
    per scenario instead of the default; ``deadline``: ``time.monotonic()`` at
    which all ends; ``known``: kinds that do not count, beside what the tree has
    without the patches.
    """

    target: str
    scenarios: tuple[Scenario, ...]
    patches: tuple[Path, ...] = ()
    runs: int | None = None
    seed: int = 0
    deadline: float | None = None
    jobs: int = 1
    compiler: str | None = None
    known: frozenset[Key] = frozenset()


@attrs.frozen
class Checked:
    """One scenario's result as data that crosses processes: ``traces`` for its findings."""

    result: ScenarioResult
    traces: tuple[Trace, ...] = ()


def is_tree(target: str) -> bool:
    """Whether a target of the command line names a directory, not a revision of the model."""
    directory = target.rpartition("@")[0] or target
    looks = "/" in target or target.startswith((".", "~"))
    return looks or Path(target).is_dir() or Path(directory).is_dir()


def check_tree(plan: TreePlan) -> Iterator[Checked]:
    """Each scenario's result as it comes.  Raises :class:`TreeError`: exit status 2."""
    cc = compiler(plan.compiler)
    if not plan.patches:
        with opened(plan.target) as source:
            library = build(source, cc)
            yield from (_without(c, plan.known) for c in _check_all(plan, library))
        return
    with opened(plan.target) as before, opened(plan.target, plan.patches) as after:
        libraries = build(before, cc), build(after, cc)
        half = attrs.evolve(plan, deadline=_midway(plan.deadline))
        known = set(plan.known)
        for checked in _check_all(half, libraries[0]):
            if checked.result.verdict is Verdict.ERROR:
                raise TreeError(f"without the patch: {checked.result.message}")
            known |= {trace.key for trace in checked.traces}
        for checked in _check_all(plan, libraries[1]):
            yield _without(checked, frozenset(known))


def _midway(deadline: float | None) -> float | None:
    return None if deadline is None else (time.monotonic() + deadline) / 2


def _without(checked: Checked, known: frozenset[Key]) -> Checked:
    """Leave the known kinds out; what is left decides on the verdict."""
    new = tuple(t for t in checked.traces if t.key not in known)
    if len(new) == len(checked.traces):
        return checked
    old = sorted({f"{t.invariant} in {t.function}" for t in checked.traces if t.key in known})
    message = "known: " + ", ".join(old)
    verdict = Verdict.VIOLATED
    if not new:
        verdict, why = issue((), checked.result.evidence, ())
        message = "; ".join(filter(None, (why, message)))
    return Checked(attrs.evolve(checked.result, verdict=verdict, message=message), new)


_engines: dict[Path, Engine] = {}


def _one(plan: TreePlan, library: Path, scenario: Scenario, deadline: float | None) -> Checked:
    """In a worker: the engine is loaded once."""
    try:
        if library not in _engines:
            _engines[library] = Engine(library)
        result, traces = check_scenario(
            _engines[library], scenario,
            target=plan.target, runs=plan.runs, seed=plan.seed, deadline=deadline,
        )  # fmt: skip
        return Checked(attrs.evolve(result, findings=()), tuple(traces))
    except ScenarioError as error:
        return _failed(scenario, str(error))
    except UserError as error:
        return _failed(scenario, f"{plan.target}: {error}")


def _failed(scenario: Scenario, message: str) -> Checked:
    return Checked(
        ScenarioResult(scenario, Verdict.ERROR, (), Evidence(), {}, {}, {}, message=message)
    )


def _check_all(plan: TreePlan, library: Path) -> Iterator[Checked]:
    """All scenarios in worker processes; the time left is shared out as they are done."""
    jobs = max(1, min(plan.jobs, len(plan.scenarios)))
    done: set[str] = set()
    try:
        with _pool(jobs) as pool:
            futures: dict[Future[Checked], Scenario] = {}
            for i, scenario in enumerate(plan.scenarios):
                deadline = _share(plan, i, jobs)
                futures[pool.submit(_one, plan, library, scenario, deadline)] = scenario
            for future in as_completed(futures):
                checked = future.result()
                done.add(futures[future].name)
                yield checked
    except BrokenProcessPool:
        for scenario in plan.scenarios:
            if scenario.name not in done:
                yield _alone(plan, library, scenario)


def _pool(jobs: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"))


def _alone(plan: TreePlan, library: Path, scenario: Scenario) -> Checked:
    """In a process of its own, after some scenario has taken the others' down."""
    try:
        with _pool(1) as pool:
            return pool.submit(_one, plan, library, scenario, plan.deadline).result()
    except BrokenProcessPool:
        return _failed(scenario, "the driver took the process down that ran it")


def _share(plan: TreePlan, index: int, jobs: int) -> float | None:
    """When a scenario has to be done: an even share, those before it first."""
    if plan.deadline is None:
        return None
    now = time.monotonic()
    rounds = -(-len(plan.scenarios) // jobs)
    return now + (plan.deadline - now) * (index // jobs + 1) / rounds
