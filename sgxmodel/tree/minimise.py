# SPDX-License-Identifier: GPL-2.0-only
"""The smallest run of each kind of violation: fewer preemptions, switches, steps."""

from __future__ import annotations

import time

from sgxmodel.search.schedule import Schedule
from sgxmodel.tree.api import BOUNDED
from sgxmodel.tree.runs import Found, Key, Runner

TRIES = 4000
"""Fresh runs with few switches, to find what removing alone cannot reach."""


def minimise(runner: Runner, key: Key, found: Found, deadline: float | None = None) -> Found:
    """Replayed at each step; the result is one that was seen to happen."""
    best = _afresh(runner, key, _shrink(runner, key, found, deadline), deadline)
    return _shrink(runner, key, best, deadline)


def again(runner: Runner, key: Key, schedule: Schedule, memory: bool) -> Found | None:
    """The same kind of violation, if this schedule has it."""
    for found in runner.replay(schedule, memory):
        if found.violation.key == key:
            return found
    return None


def _late(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() > deadline


def _shrink(runner: Runner, key: Key, best: Found, deadline: float | None) -> Found:
    improved = True
    while improved and not _late(deadline):
        improved = False
        for smaller in _smaller(best):
            found = again(runner, key, *smaller)
            if found is not None and found.size < best.size:
                best, improved = found, True
                break
            if _late(deadline):
                break
    return best


def _smaller(found: Found) -> list[tuple[Schedule, bool]]:
    """Without memory preemption; halves; each deviation left out."""
    switches, choices = found.schedule.switches, found.schedule.choices
    out = []
    if found.memory:
        out.append((found.schedule, False))
    half = len(switches) // 2
    if half > 1:
        out.append((Schedule(switches[:half], choices), found.memory))
        out.append((Schedule(switches[half:], choices), found.memory))
    for i in range(len(choices)):
        out.append((Schedule(switches, choices[:i] + choices[i + 1 :]), found.memory))
    for i in range(len(switches) - 1, -1, -1):
        out.append((Schedule(switches[:i] + switches[i + 1 :], choices), found.memory))
    return out


def _afresh(runner: Runner, key: Key, best: Found, deadline: float | None) -> Found:
    """Bounded preemption: one switch, then two, ... below what is known already."""
    if best.preemptions == 0:
        return best
    for memory in (0, 1) if best.memory else (0,):
        for depth in range(1, min(best.preemptions, 4) + 1):
            left, seed = TRIES, depth
            while left > 0 and not _late(deadline):
                done, found = runner.search(
                    BOUNDED, left, seed, memory=memory, depth=depth, length=max(best.steps, 1)
                )
                left -= done
                seed = runner.raw.seed
                for one in found:
                    if one.violation.key == key and one.size < best.size:
                        best = one
                if best.preemptions <= depth:
                    break
            if best.preemptions <= depth:
                return best
    return best
