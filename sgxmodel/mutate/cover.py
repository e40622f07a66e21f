# SPDX-License-Identifier: GPL-2.0-only
"""Which scenarios come to which lines of a clean target, and what they cost.

The order in which a mutant meets the scenarios follows from it, and which
promises are kept so often that one that is never kept means something.
"""

from __future__ import annotations

import attrs

from sgxmodel.invariants.checks import Checks
from sgxmodel.machine.graph import KernelFunction
from sgxmodel.mutate.walked import Walk, shown, walks, watched
from sgxmodel.revisions import Revision
from sgxmodel.scenario.build import World, build
from sgxmodel.scenario.model import Scenario, TaskLine
from sgxmodel.search.check import Search
from sgxmodel.search.every_state import EveryState
from sgxmodel.search.exhaustive import machine_of
from sgxmodel.search.explore.explorer import Budget, Explorer
from sgxmodel.search.run import Runner

RUNS = 12
ORDERS = 400
CLOSED_STATES = 120_000
"""A small scenario is one that the clean target closes within so many states."""
KEPT = 0.5
"""A promise counts if this part of the clean target's runs keep it."""
Line = tuple[str, int]
"""(file, line)."""


@attrs.frozen
class Reach:
    """What a scenario comes to.  ``cost``: steps of a run, roughly.

    ``walked``: by all interleavings of a small one together, which has so many ``states``;
    ``core``: it always counts, not only where no other one comes.
    """

    scenario: str
    lines: frozenset[Line]
    cost: int
    promises: tuple[str, ...]
    walked: frozenset[Walk] = frozenset()
    states: int = 0
    core: bool = False


def setup_as_task(scenario: Scenario) -> Scenario:
    """The set-up alone, as a task: so the checkers see it."""
    return attrs.evolve(
        scenario, setup=(), tasks=(TaskLine("T1", scenario.setup),), fail=(), ksgxd=False,
        promises=(),
    )  # fmt: skip


def reach(target: Revision, scenario: Scenario, seed: int = 0) -> Reach:
    """Run some schedules of the clean target and note where they come."""
    lines: set[Line] = set()
    steps = 0
    kept: dict[str, int] = dict.fromkeys(scenario.promises, 0)
    for one, runs in ((setup_as_task(scenario), 1), (scenario, RUNS)):
        world = build(target, one)
        search = Search(Runner(world, Checks(world)), seed, scenario.name)
        for i in range(runs):
            before = dict(search.runner.checks.sometimes_seen)
            lines |= _lines(world, search, i)
            now = search.runner.checks.sometimes_seen
            for promise in one.promises:
                kept[promise] += now[promise] > before.get(promise, 0)
        steps = search.steps // runs
    walked, states = frozenset[Walk](), 0
    if is_small(scenario):
        walked, states, more = walked_by_all(target, scenario)
        lines |= more
    calls = sum(len(t.calls) for t in scenario.tasks)
    orders = 4 * min(ORDERS, 2**calls)
    promises = tuple(p for p, n in kept.items() if n >= KEPT * RUNS)
    cost = steps + orders
    return Reach(scenario.name, frozenset(lines), cost, promises, walked, states, scenario.small)


def is_small(scenario: Scenario) -> bool:
    """Whether all its interleavings are few enough to be covered for each mutant."""
    return scenario.name.startswith("x-")


def walked_by_all(target: Revision, scenario: Scenario) -> tuple[frozenset[Walk], int, set[Line]]:
    """Where any interleaving comes to, of as many states as a small scenario has.

    How many states there are, and the lines of operations: ``order`` goes by these alone,
    as of large scenarios nothing else is known.
    """
    machine = machine_of(build(watched(target), scenario))
    result = Explorer(machine, reduction=False, budget=Budget(states=CLOSED_STATES)).run()
    watch = machine.watch
    assert isinstance(watch, EveryState)
    return walks(watch.sometimes_seen), result.states, watch.lines()


def _lines(world: World, search: Search, i: int) -> set[Line]:
    blocks: set[object] = set()

    def hook(system: object, t: int) -> None:
        frame = system.frames[t]  # type: ignore[attr-defined]
        while frame:
            blocks.add(frame[0])
            frame = frame[2]

    outcome = search.runner.run(search.scheduler(i), hook=hook)
    search.steps += outcome.steps
    sites = (world.image.sites.get(block) for block in blocks)
    return {(site.filename, site.lineno) for site in sites if site}


def order(
    reaches: list[Reach], fn: KernelFunction, line: int, callers: list[KernelFunction]
) -> list[str]:
    """Scenarios for a mutant: those that come to its line first, cheap ones first.

    Those that come to its function elsewhere follow; the others have no say.
    A function that does nothing shared is reached where its callers are.
    """
    inside = [r for r in reaches if _in(r, fn)]
    if not inside:
        inside = [r for r in reaches if any(_in(r, caller) for caller in callers)]
    return [
        r.scenario
        for r in sorted(inside, key=lambda r: ((fn.filename, line) not in r.lines, r.cost))
    ]


def small(reaches: list[Reach], wanted: frozenset[Walk]) -> tuple[tuple[str, ...], str]:
    """Small scenarios that walk a change together; and what none of them does, in words.

    All of the core that come there, and of the others those that come where no other does.
    """
    if not wanted:
        return (), "to what changes"
    there = [r for r in reaches if r.core and r.walked & wanted]
    missing = wanted.difference(*(r.walked for r in there))
    for other in sorted(reaches, key=lambda r: r.states):
        if not other.core and other.walked & missing:
            there.append(other)
            missing -= other.walked
    return tuple(r.scenario for r in there), shown(min(missing)) if missing else ""


def _in(reach: Reach, fn: KernelFunction) -> bool:
    last = fn.tree.end_lineno or fn.lineno
    return any(name == fn.filename and fn.lineno <= at <= last for name, at in reach.lines)
