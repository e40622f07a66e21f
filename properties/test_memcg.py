# SPDX-License-Identifier: GPL-2.0-only
"""Who pays for backing pages (0c9782e204d3): derived from runs, and the operations alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from properties.bench import Bench
from sgxmodel.driver import backing
from sgxmodel.invariants.checks import Checks
from sgxmodel.kernel.memcg import (
    get_mem_cgroup_from_mm,
    mem_cgroup,
    mem_cgroup_charge,
    mem_cgroup_put,
    set_active_memcg,
)
from sgxmodel.kernel.mm import mm_struct
from sgxmodel.kernel.shmem import page
from sgxmodel.machine.edit import edited
from sgxmodel.revisions import Revision, revision
from sgxmodel.scenario.build import build
from sgxmodel.scenario.catalogue import SCENARIOS
from sgxmodel.search.check import Search
from sgxmodel.search.run import Runner

LIST_FIXED = revision("list_fixed")
EXIT, TASKS = SCENARIOS["memcg-exit"], SCENARIOS["shrink-reclaim"]


def payers(target: Revision, scenario: Any) -> Counter[tuple[str, str]]:
    """(task, memcg) -> how many backing pages the task allocated and the memcg pays for."""
    world = build(target, scenario)
    paid: Counter[tuple[str, str]] = Counter()

    class Watch(Checks):
        def operation(self, t: int, op: Any, result: Any, reads: Any, writes: Any) -> None:
            super().operation(t, op, result, reads, writes)
            if op[0].name == "shmem_add_to_page_cache" and result:
                new = op[1][2]
                paid[self.system.tasks[t].name, str(self.S[new.memcg])] += 1

    search = Search(Runner(world, Watch(world)), 0, scenario.name)
    search.go(60, None, None)
    return paid


def test_ksgxd_charges_the_enclave_and_itself_where_nobody_is_left() -> None:
    paid = payers(LIST_FIXED, EXIT)
    assert {who for task, who in paid if task == "ksgxd"} == {"memcg of A", "root memcg"}
    assert {who for task, who in paid if task == "T2"} <= {"memcg of A"}


def test_a_task_that_reclaims_pays_itself() -> None:
    """R is no task of the enclave: what it reclaims is its own to pay for."""
    assert set(payers(LIST_FIXED, TASKS)) == {("R", "root memcg")}


def test_without_the_active_memcg_the_enclave_never_pays() -> None:
    """0c9782e204d3 put back: ksgxd's allocations go to the root group."""
    alone = edited(
        backing.sgx_encl_alloc_backing,
        ("memcg = set_active_memcg(encl_memcg)", "memcg = None"),
    )
    paid = payers(LIST_FIXED.with_functions("U-memcg", {"sgx_encl_alloc_backing": alone}), EXIT)
    assert {who for task, who in paid if task == "ksgxd"} == {"root memcg"}


# -- the operations -----------------------------------------------------------------------


@pytest.fixture
def bench() -> Bench:
    return Bench()


def charged(bench: Bench) -> Any:
    p = bench.new(page)
    bench.run(mem_cgroup_charge, p)
    return bench.S[p.memcg]


def test_the_active_group_is_charged_until_the_old_one_is_set(bench: Bench) -> None:
    mm, other = bench.new(mm_struct, pte=1, young=1, pte_prot=1), bench.new(mem_cgroup)
    vars(mm)["memcg_of"] = other
    assert bench.run(get_mem_cgroup_from_mm, mm) is other
    old = bench.run(set_active_memcg, other)
    assert charged(bench) is other
    assert bench.run(set_active_memcg, old) is other
    assert charged(bench) is bench.memcg


def test_a_group_without_a_reference_is_not_charged(bench: Bench) -> None:
    bench.run(set_active_memcg, bench.run(get_mem_cgroup_from_mm, None))
    bench.run(mem_cgroup_put, bench.memcg)
    with bench.told("refcount", "charged after its reference was dropped"):
        charged(bench)
    with bench.refused("refcount", "never taken"):
        bench.run(mem_cgroup_put, bench.memcg)
