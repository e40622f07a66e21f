# SPDX-License-Identifier: GPL-2.0-only
"""Tracking of threads, against the history of who was inside."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from properties.bench import Epc, examples
from properties.leaves.situations import ewb
from sgxmodel.hardware.encls import (
    EBLOCK,
    EMODPR,
    ETRACK,
)
from sgxmodel.hardware.enclu import EACCEPT, EEXIT
from sgxmodel.hardware.epcm import (
    NAMES,
    PT_REG,
    SGX_NOT_TRACKED,
    SGX_PAGE_ATTRIBUTES_MISMATCH,
    SGX_PAGE_NOT_BLOCKED,
    SGX_PREV_TRK_INCMPL,
)
from sgxmodel.hardware.mmu import (
    on_each_cpu_mask,
)

TRACKING = st.lists(
    st.sampled_from(
        [(verb, cpu) for verb in ("enter", "exit") for cpu in range(3)]
        + [("change", 0), ("track", 0), ("track", 0), ("IPI", 0)]
    ),
    max_size=14,
)


class History:
    """EWB and EACCEPT by the SDM's words: who was inside at the ETRACK after the change?"""

    def __init__(self) -> None:
        self.inside: set[int] = set()
        self.previous: set[int] = set()
        self.changed = False
        self.owed: set[int] | None = None

    def step(self, verb: str, cpu: int) -> int:
        if verb == "enter":
            self.inside.add(cpu)
        elif verb in ("exit", "IPI"):
            for threads in (self.inside, self.previous, self.owed or set()):
                threads -= {cpu} if verb == "exit" else {0, 1, 2}
        elif verb == "change":
            self.changed = True
        elif self.previous:
            return SGX_PREV_TRK_INCMPL
        else:
            self.previous = set(self.inside)
            if self.changed and self.owed is None:
                self.owed = set(self.inside)
        return 0

    def outcome(self, unchanged: int) -> int:
        if not self.changed:
            return unchanged
        return SGX_NOT_TRACKED if self.owed is None or self.owed else 0


def perform(m: Epc, change: Any, pages: list[Any], verb: str, cpu: int) -> Any:
    secs, door, p = pages
    if verb == "track":
        return m.run(ETRACK, secs)
    if verb == "enter":
        m.enter(door, cpu)
    elif verb == "exit":
        m.run(EEXIT, by=cpu)
    elif verb == "IPI":
        m.run(on_each_cpu_mask, tuple(m.tasks))
    elif m.S[p.blocked] is None and not m.S[p.pr]:
        m.ok(change, p, *(["r"] if change is EMODPR else []))
    return 0


@pytest.mark.parametrize(
    ("change", "unchanged"),
    [(EBLOCK, SGX_PAGE_NOT_BLOCKED), (EMODPR, SGX_PAGE_ATTRIBUTES_MISMATCH)],
    ids=["EWB", "EACCEPT"],
)
@given(steps=TRACKING)
@examples(250)
def test_tracking_follows_the_threads(change: Any, unchanged: int, steps: Any) -> None:
    m, history = Epc(cpus=4), History()
    pages = m.enclave(PT_REG, PT_REG)
    at_end = ewb(m, pages[2]) if change is EBLOCK else (EACCEPT, m.mm, 1)
    m.map(pages[2])
    for verb, cpu in steps:
        assert perform(m, change, pages, verb, cpu) == history.step(verb, cpu)
        saved = list(m.S)
        outcome = m.run(*at_end, by=3)
        assert NAMES[outcome] == NAMES[history.outcome(unchanged)]
        m.S[:] = saved
        event(NAMES[outcome])
