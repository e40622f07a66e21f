# SPDX-License-Identifier: GPL-2.0-only
"""CPUs, TLBs and PTEs around the leaves."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from properties.bench import Epc, examples
from sgxmodel.hardware import enclu, mmu
from sgxmodel.hardware.encls import (
    EBLOCK,
    ECREATE,
    EPA,
    EREMOVE,
    ETRACK,
)
from sgxmodel.hardware.enclu import EACCEPT, EEXIT, enclave_access
from sgxmodel.hardware.epcm import (
    PT_REG,
    PT_TCS,
)
from sgxmodel.hardware.mmu import (
    load_mm,
    mm_cpumask,
    on_each_cpu_mask,
    ptep_test_and_clear_young,
    set_pte,
    unload_mm,
    zap_vma_ptes,
)

cpus = st.sets(st.integers(0, 2))


@given(inside=cpus, mask=cpus)
@examples(40)
def test_an_ipi_throws_out_who_gets_it(inside: set[int], mask: set[int]) -> None:
    m = Epc()
    _, p = m.enclave()
    for cpu in inside:
        m.enter(p, cpu)
    hit = m.run(on_each_cpu_mask, tuple(m.tasks[t] for t in sorted(mask)))
    assert hit == bool(inside & mask)
    assert m.inside() == inside - mask


@given(inside=cpus, loaded=cpus, mapped=st.booleans())
@examples(60)
def test_a_zap_throws_out_who_has_the_mm(inside: set[int], loaded: set[int], mapped: bool) -> None:
    m = Epc()
    _, door, p = m.enclave(PT_REG, PT_REG)
    if mapped:
        m.map(p)
    for cpu in inside:
        m.enter(door, cpu)
    for cpu in range(3):
        m.run(load_mm if cpu in loaded else unload_mm, *([m.mm] * (cpu in loaded)), by=cpu)
    assert set(m.run(mm_cpumask, m.cpu.cpus, m.mm)) == {m.tasks[t] for t in loaded}
    m.run(zap_vma_ptes, m.cpu.cpus, m.mm, 1)
    assert m.S[m.mm.pte + 1] is None
    assert m.S[m.mm.pte] is (door if inside else None)
    assert m.inside() == (inside - loaded if mapped else inside)


@given(st.lists(st.sampled_from(["set", "touch", "exit", "test", "zap"]), max_size=12))
@examples(60)
def test_the_accessed_bit_is_set_by_walks_and_new_ptes(steps: list[str]) -> None:
    m = Epc()
    _, p = m.enclave()
    m.run(load_mm, m.mm)
    mapped = young = cached = False
    for step in steps:
        if step == "set":
            m.run(set_pte, m.mm, 0, p, "rw")
            mapped, young = True, young or not mapped
        elif step == "touch":
            assert m.run(enclave_access, m.mm, 0) == (enclu.OK if mapped else enclu.PAGE_FAULT)
            young, cached = mapped and (young or not cached), mapped
        elif step == "exit":
            m.run(EEXIT)
            cached = False
        elif step == "test":
            assert m.run(ptep_test_and_clear_young, m.mm, 0) == young
            young = False
        else:
            m.run(zap_vma_ptes, m.cpu.cpus, m.mm, 0)
            mapped = young = cached = False
        assert bool(m.S[m.mm.young]) == young
        assert bool(m.S[m.tasks[0].tlb]) == cached


def test_a_pte_that_is_there_stays() -> None:
    m = Epc()
    _, p, later = m.enclave(PT_REG, PT_REG)
    m.map(p)
    m.run(set_pte, m.mm, 0, later, "rw")
    assert m.S[m.mm.pte] is p


def test_a_tlb_hit_tests_nothing_but_a_stale_one_is_told() -> None:
    m = Epc()
    _, p = m.enclave()
    m.enter(p)
    m.ok(EBLOCK, p)
    assert m.run(enclave_access, m.mm, 0) == enclu.OK
    m.put(p, linaddr=1)
    with m.told("bad-mapping", "the TLB of T0"):
        m.run(enclave_access, m.mm, 0)
    assert m.inside() == set()


def test_a_stale_pte_outside_every_mapping_is_a_fault() -> None:
    # munmap() takes the VMA from the tree, then clears the PTEs.
    m = Epc()
    _, p = m.enclave()
    m.map(p)
    m.ok(EREMOVE, p)
    m.S[m.mm.mm_mt] = ()
    assert m.run(enclave_access, m.mm, 0) == enclu.PAGE_FAULT


def test_a_read_only_mapping_refuses_a_write() -> None:
    m = Epc()
    _, p = m.enclave()
    m.run(set_pte, m.mm, 0, p, "r")
    assert m.run(enclave_access, m.mm, 0) == enclu.PAGE_FAULT


def test_an_access_keeps_the_epoch_of_the_entry() -> None:
    m = Epc()
    secs, p = m.enclave()
    cpu = m.tasks[0]
    m.enter(p)
    m.ok(ETRACK, secs)
    m.enter(p)
    assert m.S[cpu.entry_epoch] == 0
    m.run(EEXIT)
    m.enter(p)
    assert (m.S[cpu.entry_epoch], m.S[cpu.inside]) == (1, m.S[secs.eid])


def test_a_fault_and_a_refused_access_leave_the_enclave() -> None:
    m = Epc()
    _, door, tcs = m.enclave(PT_REG, PT_TCS)
    for at in (3, m.S[m.map(tcs).linaddr]):
        m.enter(door)
        assert m.inside() == {0}
        assert m.run(enclave_access, m.mm, at) in (enclu.PAGE_FAULT, mmu.BAD)
        assert m.inside() == set()


def test_lost_data_is_told() -> None:
    m = Epc()
    _, p = m.enclave()
    m.enter(p)
    m.put(p, contents=None)
    with m.told("lost-data", "page 0"):
        m.run(enclave_access, m.mm, 0)


@pytest.mark.parametrize("what", ["blocked", "removed", "reused", "a VA page", "a SECS"])
@pytest.mark.parametrize("prim", [enclave_access, EACCEPT], ids=str)
def test_a_stale_pte_is_told(prim: Any, what: str) -> None:
    m = Epc()
    _, p, later = m.enclave(PT_REG, PT_REG)
    m.map(p)
    if what == "blocked":
        m.ok(EBLOCK, p)
    elif what == "reused":
        m.S[m.mm.pte] = later
    else:
        m.ok(EREMOVE, p)
        if what != "removed":
            m.ok(*((EPA, p) if what == "a VA page" else (ECREATE, p, 4)))
    with m.told("bad-mapping", "the PTE of page 0"):
        m.run(prim, m.mm, 0)
    assert m.inside() == set()
