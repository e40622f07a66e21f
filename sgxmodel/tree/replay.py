# SPDX-License-Identifier: GPL-2.0-only
"""``sgxmodel replay`` of a trace of a kernel tree, by its named steps."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import attrs

from sgxmodel.errors import ScenarioError, TraceError
from sgxmodel.scenario import text
from sgxmodel.search.record import Answer, ReplayResult
from sgxmodel.search.schedule import Schedule
from sgxmodel.search.workers import pool
from sgxmodel.trace.events import Trace
from sgxmodel.tree.binding import Engine, TreeError
from sgxmodel.tree.build import build, compiler
from sgxmodel.tree.minimise import again
from sgxmodel.tree.names import Names
from sgxmodel.tree.plan import plan
from sgxmodel.tree.record import UnmatchedError, record, schedule_of
from sgxmodel.tree.runs import Runner
from sgxmodel.tree.sequential import learn_orders, stands
from sgxmodel.tree.source import opened


def replay(
    trace: Trace,
    target: str | None = None,
    patches: tuple[Path, ...] | None = None,
    command: str | None = None,
) -> ReplayResult:
    """Build what the trace was taken from, or another tree, and run the trace on it.

    ``patches``: instead of the trace's own.  In a process of its own, as a driver
    may do anything.  Raises a :class:`UserError` if there is nothing to run it on.
    """
    if target is None:
        target = trace.target
        patches = tuple(map(Path, trace.patches)) if patches is None else patches
    with opened(target, patches or ()) as source:
        library = build(source, compiler(command))
    trace = attrs.evolve(trace, target=target, patches=tuple(map(str, patches or ())))
    try:
        with pool(1) as alone:
            return alone.submit(_replay, library, trace).result()
    except BrokenProcessPool:
        raise TreeError(f"{target}: the driver took the process down that ran it") from None


def _replay(library: Path, trace: Trace) -> ReplayResult:
    return replay_on(Engine(library), trace)


def replay_on(engine: Engine, trace: Trace) -> ReplayResult:
    """Run a trace on a loaded engine, in this process."""
    where = f"the trace's scenario '{trace.scenario}'"
    try:
        made = plan(text.parse(trace.scenario_text, where))
    except ScenarioError as error:
        raise TraceError(f"{error}: it does not fit this sgxmodel") from None
    foreign = [s.task for s in trace.switches if s.task not in made.tasks]
    if foreign:
        raise TraceError(f"{where} has no task '{foreign[0]}', but the trace switches to it")
    runner = Runner(engine, made, Names(engine.library, engine.base))
    if not runner.early:
        learn_orders(runner)
    try:
        schedule = Schedule() if runner.early else schedule_of(runner, trace)
    except UnmatchedError as error:
        return ReplayResult(Answer.UNMATCHED, (str(error),))
    found = again(runner, trace.key, schedule, trace.memory)
    if found is None or not stands(runner, found):
        others = (f.violation.key for f in runner.replay(schedule, trace.memory))
        notes = tuple(f"found instead: {i} in {f}()" for i, f in others if (i, f) != trace.key)
        return ReplayResult(Answer.GONE, notes)
    now = record(runner, found, trace.target)
    return ReplayResult(Answer.REPRODUCED, trace=attrs.evolve(now, patches=trace.patches))
