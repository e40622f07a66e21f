# SPDX-License-Identifier: GPL-2.0-only
"""Paths that a closed space never walked, and what a scenario would need to walk them."""

from __future__ import annotations

from collections.abc import Iterable

from sgxmodel.scenario.build import World
from sgxmodel.scenario.catalogue import SCENARIOS
from sgxmodel.scenario.coverage import UNREACHED, companions_of
from sgxmodel.scenario.model import Scenario

Unreached = tuple[str, str]
"""(companion, what it would need)."""


def unreached(world: World, ran: Iterable[str], seen: Iterable[str]) -> tuple[Unreached, ...]:
    """Companions of functions that ran which were not seen, by name."""
    known = world.revision.program.functions
    missing = set(companions_of(world.revision, (f for f in ran if f in known))) - set(seen)
    return tuple((what, needs(world.scenario, what)) for what in sorted(missing))


def needs(scenario: Scenario, companion: str) -> str:
    """What another scenario, that promises to walk there, has and this one has not."""
    why = UNREACHED.get(("", companion))
    if why is not None:
        return why
    ours = features(scenario)
    others = [s for s in SCENARIOS.values() if companion in s.promises]
    if not others:
        return "no scenario promises it"
    least = min(others, key=lambda s: (len(features(s) - ours), s.name))
    more = sorted(features(least) - ours)
    return f"{', '.join(more) if more else 'other sizes or arguments'}, as {least.name} has"


def features(scenario: Scenario) -> set[str]:
    """What a scenario has that another may lack, in the words of its text."""
    found = {call.verb for call in scenario.all_calls()}
    found |= {f"fail {what}" for what, _ in scenario.fail}
    found |= {"a second node"} if len(scenario.epc) > 1 else set()
    found |= {word for word in ("ksgxd", "boot", "vepcs", "children") if getattr(scenario, word)}
    return found
