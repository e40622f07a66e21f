# SPDX-License-Identifier: GPL-2.0-only
"""Whole scenarios of the model, every interleaving; and the names that make them close."""

from __future__ import annotations

import attrs
import pytest

from sgxmodel.hardware.names import SECRET, Names
from sgxmodel.invariants.checks import Checks
from sgxmodel.revisions import revision
from sgxmodel.revisions.replace import Replacement, replaced
from sgxmodel.scenario.build import build
from sgxmodel.scenario.catalogue import SCENARIOS
from sgxmodel.scenario.text import parse
from sgxmodel.search.exhaustive import explore_scenario, machine_of, replayed
from sgxmodel.search.explore.explorer import Explorer
from sgxmodel.search.explore.races import Races
from sgxmodel.search.run import Runner
from sgxmodel.search.schedule import Replay, Schedule
from sgxmodel.search.target import Plan, check_target
from sgxmodel.search.verdict import ScenarioResult, Verdict

CLOSED = (
    "x-eaug-eaug",
    "x-fault-reclaim",
    "x-fork-reclaim",
    "x-poison-reclaim",
    "x-remove-reclaim",
)
BROKEN = {
    "x-eaug-eaug": ("16-benign-race", 1),
    "x-fault-reclaim": ("1-one-list", 0),
    "x-remove-reclaim": ("3-tracked", 0),
    "x-poison-reclaim": ("1-one-list", 0),
}
"""What list_v2 breaks, and the fewest preemptions that it takes."""


def explore(name: str, scenario: str, reduction: bool) -> ScenarioResult:
    return explore_scenario(revision(name), SCENARIOS[scenario], reduction=reduction)


@pytest.mark.parametrize("reduction", [False, True])
@pytest.mark.parametrize("scenario", CLOSED)
def test_list_fixed_holds(scenario: str, reduction: bool) -> None:
    result = explore("list_fixed", scenario, reduction)
    assert (result.verdict, result.missing) == (Verdict.HOLDS, ())
    assert result.evidence.closed


@pytest.mark.parametrize("scenario", BROKEN)
def test_list_v2_is_violated_with_fewest_preemptions(scenario: str) -> None:
    (finding,) = explore("list_v2", scenario, False).findings
    assert (finding.violation.id, finding.preemptions) == BROKEN[scenario]


def test_a_space_that_is_cut_short_is_inconclusive() -> None:
    scenario = SCENARIOS["x-fault-reclaim"]
    result = explore_scenario(revision("list_fixed"), scenario, reduction=False, states=100)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "the limit of 100 states" in result.message


def test_renaming_is_idempotent_and_keeps_what_differs_apart() -> None:
    world = build(revision("list_fixed"), SCENARIOS["x-fault-reclaim"])
    names = Names(world.layout)
    explorer = Explorer(machine_of(world), reduction=False)
    explorer.run()
    graph = explorer.graph
    for row in {graph.row(state) for state in sorted(explorer.seen)[::50]}:
        again = list(row)
        names.canonical(again)
        assert tuple(again) == row
        shifted = list(row)
        for slot in names.versions:
            shifted[slot] += 7 if shifted[slot] else 0
        if not any(row[slot] for slot in names.data):
            names.canonical(shifted)
            assert tuple(shifted) == row


def test_code_is_watched_for_every_renamed_number() -> None:
    names = Names(build(revision("list_fixed"), SCENARIOS["x-fault-reclaim"]).layout)
    hidden = {kind for slot, kind in enumerate(names.kinds) if names.hides(slot)}
    assert hidden == SECRET


@pytest.mark.parametrize("reduction", [False, True])
def test_a_race_of_mainline_is_found_and_replayed(reduction: bool) -> None:
    world = build(revision("mainline"), SCENARIOS["x-poison-reclaim"])
    machine = machine_of(world)
    explorer = Explorer(machine, reduction=reduction, keep_going=True)
    explorer.run()
    race = Races(explorer, machine).find()
    assert race is not None
    (finding,) = replayed(world, race)
    assert finding.violation.key == ("18-data-race", "sgx_reclaim_pages")


@pytest.mark.parametrize("reduction", [False, True])
def test_who_waits_for_ever_is_found_without_ksgxd(reduction: bool) -> None:
    """P1: who waits for memory without ksgxd is excused, who waits for a lock is not."""
    (finding,) = explore("mainline", "peek-mmap", reduction).findings
    assert finding.violation.key == ("14-progress", "sgx_encl_reserve_page")
    assert explore("list_fixed", "peek-mmap", reduction).verdict is Verdict.HOLDS


def test_an_allocator_that_has_not_counted_its_page_yet_will_ask_ksgxd() -> None:
    """Two tasks want the last page: who gets none is told -EBUSY before the other asks."""
    world = build(revision("list_fixed"), SCENARIOS["build-full"])
    turns = ((0, 3), (3, 2), (34, 1), (37, 2), (39, 1), (52, 2), (119, 1), (120, 2), (135, 0),
             (158, 2), (162, 1), (176, 0), (190, 1))  # fmt: skip
    outcome = Runner(world, Checks(world)).run(Replay(Schedule(turns)))
    assert not outcome.found
    assert outcome.schedule.switches[: len(turns)] == turns


WAITS = """
scenario waits
epc 6
scan 1
enclave A 2
setup open A; create A; add A 0; add A 1; init A
task T1: touch A 0; touch A 0
task R: reclaim; reclaim; reclaim
"""


@pytest.mark.parametrize("reduction", [False, True])
def test_a_page_that_is_passed_over_again_and_again_is_found(reduction: bool) -> None:
    """With list_move() a page in use goes back to the head, before those that wait."""
    fixed = revision("list_fixed")
    unfair = replaced(fixed, (Replacement.parse("sgx_epc_move_reclaimable=list_move"),))
    result = explore_scenario(unfair, parse(WAITS), reduction=reduction)
    assert {f.violation.key for f in result.findings} == {("14-progress", "__sgx_reclaim_pages")}
    assert explore_scenario(fixed, parse(WAITS), reduction=reduction).verdict is Verdict.HOLDS


def test_an_interrupt_gives_the_evidence_so_far_and_ends_the_check() -> None:
    told: list[str] = []

    def tell(how_far: str) -> None:
        told.append(how_far)
        if len(told) == 5:
            raise KeyboardInterrupt

    plan = Plan(
        "list_fixed", (SCENARIOS["x-fault-reclaim"], SCENARIOS["eaug-eaug"]), exhaustive=True
    )
    checked = check_target(plan, tell)
    first = next(checked)
    assert first.result.verdict is Verdict.INCONCLUSIVE
    assert "an interrupt ended the search after" in first.result.message
    assert " states, " in told[0]
    with pytest.raises(KeyboardInterrupt):
        next(checked)


def test_a_promise_out_of_reach_is_said_to_be() -> None:
    scenario = attrs.evolve(SCENARIOS["eaug-eaug"], promises=("a page was removed",))
    result = explore_scenario(revision("list_fixed"), scenario)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.message == "promised but out of reach in this scenario: a page was removed"


def test_a_closed_space_says_what_it_cannot_reach_and_what_that_would_need() -> None:
    result = explore_scenario(revision("list_fixed"), SCENARIOS["x-eaug-eaug"])
    assert result.verdict is Verdict.HOLDS
    never = dict(result.unreached)
    assert never["an enclave grew by a VA page"] == "ksgxd, as eaug-va has"
    assert "reclaim" in never["the SECS was loaded back"].split(", as ")[0].split(", ")
    assert not set(never) & {what for what, count in result.sometimes.items() if count}
    # Functions that did not run are not talked about.
    assert "a fault in a child that could not be added to the mm list" in never
    assert "an IPI found a CPU inside the enclave" not in never


def test_what_did_not_close_says_nothing_of_reach() -> None:
    result = explore_scenario(revision("list_fixed"), SCENARIOS["x-eaug-eaug"], states=50)
    assert result.unreached == ()
