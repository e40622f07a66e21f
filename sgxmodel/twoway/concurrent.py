# SPDX-License-Identifier: GPL-2.0-only
"""Programs of several tasks: what the tree did, the model can do.

A program runs on the tree under random schedules; then the model is searched
for a run that takes the same lock sections in the same order, returns the same
results and comes to rest in the same state.  Where there is none, it is searched
for any run that gives the same results and the same state.  Only when that
search closed is it a difference; when it was cut short nothing is known, and
that is counted.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import attrs

from sgxmodel.errors import ScenarioError, TreeError
from sgxmodel.invariants.base import Progress
from sgxmodel.revisions import Revision
from sgxmodel.scenario.build import World, build
from sgxmodel.scenario.model import Scenario, TaskLine
from sgxmodel.tree.binding import Engine
from sgxmodel.tree.plan import plan as numbers
from sgxmodel.tree.plan import result_text
from sgxmodel.tree.runs import Runner
from sgxmodel.tree.steps import Event, events
from sgxmodel.twoway.compare import Plan
from sgxmodel.twoway.follow import Answer, Follow, Outcome
from sgxmodel.twoway.moves import FINE, LOCKS, Move, of_tree
from sgxmodel.twoway.programs import concurrent

STEPS, SECTIONS = "step by step", "lock section by lock section"
ANY, STUCK, UNDECIDED = "in another order of locks", "until it retries for ever", "undecided"
RUNS = 4
"""Schedules of a program."""
GUIDED = (
    (STEPS, FINE, 5_000, False),
    (STEPS, FINE, 5_000, True),
    (STEPS, FINE, 40_000, False),
    (SECTIONS, LOCKS, 20_000, False),
    (STEPS, FINE, 40_000, True),
    (SECTIONS, LOCKS, 100_000, True),
)
"""How closely the model follows, what it must do alike, states at most, the first guess."""
ALL_STATES = 60_000
PROBABILITIES = (3000, 8000, 16000, 30000)
"""Of a switch at a step, in 65536ths."""


@attrs.frozen
class Ran:
    """A run of the tree that came to rest; or what ended it."""

    seed: int
    probability: int
    outcome: Outcome
    """Without a state, if somebody retries for ever."""
    moves: tuple[Move, ...]
    raced: frozenset[tuple[str, str]]
    """Calls that overlapped."""
    broken: str = ""
    """The invariant that ended the run otherwise: nothing after it means anything."""


@attrs.frozen
class Apart:
    """The tree gave what no interleaving of the model gives."""

    ran: Ran
    parts: tuple[tuple[str, str, str], ...]
    """(part, model, tree), where the model has the results but not the state."""


@attrs.define
class Seen:
    """What was compared."""

    programs: int = 0
    runs: int = 0
    answers: Counter[str] = attrs.field(factory=Counter)
    results: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    raced: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    broken: Counter[str] = attrs.field(factory=Counter)
    undecided: list[tuple[str, int]] = attrs.field(factory=list)
    """(program, seed of the schedule)"""
    different: tuple[Scenario, Apart] | None = None
    ended: str = ""

    def decided(self) -> int:
        """Runs of the tree that the model was found to be able to do."""
        return sum(n for answer, n in self.answers.items() if answer != UNDECIDED)


class RefusedError(ScenarioError):
    """The set-up fails on both."""


class Threads:
    """A revision of the model and a loaded tree; programs of several tasks."""

    def __init__(self, revision: Revision, engine: Engine, states: int = ALL_STATES) -> None:
        self.revision = revision
        self.engine = engine
        self.states = states

    def compare(self, scenario: Scenario, seen: Seen, runs: int = RUNS) -> Apart | None:
        """One program.  Raises :class:`RefusedError` if neither gets through its set-up."""
        world, runner = self._both(scenario)
        seen.programs += 1
        met = set()
        for i in range(runs):
            ran = run(runner, i, PROBABILITIES[i % len(PROBABILITIES)])
            key = (ran.moves, tuple(sorted(ran.outcome.results.items())), ran.broken)
            if key in met:
                continue
            met.add(key)
            found = self._judge(world, ran, seen)
            if found is not None:
                return found
        return None

    def _both(self, scenario: Scenario) -> tuple[World, Runner]:
        world = None
        try:
            world = build(self.revision, scenario)
        except ScenarioError as error:
            refused: Exception = error
        try:
            runner = Runner(self.engine, numbers(scenario))
        except TreeError as error:
            if world is None:
                raise RefusedError(str(refused)) from None
            raise ScenarioError(f"only the tree fails in the set-up: {error}") from None
        if world is None:
            raise ScenarioError(f"only the model fails in the set-up: {refused}")
        return world, runner

    def _judge(self, world: World, ran: Ran, seen: Seen) -> Apart | None:
        seen.runs += 1
        if ran.broken:
            seen.broken[ran.broken] += 1
            return None
        seen.raced.update(ran.raced)
        for task, results in ran.outcome.results.items():
            line = next(t for t in world.scenario.tasks if t.name == task)
            seen.results.update(
                (call.verb, r) for call, r in zip(line.calls, results, strict=False)
            )
        follow = Follow(world, ran.outcome)
        moves = list(ran.moves)
        for name, alphabet, limit, eager in GUIDED:
            if follow.search(moves, alphabet, limit, eager) is Answer.CAN:
                seen.answers[name if ran.outcome.state is not None else STUCK] += 1
                return None
        if ran.outcome.state is None:
            return self._unknown(world, ran, seen)
        answer = follow.search(None, frozenset(), self.states)
        if answer is Answer.CAN:
            seen.answers[ANY] += 1
            return None
        if answer is Answer.CUT:
            return self._unknown(world, ran, seen)
        near, have = follow.nearest, dict(ran.outcome.state)
        keys = [] if near is None else dict.fromkeys((*near, *have))
        parts = [
            (key, near.get(key, "nothing"), have.get(key, "nothing"))
            for key in keys
            if near is not None and near.get(key) != have.get(key)
        ]
        return Apart(ran, tuple(parts))

    @staticmethod
    def _unknown(world: World, ran: Ran, seen: Seen) -> None:
        seen.answers[UNDECIDED] += 1
        seen.undecided.append((world.scenario.name, ran.seed))

    def smaller(self, scenario: Scenario, found: Apart) -> tuple[Scenario, Apart]:
        """Calls left out while the two still differ."""
        again = True
        while again:
            again = False
            for less in _less(scenario):
                try:
                    still = self.compare(less, Seen(), 4 * RUNS)
                except ScenarioError:
                    continue
                if still is not None:
                    scenario, found, again = less, still, True
                    break
        return scenario, found


def _less(scenario: Scenario) -> list[Scenario]:
    """Everything with one call, or one task, less."""
    out = []
    for i, task in enumerate(scenario.tasks):
        tasks = list(scenario.tasks)
        if len(tasks) > 1:
            out.append(attrs.evolve(scenario, tasks=tuple(tasks[:i] + tasks[i + 1 :])))
        for k in range(len(task.calls)):
            calls = task.calls[:k] + task.calls[k + 1 :]
            if calls:
                tasks[i] = TaskLine(task.name, calls, task.node)
                out.append(attrs.evolve(scenario, tasks=tuple(tasks)))
    for k in range(len(scenario.setup) - 1, -1, -1):
        setup = scenario.setup[:k] + scenario.setup[k + 1 :]
        out.append(attrs.evolve(scenario, setup=setup))
    return out


def run(runner: Runner, seed: int, probability: int) -> Ran:
    """One random schedule on the tree."""
    lines = events(runner.walked(seed, probability))
    plan = runner.plan
    users = plan.tasks[: plan.config.tasks]
    results: dict[str, list[str]] = {name: [] for name in users}
    state: dict[str, str] = {}
    said = ""
    for event in lines:
        name = plan.tasks[event.task]
        if event.text.startswith("returns ") and name in results:
            results[name].append(result_text(int(event.text.split()[1])))
        elif event.text.startswith("state "):
            key, _, value = event.text.removeprefix("state ").partition(":")
            state[key] = value.strip()
        elif event.text.startswith("VIOLATED "):
            said = event.text.split()[1].rstrip(":")
    stuck = not state and said == Progress.id
    outcome = Outcome({n: tuple(r) for n, r in results.items()}, None if stuck else state)
    raced = _raced(runner, lines)
    moves = tuple(of_tree(plan, lines))
    broken = "" if state or stuck else said or "a crash"
    return Ran(seed, probability, outcome, moves, raced, broken)


def _raced(runner: Runner, lines: list[Event]) -> frozenset[tuple[str, str]]:
    """Pairs of verbs of calls that made steps inside each other's time."""
    inside: dict[int, str] = {}
    out = set()
    for event in lines:
        if event.text == "call" and event.call >= 0:
            inside[event.task] = runner.plan.texts[event.call].split()[0]
        elif event.text.startswith("returns "):
            inside.pop(event.task, None)
        elif event.text.startswith("step ") and event.task in inside:
            mine = inside[event.task]
            out |= {
                (min(mine, other), max(mine, other))
                for task, other in inside.items()
                if task != event.task
            }
    return frozenset(out)


def compare(
    revision: Revision, plan: Plan, engine: Engine, progress: Callable[[], None] = lambda: None
) -> Seen:
    """``plan.concurrent`` programs of several tasks, up to the first difference."""
    seen = Seen()
    threads = Threads(revision, engine)
    number = plan.seed
    while seen.programs < plan.concurrent:
        if plan.deadline is not None and time.monotonic() >= plan.deadline:
            seen.ended = "the budget ended"
            break
        scenario = concurrent(number)
        number += 1
        try:
            found = threads.compare(scenario, seen)
        except RefusedError:
            continue  # another one is drawn
        except KeyboardInterrupt:
            seen.ended = "interrupted"
            break
        progress()
        if found is not None:
            seen.different = threads.smaller(scenario, found)
            break
    return seen
