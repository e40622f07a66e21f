# SPDX-License-Identifier: GPL-2.0-only
"""A schedule as data: deviations from the default, which is to keep running.

The default runs the current task; when it blocks, ends or yields, the next
enabled task in round-robin order.  A choice (a failure on request) defaults to
0, success.  So the empty schedule is the run without preemption, and shrinking
removes deviations.
"""

from __future__ import annotations

from typing import Protocol

import attrs

NEVER = 1 << 60


@attrs.frozen
class Schedule:
    """``switches``: step -> task to run from there; ``choices``: step -> outcome."""

    switches: tuple[tuple[int, int], ...] = ()
    choices: tuple[tuple[int, int], ...] = ()


class Scheduler(Protocol):
    """An oracle with three methods, and the step at which it next wants to be asked.

    One that goes ``by_priority`` is asked whenever a task may have been unblocked, too.
    """

    next_at: int
    by_priority: bool

    def begin(self, tasks: int) -> None: ...

    def pick(self, enabled: list[int], current: int, default: int, step: int) -> int: ...

    def choose(self, alternatives: int, step: int) -> int: ...


class Replay:
    """Follow a :class:`Schedule`; a switch to a task that cannot run is left out."""

    by_priority = False

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule

    def begin(self, tasks: int) -> None:
        self.switches = list(self.schedule.switches)
        self.choices = dict(self.schedule.choices)
        self.next_at = self.switches[0][0] if self.switches else NEVER

    def pick(self, enabled: list[int], current: int, default: int, step: int) -> int:
        wanted = default
        while self.switches and self.switches[0][0] <= step:
            at, task = self.switches.pop(0)
            if at == step and task in enabled:
                wanted = task
        self.next_at = self.switches[0][0] if self.switches else NEVER
        return wanted

    def choose(self, alternatives: int, step: int) -> int:
        outcome = self.choices.get(step, 0)
        return outcome if outcome < alternatives else 0
