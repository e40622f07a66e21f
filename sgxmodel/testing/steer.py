# SPDX-License-Identifier: GPL-2.0-only
"""Hypothesis goes by what `check --coverage` counts: calls that raced, and their results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import event, target

from sgxmodel.invariants.checks import Checks


class Seen:
    """What one example added to the counts of checkers that many examples share."""

    def __init__(self, checks: Checks) -> None:
        self.checks = checks
        self.raced = Counter(checks.overlaps.seen)
        self.results = Counter(checks.results)

    def tell(self) -> None:
        """To Hypothesis: aim at many races and results; the statistics name the pairs."""
        raced = self.checks.overlaps.seen - self.raced
        for one, other in sorted(raced):
            event(f"{one} raced with {other}")
        target(float(len(raced)), label="pairs of calls that raced")
        target(float(len(self.checks.results - self.results)), label="results of calls")


@contextmanager
def steering(checks: Checks) -> Iterator[None]:
    """Around an example: where it raises, nothing is told."""
    seen = Seen(checks)
    yield
    seen.tell()
