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
from sgxmodel.trace.naming import HELD
from sgxmodel.tree.ledger import ledger, pointers
from sgxmodel.tree.runs import Found, Runner
from sgxmodel.tree.setup import needs_setup, setup_events, setup_steps
from sgxmodel.tree.steps import HOLDS, Event, events, steps_of

OPERATIONS = {
    "access": "memory access",
    "lock_take": "lock",
    "lock_drop": "unlock",
    "eng_mmap_lock": "mmap_lock",
    "eng_mmap_unlock": "mmap_unlock",
}


class UnmatchedError(TraceError):
    """A step that a trace names does not happen in this tree."""


def record(runner: Runner, found: Found, target: str) -> Trace:
    """The trace of a finding, up to the violation."""
    lines = events(runner.trace(found.schedule, found.memory))
    runner.names.learn(pc for e in lines for pc in (e.entry, e.pc))
    points = _points(runner, lines)
    lines = [e for e in lines if e.step <= found.steps]
    violation = found.violation
    scenario = runner.plan.scenario
    said = f"{violation.title}\n{violation.message}"
    steps = steps_of(runner, lines, said, violation.function)
    before: tuple[Step, ...] = ()
    who = ""
    if needs_setup(steps, violation) or violation.id == "20-end":
        earlier = setup_events(runner)
        if violation.id == "20-end":
            who = ledger(violation.title, (*steps_of(runner, earlier, said, ""), *steps))
        if "was never freed" in violation.title:
            held = [e.text.removeprefix(HOLDS) for e in lines if e.text.startswith(HOLDS)]
            who = f"{pointers([runner.plan_names(t) for t in held])}\n{who}".rstrip("\n")
        who = f"{HELD}\n{who}" if who else ""
        if needs_setup(steps, violation):
            before = setup_steps(runner, earlier, violation)
    return Trace(
        target=target,
        scenario=scenario.name,
        scenario_text=scenario_text(scenario),
        invariant=violation.id,
        function=violation.function,
        title=violation.title,
        message="\n".join(filter(None, (violation.message, who))),
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
        steps=(*before, *steps),
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
