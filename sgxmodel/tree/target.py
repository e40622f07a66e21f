# SPDX-License-Identifier: GPL-2.0-only
"""``sgxmodel check DIRECTORY``: all scenarios on a kernel tree, with patches or without.

Each scenario runs in a worker process, so that nothing that a driver does takes
the tool down.  With patches only those kinds of findings count, (invariant,
function), that the tree does not have without them.
"""

from __future__ import annotations

import functools
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import attrs

from sgxmodel import __version__
from sgxmodel.errors import ScenarioError, TreeError, UserError
from sgxmodel.scenario.model import Scenario
from sgxmodel.search.known import Key, kinds, without
from sgxmodel.search.record import Answer
from sgxmodel.search.verdict import Checked, Verdict, failed, unsearched
from sgxmodel.search.workers import in_workers
from sgxmodel.trace.events import Patch, Trace
from sgxmodel.tree.binding import Engine
from sgxmodel.tree.build import Compiler, build, compiler
from sgxmodel.tree.check import check_scenario, planned_runs
from sgxmodel.tree.confine import Library
from sgxmodel.tree.replay import replay_on
from sgxmodel.tree.source import Source, identity, opened

DIED = "the driver took the process down that ran it"
SHORT = 5
"""Searches that must agree before a violation of a known kind is a patch's doing."""
Look = tuple[str, Key, str]


@attrs.frozen
class TreePlan:
    """What a check of a tree is to do.

    ``target``: a directory, or ``directory@revision`` of git; ``runs``: schedules
    per scenario instead of the default; ``deadline``: ``time.monotonic()`` at
    which all ends.
    """

    target: str
    scenarios: tuple[Scenario, ...]
    patches: tuple[Patch, ...] = ()
    runs: int | None = None
    seed: int = 0
    deadline: float | None = None
    jobs: int = 1
    compiler: str | None = None
    trusted: bool = False
    """Whether drivers and the compiler run without being confined."""
    origin: tuple[str, ...] = ()
    """What a trace says of where it comes from."""


@attrs.frozen
class Baseline:
    """The tree without the patches: what it was seen to have, and where to ask again."""

    library: Library
    known: frozenset[Key]
    looks: frozenset[Look]
    """Where each kind was seen, and under which title."""


def is_tree(target: str) -> bool:
    """Whether a target of the command line names a directory."""
    directory = target.rpartition("@")[0] or target
    looks = "/" in target or target.startswith((".", "~"))
    return looks or Path(target).is_dir() or Path(directory).is_dir()


@attrs.define
class Learnt:
    """What a check of a tree learns beside its results.

    ``phase``: what it is at; ``unseen``: what no check sees; ``base``: what the tree has
    without the patches, once that is known.
    """

    phase: str = "build"
    unseen: tuple[str, ...] = ()
    base: frozenset[Key] | None = None


def check_tree(plan: TreePlan, learnt: Learnt | None = None) -> Iterator[Checked | None]:
    """Each scenario's result as it comes; None for each that is done without the patches.

    Raises :class:`TreeError`: exit status 2.
    """
    learnt = learnt or Learnt()
    cc = compiler(plan.compiler)
    if not plan.patches:
        with opened(plan.target) as source:
            library = build(source, cc, trusted=plan.trusted)
            plan = attrs.evolve(plan, origin=_origin(plan, source, cc))
            learnt.unseen, learnt.phase = library.unseen, "search"
            yield from _check_all(plan, library, None)
        return
    with opened(plan.target) as before, opened(plan.target, plan.patches) as after:
        libraries = [build(tree, cc, trusted=plan.trusted) for tree in (before, after)]
        plan = attrs.evolve(plan, origin=_origin(plan, before, cc))
        learnt.unseen, learnt.phase = libraries[1].unseen, "search without the patch"
        unpatched = attrs.evolve(plan, patches=(), deadline=_midway(plan.deadline))
        known: set[Key] = set()
        looks: set[Look] = set()
        for checked in _check_all(unpatched, libraries[0], None):
            if checked.result.verdict is Verdict.ERROR:
                raise TreeError(f"without the patch: {checked.result.message}")
            known |= kinds([checked])
            looks |= {_look(trace) for trace in checked.traces}
            yield None
        learnt.base, learnt.phase = frozenset(known), "search with the patch"
        baseline = Baseline(libraries[0], frozenset(known), frozenset(looks))
        yield from _check_all(plan, libraries[1], baseline)


def _origin(plan: TreePlan, source: Source, cc: Compiler) -> tuple[str, ...]:
    return (
        f"sgxmodel {__version__}",
        f"{plan.target}: {identity(plan.target, source)}",
        cc.version,
    )


def _midway(deadline: float | None) -> float | None:
    return None if deadline is None else (time.monotonic() + deadline) / 2


def _check_all(plan: TreePlan, library: Library, baseline: Baseline | None) -> Iterator[Checked]:
    work = functools.partial(_one, plan, library, baseline)
    return in_workers(work, plan.scenarios, plan.jobs, plan.deadline, DIED)


_engines: dict[Library, Engine] = {}


def engine_of(library: Library) -> Engine:
    """In a worker: an engine is loaded once."""
    if library not in _engines:
        _engines[library] = Engine(library)
    return _engines[library]


def _one(
    plan: TreePlan,
    library: Library,
    baseline: Baseline | None,
    scenario: Scenario,
    deadline: float | None,
) -> Checked:
    if deadline is not None and time.monotonic() >= deadline:
        return unsearched(scenario, planned_runs(scenario, plan.runs))
    try:
        result, traces = check_scenario(
            engine_of(library), scenario,
            target=plan.target, runs=plan.runs, seed=plan.seed, deadline=deadline,
        )  # fmt: skip
        checked = Checked(
            attrs.evolve(result, findings=()),
            tuple(
                attrs.evolve(trace, patches=plan.patches, origin=plan.origin) for trace in traces
            ),
        )
        if baseline is not None:
            checked = _new(plan, baseline, engine_of(library), scenario, checked, deadline)
        return _not_looked_at(library, checked)
    except ScenarioError as error:
        return failed(scenario, str(error))
    except UserError as error:
        return failed(scenario, f"{plan.target}: {error}")
    except Exception as error:
        if os.environ.get("SGXMODEL_DEBUG"):
            raise
        return failed(scenario, f"a defect of sgxmodel: {type(error).__name__}: {error}")


def _not_looked_at(library: Library, checked: Checked) -> Checked:
    """What no check sees may do anything: there is no PASSED with it."""
    if not library.unseen or checked.result.verdict is not Verdict.PASSED:
        return checked
    why = f"the checks do not see {'; '.join(library.unseen)}"
    result = attrs.evolve(checked.result, verdict=Verdict.INCONCLUSIVE, message=why)
    return attrs.evolve(checked, result=result)


def _new(
    plan: TreePlan,
    baseline: Baseline,
    after: Engine,
    scenario: Scenario,
    checked: Checked,
    deadline: float | None,
) -> Checked:
    """Only what the tree does not have without the patches.

    A search is a sample: before something counts as the patches' doing, its own
    interleaving is tried on the tree without them, and other schedules.  A kind that
    is known of other scenarios, under other titles, counts if it is :func:`_reliable`
    here; else what looks unlike all that is known is named at least.
    """
    known = set(baseline.known)
    before = engine_of(baseline.library)
    strange = [t for t in checked.traces if _look(t) not in baseline.looks]
    strange = [t for t in strange if not _happens(before, t)]
    known |= {t.key for t in checked.traces} - {t.key for t in strange}
    seen = _looks(before, scenario, plan.runs, plan.seed + 1, deadline) if strange else set()
    strange = [t for t in strange if _look(t) not in seen]
    known |= {key for _, key, _ in seen}
    masked = [t for t in strange if t.key in known]
    said = {(key, title) for _, key, title in {*baseline.looks, *seen}}
    here = {key for name, key, _ in {*baseline.looks, *seen} if name == scenario.name}
    fresh = {t.key for t in masked if _look(t)[1:] not in said} - here
    known -= _reliable(plan, (before, after), scenario, fresh, deadline)
    unlike = tuple(f"{' in '.join(t.key)}: {t.title}" for t in masked if t.key in known)
    checked = attrs.evolve(checked, result=attrs.evolve(checked.result, unlike=unlike))
    return without(checked, known)


def _reliable(
    plan: TreePlan,
    engines: tuple[Engine, Engine],
    scenario: Scenario,
    kinds_: set[Key],
    deadline: float | None,
) -> set[Key]:
    """Those that each of some short searches shows with the patches, and none without.

    If the patches changed nothing, that would happen once in 70,000 cases: at most
    p^5 (1 - p)^15, as what was looked for without them before is ten such searches.
    """
    before, after = engines
    runs = max(1, planned_runs(scenario, plan.runs) // SHORT)
    for seed in range(plan.seed + 2, plan.seed + 2 + SHORT):
        if not kinds_ or (deadline is not None and time.monotonic() >= deadline):
            return set()
        kinds_ = kinds_ & {key for _, key, _ in _looks(after, scenario, runs, seed, deadline)}
        if kinds_:
            kinds_ -= {key for _, key, _ in _looks(before, scenario, runs, seed, deadline)}
    return kinds_


def _looks(
    engine: Engine,
    scenario: Scenario,
    runs: int | None,
    seed: int,
    deadline: float | None,
) -> set[Look]:
    result, _ = check_scenario(
        engine, scenario, runs=runs, seed=seed, deadline=deadline, traces=False
    )
    return {_look_of(scenario.name, f.violation.key, f.violation.title) for f in result.findings}


def _look(trace: Trace) -> Look:
    return _look_of(trace.scenario, trace.key, trace.title)


def _look_of(scenario: str, key: Key, title: str) -> Look:
    """Scenario, kind and title without the numbers of objects and addresses."""
    return scenario, key, re.sub(r"(0x)?[0-9a-f]*[0-9][0-9a-f]*", "N", title)


def _happens(engine: Engine, trace: Trace) -> bool:
    try:
        return replay_on(engine, trace).answer is Answer.REPRODUCED
    except UserError:
        return False
