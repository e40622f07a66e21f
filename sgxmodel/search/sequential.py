# SPDX-License-Identifier: GPL-2.0-only
"""What a scenario's calls give without overlap: the yardstick of 16-benign-race.

Every order of whole calls (a spread-out sample where there are many) is run,
with ksgxd eager and with ksgxd lazy.  A result that overlap gives and no order
does is the race's doing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from math import factorial, prod
from typing import Any

from sgxmodel.invariants.checks import Outcomes
from sgxmodel.machine.blocks import Site
from sgxmodel.machine.op import Fault
from sgxmodel.machine.system import Call, Silent, System
from sgxmodel.scenario.build import World
from sgxmodel.scenario.model import result_name

ORDERS = 48
ORDER_STEPS = 4_000
REST_STEPS = 600


class _Results(Silent):
    def __init__(self, outcomes: Outcomes) -> None:
        self.outcomes = outcomes
        self.system: System | None = None

    def fault(self, t: int, site: Site, fault: Fault) -> None:
        pass

    def returned(self, t: int, call: Call, value: Any) -> None:
        assert self.system is not None
        at = (t, self.system.position[t] - 1)
        self.outcomes.setdefault(at, set()).add(result_name(value))


class InOrder:
    """(task, call) -> the results that some order without overlap gives.

    Orders are run when a result asks for them: most are given by the first one.  A
    call that some order does not finish is left out: nothing can be said of it.
    Past the ``deadline`` (time.monotonic()) nothing is said of any.
    """

    def __init__(self, world: World, deadline: float | None = None) -> None:
        self.world = world
        self.deadline = deadline
        self.outcomes: Outcomes = {}
        self.unknown: set[tuple[int, int]] = set()
        self.silent = False
        self.counts = [0 if spec.last or spec.daemon else len(spec.calls) for spec in world.tasks]
        self.orders = ((order, eager) for order in _spread(self.counts) for eager in (False, True))

    def gives(self, at: tuple[int, int], name: str) -> bool:
        """Whether some order gives a call this result, as far as that can be said."""
        if not self.counts[at[0]]:
            return True
        while not self.silent and name not in self.outcomes.get(at, ()):
            if at in self.unknown:
                return True
            if not self._another():
                return at in self.unknown or at not in self.outcomes
        return True

    def every(self) -> Outcomes:
        """All orders are run: what each call that can be judged may give."""
        while self._another():
            pass
        return {key: names for key, names in self.outcomes.items() if key not in self.unknown}

    def _another(self) -> bool:
        """Run one more order, if there is one."""
        if self.deadline is not None and time.monotonic() >= self.deadline:
            self.silent = True
            self.outcomes.clear()
            return False
        for order, eager in self.orders:
            self.unknown |= _run(self.world, order, eager, self.outcomes)
            return True
        return False


def sequential_outcomes(world: World, deadline: float | None = None) -> InOrder:
    """What a world's calls give without overlap."""
    return InOrder(world, deadline)


def _spread(counts: Sequence[int]) -> list[tuple[int, ...]]:
    """All orders, or ``ORDERS`` of them taken at even distances."""
    total = _orders(counts)
    stride = max(1, total // ORDERS)
    return [_order(counts, number) for number in range(0, total, stride)[: 2 * ORDERS]]


def _orders(counts: Sequence[int]) -> int:
    """How many there are: the multinomial coefficient."""
    return factorial(sum(counts)) // prod(map(factorial, counts))


def _order(counts: Sequence[int], number: int) -> tuple[int, ...]:
    """One of them, numbered as sorted: to walk to it would take years for a long scenario."""
    left = list(counts)
    out = []
    while any(left):
        for t, count in enumerate(left):
            if not count:
                continue
            left[t] -= 1
            first_is_t = _orders(left)
            if number < first_is_t:
                out.append(t)
                break
            number -= first_is_t
            left[t] += 1
    return tuple(out)


def _run(
    world: World, order: tuple[int, ...], eager: bool, outcomes: Outcomes
) -> set[tuple[int, int]]:
    """One order.  Calls that do not end without help are left undecided."""
    watch = _Results(outcomes)
    system = System(world.image, world.tasks, world.first.copy(), watch)
    watch.system = system
    system.start()  # a call without a shared access returns here
    daemons = [t for t, spec in enumerate(world.tasks) if spec.daemon]
    for t in order:
        start = system.position[t]
        while system.position[t] == start and not system.done(t):
            if system.stopped or system.steps > ORDER_STEPS:
                return _unfinished(system)
            if system.enabled(t):
                yields = system.pending[t][0].yields  # type: ignore[index]
                system.step(t)
                if not yields:
                    continue
            if not _settle(system, daemons) and not system.enabled(t):
                return _unfinished(system)
        if eager:
            _settle(system, daemons)
    return set()


def _unfinished(system: System) -> set[tuple[int, int]]:
    """The calls that did not end."""
    return {
        (t, i)
        for t, spec in enumerate(system.tasks)
        for i in range(system.position[t], len(spec.calls))
    }


def _settle(system: System, daemons: list[int]) -> bool:
    """Let the daemons run until they sleep.  Whether one did anything."""
    moved = False
    for t in daemons:
        for _ in range(REST_STEPS):
            if system.stopped or not system.enabled(t):
                break
            system.step(t)
            moved = True
    return moved
