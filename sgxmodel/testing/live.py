# SPDX-License-Identifier: GPL-2.0-only
"""A run whose tasks are given their calls while it goes on."""

from __future__ import annotations

from functools import lru_cache

import attrs

from sgxmodel.errors import ScenarioError
from sgxmodel.invariants.checks import Checks
from sgxmodel.machine.system import Call, System
from sgxmodel.revisions import Revision
from sgxmodel.scenario.build import build
from sgxmodel.scenario.model import CallSpec, Scenario, TaskLine
from sgxmodel.scenario.text import format, parse
from sgxmodel.search.explore.explorer import Move
from sgxmodel.search.follow import Follow
from sgxmodel.search.run import Outcome, Runner
from sgxmodel.search.sighting import Sightings

REST = 1_000
"""Steps after which a run that does not come to rest is given up."""


@lru_cache(maxsize=48)
def _prepared(revision: Revision, scenario: Scenario) -> tuple[Checks, tuple[Call, ...]]:
    """A world whose tasks are idle, its checkers, and the calls of its first slot."""
    world = build(revision, scenario)
    idle = (attrs.evolve(world.tasks[0], calls=()), *world.tasks[1:])
    return Checks(attrs.evolve(world, tasks=idle)), world.tasks[0].calls


class GrowingSystem(System):
    """A system whose tasks are idle until they are given a call."""

    def give(self, t: int, call: Call) -> None:
        """One more call for a task; it begins when those before it are done."""
        spec = self.tasks[t]
        grown = attrs.evolve(spec, calls=(*spec.calls, call))
        self.tasks = (*self.tasks[:t], grown, *self.tasks[t + 1 :])
        if self.pending[t] is None:
            self._begin(t)


class LiveRun:
    """A world with ``slots`` idle tasks, its checkers, and what was done so far.

    ``menu`` is every call that may be made: a world has as many objects as its
    calls can need, so the first slot has them all while the world is built.
    """

    def __init__(
        self, revision: Revision, scenario: Scenario, menu: list[CallSpec], slots: int
    ) -> None:
        tasks = [TaskLine("T1", (*menu, *menu))]
        tasks += [TaskLine(f"T{i}", ()) for i in range(2, slots + 1)]
        self.checks, menu_calls = _prepared(revision, attrs.evolve(scenario, tasks=tuple(tasks)))
        self.calls = {call.text: call for call in menu_calls}
        self.world = world = self.checks.world
        idle = world.tasks
        self.system = GrowingSystem(world.image, idle, world.first.copy(), self.checks)
        self.system.start()
        self.checks.begin(self.system)
        self.slots = slots
        self.others = [t for t, spec in enumerate(idle) if not spec.last]
        self.given: list[list[CallSpec]] = [[] for _ in range(slots)]
        self.scenario = scenario
        self.failed = False
        self.moves: list[Move] = []

    # -- steps ----------------------------------------------------------------------------

    def give(self, t: int, spec: CallSpec) -> None:
        """Queue a call for a slot."""
        self.given[t].append(spec)
        self.system.give(t, self.calls[str(spec)])

    def can_step(self, t: int) -> bool:
        return self.system.stopped is None and self.system.enabled(t)

    def step(self, t: int, fail: bool = False) -> None:
        """One operation, and the checkers after it."""
        outcome = int(fail and self.system.alternatives(t) > 1)
        self.failed |= bool(outcome)
        self.moves.append(Move(t, outcome))
        self.system.step(t, outcome)
        if self.checks.dirty:
            self.checks.settle(t)

    def section(self, t: int, fail: bool = False) -> None:
        """One operation; if it takes a lock, on to where the task holds none."""
        while self.can_step(t):
            yields = self._yields(t)
            self.step(t, fail)
            if yields or not self.system.state[self.system.tasks[t].handle.held]:
                break

    def call(self, t: int, fail: bool = False) -> None:
        """On to the end of the call under way, or to where it waits for others."""
        position = self.system.position[t]
        while self.can_step(t) and self.system.position[t] == position:
            yields = self._yields(t)
            self.step(t, fail)
            if yields:
                break

    def _yields(self, t: int) -> bool:
        op = self.system.pending[t]
        return op is not None and bool(op[0].yields)

    # -- the end --------------------------------------------------------------------------

    def finish(self) -> None:
        """Everybody to the end in turn, then close what is open, and look at what is left.

        A run in which tasks retry for ever is given up: whether that is fair
        is for whole schedules to say.
        """
        system, checks = self.system, self.checks
        busy = [t for t in self.others if not system.tasks[t].daemon]
        if not self._to_rest(self.others):
            return
        blocked = [t for t in busy if not system.done(t)]
        if blocked:
            checks.deadlock(blocked)
            return
        last = next(t for t, spec in enumerate(system.tasks) if spec.last)
        checks.races.join_all(last)
        if self._to_rest([last, *self.others]) and system.done(last):
            checks.end()

    def _to_rest(self, tasks: list[int]) -> bool:
        """Run tasks in turn until none can.  Whether that happened, and nothing stopped it."""
        limit = self.system.steps + REST
        while able := [t for t in tasks if self.can_step(t)]:
            for t in able:
                self.call(t)
            if self.system.steps > limit:
                return False
        return self.system.stopped is None

    # -- what was seen --------------------------------------------------------------------

    def note(self, seen: Sightings) -> None:
        """Note every violation, as runs of a scenario where they happen there too.

        They need not: there each task has its calls from the start, and nobody waits
        between two of them.
        """
        if not self.checks.found:
            return
        scenario = self.as_scenario()
        again = self._again(scenario)
        if again is not None:
            seen.outcome(scenario, again)
        for key, violation in self.checks.found.items():
            if again is None or key not in again.found:
                seen.without_schedule(violation, scenario, self.checks.first_at[key])

    def _again(self, scenario: Scenario) -> Outcome | None:
        """The same moves in a world that has the scenario's calls only."""
        try:
            world = build(self.world.revision, parse(format(scenario)))
        except ScenarioError:
            return None
        there = {spec.name: t for t, spec in enumerate(world.tasks)}
        names = [spec.name for spec in self.system.tasks]
        moves = [Move(there[names[m.task]], m.choice) for m in self.moves if names[m.task] in there]
        return Runner(world, Checks(world)).run(Follow(moves))

    def as_scenario(self) -> Scenario:
        """The calls that were given, as a scenario."""
        lines = [TaskLine(f"T{i}", tuple(calls)) for i, calls in enumerate(self.given, 1) if calls]
        fail = self.scenario.fail if self.failed else ()
        return attrs.evolve(self.scenario, tasks=tuple(lines), fail=fail)
