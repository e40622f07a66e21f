# SPDX-License-Identifier: GPL-2.0-only
"""``sgxmodel replay`` of a trace of a kernel tree, by its named steps."""

from __future__ import annotations

from pathlib import Path

import attrs

from sgxmodel.errors import ScenarioError, TraceError
from sgxmodel.scenario import text
from sgxmodel.search.record import Answer, ReplayResult
from sgxmodel.search.schedule import Schedule
from sgxmodel.trace.events import Patch, Trace
from sgxmodel.tree.binding import Engine
from sgxmodel.tree.build import build, compiler
from sgxmodel.tree.minimise import again
from sgxmodel.tree.plan import plan
from sgxmodel.tree.record import UnmatchedError, record, schedule_of
from sgxmodel.tree.runs import Runner
from sgxmodel.tree.sequential import learn_orders, stands
from sgxmodel.tree.source import opened, patch_in


def replay(
    trace: Trace,
    target: str | None = None,
    patches: tuple[Patch, ...] | None = None,
    command: str | None = None,
    trusted: bool = False,
) -> ReplayResult:
    """Build what the trace was taken from, or another tree, and run the trace on it.

    ``patches``: instead of the trace's own.  Raises a :class:`UserError` if there is
    nothing to run it on.
    """
    if target is None:
        target = trace.target
        patches = tuple(map(_whole, trace.patches)) if patches is None else patches
    with opened(target, patches or ()) as source:
        library = build(source, compiler(command), trusted=trusted)
    trace = attrs.evolve(trace, target=target, patches=tuple(patches or ()))
    return replay_on(Engine(library), trace)


def _whole(patch: Patch) -> Patch:
    """With its text: traces of version 1 have the file's name only."""
    return patch if patch.text else patch_in(Path(patch.name))


def replay_on(engine: Engine, trace: Trace) -> ReplayResult:
    """Run a trace on a loaded engine."""
    where = f"the trace's scenario '{trace.scenario}'"
    try:
        made = plan(text.parse(trace.scenario_text, where))
    except ScenarioError as error:
        raise TraceError(f"{error}: it does not fit this sgxmodel") from None
    foreign = [s.task for s in trace.switches if s.task not in made.tasks]
    if foreign:
        raise TraceError(f"{where} has no task '{foreign[0]}', but the trace switches to it")
    runner = Runner(engine, made)
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
