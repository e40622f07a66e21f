# SPDX-License-Identifier: GPL-2.0-only
"""Mutants that once lived, and what was missing: a scenario, a check or a step of the model."""

from __future__ import annotations

import pytest

from sgxmodel.mutate.catalogue import mutants_of
from sgxmodel.mutate.fate import Fate
from sgxmodel.mutate.judge import Job, Limits, judge
from sgxmodel.revisions import revision
from sgxmodel.scenario.catalogue import SCENARIOS

FIXED = revision("list_fixed")
STALL, LISTS, NULL, LOCKS = "14-progress", "1-one-list", "6-references", "17-lock-order"
# mutant: (scenario, invariant)
NOTICED = {
    # kthread_stop() waits for ksgxd, and a stop must not be missed
    "ksgxd:drop-condition:f7fc85": ("x-stop", LOCKS),
    "ksgxd:swap-statements:6190c3": ("x-stop", LOCKS),
    "ksgxd:swap-statements:bdb70f": ("x-stop", LOCKS),
    # ksgxd comes to rest
    "ksgxd:drop-wakeup:856132": ("ksgxd-rest", STALL),
    "ksgxd:drop-wakeup:84da47": ("ksgxd-rest", STALL),
    # nobody may block between prepare_to_wait() and schedule()
    "ksgxd:drop-wakeup:174c0c": ("ksgxd-rest", LOCKS),
    "ksgxd:swap-statements:a90ee5": ("ksgxd-rest", LOCKS),
    "ksgxd:swap-statements:3cf923": ("ksgxd-rest", LOCKS),
    # a resident page is tracked
    "sgx_encl_eaug_page:drop-statement:4334ff": ("eaug-eaug", LISTS),
    "__sgx_encl_load_page:drop-statement:1bc38d": ("fault-reclaim", LISTS),
    # ERR_PTR(0) is NULL
    "__sgx_alloc_epc_page:result:cb2d34": ("eaug-nomem", NULL),
    "sgx_encl_get_backing_page:result:cb2d34": ("backing-fails", NULL),
    "sgx_encl_page_alloc:result:cb2d34": ("create-fails", NULL),
    "sgx_alloc_va_page:result:da3cdf": ("epa-fails", NULL),
    # an error that lasts ends a fault
    "sgx_encl_eaug_page:always:649e2c": ("eaug-secs-nomem", STALL),
    "sgx_encl_eaug_page:always:649e2c-2": ("eaug-nomem", STALL),
    "sgx_encl_eaug_page:drop-exit:2cedb6": ("eaug-secs-freed", NULL),
    "sgx_eaug_grow_failed:always:506737": ("eaug-va-nomem", STALL),
    "sgx_eaug_grow_failed:result:bde659": ("eaug-va-nomem", STALL),
    "sgx_encl_eaug_page:result:bde659-2": ("touch-early", STALL),
    "sgx_vma_fault:result:bde659": ("fork-signal", STALL),
    # what EPA leaves behind
    "sgx_alloc_va_page:drop-exit:4aef1c": ("epa-fails", ""),
    "sgx_alloc_va_page:drop-statement:d28bfa": ("epa-fails", "20-end"),
    # an unmapped enclave's pages make room
    "sgx_encl_test_and_clear_young:result:6da276": ("unmapped-full", STALL),
    # cond_resched() under a spinlock
    "sgx_encl_release:widen-section:b0323a": ("x-close-reclaim", LOCKS),
    "sgx_encl_release:widen-section:dee04c": ("x-close-reclaim", LOCKS),
    # the neighbour in a PCMD page
    "reclaimer_writing_to_pcmd:off-by-one:abbba2": ("x-pcmd", "7-being-reclaimed"),
}


@pytest.mark.parametrize("name", NOTICED)
def test_a_mutant_that_lived_is_noticed(name: str) -> None:
    scenario, by = NOTICED[name]
    fn = FIXED.program.functions[name.partition(":")[0]].source
    mutant = next(m for m in mutants_of(fn) if m.id == name)
    small = (scenario,) if scenario.startswith("x-") else ()
    job = Job(
        name,
        "list_fixed",
        ((mutant.function, mutant.tree()),),
        ((SCENARIOS[scenario], ()),),
        Limits(schedules=100),
        small,
    )
    verdict = judge(job)
    assert verdict.fate is Fate.KILLED, verdict.why
    assert not by or by in verdict.killed_by, verdict.title
