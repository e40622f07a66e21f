# SPDX-License-Identifier: GPL-2.0-only
"""One run: a world, a scheduler, the checkers; and what came of it."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from sgxmodel.invariants.base import Progress, Violation
from sgxmodel.invariants.checks import LOOPS, Checks
from sgxmodel.machine.system import Snapshot, System
from sgxmodel.scenario.build import World
from sgxmodel.search.schedule import Schedule, Scheduler

STEP_LIMIT = 6_000
REST_LIMIT = 1_000


@attrs.frozen
class Outcome:
    """What a run did: its schedule (enough to repeat it), and what was violated.

    ``found``: (invariant, function) -> (violation, steps when it happened).
    """

    schedule: Schedule
    steps: int
    preemptions: int
    found: dict[tuple[str, str], tuple[Violation, int]]


Hook = Callable[[System, int], None]
"""Called after each step with the task that made it."""


class Runner:
    """Runs schedules of one world.  ``checks`` may be shared by many runs."""

    def __init__(self, world: World, checks: Checks) -> None:
        self.world = world
        self.checks = checks
        self.tasks = world.tasks
        self.cut = 0
        """Runs that the step limit ended: they prove nothing."""
        self.last = {t for t, spec in enumerate(world.tasks) if spec.last}
        self.waits_for = [
            t for t, spec in enumerate(world.tasks) if not spec.daemon and not spec.last
        ]

    def run(
        self,
        scheduler: Scheduler,
        stop: Callable[[tuple[str, str]], bool] | None = None,
        hook: Hook | None = None,
        limit: int = STEP_LIMIT,
    ) -> Outcome:
        """Run to the end, or to the first violation for which ``stop`` says so."""
        checks = self.checks
        system = self.world.system(checks)
        checks.begin(system)
        system.start()  # now: a call that touches nothing shared returns in it
        scheduler.begin(len(self.tasks))
        loop = _Loop(self, system, scheduler)
        while loop.step():
            if hook is not None:
                hook(system, loop.current)
            if checks.dirty:
                checks.settle(loop.current)
            if system.stopped is not None:
                break
            if checks.new:
                if stop is not None and any(stop(v.key) for v in checks.new):
                    break
                checks.new.clear()
            if system.steps >= limit:
                self.cut += 1
                break
        else:
            if not loop.livelocked:
                self._ended(system)
        found = {key: (v, checks.first_at[key]) for key, v in checks.found.items()}
        schedule = Schedule(tuple(loop.switches), tuple(loop.choices))
        return Outcome(schedule, system.steps, loop.preemptions, found)

    def _ended(self, system: System) -> None:
        blocked = [t for t, spec in enumerate(self.tasks) if not system.done(t) and not spec.daemon]
        if not blocked:
            if not any(system.enabled(t) for t in range(len(self.tasks))):
                self.checks.end()
            return
        first = [t for t in blocked if t not in self.last] or blocked
        self.checks.deadlock(first)

    def livelock(self, system: System, busy: list[int]) -> None:
        """Report that ``busy`` tasks run for ever.

        Where a scenario has no ksgxd nobody was to make room: who waits for memory waits.
        """
        scenario = self.world.scenario
        free = system.state[self.world.layout.namespace["sgx_nr_free_pages"].counter]
        if not scenario.ksgxd and free < scenario.high:
            return
        waiting = [t for t in busy if not self.tasks[t].daemon] or busy
        call = self.tasks[waiting[0]].calls[system.position[waiting[0]]]
        names = ", ".join(
            f"{self.tasks[t].name} in '{self.tasks[t].calls[system.position[t]].text}'"
            for t in busy
        )
        self.checks.violate(
            Progress(
                LOOPS.get(call.function, call.function),
                "an endless retry: the whole state recurs",
                f"not ending: {names}",
            )
        )


class _Loop:
    """Who runs next, and the record of it."""

    def __init__(self, runner: Runner, system: System, scheduler: Scheduler) -> None:
        self.runner = runner
        self.system = system
        self.scheduler = scheduler
        self.current = -1
        self.yielded = False
        self.released = False
        self.switches: list[tuple[int, int]] = []
        self.choices: list[tuple[int, int]] = []
        self.preemptions = 0
        self.count = len(runner.tasks)
        self.resting = 0
        self.seen: dict[Snapshot, int] = {}
        self.ran = [0] * self.count
        self.could_run = [0] * self.count
        self.watched_from: int | None = None
        self.starved: set[int] = set()
        self.livelocked = False

    def may_run(self, t: int) -> bool:
        """The last task waits until the others are done."""
        return t not in self.runner.last or all(self.system.done(u) for u in self.runner.waits_for)

    def step(self) -> bool:
        """Let one task make one step.  False: nobody can, or the run is over."""
        system, scheduler = self.system, self.scheduler
        step, t = system.steps, self.current
        runnable = t >= 0 and system.enabled(t)
        served = self.starved and any(system.enabled(u) for u in self.starved)
        if step >= scheduler.next_at or not runnable or self.yielded or self.released or served:
            t = self._decide(step, runnable)
            if t < 0:
                return False
        op = system.pending[t]
        prim = op[0]  # type: ignore[index]
        self.yielded = prim.yields
        self.released = prim.releases and scheduler.by_priority
        choice = 0
        if prim.choices is not None:
            alternatives = system.alternatives(t)
            if alternatives > 1:
                choice = scheduler.choose(alternatives, step)
                if choice:
                    self.choices.append((step, choice))
        system.step(t, choice)
        self.ran[t] = step + 1
        if self.watched_from is not None:
            self.watch()
        return True

    def watch(self) -> None:
        """Who could run after this step, though it may not be asked."""
        for t in range(self.count):
            if self.system.enabled(t) and self.may_run(t):
                self.could_run[t] = self.system.steps

    def fair_cycle(self, enabled: list[int]) -> bool:
        """After a yield: the state recurs, and all who could run in between did.

        Strong fairness, as in the exhaustive search: a mutex that is free now and
        then is handed to its first waiter (MUTEX_FLAG_HANDOFF,
        kernel/locking/mutex.c).  So the loop is gone through once more, and asked
        after each step who could run; who was passed over then runs first.
        """
        if not self.yielded:
            return False
        state, now = self.system.snapshot(), self.system.steps
        before = self.seen.get(state)
        self.seen[state] = now
        if before is None or any(self.ran[t] <= before for t in enabled):
            return False
        if self.watched_from is None:
            self.watched_from = now
        if before < self.watched_from:
            return False
        self.starved = {t for t in range(self.count) if self.could_run[t] > before >= self.ran[t]}
        if self.starved:
            self.watched_from = None
            self.seen.clear()
            return False
        self.runner.livelock(self.system, enabled)
        self.livelocked = True
        return True

    def restless(self, daemons: list[int]) -> bool:
        """Whether to give up on daemons that do not come to rest: they loop, or take too long."""
        state, now = self.system.snapshot(), self.system.steps
        if state in self.seen:
            self.runner.livelock(self.system, daemons)
            self.livelocked = True
            return True
        self.seen[state] = now
        return now > self.resting + 2 * REST_LIMIT

    def _decide(self, step: int, runnable: bool) -> int:
        system = self.system
        tasks = self.runner.tasks
        enabled = [t for t in range(self.count) if system.enabled(t) and self.may_run(t)]
        if not enabled or self.fair_cycle(enabled):
            return -1
        if all(system.done(t) for t, spec in enumerate(tasks) if not spec.daemon):
            # The daemons may still be in the middle of a pass: let them come to rest.
            self.resting = self.resting or system.steps
            if system.steps > self.resting + REST_LIMIT and self.restless(enabled):
                return -1
        current = self.current
        default = current
        if not runnable or self.yielded:
            after = [t for t in enabled if t > current]
            default = after[0] if after else enabled[0]
        wanted = self.scheduler.pick(enabled, current, default, step)
        passed_over = sorted(self.starved & set(enabled))
        if passed_over:
            wanted = passed_over[0]
            self.starved.discard(wanted)
        if wanted != default:
            self.switches.append((step, wanted))
        if wanted != current and runnable and not self.yielded and current >= 0:
            self.preemptions += 1
        if tasks[wanted].last and current != wanted:
            self.runner.checks.races.join_all(wanted)
        self.current = wanted
        return wanted
