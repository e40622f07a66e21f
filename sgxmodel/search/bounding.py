# SPDX-License-Identifier: GPL-2.0-only
"""Iterative bounding of preemptions: all schedules without one first, then with one, ...

Musuvathi and Qadeer: Iterative Context Bounding for Systematic Testing of
Multithreaded Programs, PLDI 2007.  Each run shows where another task could have
run; each such place gives a schedule that deviates there as well.  It costs a
preemption if the task that ran could have gone on, and nothing otherwise.
Deviation from the paper: within a bound schedules are taken at random, as a
search rarely has the time for a whole bound.
"""

from __future__ import annotations

from random import Random

import attrs

from sgxmodel.search.schedule import NEVER

MOST = 20_000
"""Schedules that wait within one bound; past that a run gives no new ones to it."""


@attrs.frozen
class Prefix:
    """Deviations so far: (step, task or outcome), and how many of them are preemptions."""

    switches: tuple[tuple[int, int], ...] = ()
    choices: tuple[tuple[int, int], ...] = ()
    preemptions: int = 0

    @property
    def last(self) -> int:
        """The step of the last deviation."""
        at = [place for place, _ in (*self.switches[-1:], *self.choices[-1:])]
        return max(at, default=-1)


class Bounding:
    """The schedules that wait, by bound; shared by the runs of one search."""

    def __init__(self) -> None:
        self.waiting: list[list[Prefix]] = [[Prefix()]]

    def run(self, rng: Random) -> Bounded:
        """A scheduler for the next run: one of the schedules with fewest preemptions."""
        for level in self.waiting:
            if level:
                i = rng.randrange(len(level))
                level[i], level[-1] = level[-1], level[i]
                return Bounded(self, level.pop())
        return Bounded(self, Prefix())

    def add(self, prefix: Prefix) -> None:
        """A schedule that is still to be run."""
        while len(self.waiting) <= prefix.preemptions:
            self.waiting.append([])
        if len(self.waiting[prefix.preemptions]) < MOST:
            self.waiting[prefix.preemptions].append(prefix)


class Bounded:
    """Follows a prefix, then the default; what else was possible goes to the others."""

    by_priority = False

    def __init__(self, bounding: Bounding, prefix: Prefix) -> None:
        self.bounding = bounding
        self.prefix = prefix

    def begin(self, tasks: int) -> None:
        self.switches = dict(self.prefix.switches)
        self.choices = dict(self.prefix.choices)
        self.next_at = 0 if tasks > 1 else NEVER

    def pick(self, enabled: list[int], current: int, default: int, step: int) -> int:
        wanted = self.switches.get(step, default)
        if wanted not in enabled:
            wanted = default
        prefix = self.prefix
        if step > prefix.last:
            cost = int(default == current)
            for task in enabled:
                if task != wanted:
                    self.bounding.add(
                        attrs.evolve(
                            prefix,
                            switches=(*prefix.switches, (step, task)),
                            preemptions=prefix.preemptions + cost,
                        )
                    )
        return wanted

    def choose(self, alternatives: int, step: int) -> int:
        prefix = self.prefix
        if step > prefix.last:
            for outcome in range(1, alternatives):
                choices = (*prefix.choices, (step, outcome))
                self.bounding.add(attrs.evolve(prefix, choices=choices))
        outcome = self.choices.get(step, 0)
        return outcome if outcome < alternatives else 0
