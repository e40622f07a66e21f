# SPDX-License-Identifier: GPL-2.0-only
"""A tree's state after each call of one task."""

from __future__ import annotations

from sgxmodel.scenario.model import Scenario
from sgxmodel.search.schedule import Schedule
from sgxmodel.tree.binding import Engine
from sgxmodel.tree.plan import plan, result_text
from sgxmodel.tree.runs import Runner
from sgxmodel.tree.steps import events
from sgxmodel.twoway.state import STUCK, After


def run(engine: Engine, scenario: Scenario) -> list[After]:
    """One task's calls, one after the other."""
    runner = Runner(engine, plan(scenario))
    out: list[After] = []
    state: dict[str, str] = {}
    result = ""
    for event in events(runner.observed(Schedule())):
        if event.task != 0:
            continue
        if event.text == "call" and result:
            out.append(After(result, state))
            state, result = {}, ""
        elif event.text.startswith("returns "):
            result = result_text(int(event.text.split()[1]))
            state = {}
        elif event.text.startswith("state "):
            key, _, value = event.text.removeprefix("state ").partition(":")
            state[key] = value.strip()
    if result:
        out.append(After(result, state))
    if len(out) < len(scenario.tasks[0].calls):
        out.append(After(STUCK, {}))
    return out
