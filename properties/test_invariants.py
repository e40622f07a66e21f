# SPDX-License-Identifier: GPL-2.0-only
"""Each invariant is proved by a fault that violates it, and its path is walked without one."""

from __future__ import annotations

from functools import cache
from typing import Any

import attrs
import pytest

from properties.faults import FAULTS
from properties.faults_mm import MEMORY_FAULTS
from sgxmodel.driver import encl, main
from sgxmodel.invariants.catalogue import INVARIANTS
from sgxmodel.kernel.list import list_move
from sgxmodel.machine.edit import edited
from sgxmodel.revisions import Revision, revision
from sgxmodel.revisions.list_fixed import fixes
from sgxmodel.revisions.list_v2 import lru
from sgxmodel.scenario.catalogue import SCENARIOS
from sgxmodel.scenario.text import parse
from sgxmodel.search.check import check_scenario
from sgxmodel.search.verdict import ScenarioResult

alloc = getattr(main, "__sgx_alloc_epc_page_from_node")
eldu = getattr(encl, "__sgx_encl_eldu")
move = getattr(lru, "__sgx_epc_page_list_move")


@attrs.frozen(eq=False)
class Proof:
    """An edit of list_fixed that violates an invariant, where, and what shows the path."""

    id: str
    scenario: str
    companion: str
    functions: dict[str, Any]

    def revision(self) -> Revision:
        return revision("list_fixed").with_functions(self.id, self.functions)


def fault(name: str, companion: str) -> tuple[str, str, dict[str, Any]]:
    known = (FAULTS | MEMORY_FAULTS)[name]
    return known.scenarios[0], companion, known.functions


def edit(scenario: str, companion: str, fn: Any, *changes: tuple[str, str], **names: Any) -> Any:
    return scenario, companion, {fn.name: edited(fn, *changes, **names)}


OUT, IN = "a page was written out", "a page was loaded back"
PROOFS = [
    Proof(name, *how)
    for name, how in {
        "2-free-flags": edit("fault-reclaim", IN, alloc, ("page.flags = 0", "pass")),
        "3-tracked": edit(
            "fault-reclaim", OUT, lru.sgx_record_epc_page,
            ("page.flags |= flags", "page.flags |= flags & ~1"),
        ),
        "5-in-progress": edit(
            "remove-reclaim", "-EBUSY: the page to untrack is isolated", fixes.sgx_drop_epc_page,
            ("page.flags & SGX_EPC_PAGE_RECLAIMER_TRACKED and", "False and"),
        ),
        "6-references": fault("P1", "the reclaimer met a dying enclave"),
        "7-being-reclaimed": fault("U1", "an empty PCMD page was kept for the reclaimer"),
        "8-evicted": edit(
            "fault-reclaim", IN, eldu,
            ("truncate_backing_page(encl, page_index)", "truncate_backing_page(encl, 1)"),
        ),
        "9-child-count": edit(
            "fault-reclaim", "the SECS was written out", main.sgx_reclaimer_write,
            ("encl.secs_child_cnt -= 1", "pass"),
        ),
        "10-epcm": fault("U25", "EREMOVE failed, the page is leaked"),
        "11-free-count": fault("U6", "allocation went to another node"),
        "12-va-slots": edit(
            "fault-reclaim", OUT, encl.sgx_free_va_slot,
            ("clear_bit(offset >> 3, va_page.bitmap)", "pass"),
        ),
        "13-mappings": fault("first-mm-zapped", "a process was forked"),
        "14-progress": edit(
            "young-rotation", "a page was skipped as young", move,
            ("list_move_tail(page.list, list)", "list_move(page.list, list)"), list_move=list_move,
        ),
        "15-errno": fault("U16", "EAUG had to retry for want of a VA page"),
        "17-lock-order": edit(
            "fault-reclaim", OUT, main.sgx_reclaimer_block,
            ("sgx_zap_enclave_ptes(encl, index)\nmutex_lock(encl.lock)",
             "mutex_lock(encl.lock)\nsgx_zap_enclave_ptes(encl, index)"),
        ),
        "19-tracking": edit(
            "ipi", "an IPI found a CPU inside the enclave", main.sgx_encl_ewb,
            ("on_each_encl_cpu(encl)", "pass"),
        ),
        "20-end": edit(
            "fault-reclaim-close", "an enclave was released", encl.sgx_encl_release,
            ("kfree(entry)", "pass"),
        ),
    }.items()
]  # fmt: skip
OF_A_REVISION = {
    "1-one-list": ("list_v2", "fault-reclaim", OUT),
    "16-benign-race": ("mainline", "eaug-eaug", "a page was accepted already"),
    "18-data-race": ("list_v2", "poison-close", "a page in use was poisoned"),
    "18-plain-read": ("list_v2", "poison-reclaim", "a page in use was poisoned"),
}
ELSEWHERE = {
    "4-unreclaimable": ("create-fails", "an enclave grew by a VA page"),
    "U21": ("boot-sanitize", "a page was sanitised"),
    "S33": ("fault-reclaim", "a page was loaded back"),
}
"""The paths of what is put back elsewhere: at the end of this file, and in faults_calls.py."""


def kinds(target: Revision, scenario: str, wanted: str) -> set[str]:
    result = check_scenario(
        target, SCENARIOS[scenario], schedules=300, shrink=False, stop_at={wanted}
    )
    return {f.violation.id for f in result.findings}


@cache
def clean(scenario: str) -> ScenarioResult:
    return check_scenario(revision("list_fixed"), SCENARIOS[scenario], schedules=300)


@pytest.mark.parametrize("proof", PROOFS, ids=lambda p: p.id)
def test_a_fault_violates_the_invariant(proof: Proof) -> None:
    assert proof.id in kinds(proof.revision(), proof.scenario, proof.id)


@pytest.mark.parametrize("invariant", OF_A_REVISION)
def test_a_revision_violates_the_invariant(invariant: str) -> None:
    target, scenario, _ = OF_A_REVISION[invariant]
    assert invariant in kinds(revision(target), scenario, invariant)


@pytest.mark.parametrize(
    ("scenario", "companion"),
    sorted(
        {(p.scenario, p.companion) for p in PROOFS}
        | {v[1:] for v in OF_A_REVISION.values()}
        | set(ELSEWHERE.values())
    ),
)
def test_its_path_is_walked_and_holds(scenario: str, companion: str) -> None:
    result = clean(scenario)
    assert not result.findings
    assert result.sometimes.get(companion)


def test_every_invariant_has_a_proof() -> None:
    proved = {p.id for p in PROOFS} | set(OF_A_REVISION)
    # The next test has the first one; the other is of trees only (properties/tree/test_cell.py).
    assert set(INVARIANTS) - proved == {"4-unreclaimable", "21-system-call"}


def test_a_va_page_on_the_reclaimable_list_is_noticed() -> None:
    target = revision("list_fixed").with_functions(
        "va", {"track_page": edited(fixes.track_page, ("fixed_flags_of(kind)", "17"))}
    )
    assert "4-unreclaimable" in kinds(target, "create-fails", "4-unreclaimable")


FALSE_ALARM = """
scenario retyped-page-waits-anew
epc 7
scan 1
high 1
enclave A 4
enclave B 4
setup open A; create A; init A; open B; create B; add B 0; init B; accept B 1; accept B 2
task T1: modify B 1 tcs
task T2: reclaim
task T3: reclaim
"""


def test_a_page_that_left_the_list_waits_anew() -> None:
    # The count of who passed a page over was kept while the page was off the list.
    result = check_scenario(revision("list_fixed"), parse(FALSE_ALARM), schedules=40)
    assert not result.findings


def test_who_parts_counter_and_lists_is_blamed_not_who_allocates_meanwhile() -> None:
    # A page turned bad in the middle of another task's allocation, which was named.
    result = check_scenario(revision("mainline"), SCENARIOS["vepc-fails"], shrink=False)
    found = {f.violation.function for f in result.findings if f.violation.id == "11-free-count"}
    assert found == {"arch_memory_failure", "sgx_free_epc_page"}
