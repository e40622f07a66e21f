# SPDX-License-Identifier: GPL-2.0-only
"""Search one scenario of one revision."""

from __future__ import annotations

import time
from collections.abc import Callable, Container
from random import Random

from sgxmodel.invariants.checks import Checks
from sgxmodel.revisions import Revision
from sgxmodel.scenario.build import build
from sgxmodel.scenario.model import Scenario
from sgxmodel.search.bounding import Bounding
from sgxmodel.search.minimise import Key, Minimiser, size
from sgxmodel.search.pct import Pct
from sgxmodel.search.random_walk import RandomWalk
from sgxmodel.search.run import Outcome, Runner
from sgxmodel.search.schedule import Replay, Schedule, Scheduler
from sgxmodel.search.sequential import sequential_outcomes
from sgxmodel.search.verdict import Evidence, Finding, ScenarioResult, issue

Progress = Callable[[str], None]
"""Told now and then, in words, how far a search of one scenario is."""

PROBES = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89)
"""In scenarios that ask for it the first task is preempted once, at each of these steps."""
MIX = ("PCT", "walk", "bounding", "PCT", "walk", "bounding", "PCT", "walk")
"""Of the other schedules.  Chosen by its worst case over 67 faults made by mutation, as
``python -m benchmarks.schedulers`` measures it."""
SEARCH_SHARE = 0.7
"""Part of the time that is searched; the rest is for minimising what was found."""


def check_scenario(
    revision: Revision,
    scenario: Scenario,
    *,
    schedules: int | None = None,
    seed: int = 0,
    deadline: float | None = None,
    progress: Progress | None = None,
    shrink: bool = True,
    stop_at: Container[str] = (),
) -> ScenarioResult:
    """Run planned schedules; every finding is replayed and minimised.

    ``schedules`` overrides the scenario's own number; ``deadline`` is a
    ``time.monotonic()`` value after which the search ends, minimising included.
    Without hitting it the result depends on ``seed`` alone.  Without ``shrink``
    a finding is replayed only.  The search ends early once it has found one of
    the invariants ``stop_at``.
    """
    planned = schedules or scenario.schedules
    began = time.monotonic()
    search_until = None if deadline is None else began + SEARCH_SHARE * (deadline - began)
    world = build(revision, scenario)
    checks = Checks(world, sequential_outcomes(world, search_until))
    search = Search(Runner(world, checks), seed, scenario.name)
    search.go(planned, search_until, progress, stop_at)
    counted = (dict(checks.sometimes_seen), dict(checks.results), dict(checks.leaves))
    raced = dict(checks.overlaps.seen)
    findings = tuple(search.findings(deadline, shrink))
    evidence = Evidence(search.runs, planned, 0, search.steps)
    missing = tuple(p for p in scenario.promises if not counted[0].get(p))
    verdict, message = issue(findings, evidence, missing)
    return ScenarioResult(
        scenario,
        verdict,
        findings,
        evidence,
        *counted,
        missing=missing,
        message=message,
        raced=raced,
    )


class Search:
    """Sampled schedules of one world, and the best run of each kind of violation."""

    def __init__(self, runner: Runner, seed: int, name: str) -> None:
        self.runner = runner
        self.seed = f"{seed}/{name}"
        self.runs = 0
        self.steps = 0
        self.best: dict[Key, Outcome] = {}
        self.length = 300
        self.bounding = Bounding()

    def go(
        self,
        planned: int,
        until: float | None,
        progress: Progress | None,
        stop_at: Container[str] = (),
    ) -> None:
        """Run schedules until ``planned`` ran in all: a search may go on where it was."""
        for i in range(self.runs, planned):
            if until is not None and time.monotonic() >= until:
                break
            outcome = self.runner.run(self.scheduler(i))
            self.runs += 1
            self.steps += outcome.steps
            self.length = max(1, self.steps // self.runs)
            for key in outcome.found:
                if key not in self.best or size(outcome, key) < size(self.best[key], key):
                    self.best[key] = outcome
            if any(invariant in stop_at for invariant, _ in outcome.found):
                break
            if progress is not None and not i % 32:
                progress(f"run {i} of {planned}")

    def scheduler(self, i: int) -> Scheduler:
        """First every task first without preemption, then as :data:`MIX` has it.

        A scenario may ask for :data:`PROBES` in between.
        """
        tasks = len(self.runner.tasks)
        if i < tasks:
            return Replay(Schedule(((0, i),) if i else ()))
        probe = i - tasks
        if self.runner.world.scenario.probe and probe < len(PROBES):
            return Replay(Schedule(((PROBES[probe], 1),)))
        rng = Random(f"{self.seed}/{i}")
        kind = MIX[i % len(MIX)]
        if kind == "PCT":
            return Pct(rng, self.length)
        return RandomWalk(rng) if kind == "walk" else self.bounding.run(rng)

    def findings(self, deadline: float | None, shrink: bool) -> list[Finding]:
        """Each kind of violation, replayed and shrunk; smallest first."""
        out = []
        minimiser = Minimiser(self.runner, deadline)
        for key, outcome in self.best.items():
            small = minimiser.shrink(key, outcome.schedule, shrink)
            if small is None:
                raise RuntimeError(f"{key[0]} in {key[1]} does not replay: a defect of sgxmodel")
            violation, steps = small.found[key]
            scenario = self.runner.world.scenario
            out.append(Finding(violation, scenario, small.schedule, steps, small.preemptions))
        return sorted(out, key=lambda f: (f.preemptions, f.steps, f.violation.key))
