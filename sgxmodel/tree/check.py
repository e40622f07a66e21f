# SPDX-License-Identifier: GPL-2.0-only
"""Search one scenario on a tree: several ways to draw schedules, in turn, then minimise."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import attrs

from sgxmodel.errors import TreeError
from sgxmodel.scenario.model import Scenario
from sgxmodel.search.schedule import Schedule
from sgxmodel.search.verdict import Evidence, Finding, ScenarioResult, issue
from sgxmodel.trace.events import Trace
from sgxmodel.tree.api import BOUNDED, PCT, WALK
from sgxmodel.tree.binding import Engine
from sgxmodel.tree.minimise import Met, again, minimise, telling
from sgxmodel.tree.plan import plan
from sgxmodel.tree.record import record
from sgxmodel.tree.runs import Found, Key, Runner
from sgxmodel.tree.sequential import learn_orders, stands

Progress = Callable[[str], None]
RUNS_PER_SCHEDULE = 50
"""The engine is that much faster than the model, for which scenarios plan."""
SEARCH_SHARE = 0.6
CHUNK = 500
TRIES = 20


@attrs.frozen
class Way:
    """A way to draw schedules."""

    mode: int
    memory: int = 0
    depth: int = 0
    probability: int = 0
    races: int = 0
    """Whether to look for data races: they need no preemption at accesses, but time."""


WAYS = (
    Way(WALK, probability=3000, races=1),
    Way(BOUNDED, depth=1),
    Way(BOUNDED, depth=2, races=1),
    Way(PCT, depth=3),
    Way(WALK, probability=600, memory=1),
    Way(BOUNDED, depth=2, memory=1),
    Way(BOUNDED, depth=3),
    Way(PCT, depth=2, memory=1),
)
"""High probabilities together with memory accesses would only lose the thread."""


def check_scenario(
    engine: Engine,
    scenario: Scenario,
    *,
    target: str = "tree",
    runs: int | None = None,
    seed: int = 0,
    deadline: float | None = None,
    progress: Progress | None = None,
    traces: bool = True,
) -> tuple[ScenarioResult, list[Trace]]:
    """Run planned schedules; every finding is minimised, replayed and traced.

    ``deadline`` is a ``time.monotonic()`` value.  Without hitting it the result
    depends on ``seed`` alone.
    """
    planned = planned_runs(scenario, runs)
    began = time.monotonic()
    until = None if deadline is None else began + SEARCH_SHARE * (deadline - began)
    runner = Runner(engine, plan(scenario))
    search = Search(runner, seed)
    if not runner.early:
        learn_orders(runner)
        search.go(planned, until, progress)
    best = runner.early or search.minimal(deadline)
    if not runner.early and not engine.proves():
        raise TreeError("the driver has changed the checks: a violation of their own is not seen")
    evidence = Evidence(search.runs, planned, 0, int(runner.stats.steps))
    findings = tuple(_finding(scenario, found) for found in best)
    seen = {} if runner.early else runner.seen()
    missing = tuple(p for p in scenario.promises if p in seen and not seen[p])
    verdict, message = issue(findings, evidence, missing)
    result = ScenarioResult(
        scenario, verdict, findings, evidence, seen, runner.counted(), {}, missing, message
    )
    written = [record(runner, f, target) for f in best] if traces else []
    return result, written


def planned_runs(scenario: Scenario, runs: int | None) -> int:
    """How many schedules a check of this scenario runs."""
    return runs or scenario.schedules * RUNS_PER_SCHEDULE


def _finding(scenario: Scenario, found: Found) -> Finding:
    return Finding(found.violation, scenario, found.schedule, found.steps, found.preemptions)


class Search:
    """What was found so far, smallest of each kind."""

    def __init__(self, runner: Runner, seed: int) -> None:
        self.runner = runner
        self.seed = seed
        self.runs = 0
        self.best: dict[Key, Found] = {}
        self.first: dict[Key, int] = {}
        """The run in which each kind was first seen."""

    def note(self, found: list[Found]) -> None:
        for one in found:
            key = one.violation.key
            self.first.setdefault(key, self.runs)
            if key not in self.best or one.size < self.best[key].size:
                self.best[key] = one

    def go(self, planned: int, until: float | None, progress: Progress | None) -> None:
        """First each task first without preemption, then all ways in turn."""
        for task in range(self.runner.plan.config.tasks):
            self.runs += 1
            self.note(self.runner.replay(Schedule(((0, task),) if task else ())))
        length = max(1, self.runner.result.steps)
        for number, way in self._turns(planned):
            if self.runs >= planned or (until is not None and time.monotonic() >= until):
                break
            self._chunk(way, min(number, planned - self.runs), length)
            length = max(1, int(self.runner.stats.steps / max(1, self.runner.stats.runs)))
            if progress is not None:
                progress(f"run {self.runs} of {planned}")

    def _turns(self, planned: int) -> Iterator[tuple[int, Way]]:
        number = max(1, min(CHUNK, planned // len(WAYS)))
        while True:
            for way in WAYS:
                yield number, way

    def _chunk(self, way: Way, runs: int, length: int) -> None:
        # Memory accesses are about six times as many as synchronisation points.
        span = length * (6 if way.memory else 1)
        seed = (self.seed + 1) * 0x9E3779B97F4A7C15 + self.runs * 0x2545F4914F6CDD1D
        while runs > 0:
            done, found = self.runner.search(
                way.mode, runs, seed, memory=way.memory, depth=way.depth,
                probability=way.probability, length=span, races=way.races,
            )  # fmt: skip
            runs -= done
            self.runs += done
            seed = self.runner.raw.seed
            self.note(found)

    def _smallest(self, key: Key, deadline: float | None) -> Found | None:
        """None if calls without overlap give the same after all.

        A smaller run may blame another call: it is asked about, too, and what is
        learnt by that holds for all runs that follow.
        """
        best = self.best[key]
        for _ in range(TRIES):
            found = again(self.runner, key, best.schedule, best.memory)
            if found is None or not stands(self.runner, found):
                return None
            met: Met = {}
            small = minimise(self.runner, key, found, deadline, met)
            if stands(self.runner, small):
                more = telling(self.runner, key, small, met)
                return more if stands(self.runner, more) else small
        return None

    def minimal(self, deadline: float | None) -> list[Found]:
        """Each kind of violation, replayed and shrunk; smallest first."""
        out = []
        for key in sorted(self.best):
            small = self._smallest(key, deadline)
            if small is None:
                continue
            again = self.runner.replay(small.schedule, small.memory)
            if key not in {f.violation.key for f in again}:
                raise RuntimeError(f"{key[0]} in {key[1]} does not replay: a defect of sgxmodel")
            out.append(small)
        return sorted(out, key=lambda f: (*f.size, f.violation.key))
