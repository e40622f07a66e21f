# SPDX-License-Identifier: GPL-2.0-only
"""Each change of list_fixed is needed: taken back alone, an invariant fails.

What each does and why is in sgxmodel/revisions/list_fixed/README.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from properties.faults import PASS
from sgxmodel.machine.edit import edited
from sgxmodel.machine.program import functions_of
from sgxmodel.revisions import Revision, list_fixed, revision
from sgxmodel.revisions.list_fixed import fixes
from sgxmodel.scenario.catalogue import SCENARIOS
from sgxmodel.search.check import check_scenario

FIXED = functions_of(fixes)
ABOUT = Path(list_fixed.__file__).with_name("README.md").read_text(encoding="utf-8")


@attrs.frozen
class Change:
    """One change: the function that it is in, and what fails without it.

    ``edit``: of a function with several changes, the one to take back; without it the whole
    function is list_v2's again.
    """

    id: str
    function: str
    invariant: str
    scenario: str
    edit: tuple[tuple[str, str], ...] = ()

    def taken_back(self) -> Revision:
        """list_fixed without this change."""
        fn: Any
        if self.edit:
            fn = edited(FIXED[self.function], *self.edit)
        else:
            fn = revision("list_v2").program.functions[self.function].source
        return revision("list_fixed").with_functions(f"without {self.id}", {self.function: fn})


CHANGES = [
    Change("F1", "track_page", "14-progress", "eaug-eaug-reclaim"),
    Change("F3, drop", "sgx_drop_epc_page", "18-data-race", "poison-close"),
    Change("F3, pass", PASS, "18-data-race", "poison-reclaim", (
        ("    epc_page.flags &= ~ALL_FLAGS\n    unisolated(epc_page)\n"
         "    spin_unlock(sgx_global_lru.lock)\n",
         "    unisolated(epc_page)\n    spin_unlock(sgx_global_lru.lock)\n"
         "    epc_page.flags &= ~ALL_FLAGS\n"),
    )),
    Change("F5", PASS, "1-one-list", "fault-reclaim", (
        ("    list_del_init(epc_page.list)\n    epc_page.flags &= ~ALL_FLAGS",
         "    epc_page.flags &= ~ALL_FLAGS"),
    )),
    Change("R1, written", PASS, "6-references", "remove-reclaim", (
        ("    i += 1\n    encl_put(encl)", "    i += 1\n    encl_put(encl_page.encl)"),
    )),
    Change("R1, skipped", PASS, "18-plain-read", "remove-reclaim", (
        ("    atomic_long_dec(sgx_nr_isolated)\n    encl_put(encl)",
         "    atomic_long_dec(sgx_nr_isolated)\n    encl_put(encl_page.encl)"),
    )),
    Change("R2, look", "sgx_alloc_epc_page", "15-errno", "exhausted"),
    Change("R2, isolated", "sgx_epc_exhausted", "15-errno", "exhausted", (
        ("atomic_long_read(sgx_nr_isolated) == 0", "True"),
    )),
    Change("R2, free", "sgx_epc_exhausted", "15-errno", "exhausted", (
        ("atomic_long_read(sgx_nr_free_pages) == 0", "True"),
    )),
    Change("M3, freed", "sgx_free_epc_page", "11-free-count", "poison-close"),
    Change("M3, free", "sgx_poison_free", "11-free-count", "poison-stall"),
    Change("D1", "sgx_page_is_free", "18-plain-read", "poison-reclaim"),
    Change("K2", "sgx_eaug_insert_failed", "16-benign-race", "eaug-eaug"),
    Change("K3", "sgx_fault_load_failed", "16-benign-race", "remove-touch"),
    Change("R3, mark", "sgx_encl_announce_removal", "13-mappings", "remove-touch"),
    Change("R3, look", "sgx_encl_page_busy", "13-mappings", "remove-touch"),
    Change("N1", "sgx_mm_add_failed", "20-end", "mmap-fails"),
    Change("N2", "sgx_vma_open_failed", "13-mappings", "fork-fails"),
    Change("N3", "sgx_vma_mprotect", "6-references", "fork-signal"),
    Change("N4, put", "sgx_mmu_notifier_put", "20-end", "exit-close"),
    Change("N4, free", "sgx_mmu_notifier_free", "6-references", "exit-close"),
    Change("N5, write", "sgx_mm_list_changed", "18-plain-read", "fork-reclaim"),
    Change("N5, read", "sgx_mm_list_version", "18-plain-read", "fork-reclaim"),
    Change("S1", "sgx_dirty_page_is_bad", "10-epcm", "boot-sanitize"),
    Change("E1", "sgx_encl_undo_add", "9-child-count", "eextend-fails"),
    Change("V1", "sgx_vepc_retry_zombies", "20-end", "x-vepc-close"),
    Change("P1", "sgx_reserve_again", "14-progress", "peek-mmap"),
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda c: c.id)
def test_without_the_change_an_invariant_fails(change: Change) -> None:
    result = check_scenario(
        change.taken_back(),
        SCENARIOS[change.scenario],
        schedules=600,
        shrink=False,
        stop_at={change.invariant},
    )
    assert change.invariant in {f.violation.id for f in result.findings}


def test_every_function_of_list_fixed_is_taken_back() -> None:
    helpers = {"fixed_flags_of"}
    assert {change.function for change in CHANGES} == set(FIXED) - helpers


@pytest.mark.parametrize("change", CHANGES, ids=lambda c: c.id)
def test_every_change_is_explained(change: Change) -> None:
    assert f"**{change.id.partition(',')[0]}**" in ABOUT
    assert f"{change.function}()" in ABOUT
