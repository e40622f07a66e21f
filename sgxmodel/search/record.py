# SPDX-License-Identifier: GPL-2.0-only
"""Schedules to traces and back: steps by name."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, cast

import attrs

from sgxmodel.errors import ScenarioError, TraceError
from sgxmodel.invariants.checks import Checks
from sgxmodel.machine.blocks import Site
from sgxmodel.machine.op import Fault, Op, describe
from sgxmodel.machine.system import Call, System
from sgxmodel.revisions import Revision, revision
from sgxmodel.scenario import text
from sgxmodel.scenario.build import World, build
from sgxmodel.scenario.model import result_name
from sgxmodel.scenario.words import Words
from sgxmodel.search.explore.explorer import Move
from sgxmodel.search.follow import Follow
from sgxmodel.search.run import Outcome, Runner
from sgxmodel.search.schedule import Replay, Schedule, Scheduler
from sgxmodel.search.sequential import sequential_outcomes
from sgxmodel.trace.events import Choice, Point, Step, Switch, Trace

Key = tuple[str, str]
NEEDS_SEQUENTIAL = "16-benign-race"


class Watch:
    """Stands before the checkers and writes down every step."""

    def __init__(self, world: World, checks: Checks) -> None:
        self.world = world
        self.checks = checks
        self.words = Words(world)
        self.steps: list[Step] = []
        self.points: list[Point] = []
        self.seen: Counter[tuple[str, str, str]] = Counter()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.checks, name)

    def begin(self, system: System) -> None:
        self.system = system
        self.before = list(system.state)
        self.steps.clear()
        self.points.clear()
        self.seen.clear()
        self.checks.begin(system)

    def pending(self, t: int) -> Point:
        """The name that the pending operation of a task will have."""
        op = self.system.pending[t]
        assert op is not None
        where = (
            self.world.tasks[t].name,
            self.system.site(t).function,
            describe(op, self.words.names),
        )
        return Point(*where, self.seen[where] + 1)

    # -- observer -------------------------------------------------------------------------

    def operation(
        self, t: int, op: Op, result: Any, reads: Sequence[int], writes: Sequence[int]
    ) -> None:
        if not op[0].silent:
            self._step(t, self.words.result(op, result))
        self._changes()
        self.checks.operation(t, op, result, reads, writes)

    def fault(self, t: int, site: Site, fault: Fault) -> None:
        if self.system.steps > len(self.points):
            self._step(t, "")
        self._changes()
        self._note(fault.message.partition("\n")[0])
        self.checks.fault(t, site, fault)

    def returned(self, t: int, call: Call, value: Any) -> None:
        self._changes()
        self._note(f"'{call.text}' returns {result_name(value)}")
        self.checks.returned(t, call, value)

    def _step(self, t: int, result: str) -> None:
        point, system = self.pending(t), self.system
        self.points.append(point)
        self.seen[point.task, point.function, point.text] += 1
        site, spec = system.site(t), self.world.tasks[t]
        call = spec.calls[system.position[t]].text
        self.steps.append(
            Step(
                system.steps,
                point.task,
                call,
                point.function,
                _short(site.filename),
                site.lineno,
                point.text,
                result,
            )
        )

    def _changes(self) -> None:
        changes = self.words.changes(self.before, self.system.state)
        self.before[:] = self.system.state
        for change in changes:
            self._note(change)

    def _note(self, what: str) -> None:
        if self.steps:
            last = self.steps[-1]
            self.steps[-1] = attrs.evolve(last, changes=(*last.changes, what))


def _short(filename: str) -> str:
    """The file of model code, as seen from its room."""
    return "/".join(PurePath(filename).parts[-2:])


def checks_for(world: World, key: Key | None = None) -> Checks:
    """The checkers that can find ``key``; the yardstick of benign races costs time."""
    sequential = sequential_outcomes(world) if key and key[0] == NEEDS_SEQUENTIAL else None
    return Checks(world, sequential)


def record(world: World, checks: Checks, schedule: Schedule, key: Key) -> Trace:
    """Run a schedule again up to the violation ``key``, and write it down."""
    watch = Watch(world, checks)
    outcome = _run(watch, Replay(schedule), key)
    if key not in outcome.found:
        raise RuntimeError(f"{key[0]} in {key[1]} does not replay: a defect of sgxmodel")
    return _trace(watch, outcome, key)


def _run(watch: Watch, scheduler: Scheduler, key: Key) -> Outcome:
    runner = Runner(watch.world, cast(Checks, watch))
    return runner.run(scheduler, stop=lambda found: found == key)


def _trace(watch: Watch, outcome: Outcome, key: Key) -> Trace:
    violation = outcome.found[key][0]
    points, tasks, world = watch.points, watch.world.tasks, watch.world
    return Trace(
        target=world.revision.name,
        scenario=world.scenario.name,
        scenario_text=text.format(world.scenario),
        invariant=key[0],
        function=key[1],
        title=violation.title,
        message=violation.message,
        preemptions=outcome.preemptions,
        switches=tuple(
            Switch(points[at - 1] if at else None, tasks[t].name)
            for at, t in outcome.schedule.switches
        ),
        choices=tuple(Choice(points[at], which) for at, which in outcome.schedule.choices),
        steps=tuple(watch.steps),
    )


def narrated(world: World, moves: Sequence[Move]) -> Trace:
    """The steps of a path, without a violation."""
    watch = Watch(world, Checks(world))
    outcome = Runner(world, cast(Checks, watch)).run(Follow(moves), limit=len(moves))
    return Trace(
        target=world.revision.name,
        scenario=world.scenario.name,
        scenario_text=text.format(world.scenario),
        invariant="",
        function="",
        title="",
        message="",
        preemptions=outcome.preemptions,
        switches=(),
        choices=(),
        steps=tuple(watch.steps),
    )


def follow_names(world: World, trace: Trace) -> Outcome:
    """Run a trace by its names on another world; a switch to a task it lacks is left out."""
    names = {spec.name for spec in world.tasks}
    known = attrs.evolve(trace, switches=tuple(s for s in trace.switches if s.task in names))
    watch = Watch(world, checks_for(world, trace.key))
    return _run(watch, Named(known, watch), trace.key)


# -- replay -----------------------------------------------------------------------------------


class Answer(enum.Enum):
    """What became of a trace; the value is the exit status of ``sgxmodel replay``."""

    GONE = 0
    REPRODUCED = 1
    UNMATCHED = 2


@attrs.frozen
class ReplayResult:
    """``trace``: the run as it is now, if the violation is still there.

    ``notes``: which steps were not matched, which switches the code no longer
    allows, what was found instead.
    """

    answer: Answer
    notes: tuple[str, ...] = ()
    trace: Trace | None = None


class Named:
    """A scheduler that follows named steps as the run goes."""

    by_priority = False

    def __init__(self, trace: Trace, watch: Watch) -> None:
        self.watch = watch
        self.switches = {s.after: s for s in trace.switches}
        self.choices = {c.at: c for c in trace.choices}
        self.number = {spec.name: t for t, spec in enumerate(watch.world.tasks)}
        self.refused: list[str] = []
        self.next_at = 0

    def begin(self, tasks: int) -> None:
        pass

    def pick(self, enabled: list[int], current: int, default: int, step: int) -> int:
        points = self.watch.points
        switch = self.switches.pop(points[-1] if points else None, None)
        if switch is None:
            return default
        wanted = self.number[switch.task]
        if wanted in enabled:
            return wanted
        self.refused.append(f"{switch}: not possible any more, {self._why(wanted)}")
        return default

    def choose(self, alternatives: int, step: int) -> int:
        system = self.watch.system
        running = system.state[0]
        t = next(t for t, spec in enumerate(system.tasks) if spec.handle is running)
        choice = self.choices.pop(self.watch.pending(t), None)
        return choice.outcome if choice and choice.outcome < alternatives else 0

    def _why(self, t: int) -> str:
        system = self.watch.system
        if system.done(t):
            return f"{system.tasks[t].name} is done by then"
        op = system.pending[t]
        assert op is not None
        return f"{system.tasks[t].name} waits in {describe(op, self.watch.words.names)}"

    def unmatched(self) -> list[str]:
        """The steps that did not happen."""
        return [str(s) for s in (*self.switches.values(), *self.choices.values())]


def replay(trace: Trace, target: Revision | None = None) -> ReplayResult:
    """Run a trace by its names.  Raises a :class:`UserError` if there is nothing to run it on."""
    where = f"the trace's scenario '{trace.scenario}'"
    try:
        scenario = text.parse(trace.scenario_text, where)
        world = build(target or revision(trace.target), scenario)
    except ScenarioError as error:
        raise TraceError(f"{error}: it does not fit this sgxmodel") from None
    names = {spec.name for spec in world.tasks}
    foreign = [s.task for s in trace.switches if s.task not in names]
    if foreign:
        raise TraceError(f"{where} has no task '{foreign[0]}', but the trace switches to it")
    watch = Watch(world, checks_for(world, trace.key))
    scheduler = Named(trace, watch)
    outcome = _run(watch, scheduler, trace.key)
    if trace.key in outcome.found:
        return ReplayResult(Answer.REPRODUCED, trace=_trace(watch, outcome, trace.key))
    instead = tuple(
        f"found instead: {invariant} in {function}() at step {step}"
        for (invariant, function), (_, step) in outcome.found.items()
    )
    unmatched = scheduler.unmatched()
    if unmatched:
        return ReplayResult(Answer.UNMATCHED, (*unmatched, *scheduler.refused, *instead))
    return ReplayResult(Answer.GONE, (*scheduler.refused, *instead))
