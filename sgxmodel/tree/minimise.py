# SPDX-License-Identifier: GPL-2.0-only
"""The smallest run of each kind of violation: fewer preemptions, switches, steps."""

from __future__ import annotations

import time

from sgxmodel.search.schedule import Schedule
from sgxmodel.tree.api import BOUNDED
from sgxmodel.tree.runs import Found, Key, Runner
from sgxmodel.tree.steps import events

TRIES = 4000
"""Fresh runs with few switches, to find what removing alone cannot reach."""


CANDIDATES = 8
"""Runs, the smallest of those that were met, that are asked whether they tell more."""
Met = dict[Schedule, Found]
"""Runs of one kind that minimisation came by."""


def minimise(
    runner: Runner, key: Key, found: Found, deadline: float | None = None, met: Met | None = None
) -> Found:
    """Replayed at each step; the result is one that was seen to happen."""
    met = {} if met is None else met
    best = _afresh(runner, key, _shrink(runner, key, found, deadline, met), deadline, met)
    return _shrink(runner, key, best, deadline, met)


def telling(runner: Runner, key: Key, best: Found, met: Met) -> Found:
    """The smallest run in which the blamed function runs, if the smallest of all has none."""
    candidates = sorted(met.values(), key=lambda f: (f.size, f.schedule.switches))
    for one in (best, *candidates[:CANDIDATES]):
        if one.preemptions <= best.preemptions + 1 and runs_in(runner, one, key[1]):
            return one
    return best


def runs_in(runner: Runner, found: Found, function: str) -> bool:
    """Whether a run comes to a function before its violation."""
    lines = events(runner.trace(found.schedule, found.memory))
    lines = [line for line in lines if line.step <= found.steps]
    runner.names.learn(line.entry for line in lines)
    return any(runner.names.place(line.entry).function == function for line in lines)


def again(runner: Runner, key: Key, schedule: Schedule, memory: bool) -> Found | None:
    """The same kind of violation, if this schedule has it."""
    for found in runner.replay(schedule, memory):
        if found.violation.key == key:
            return found
    return None


def _late(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() > deadline


def _shrink(runner: Runner, key: Key, best: Found, deadline: float | None, met: Met) -> Found:
    improved = True
    while improved and not _late(deadline):
        improved = False
        for smaller in _smaller(best):
            found = again(runner, key, *smaller)
            if found is not None:
                met.setdefault(found.schedule, found)
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


def _afresh(runner: Runner, key: Key, best: Found, deadline: float | None, met: Met) -> Found:
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
                    if one.violation.key != key:
                        continue
                    met.setdefault(one.schedule, one)
                    if one.size < best.size:
                        best = one
                if best.preemptions <= depth:
                    break
            if best.preemptions <= depth:
                return best
    return best
