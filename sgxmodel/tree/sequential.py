# SPDX-License-Identifier: GPL-2.0-only
"""What calls give without overlap: the yardstick of 16-benign-race, on the driver itself."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from sgxmodel.tree.runs import Runner

ORDERS = 48


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


def _spread(counts: list[int]) -> list[tuple[int, ...]]:
    """All orders, or ``ORDERS`` of them taken at even distances."""
    total, seen = 1, 0
    for count in counts:
        for i in range(1, count + 1):
            seen += 1
            total = total * seen // i
    stride = max(1, total // ORDERS)
    return list(islice(_orders(counts), 0, min(total, stride * 4 * ORDERS), stride))


def _orders(counts: list[int]) -> Iterator[tuple[int, ...]]:
    if not any(counts):
        yield ()
        return
    for t, count in enumerate(counts):
        if count:
            rest = [c - (u == t) for u, c in enumerate(counts)]
            for tail in _orders(rest):
                yield (t, *tail)
