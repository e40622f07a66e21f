# SPDX-License-Identifier: GPL-2.0-only
"""All short sequences of calls of one task: where most differences show first."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import attrs

from sgxmodel.scenario.model import CallSpec, Scenario, TaskLine
from sgxmodel.scenario.text import parse

BASE = """\
scenario sequence
about calls one after the other, on a running enclave
epc 6
enclave A 4
setup open A; create A; add A 0; add A 1; init A
task T: touch A 0; touch A 1; accept A 2; reclaim; poison-at A 1; modify A 0 trim
"""
"""Six EPC pages: SECS, version array, two pages of four, two to spare; two a pass."""

WORLD = parse(BASE)
CALLS: tuple[CallSpec, ...] = WORLD.tasks[0].calls


def sequences(length: int) -> Iterator[Scenario]:
    """Every sequence of ``length`` of :data:`CALLS`; shorter ones are their beginnings."""
    if not length:
        return
    for calls in product(CALLS, repeat=length):
        yield attrs.evolve(WORLD, tasks=(TaskLine("T", calls),))
