# SPDX-License-Identifier: GPL-2.0-only
"""A run of the driver as a trace in source terms, and back from a trace to a schedule.

A point at which a task can be preempted is named by the task, the driver's
function and the kind of operation, and how often that happened before: names
that survive edits elsewhere.
"""

from __future__ import annotations

from collections import Counter

import attrs

from sgxmodel.errors import TraceError
from sgxmodel.scenario.text import format as scenario_text
from sgxmodel.search.schedule import Schedule
from sgxmodel.trace.events import Choice, Point, Step, Switch, Trace
from sgxmodel.tree.plan import result_text
from sgxmodel.tree.runs import Found, Runner

OPERATIONS = {
    "access": "memory access",
    "lock_take": "lock",
    "lock_drop": "unlock",
    "eng_mmap_lock": "mmap_lock",
    "eng_mmap_unlock": "mmap_unlock",
}


class UnmatchedError(TraceError):
    """A step that a trace names does not happen in this tree."""


@attrs.frozen
class Event:
    """One line of the engine's trace."""

    step: int
    task: int
    call: int
    entry: int
    pc: int
    text: str


def events(text: str) -> list[Event]:
    """The engine's lines."""
    out = []
    for line in text.split("\n")[:-1]:  # not splitlines(): a wild name may hold anything
        step, task, call, entry, pc, rest = line.split("\t", 5)
        out.append(Event(int(step), int(task), int(call), int(entry, 16), int(pc, 16), rest))
    return out


def record(runner: Runner, found: Found, target: str) -> Trace:
    """The trace of a finding, up to the violation."""
    lines = events(runner.trace(found.schedule, found.memory))
    runner.names.learn(pc for e in lines for pc in (e.entry, e.pc))
    points = _points(runner, lines)
    lines = [e for e in lines if e.step <= found.steps]
    violation = found.violation
    scenario = runner.plan.scenario
    return Trace(
        target=target,
        scenario=scenario.name,
        scenario_text=scenario_text(scenario),
        invariant=violation.id,
        function=violation.function,
        title=violation.title,
        message=violation.message,
        preemptions=found.preemptions,
        switches=tuple(
            Switch(points.get(at), runner.plan.tasks[task])
            for at, task in found.schedule.switches
            if at <= found.steps
        ),
        choices=tuple(
            Choice(points[at], outcome)
            for at, outcome in found.schedule.choices
            if at <= found.steps and at in points
        ),
        steps=_steps(runner, lines),
        memory=found.memory,
    )


def _operation(text: str) -> str:
    name = text.removeprefix("step ")
    return OPERATIONS.get(name) or name.removeprefix("eng_").removeprefix("hw_")


def _points(runner: Runner, lines: list[Event]) -> dict[int, Point]:
    """Step number -> its name."""
    seen: Counter[tuple[str, str, str]] = Counter()
    out = {}
    for event in lines:
        if not event.text.startswith("step "):
            continue
        task = runner.plan.tasks[event.task]
        function = runner.names.place(event.entry).function if event.entry else "user"
        at = (task, function, _operation(event.text))
        seen[at] += 1
        out[event.step] = Point(*at, seen[at])
    return out


SKIPPED = ("step ", "switch ", "call", "ends", "state ")
SAID = ("VIOLATED ", "WARNING: ", "printk: ")


def _steps(runner: Runner, lines: list[Event]) -> tuple[Step, ...]:
    """What happened, without the points at which nothing did; what is said goes with it."""
    out: list[Step] = []
    for event in lines:
        if event.text.startswith(SAID):
            said = runner.plan_names(event.text)
            if not out or out[-1].task != runner.plan.tasks[event.task]:
                # An access, which alone is no event.
                out.append(attrs.evolve(_step(runner, event), text="memory access"))
            if event.text.startswith("VIOLATED "):
                said = f"WARNING: {said.partition(': ')[2].removeprefix('WARNING: ')}"
            if said not in out[-1].changes:
                out[-1] = attrs.evolve(out[-1], changes=(*out[-1].changes, said))
        elif not event.text.startswith(SKIPPED):
            out.append(_step(runner, event))
    return tuple(out)


def _step(runner: Runner, event: Event) -> Step:
    place = runner.names.place(event.pc)
    driver = place.file.startswith("arch/")
    call = runner.plan.texts[event.call] if event.call >= 0 else ""
    function = f"user_{call.partition(' ')[0].replace('-', '_')}" if call else "end"
    if event.entry:
        function = runner.names.place(event.entry).function
    text = runner.plan_names(event.text)
    if text.startswith("returns "):
        text = f"returns {result_text(int(text.split()[1]))}"
    return Step(
        number=event.step,
        task=runner.plan.tasks[event.task],
        call=call,
        function=function,
        file=place.file if driver else "",
        lineno=place.lineno if driver else 0,
        text=text,
    )


def schedule_of(runner: Runner, trace: Trace) -> Schedule:
    """Find a trace's points again, one after the other.  Raises :class:`UnmatchedError`."""
    schedule = Schedule()
    wanted: list[tuple[Point | None, int, bool]] = [
        *((s.after, runner.plan.tasks.index(s.task), True) for s in trace.switches),
        *((c.at, c.outcome, False) for c in trace.choices),
    ]
    while wanted:
        lines = events(runner.trace(schedule, trace.memory))
        runner.names.learn(pc for e in lines for pc in (e.entry, e.pc))
        steps = {point: at for at, point in _points(runner, lines).items()}
        known = [(steps[p] if p else 0, p, v, s) for p, v, s in wanted if p is None or p in steps]
        if not known:
            raise UnmatchedError(str(wanted[0][0]))
        at, point, value, is_switch = min(known, key=lambda k: k[0])
        wanted.remove((point, value, is_switch))
        if is_switch:
            schedule = attrs.evolve(schedule, switches=(*schedule.switches, (at, value)))
        else:
            schedule = attrs.evolve(schedule, choices=(*schedule.choices, (at, value)))
    return schedule
