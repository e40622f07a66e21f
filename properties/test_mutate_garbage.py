# SPDX-License-Identifier: GPL-2.0-only
"""Mutants that make garbage of a value: what the kernel would do with it is the mutant's own."""

from __future__ import annotations

import pytest

from sgxmodel.machine.system import _dereference
from sgxmodel.mutate.catalogue import mutants_of
from sgxmodel.mutate.fate import Fate
from sgxmodel.mutate.judge import Job, Limits, judge
from sgxmodel.revisions import revision
from sgxmodel.scenario.catalogue import SCENARIOS

FIXED = revision("list_fixed")
NULL, STALL, PROMISE, END = "6-references", "14-progress", "promise", "20-end"
# Each took the tool down once.
GARBAGE = {
    # a call that returns before its first step
    "sgx_reclaim_pages:drop-statement:9254e4": ("young-close", PROMISE, "young"),
    "ksgxd:always:c729bd": ("poison-stall", STALL, "endless retry"),
    # a list with LIST_POISON1 in it
    "sgx_reclaimer_write:swap-statements:b6ee9b": ("x-exit-reclaim", "1-one-list", "linked"),
    # the data of a freed PCMD page
    "sgx_encl_put_backing:add-reference:bc5860": ("x-exit-reclaim", "8-evicted", "page 0"),
    # contents of an enclave page where PCMDs should be
    "sgx_reclaimer_write:add-reference:2c56f1": ("secs-touch", "8-evicted", "page 0"),
    "__sgx_encl_get_backing:arithmetic:705594": ("shrink-fails", "8-evicted", "page"),
    "__sgx_encl_get_backing:arithmetic:bf1855": ("signal-full", "8-evicted", ""),
    # an mm that is freed while a process lives in it
    "sgx_zap_enclave_ptes:always:a4fb36": ("fork-close", NULL, "of a living process is free"),
    # all memory is leaked
    "sgx_encl_get_backing_page:negate-condition:a5a70a": ("build-full", END, "are in use"),
    # a struct on the stack for a page, and an error code for such a struct
    "__sgx_encl_eldu:always:bc14f2": ("remove-full", NULL, "field flags"),
    "__sgx_encl_eldu:drop-exit:34767e": ("shrink-fails", NULL, "another type"),
    "__sgx_encl_eldu:off-by-one:abbba2": ("shrink-fails", NULL, "divide error in __sgx_encl_eldu"),
    # a swap entry, which is an xarray's value, for a page
    "sgx_encl_get_backing_page:drop-path:6dbe77": ("shrink-reclaim", NULL, "a swap entry"),
    # NULL charged to a memcg, which is no step
    "sgx_encl_get_backing_page:drop-exit:11dbcd": ("backing-fails", NULL, "NULL, field memcg"),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_kills_the_mutant_and_not_the_tool(name: str) -> None:
    scenario, by, title = GARBAGE[name]
    fn = FIXED.program.functions[name.partition(":")[0]].source
    mutant = next(m for m in mutants_of(fn) if m.id == name)
    changes = ((mutant.function, mutant.tree()),)
    one = SCENARIOS[scenario]
    job = Job(name, "list_fixed", changes, ((one, one.promises),), Limits(schedules=24))
    verdict = judge(job)
    assert verdict.fate is Fate.KILLED, verdict.why
    assert by in verdict.killed_by
    assert title in verdict.title


def test_an_error_code_taken_for_a_page_is_a_dereference() -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(-12, "flags")  # noqa: B009  # as model code does with an error code
    assert _dereference(caught.value) == "BUG: dereference of -12, field flags"


def test_an_object_of_the_tool_is_no_kernel_value() -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(Limits(), "flags")  # noqa: B009
    with pytest.raises(AttributeError):
        _dereference(caught.value)
