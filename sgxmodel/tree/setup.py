# SPDX-License-Identifier: GPL-2.0-only
"""Steps of the set-up, where it is the set-up that did what a run finds."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from sgxmodel.invariants.base import Violation
from sgxmodel.trace.events import Step
from sgxmodel.trace.naming import focus_of, objects, operands
from sgxmodel.tree.runs import Runner
from sgxmodel.tree.sequential import learn_orders
from sgxmodel.tree.steps import SETUP, Event, events, steps_of

MOST = 14
"""Steps of the set-up that are shown."""


def setup_events(runner: Runner) -> list[Event]:
    """What happened in the boot and the set-up.  They are done again for it."""
    if runner.early:
        return []
    lines = events(runner.engine.traced(runner.boot))
    runner.names.learn(pc for e in lines for pc in (e.entry, e.pc))
    learn_orders(runner)  # a boot forgets them
    return lines


def setup_steps(runner: Runner, lines: list[Event], violation: Violation) -> tuple[Step, ...]:
    """What it did to what the violation names, or else what the blamed function did."""
    said = f"{violation.title}\n{violation.message}"
    focus = focus_of(said)
    steps = steps_of(runner, lines, said, violation.function)
    telling = [
        step
        for step in steps
        if step.call and _does(step) and (objects(operands(step.text)) & focus)
    ] or [s for s in steps if s.changes and s.call and s.function == violation.function]
    return tuple(attrs.evolve(step, number=0, task=SETUP) for step in telling[-MOST:])


def _does(step: Step) -> bool:
    """Whether it changes something, as an ENCLS leaf does."""
    return bool(step.changes or step.text.partition("(")[0].isupper())


def needs_setup(run: Sequence[Step], violation: Violation) -> bool:
    """Whether the run does not show what went wrong: nobody comes to the function."""
    return not any(step.function == violation.function for step in run)
