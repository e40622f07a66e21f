# SPDX-License-Identifier: GPL-2.0-only
"""A schedule drawn up front: priorities and preemption points, as in PCT."""

from __future__ import annotations

import attrs

from sgxmodel.search.schedule import NEVER


@attrs.frozen
class Plan:
    """Data, and the simplest value of each part is the run without deviation.

    ``order``: tasks that go before the others, the most urgent first.
    ``preempt``: steps at which the running task falls behind all others.
    ``fail``: outcomes of the choices in the order in which the run meets them,
    success past the end.
    """

    order: tuple[int, ...] = ()
    preempt: tuple[int, ...] = ()
    fail: tuple[bool, ...] = ()


class Planned:
    """Follow a :class:`Plan`.  A task that yields waits for others and falls behind them."""

    by_priority = False

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def begin(self, tasks: int) -> None:
        order = [t for t in self.plan.order if t < tasks]
        order += [t for t in range(tasks) if t not in order]
        self.order = order
        self.points = list(self.plan.preempt)
        self.fail = list(self.plan.fail)
        self.next_at = self.points[0] if self.points else NEVER

    def pick(self, enabled: list[int], current: int, default: int, step: int) -> int:
        demoted = default != current and current in enabled
        while self.points and self.points[0] <= step:
            self.points.pop(0)
            demoted = True
        self.next_at = self.points[0] if self.points else NEVER
        if demoted and current >= 0:
            self.order.remove(current)
            self.order.append(current)
        return next(t for t in self.order if t in enabled)

    def choose(self, alternatives: int, step: int) -> int:
        return int(self.fail.pop(0)) if self.fail else 0
