# SPDX-License-Identifier: GPL-2.0-only
"""PCT: probabilistic concurrency testing.

Burckhardt, Kothari, Musuvathi, Nagarakatte: A Randomized Scheduler with
Probabilistic Guarantees of Finding Bugs, ASPLOS 2010.  Deviations: the depth is
drawn per run from 1 to 4, the run's length is estimated from earlier runs, and
a task that yields drops to the lowest priority, as it waits for the others.
"""

from __future__ import annotations

from random import Random

from sgxmodel.search.schedule import NEVER


class Pct:
    """Priorities and change points; the highest enabled priority runs."""

    by_priority = True

    def __init__(self, rng: Random, length: int = 400) -> None:
        self.rng = rng
        self.length = length

    def begin(self, tasks: int) -> None:
        depth = self.rng.randrange(1, 5)
        order = list(range(tasks))
        self.rng.shuffle(order)
        self.priority = dict(zip(order, range(depth, depth + tasks), strict=True))
        self.points = sorted(self.rng.randrange(1, self.length + 1) for _ in range(depth - 1))
        self.lowest = 0
        self.fail = self.rng.choice((0.0, 0.5))
        self.next_at = self.points[0] if self.points else NEVER

    def pick(self, enabled: list[int], current: int, default: int, step: int) -> int:
        while self.points and self.points[0] <= step:
            self.points.pop(0)
            self._lower(current)
        self.next_at = self.points[0] if self.points else NEVER
        if default != current and current in enabled:
            self._lower(current)
        return max(enabled, key=self.priority.__getitem__)

    def _lower(self, task: int) -> None:
        self.lowest -= 1
        self.priority[task] = self.lowest

    def choose(self, alternatives: int, step: int) -> int:
        return self.rng.randrange(1, alternatives) if self.rng.random() < self.fail else 0
