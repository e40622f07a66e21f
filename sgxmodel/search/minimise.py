# SPDX-License-Identifier: GPL-2.0-only
"""Make a schedule small: first in preemptions, then in steps.

Delta debugging over the deviations (Zeller and Hildebrandt, TSE 2002), then
runs with no preemption and with one, as most faults need no more.  The result
is small, not proved smallest.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import attrs

from sgxmodel.search.run import Outcome, Runner
from sgxmodel.search.schedule import Replay, Schedule

Key = tuple[str, str]
TRIES = 300


@attrs.define
class Minimiser:
    """Shrinks schedules of one world.  ``deadline``: time.monotonic() at which it stops."""

    runner: Runner
    deadline: float | None = None
    tries: int = 0

    def shrink(self, key: Key, schedule: Schedule, further: bool = True) -> Outcome | None:
        """The smallest run found that still shows ``key``, or None if it does not replay."""
        self.tries = 0
        best = self._try(key, schedule)
        if best is None or not further:
            return best
        best = self._without_preemption(key, best)
        best = self._fewer(key, best)
        if best.preemptions > 1:
            best = self._one_preemption(key, best)
        return self._earlier(key, best) if best.preemptions else best

    def _over(self) -> bool:
        if self.tries >= TRIES:
            return True
        return self.deadline is not None and time.monotonic() >= self.deadline

    def _try(self, key: Key, schedule: Schedule) -> Outcome | None:
        self.tries += 1
        outcome = self.runner.run(Replay(schedule), stop=lambda k: k == key)
        return outcome if key in outcome.found else None

    def _better(self, key: Key, best: Outcome, candidates: Iterator[Schedule]) -> Outcome:
        for candidate in candidates:
            if self._over():
                break
            outcome = self._try(key, candidate)
            if outcome is not None and size(outcome, key) < size(best, key):
                best = outcome
        return best

    def _without_preemption(self, key: Key, best: Outcome) -> Outcome:
        choices = best.schedule.choices
        starts = [Schedule((), choices)]
        starts += [Schedule(((0, t),), choices) for t in range(len(self.runner.tasks))]
        return self._better(key, best, iter(starts))

    def _fewer(self, key: Key, best: Outcome) -> Outcome:
        """Drop deviations one by one, last first, until none can go."""
        changed = True
        while changed and not self._over():
            changed = False
            for smaller in _drops(best.schedule):
                if self._over():
                    break
                outcome = self._try(key, smaller)
                if outcome is not None and size(outcome, key) <= size(best, key):
                    best, changed = outcome, True
                    break
        return best

    def _one_preemption(self, key: Key, best: Outcome) -> Outcome:
        limit = best.found[key][1]
        tasks = range(len(self.runner.tasks))
        choices = best.schedule.choices
        stride = max(1, limit * len(tasks) * len(tasks) // (TRIES // 2))

        def candidates() -> Iterator[Schedule]:
            for at in range(1, limit, stride):
                for first in tasks:
                    for then in tasks:
                        if first != then:
                            yield Schedule(((0, first), (at, then)), choices)

        for candidate in candidates():
            if self._over():
                break
            outcome = self._try(key, candidate)
            if outcome is not None and size(outcome, key) < size(best, key):
                return self._fewer(key, outcome)
        return best

    def _earlier(self, key: Key, best: Outcome) -> Outcome:
        """Move switches to earlier steps while that makes the run shorter."""
        for i in range(len(best.schedule.switches)):
            step = 32
            while step and not self._over():
                switches = list(best.schedule.switches)
                if i >= len(switches):
                    break
                at, task = switches[i]
                before = switches[i - 1][0] if i else -1
                if at - step <= before:
                    step //= 2
                    continue
                switches[i] = (at - step, task)
                shifted = [(a - step, t) if n > i else (a, t) for n, (a, t) in enumerate(switches)]
                for moved in (switches, shifted):
                    schedule = attrs.evolve(best.schedule, switches=tuple(moved))
                    outcome = self._try(key, schedule)
                    if outcome is not None and size(outcome, key) < size(best, key):
                        best = outcome
                        break
                else:
                    step //= 2
        return best


def size(outcome: Outcome, key: Key) -> tuple[int, int, int]:
    """What is minimised: preemptions, steps to the violation, deviations."""
    schedule = outcome.schedule
    deviations = len(schedule.switches) + len(schedule.choices)
    return (outcome.preemptions, outcome.found[key][1], deviations)


def _drops(schedule: Schedule) -> Iterator[Schedule]:
    n = len(schedule.switches)
    for i in reversed(range(n)):
        kept = schedule.switches[:i] + schedule.switches[i + 1 :]
        yield attrs.evolve(schedule, switches=kept)
    for i in reversed(range(len(schedule.choices))):
        kept = schedule.choices[:i] + schedule.choices[i + 1 :]
        yield attrs.evolve(schedule, choices=kept)
