# SPDX-License-Identifier: GPL-2.0-only
"""Traces that nobody recorded, and a few that were."""

from __future__ import annotations

from functools import cache

from hypothesis import strategies as st

from sgxmodel.revisions import revision
from sgxmodel.scenario.build import build
from sgxmodel.scenario.catalogue import SCENARIOS
from sgxmodel.search.check import check_scenario
from sgxmodel.search.record import checks_for, record
from sgxmodel.trace.events import Choice, Patch, Point, Step, Switch, Trace

NUMBERS = st.integers(0, 10**9 - 1)
WORDS = st.text(max_size=12) | st.sampled_from(
    [
        "T1",
        "sgx_epc_page_is_a_name_that_no_column_of_a_report_will_ever_hold",
        "list_move_tail(epc2.list, sgx_global_lru.reclaimable)",
        "write epc2.flags",
        "epc2.flags: +TRACKED -IS_FREE",
        "WARNING: a line that the kernel would print, with its reason, and longer than any mail",
        "a" * 200,
    ]
)
POINTS = st.builds(Point, WORDS, WORDS, WORDS, NUMBERS)


def traces(tasks: st.SearchStrategy[str] = WORDS) -> st.SearchStrategy[Trace]:
    """Any trace whatever; ``tasks`` limits who runs."""
    steps = st.builds(
        Step, NUMBERS, tasks, WORDS, WORDS, WORDS, NUMBERS, WORDS, WORDS,
        st.lists(WORDS, max_size=3).map(tuple),
    )  # fmt: skip
    return st.builds(
        Trace,
        target=WORDS,
        scenario=WORDS,
        scenario_text=WORDS,
        invariant=WORDS,
        function=WORDS,
        title=WORDS,
        message=WORDS,
        preemptions=NUMBERS,
        switches=st.lists(st.builds(Switch, st.none() | POINTS, tasks), max_size=3).map(tuple),
        choices=st.lists(st.builds(Choice, POINTS, NUMBERS), max_size=3).map(tuple),
        steps=st.lists(steps, max_size=8).map(tuple),
        patches=st.lists(st.builds(Patch, WORDS, st.text()), max_size=2).map(tuple),
        origin=st.lists(WORDS, max_size=2).map(tuple),
        memory=st.booleans(),
    )


@cache
def recorded(target: str, scenario: str, invariant: str) -> Trace:
    """A violation that is really there."""
    result = check_scenario(revision(target), SCENARIOS[scenario], schedules=60)
    finding = next(f for f in result.findings if f.violation.id == invariant)
    world, key = build(revision(target), SCENARIOS[scenario]), finding.violation.key
    return record(world, checks_for(world, key), finding.schedule, key)
