# SPDX-License-Identifier: GPL-2.0-only
"""Every pair of calls is made at a time by some scenario, and the table of it is right."""

from __future__ import annotations

from itertools import combinations_with_replacement

import pytest

from sgxmodel.invariants.checks import Checks
from sgxmodel.revisions import revision
from sgxmodel.scenario.build import build
from sgxmodel.scenario.catalogue import ALL, PAIRS
from sgxmodel.scenario.coverage import pairs_of, race_coverage
from sgxmodel.scenario.model import VERBS
from sgxmodel.scenario.pairs import ALONE, LAST
from sgxmodel.scenario.text import format, parse
from sgxmodel.search.check import check_scenario
from sgxmodel.search.run import Runner
from sgxmodel.search.schedule import Replay, Schedule
from sgxmodel.search.verdict import Verdict

LIST_FIXED = revision("list_fixed")
TWO = parse("""
scenario two
epc 6
enclave A 2
setup open A; create A; add A 0; add A 1; init A
task T1: touch A 0
task T2: reclaim; touch A 1
""")


def test_every_pair_of_calls_is_made_by_some_scenario() -> None:
    made = {pair for scenario in ALL.values() for pair in pairs_of(scenario)}
    together = [verb for verb in VERBS if verb not in ALONE]
    wanted = {(min(p), max(p)) for p in combinations_with_replacement([*together, "ksgxd"], 2)} - {
        ("ksgxd", "ksgxd")
    }
    assert wanted <= made


def test_a_call_that_races_with_few_is_in_a_scenario_of_its_own() -> None:
    verbs = {call.verb for scenario in ALL.values() for t in scenario.tasks for call in t.calls}
    assert set(ALONE) <= verbs


@pytest.mark.parametrize("name", PAIRS)
def test_a_pair_scenario_is_text_like_any_other(name: str) -> None:
    assert parse(format(PAIRS[name])) == PAIRS[name]


@pytest.mark.parametrize(
    ("switches", "overlaps"),
    [
        ((), set()),
        (((1, 1),), {("reclaim", "touch"), ("touch", "touch")}),
    ],
)
def test_calls_overlap_if_both_made_a_step(
    switches: tuple[tuple[int, int], ...], overlaps: set[tuple[str, str]]
) -> None:
    world = build(LIST_FIXED, TWO)
    checks = Checks(world)
    Runner(world, checks).run(Replay(Schedule(switches)))
    assert set(checks.overlaps.seen) == overlaps


def test_a_pair_that_never_raced_is_named() -> None:
    rows = {(r.name, r.outcome): r for r in race_coverage([TWO], {("reclaim", "touch"): 3})}
    assert rows["reclaim", "touch"].count == 3
    assert (rows["touch", "touch"].count, rows["touch", "touch"].why) == (0, "")


def test_one_preempted_call_races_with_all_of_the_other_task() -> None:
    """But for what comes last: ``pair-close`` and the like are for that."""
    result = check_scenario(LIST_FIXED, PAIRS["pair-touch"], shrink=False)
    mine = {pair for pair in pairs_of(PAIRS["pair-touch"]) if "touch" in pair}
    assert {pair for pair in mine if not set(pair) & set(LAST)} <= set(result.raced)


def test_a_guest_whose_epc_is_closed_under_it_is_no_benign_race() -> None:
    """Its leaf faults (#PF) where a call after the close is refused (-EBADF)."""
    result = check_scenario(LIST_FIXED, PAIRS["pair-vepc-close"], shrink=False)
    assert result.verdict is Verdict.PASSED, result.findings
    assert result.raced["guest-ecreate", "vepc-close"]


def test_a_page_with_bad_memory_need_not_be_tracked() -> None:
    """arch_memory_failure() takes it off the list, and it stays resident."""
    result = check_scenario(revision("mainline"), PAIRS["pair-poison"], shrink=False)
    assert not [f for f in result.findings if f.violation.id == "1-one-list"]
