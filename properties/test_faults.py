# SPDX-License-Identifier: GPL-2.0-only
"""Every known fault, put back, is found by the scenarios that everybody runs."""

from __future__ import annotations

import attrs
import pytest

from properties.faults import FAULTS, KnownFault
from properties.faults_mm import MEMORY_FAULTS
from sgxmodel.revisions import revision
from sgxmodel.scenario.catalogue import SCENARIOS
from sgxmodel.scenario.text import parse
from sgxmodel.search.check import check_scenario


def kinds(fault: KnownFault, scenario: str, seed: int) -> set[str]:
    result = check_scenario(
        fault.revision(),
        SCENARIOS[scenario],
        schedules=600,
        seed=seed,
        shrink=False,
        stop_at=fault.invariants,
    )
    return {f.violation.id for f in result.findings}


ALL = FAULTS | MEMORY_FAULTS


@pytest.mark.parametrize("fault", ALL.values(), ids=ALL)
def test_known_fault_is_found(fault: KnownFault) -> None:
    found: set[str] = set()
    for scenario in fault.scenarios:
        found |= kinds(fault, scenario, seed=0)
        if found & set(fault.invariants):
            break
    assert found & set(fault.invariants), f"{fault.about}: found only {sorted(found)}"


@pytest.mark.parametrize(
    ("target", "scenario", "invariant", "function"),
    [
        ("list_v2", "eaug-eaug-reclaim", "14-progress", "__sgx_reclaim_pages"),  # F1, F2
        ("list_v2", "poison-close", "18-data-race", "sgx_drop_epc_page"),  # F3
        ("list_v2", "fault-reclaim", "1-one-list", "sgx_free_epc_page"),  # F5
        ("mainline", "eaug-eaug", "16-benign-race", "sgx_vma_fault"),  # K2
        ("mainline", "poison-stall", "11-free-count", "arch_memory_failure"),  # M3
        ("mainline", "poison-stall", "14-progress", "sgx_vma_fault"),  # its stall
        ("mainline", "remove-reclaim", "6-references", "sgx_reclaim_pages"),  # R1
        ("mainline", "exhausted", "15-errno", "sgx_alloc_epc_page"),  # R2
        ("mainline", "eextend-fails", "9-child-count", "sgx_encl_release"),  # E1
        ("mainline", "mmap-fails", "20-end", "sgx_encl_release"),  # N1
        ("mainline", "fork-fails", "13-mappings", "__sgx_encl_ewb"),  # N2
        ("mainline", "fork-signal", "6-references", "sgx_encl_may_map"),  # N3
        ("mainline", "exit-close", "17-lock-order", "sgx_encl_release"),  # N4
        ("mainline", "fork-reclaim", "18-plain-read", "sgx_zap_enclave_ptes"),  # N5
    ],
)
def test_fault_of_a_revision_is_found(
    target: str, scenario: str, invariant: str, function: str
) -> None:
    result = check_scenario(revision(target), SCENARIOS[scenario], schedules=300, shrink=False)
    assert (invariant, function) in {f.violation.key for f in result.findings}


def test_who_waits_for_a_mutex_gets_it() -> None:
    """A false alarm once: two faults retry, one has encl->lock whenever ksgxd looks."""
    where = SCENARIOS["eaug-secs"]
    result = check_scenario(revision("list_fixed"), where, schedules=60, seed=5, shrink=False)
    assert not result.findings


LEAK = """
scenario leak
epc 3
scan 1
high 1
enclave A 2
fail eremove 1
setup open A
setup create A
setup add A 0 reg
setup init A
setup modify A 0 trim
setup accept A 0
task T1: remove A 0
task T2: reclaim
"""


def test_a_child_that_was_leaked_is_still_a_child() -> None:
    """A false alarm once: EREMOVE refused it, the driver warned, the EPCM has it for good."""
    result = check_scenario(revision("list_fixed"), parse(LEAK), schedules=100, shrink=False)
    assert not result.findings
    assert result.sometimes["EREMOVE failed, the page is leaked"]


STAYS_DIRTY = """
scenario stays-dirty
epc 8
boot secs secs reg
ksgxd
enclave A 4
fail eremove 1
setup open A; create A; init A
task T1: reclaim
"""


def test_a_page_that_resists_both_passes_at_boot_is_leaked_loudly() -> None:
    """A false alarm once: the child resists, its SECS is still dirty, ksgxd() warns."""
    where = parse(STAYS_DIRTY)
    result = check_scenario(revision("list_fixed"), where, schedules=100, shrink=False)
    assert not result.findings
    silent = attrs.evolve(where, fail=())
    assert not check_scenario(revision("list_fixed"), silent, schedules=100).findings
