# SPDX-License-Identifier: GPL-2.0-only
"""Which revisions can be told apart, and by what."""

from __future__ import annotations

import pytest

from properties.faults import FAULTS
from sgxmodel.driver import encl
from sgxmodel.errors import LinkError
from sgxmodel.machine.edit import with_body
from sgxmodel.revisions import Revision, revision
from sgxmodel.revisions.replace import Replacement, replaced
from sgxmodel.scenario.catalogue import SCENARIOS
from sgxmodel.scenario.model import Scenario
from sgxmodel.scenario.sequences import CALLS, sequences
from sgxmodel.search.compare import (
    Answer,
    Bound,
    Different,
    Equivalent,
    Inconclusive,
    compare,
    parts,
)

SMALL = tuple(s for s in SCENARIOS.values() if s.small)
TOUCHED = tuple(
    s
    for s in sequences(3)
    if [str(s.tasks[0].calls[i]) for i in (0, 2)] == ["touch A 0", "reclaim"]
)
"""A sample: three calls, of which the last is a pass."""


def edit(text: str) -> Revision:
    return replaced(revision("list_v2"), (Replacement.parse(text),))


def against(text: str, scenarios: tuple[Scenario, ...], base: str = "list_v2") -> Answer:
    return compare(revision(base), edit(text), scenarios)


@pytest.mark.parametrize(
    "text",
    [
        "sgx_epc_move_reclaimable=list_move_tail",
        "__sgx_epc_page_list_peek=list_first_entry_or_null",
        "sgx_epc_peek_reclaimable=list_first_entry_or_null",
    ],
)
def test_a_helper_of_the_patch_can_be_replaced(text: str) -> None:
    answer = against(text, (*TOUCHED, *SMALL))
    assert isinstance(answer, Equivalent)
    assert len(answer.scenarios) == len(TOUCHED) + len(SMALL)


def test_a_move_to_the_head_is_seen_after_three_calls() -> None:
    answer = against("sgx_epc_move_reclaimable=list_move", (*SMALL, *TOUCHED))
    assert isinstance(answer, Different)
    assert [str(c) for t in answer.scenario.tasks for c in t.calls] == [
        "touch A 0",
        "touch A 1",
        "reclaim",
    ]
    assert dict(answer.event)["reclaimable"] == "epc2, epc3"
    assert [dict(e)["reclaimable"] for e in answer.instead] == ["epc3, epc2"]
    assert len(answer.runs) == 2
    for name, run in answer.runs:
        moved = [s for s in run.steps if s.text.startswith("list_move") and "iso" in str(s.changes)]
        back = [s.text.partition("(")[0] for s in moved if "-> reclaimable" in str(s.changes)]
        assert back == ["list_move" if "with" in name else "list_move_tail"] * 2


def test_nothing_is_found_by_two_calls() -> None:
    answer = against("sgx_epc_move_reclaimable=list_move", tuple(sequences(2)))
    assert isinstance(answer, Equivalent)


def test_a_target_is_compared_with_itself_in_full() -> None:
    answer = compare(revision("list_fixed"), revision("list_fixed"), SMALL)
    assert isinstance(answer, Equivalent)
    for one in answer.scenarios:
        # Of x-stop there is little: ksgxd sleeps, and is told to stop.
        states, events = (100, 5) if one.scenario.name == "x-stop" else (500, 9)
        assert one.states[0] == one.states[1] > states
        assert one.events > events


def test_a_known_fault_can_be_seen() -> None:
    """U17 frees a page by hand, so the free list has another order."""
    answer = compare(revision("list_fixed"), FAULTS["U17"].revision(), SMALL)
    assert isinstance(answer, Different)
    assert [name for name, _ in answer.event] == ["free"]


def test_a_race_is_told_apart_by_two_tasks_only() -> None:
    """K2: the loser of two faults on one page dies; one task alone never meets that."""
    fixed = revision("list_fixed")
    fault = fixed.with_functions("K2", {"sgx_eaug_insert_failed": encl.sgx_eaug_insert_failed})
    assert isinstance(compare(fixed, fault, tuple(sequences(2))), Equivalent)
    answer = compare(fixed, fault, (SCENARIOS["x-eaug-eaug"],))
    assert isinstance(answer, Different)
    assert (answer.only, len(answer.scenario.tasks)) == ("K2", 2)
    assert any("SIGBUS" in value for _, value in answer.event)


def test_what_cannot_be_seen_is_no_difference() -> None:
    """One more look at a page under the lock."""
    base = revision("list_v2")
    old = base.program.functions["__sgx_epc_page_list_move"].source
    new = with_body(old, "flags = page.flags\nif flags:\n    pass\nlist_move_tail(page.list, list)")
    other = base.with_functions("nosy", {old.name: new})
    assert isinstance(compare(base, other, TOUCHED), Equivalent)


def test_a_kernel_that_stops_is_seen() -> None:
    base = revision("list_v2")
    old = base.program.functions["sgx_epc_move_reclaimable"].source
    gone = base.with_functions("gone", {old.name: with_body(old, "page.owner.flags = 0")})
    answer = compare(base, gone, TOUCHED)
    assert isinstance(answer, Different)
    assert any(name.startswith("the kernel warns") for e in answer.instead for name, _ in e)


def test_the_bound_is_said() -> None:
    same = revision("list_fixed")
    answer = compare(same, same, (*TOUCHED[:2], *SMALL), Bound(states=1000))
    assert isinstance(answer, Inconclusive)
    assert "the limit of 1000 states" in answer.why
    assert len(answer.scenarios) == 2


def test_parts_of_a_scenario_come_fewest_calls_first() -> None:
    scenario = SCENARIOS["x-remove-reclaim"]
    sizes = [sum(len(t.calls) for t in part.tasks) for part in parts(scenario)]
    assert sizes == sorted(sizes)
    assert len(sizes) == 2**4 - 2


def test_sequences_are_all() -> None:
    assert len(list(sequences(2))) == len(CALLS) ** 2
    assert not list(sequences(0))


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a=b",
        "sgx_drop_epc_page=nothing_such",
        "sgx_epc_move_reclaimable=list_del",
        "sgx_drop_epc_page=sgx_reclaim_pages",
        "__sgx_epc_page_list_move=sgx_epc_move_reclaimable",
        "sgx_drop_epc_page=sgx_drop_epc_page",
    ],
)
def test_what_does_not_fit_is_said(text: str) -> None:
    with pytest.raises(LinkError):
        edit(text)


def test_a_function_is_replaced_once() -> None:
    one = Replacement("sgx_epc_move_reclaimable", "list_move")
    with pytest.raises(LinkError):
        replaced(revision("list_v2"), (one, one))
