# SPDX-License-Identifier: GPL-2.0-only
"""What calls give without overlap: the yardstick of 16-benign-race, on the driver itself."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from sgxmodel.invariants.base import BenignRace
from sgxmodel.tree.runs import Found, Runner

ORDERS = 256
MORE = 5000


def learn_orders(runner: Runner) -> int:
    """Run orders of whole calls, with ksgxd eager and lazy; returns how many.

    A scenario in which some order does not end without help from another task
    cannot be judged this way: its calls may give anything.
    """
    config, engine = runner.plan.config, runner.engine
    engine.allow_any()
    counts = [config.calls[i] for i in range(config.tasks)]
    results: set[tuple[int, int]] = set()
    runs = 0
    for order in _spread(counts):
        for eager in (False, True):
            runs += 1
            if not runner.order(order, eager):
                return runs
            for call in range(config.setup, len(runner.plan.calls)):
                results.add((call, runner.result.result[call]))
    for call, value in sorted(results):
        engine.allow(call, value)
    return runs


def confirmed(runner: Runner, call: int, value: int) -> bool:
    """Whether many more orders do not give this result either, where not all were tried."""
    counts = [runner.plan.config.calls[i] for i in range(runner.plan.config.tasks)]
    if _total(counts) <= ORDERS:
        return True
    for order in _drawn(counts, MORE, seed=1):
        for eager in (False, True):
            runner.order(order, eager)
            if runner.result.result[call] == value:
                runner.engine.allow(call, value)
                return False
    return True


def stands(runner: Runner, found: Found) -> bool:
    """A result that no order gave so far: ask more orders before it is reported."""
    if found.violation.id != BenignRace.id or runner.early:
        return True
    runner.replay(found.schedule, found.memory)
    result = runner.result
    blamed = [
        (raw.call, result.result[raw.call])
        for raw in result.found[: result.nfound]
        if raw.id.decode("ascii", "replace") == BenignRace.id and raw.call >= 0
    ]
    return all(confirmed(runner, call, value) for call, value in blamed)


def _total(counts: list[int]) -> int:
    total, seen = 1, 0
    for count in counts:
        for i in range(1, count + 1):
            seen += 1
            total = total * seen // i
    return total


def _spread(counts: list[int]) -> list[tuple[int, ...]]:
    """All orders, or ``ORDERS`` of them drawn evenly."""
    if _total(counts) <= ORDERS:
        return list(_orders(counts))
    return list(_drawn(counts, ORDERS, seed=0))


def _drawn(counts: list[int], number: int, seed: int) -> Iterator[tuple[int, ...]]:
    rng = Random(seed)
    calls = [t for t, count in enumerate(counts) for _ in range(count)]
    for _ in range(number):
        rng.shuffle(calls)
        yield tuple(calls)


def _orders(counts: list[int]) -> Iterator[tuple[int, ...]]:
    if not any(counts):
        yield ()
        return
    for t, count in enumerate(counts):
        if count:
            rest = [c - (u == t) for u, c in enumerate(counts)]
            for tail in _orders(rest):
                yield (t, *tail)
