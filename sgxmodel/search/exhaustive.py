# SPDX-License-Identifier: GPL-2.0-only
"""Every interleaving of one scenario: HOLDS, a counterexample, or how far it came."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from sgxmodel.invariants.checks import Checks
from sgxmodel.revisions import Revision
from sgxmodel.scenario.build import World, build
from sgxmodel.scenario.model import Scenario
from sgxmodel.search import resume
from sgxmodel.search.every_state import EveryState
from sgxmodel.search.explore.explorer import INTERRUPT, Budget, Explorer, Foreign, Progress, Result
from sgxmodel.search.explore.explorer import Finding as Found
from sgxmodel.search.explore.liveness import fair_cycle
from sgxmodel.search.explore.machine import Problem, Row
from sgxmodel.search.explore.program import ProgramMachine
from sgxmodel.search.explore.races import Races
from sgxmodel.search.explore.saved import Saved
from sgxmodel.search.explore.zero_one import smallest
from sgxmodel.search.follow import Follow
from sgxmodel.search.run import Runner
from sgxmodel.search.sequential import sequential_outcomes
from sgxmodel.search.unreached import unreached
from sgxmodel.search.verdict import Evidence, Finding, ScenarioResult, Verdict, issue

SMALLEST_STATES = 200_000
"""How many states the search for a smallest counterexample may visit."""


RUN_KINDS = {
    "deadlock": ("17-lock-order",),
    "livelock": ("14-progress",),
    "race": ("18-data-race", "18-plain-read"),
}
"""What a sampled run calls the engine's own findings."""


def machine_of(world: World, deadline: float | None = None) -> ProgramMachine:
    """A world as a machine for the explorer, with all its checkers."""
    watch = EveryState(world, sequential_outcomes(world, deadline))
    return ProgramMachine(world.image, world.tasks, world.first.copy(), watch)


def explore_scenario(
    revision: Revision,
    scenario: Scenario,
    *,
    reduction: bool = True,
    deadline: float | None = None,
    memory_mb: float | None = None,
    states: int | None = None,
    progress: Progress | None = None,
    unfinished: resume.Unfinished | None = None,
) -> ScenarioResult:
    """Search one scenario to a verdict.

    ``deadline``: a ``time.monotonic()`` value; ``memory_mb``: of this process;
    ``states``: how many at most.  When one of them ends the search, or Ctrl-C
    does, the verdict is INCONCLUSIVE and the message says how far it came.
    A counterexample is smallest in preemptions, then in steps, unless finding
    that takes more than ``SMALLEST_STATES``; it is replayed by the runner of
    ``check`` before it is reported.  Data races and fair cycles are looked for in
    a space that closed.  ``unfinished``: go on from there; a search that is cut
    short has such a thing in its result.
    """
    world = build(revision, scenario)
    machine = machine_of(world, deadline)
    budget = Budget(deadline, memory_mb, states)
    about = resume.about(revision.name, scenario, reduction)
    saved = _taken_up(machine, unfinished, about)
    explorer = Explorer(machine, reduction=reduction, budget=budget, progress=progress, saved=saved)
    try:
        result, done = ended(world, machine, explorer)
    except Foreign:
        assert unfinished is not None
        raise resume.ResumeError(f"{unfinished.where}: does not fit the model") from None
    if result.closed or result.findings:
        return done
    watch = machine.watch
    assert isinstance(watch, EveryState)
    counters = (watch.sometimes_seen, watch.results, watch.leaves)
    return attrs.evolve(done, unfinished=resume.pack(about, explorer.save(), counters))


def ended(
    world: World, machine: ProgramMachine, explorer: Explorer
) -> tuple[Result, ScenarioResult]:
    """Run a search to its end, and what that says.  Raises ``Foreign``."""
    result = explorer.run()
    if result.closed:
        try:
            found = Races(explorer, machine).find() or _livelock(world, explorer)
        except KeyboardInterrupt:
            result = attrs.evolve(result, closed=False, why=INTERRUPT)
        else:
            if found is not None:
                result = attrs.evolve(result, closed=False, why="a finding", findings=(found,))
                return result, result_of(world, machine, result)
    smaller = None
    if result.findings:
        kind = result.findings[0].problem.kind
        budget = attrs.evolve(explorer.budget, states=SMALLEST_STATES)
        least, _ = smallest(machine, kind, budget)
        smaller = next(iter(least.findings), None)
    return result, result_of(world, machine, result, smaller)


def _taken_up(
    machine: ProgramMachine, unfinished: resume.Unfinished | None, about: resume.About
) -> Saved | None:
    """A search to go on from; what it had seen counts as seen."""
    if unfinished is None:
        return None
    saved, seen = resume.unpack(unfinished.data, about, unfinished.where)
    watch = machine.watch
    assert isinstance(watch, EveryState)
    paths, results, leaves = seen
    watch.sometimes_seen.update(paths)
    watch.results.update(results)
    watch.leaves.update(leaves)
    return saved


def _livelock(world: World, explorer: Explorer) -> Found | None:
    """A fair cycle.  Without ksgxd nobody was to make room, and waiting for it is no fault."""
    counter = world.layout.namespace["sgx_nr_free_pages"].counter
    high = 0 if world.scenario.ksgxd else world.scenario.high

    def has_room(row: Row) -> bool:
        return bool(row[counter] >= high)

    lasso = fair_cycle(explorer, has_room if high else None)
    if lasso is None:
        return None
    names = ", ".join(world.tasks[t].name for t in lasso.busy)
    text = f"for ever: {names}; after {len(lasso.stem)} steps, every {len(lasso.loop)}"
    return Found(Problem("livelock", text), (*lasso.stem, *lasso.loop, *lasso.loop))


def result_of(
    world: World, machine: ProgramMachine, result: Result, smaller: Found | None = None
) -> ScenarioResult:
    """What a finished search says; ``smaller``: the same finding with fewer preemptions."""
    watch = machine.watch
    assert isinstance(watch, EveryState)
    scenario = world.scenario
    findings = [f for found in result.findings for f in replayed(world, found)]
    if smaller is not None:
        findings = [*replayed(world, smaller), *findings][:1]
    missing = tuple(p for p in scenario.promises if not watch.sometimes_seen.get(p))
    evidence = Evidence(0, 0, result.states, result.transitions, result.closed)
    verdict, message = _verdict(result, findings, evidence, missing)
    never = unreached(world, watch.functions(), watch.sometimes_seen) if result.closed else ()
    return ScenarioResult(
        scenario,
        verdict,
        tuple(findings),
        evidence,
        dict(watch.sometimes_seen),
        dict(watch.results),
        dict(watch.leaves),
        missing=missing,
        message=message,
        unreached=never,
    )


def _verdict(
    result: Result, findings: list[Finding], evidence: Evidence, missing: tuple[str, ...]
) -> tuple[Verdict, str]:
    if findings or result.closed:
        return issue(findings, evidence, missing)
    if result.findings:
        # A cycle that evicts pages repeats up to the names of versions, which a run does not see.
        what = ", ".join(f"{f.problem.kind} ({f.problem.text})" for f in result.findings)
        return Verdict.INCONCLUSIVE, f"found, but a run of its own does not show it: {what}"
    return (
        Verdict.INCONCLUSIVE,
        f"{result.why} ended the search after {result.states} states, {result.depth} steps deep",
    )


def replayed(world: World, found: Found) -> list[Finding]:
    """The finding as the runner of sampled schedules sees it, if it does.

    A race is shown in the order in which the second access does not fault.
    """
    seen = list(_replayed(world, found))
    if not seen and found.problem.kind == "race":
        swapped = (*found.path[:-2], found.path[-1], found.path[-2])
        seen = list(_replayed(world, attrs.evolve(found, path=swapped)))
    return seen


def _replayed(world: World, found: Found) -> Iterable[Finding]:
    runner = Runner(world, Checks(world, sequential_outcomes(world)))
    kind = found.problem.kind
    wanted = RUN_KINDS.get(kind, (kind,))
    outcome = runner.run(Follow(found.path), stop=lambda key: key[0] in wanted)
    for key, (violation, steps) in outcome.found.items():
        if key[0] in wanted:
            yield Finding(violation, world.scenario, outcome.schedule, steps, outcome.preemptions)
