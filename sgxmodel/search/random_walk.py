# SPDX-License-Identifier: GPL-2.0-only
"""Random walk with few switches.

At each step the current task is preempted with a small probability, drawn per
run from a few scales: narrow windows want many switches, deep ones few.
"""

from __future__ import annotations

from random import Random


class RandomWalk:
    """``rng`` is all the randomness; one call of :meth:`begin` a run."""

    SCALES = (4, 12, 40, 120)

    by_priority = False

    def __init__(self, rng: Random) -> None:
        self.rng = rng

    def begin(self, tasks: int) -> None:
        self.mean = self.rng.choice(self.SCALES)
        self.next_at = 0
        self.fail = self.rng.choice((0.0, 0.3, 0.7))

    def pick(self, enabled: list[int], current: int, default: int, step: int) -> int:
        if step >= self.next_at:
            self.next_at = step + 1 + int(self.rng.expovariate(1 / self.mean))
            return self.rng.choice(enabled)
        return default if self.rng.random() < 0.5 else self.rng.choice(enabled)

    def choose(self, alternatives: int, step: int) -> int:
        return self.rng.randrange(1, alternatives) if self.rng.random() < self.fail else 0
