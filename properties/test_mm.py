# SPDX-License-Identifier: GPL-2.0-only
"""SRCU, address spaces, VMAs and what fork copies: the operations, one by one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from properties.bench import Bench, Epc, examples
from sgxmodel.hardware.mmu import (
    change_protection,
    copy_ptes,
    flush_tlb_mm,
    load_mm,
    unmap_page_range,
)
from sgxmodel.kernel.list import list_add_rcu, list_del_rcu, list_next_rcu
from sgxmodel.kernel.lock import down_read, down_write, downgrade_write, up_read, up_write
from sgxmodel.kernel.mm import (
    mm_init,
    mm_struct,
    mm_users_dec_and_test,
    mmdrop,
    mmget_not_zero,
    mmgrab,
    vm_area_init,
    vm_area_struct,
    vma_iter_clear,
    vma_iter_store,
    vma_lookup,
    vmas_between,
)
from sgxmodel.kernel.srcu import (
    call_srcu,
    cleanup_srcu_struct,
    domain,
    srcu_gp_end,
    srcu_gp_start,
    srcu_next_callback,
    srcu_read_lock,
    srcu_read_unlock,
)
from sgxmodel.kernel.task import local_bh_disable, local_bh_enable
from sgxmodel.machine.layout import FREED
from sgxmodel.machine.op import Fault

# -- SRCU ---------------------------------------------------------------------------------------

TASKS = 3


@given(st.lists(st.tuples(st.sampled_from(["read", "sync", "call"]), st.integers(0, TASKS - 1))))
@examples(150)
def test_a_grace_period_waits_for_older_sections_only(steps: list[tuple[str, int]]) -> None:
    m = Bench(TASKS)
    ssp = m.new(domain).srcu
    objects = [m.new(vm_area_struct) for _ in steps]
    inside: set[int] = set()
    waits: dict[Any, set[int]] = {}
    for (what, t), thing in zip(steps, objects, strict=True):
        if what == "read" and t in inside:
            m.run(srcu_read_unlock, ssp, by=t)
            inside.remove(t)
            for older in waits.values():
                older.discard(t)
        elif what == "read" and t not in waits:
            m.run(srcu_read_lock, ssp, by=t)
            inside.add(t)
        elif what == "call":
            m.run(call_srcu, ssp, thing, by=t)
            waits[thing] = set(inside)
        elif what == "sync" and t in waits:
            if m.enabled(srcu_gp_end, ssp, by=t):
                event("a grace period ended")
                m.run(srcu_gp_end, ssp, by=t)
                assert not waits.pop(t)
        elif what == "sync" and t not in inside:
            m.run(srcu_gp_start, ssp, by=t)
            waits[t] = set(inside)
        due = [who for who, older in waits.items() if not isinstance(who, int) and not older]
        assert m.enabled(srcu_next_callback, ssp) == bool(due)
        for who, older in waits.items():
            if isinstance(who, int):
                assert m.enabled(srcu_gp_end, ssp, by=who) == (not older)
        if due:
            event("a callback was due")
            assert m.run(srcu_next_callback, ssp) is due[0]
            del waits[due[0]]


def test_a_reader_that_waits_for_itself_is_told() -> None:
    m = Bench()
    ssp = m.new(domain).srcu
    m.run(srcu_read_lock, ssp)
    with m.told("17-lock-order", "Illegal synchronize_srcu()"):
        m.run(srcu_gp_start, ssp)


def test_what_srcu_forbids_is_told() -> None:
    m = Bench()
    ssp = m.new(domain).srcu
    with m.refused("bad-unlock"):
        m.run(srcu_read_unlock, ssp)
    m.run(srcu_read_lock, ssp, by=1)
    with m.told("6-references", "T1 inside"):
        m.run(cleanup_srcu_struct, ssp)
    m.run(srcu_read_unlock, ssp, by=1)
    m.run(local_bh_disable)
    with pytest.raises(Fault, match="with bottom halves off") as told:
        m.run(cleanup_srcu_struct, ssp)
    assert (told.value.kind, told.value.fatal) == ("sleep-in-atomic", False)
    m.run(local_bh_enable)
    m.run(cleanup_srcu_struct, ssp)
    for slot in ssp.slots:
        m.S[slot] = FREED
    with m.told("use-after-free"):
        m.run(srcu_read_lock, ssp)


def test_a_reader_at_a_deleted_entry_goes_on() -> None:
    m = Bench()
    head, first, second = m.nodes(3)
    m.run(list_add_rcu, second, head)
    m.run(list_add_rcu, first, head)
    assert m.run(list_next_rcu, head) is first
    m.run(list_del_rcu, first)
    assert m.run(list_next_rcu, first) is second
    assert m.run(list_next_rcu, head) is second


# -- address spaces -----------------------------------------------------------------------------


def space(m: Bench, size: int = 4) -> Any:
    mm = m.new(mm_struct, pte=size, young=size, pte_prot=size)
    for i in range(size):
        m.S[mm.young + i], m.S[mm.pte_prot + i] = 0, ""
    m.run(mm_init, mm)
    return mm


def test_users_and_references_end_apart() -> None:
    m = Bench()
    mm = space(m)
    assert m.run(mmget_not_zero, mm)
    m.run(mmgrab, mm)
    assert not m.run(mm_users_dec_and_test, mm)
    assert m.run(mm_users_dec_and_test, mm)
    assert not m.run(mmget_not_zero, mm)
    with m.told("refcount"):
        m.run(mm_users_dec_and_test, mm)
    m.run(mmdrop, mm)
    assert m.S[mm.mm_users] == 0
    m.run(mmdrop, mm)
    with m.told("use-after-free"):
        m.run(mmget_not_zero, mm)
    with m.told("use-after-free"):
        m.run(down_read, mm.mmap_lock)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 3)), max_size=6), st.integers(0, 7))
@examples(80)
def test_vmas_are_found_by_address(areas: list[tuple[int, int]], at: int) -> None:
    m = Bench()
    mm = space(m)
    m.run(down_write, mm.mmap_lock)
    used: dict[int, Any] = {}
    for start, length in areas:
        pages = range(start, start + length)
        if not used.keys() & set(pages):
            vma = m.new(vm_area_struct)
            m.run(vm_area_init, vma, None, start, start + length)
            m.run(vma_iter_store, mm, vma)
            used.update(dict.fromkeys(pages, vma))
    assert m.run(vma_lookup, mm, at) is used.get(at)
    here = m.run(vmas_between, mm, at, at + 2)
    assert set(here) == {used[i] for i in (at, at + 1) if i in used}
    m.run(vma_iter_clear, mm, here)
    assert m.run(vmas_between, mm, at, at + 2) == ()


def test_the_tree_needs_the_lock() -> None:
    m = Bench()
    mm, vma = space(m), m.new(vm_area_struct)
    with m.told("17-lock-order", "without its mmap_lock"):
        m.run(vma_lookup, mm, 0)
    m.run(down_read, mm.mmap_lock)
    m.run(vma_lookup, mm, 0)
    with m.told("17-lock-order", "without its mmap_lock"):
        m.run(vma_iter_store, mm, vma)


def test_a_downgraded_writer_lets_readers_in() -> None:
    m = Bench()
    sem = space(m).mmap_lock
    m.run(down_write, sem)
    assert not m.enabled(down_read, sem, by=1)
    m.run(downgrade_write, sem)
    m.run(down_read, sem, by=1)
    assert not m.enabled(down_write, sem, by=1)
    m.run(up_read, sem)
    m.run(up_read, sem, by=1)
    m.run(down_write, sem)
    m.run(up_write, sem)
    with m.refused("bad-unlock"):
        m.run(downgrade_write, sem)


# -- PTEs of ranges -----------------------------------------------------------------------------


def pair() -> tuple[Epc, Any, Any]:
    """An enclave's two pages, mapped and touched by a CPU that is inside; a second mm."""
    m = Epc()
    _, one, two = m.enclave("REG", "REG")
    child = space(m, m.size)
    m.run(load_mm, m.mm)
    m.enter(one)
    m.enter(two)
    m.S[m.mm.mmap_lock.writer] = m.S[child.mmap_lock.writer] = m.tasks[0]
    return m, child, (one, two)


def test_fork_copies_ptes_old() -> None:
    m, child, pages = pair()
    m.run(copy_ptes, child, m.mm, 0, m.size)
    assert [m.S[child.pte + i] for i in range(2)] == list(pages)
    assert [m.S[child.pte_prot + i] for i in range(2)] == ["rw", "rw"]
    assert not any(m.S[child.young + i] for i in range(m.size))
    assert m.S[m.mm.young]


def test_a_range_is_cleared_and_flushed() -> None:
    m, _, (_, two) = pair()
    m.run(unmap_page_range, m.cpu.cpus, m.mm, 0, 1)
    assert m.S[m.mm.pte] is None
    assert m.S[m.mm.pte + 1] is two
    assert m.inside() == set()


def test_lost_rights_are_flushed() -> None:
    m, _, _ = pair()
    m.run(change_protection, m.cpu.cpus, m.mm, 0, "rw")
    assert m.inside() == {0}
    m.run(change_protection, m.cpu.cpus, m.mm, 0, "r")
    assert m.inside() == set()
    m.run(change_protection, m.cpu.cpus, m.mm, 3, "r")
    assert m.S[m.mm.pte_prot + 3] != "r"


def test_a_flush_of_all_throws_out_its_cpus() -> None:
    m, child, _ = pair()
    m.run(flush_tlb_mm, m.cpu.cpus, child)
    assert m.inside() == {0}
    m.run(flush_tlb_mm, m.cpu.cpus, m.mm)
    assert m.inside() == set()
