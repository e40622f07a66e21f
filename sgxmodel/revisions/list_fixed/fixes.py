# SPDX-License-Identifier: GPL-2.0-only
"""Each fix with the fault that it removes; what is not here is list_v2's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sgxmodel.driver.ghost import (
    busy_means_somebody_makes_room,
    note_exhaustion,
    nothing_was_left,
)
from sgxmodel.driver.seam import PAGE_AUGMENTED, PAGE_RETYPED
from sgxmodel.driver.structs import (
    EACCES,
    EBUSY,
    ENOMEM,
    ERESTARTSYS,
    PFN_DOWN,
    SGX2,
    SGX_ENCL_PAGE_BEING_RECLAIMED,
    SGX_EPC_PAGE_IS_FREE,
    SGX_EPC_PAGE_RECLAIMER_TRACKED,
    SGX_NR_LOW_PAGES,
    SGX_NR_TO_SCAN,
    VM_FAULT_NOPAGE,
    VM_FAULT_SIGBUS,
    isolated,
    ksgxd_control,
    out_of_scope,
    sgx_encl,
    sgx_encl_mm,
    sgx_encl_page,
    sgx_epc_page,
    sgx_epc_page_node,
    sgx_nr_free_pages,
    unisolated,
)
from sgxmodel.driver.virt import sgx_virt
from sgxmodel.kernel.list import (
    INIT_LIST_HEAD,
    list_add,
    list_add_tail,
    list_del,
    list_del_init,
    list_empty,
    list_for_each_entry,
    list_for_each_entry_safe,
    list_head,
    list_move,
    list_move_tail,
    list_splice_tail,
)
from sgxmodel.kernel.lock import mutex_lock, mutex_unlock, spin_lock, spin_unlock
from sgxmodel.kernel.memory import IS_ERR, kfree, xa_load
from sgxmodel.kernel.mm import vm_area_struct
from sgxmodel.kernel.ref import (
    atomic_long_dec,
    atomic_long_inc,
    atomic_long_read,
    atomic_long_t,
    kref_get_unless_zero,
)
from sgxmodel.kernel.task import WARN_ON, cond_resched, signal_pending, wake_up
from sgxmodel.machine.layout import static
from sgxmodel.machine.notation import goto, kernel, label, part_of
from sgxmodel.machine.op import READ_ONCE, WRITE_ONCE, pure, sometimes
from sgxmodel.revisions.list_v2.flags import (
    RECORDED_AS,
    SGX_EPC_PAGE_ENCLAVE,
    SGX_EPC_PAGE_RECLAIM_IN_PROGRESS,
)
from sgxmodel.revisions.list_v2.lru import sgx_global_lru
from sgxmodel.revisions.list_v2.reclaim import ALL_FLAGS, LIST_HEAD, SECOND_LOOK, stack

if TYPE_CHECKING:
    from sgxmodel.driver.backing import sgx_encl_alloc_backing
    from sgxmodel.driver.file import encl_put
    from sgxmodel.driver.main import (
        __sgx_alloc_epc_page,
        sgx_reclaimer_age,
        sgx_reclaimer_block,
        sgx_reclaimer_write,
        sgx_should_reclaim,
    )
    from sgxmodel.driver.mm import sgx_encl_may_map
    from sgxmodel.driver.mmu_notifier import mmu_notifier_put
    from sgxmodel.driver.seam import sgx_reclaim_pages
    from sgxmodel.driver.virt import sgx_vepc_try_zombies
    from sgxmodel.revisions.list_v2.lru import (
        sgx_epc_move_reclaimable,
        sgx_epc_peek_reclaimable,
        sgx_record_epc_page,
    )

SGX_ENCL_PAGE_BEING_REMOVED = 1 << 1
"""In sgx_encl_page.desc.  Set and read under encl->lock, never cleared: the page is freed."""

sgx_nr_isolated = static("sgx_nr_isolated", atomic_long_t)


@pure
def fixed_flags_of(kind: str) -> int:
    """Pages added at run time and retyped ones are enclave pages too (F1)."""
    also = SGX_EPC_PAGE_ENCLAVE if kind in (PAGE_AUGMENTED, PAGE_RETYPED) else 0
    return RECORDED_AS[kind] | also


@kernel
def track_page(page: sgx_epc_page, kind: str) -> None:
    """F1: without ENCLAVE such a page at the head of the list stops all reclaim."""
    sgx_record_epc_page(page, fixed_flags_of(kind))


@kernel
def sgx_drop_epc_page(page: sgx_epc_page) -> int:
    """F3: the flags are cleared before the unlock, not after it."""
    spin_lock(sgx_global_lru.lock)
    if (
        page.flags & SGX_EPC_PAGE_RECLAIMER_TRACKED
        and page.flags & SGX_EPC_PAGE_RECLAIM_IN_PROGRESS
    ):
        spin_unlock(sgx_global_lru.lock)
        sometimes("-EBUSY: the page to untrack is isolated")
        return -EBUSY
    list_del(page.list)
    page.flags &= ~ALL_FLAGS
    spin_unlock(sgx_global_lru.lock)
    return 0


@kernel
def __sgx_reclaim_pages() -> None:
    """The pass, with four changes.

    F5: a written page leaves ``iso`` before it is freed, and its flags are
    cleared under the lock (the rest of F3).  R1: the enclave is remembered, as
    its sgx_encl_page may be gone when the reference is given back (a page that
    was written out, or is back on the list, can be removed by
    sgx_encl_remove_pages()).  R2: isolated pages are counted, so that
    sgx_alloc_epc_page() does not take a pass under way for an empty EPC.
    """
    backing: tuple[Any, ...] = ()
    iso = LIST_HEAD(stack)
    INIT_LIST_HEAD(iso)
    scanned = 0
    spin_lock(sgx_global_lru.lock)
    for _i in range(SGX_NR_TO_SCAN):
        epc_page = sgx_epc_peek_reclaimable(sgx_global_lru)
        if epc_page is None:
            break
        encl_page = epc_page.owner
        if WARN_ON(not epc_page.flags & SGX_EPC_PAGE_ENCLAVE, SECOND_LOOK):
            continue
        if kref_get_unless_zero(encl_page.encl.refcount):
            isolated(epc_page)
            epc_page.flags |= SGX_EPC_PAGE_RECLAIM_IN_PROGRESS
            atomic_long_inc(sgx_nr_isolated)
            list_move_tail(epc_page.list, iso)
            scanned += 1
        else:
            sometimes("the reclaimer met a dying enclave")
            epc_page.flags &= ~SGX_EPC_PAGE_RECLAIMER_TRACKED
            list_del_init(epc_page.list)
    spin_unlock(sgx_global_lru.lock)
    if scanned == SGX_NR_TO_SCAN:
        sometimes("a scan was full")

    if list_empty(iso):
        out_of_scope(iso)
        return

    for epc_page in list_for_each_entry_safe(iso):
        encl_page = epc_page.owner
        encl = encl_page.encl
        if not sgx_reclaimer_age(epc_page):
            sometimes("a page was skipped as young")
            goto("skip")
        page_index = PFN_DOWN(encl_page.desc)
        mutex_lock(encl.lock)
        pinned = sgx_encl_alloc_backing(encl, page_index)
        if IS_ERR(pinned):
            sometimes("a page was skipped for want of backing")
            mutex_unlock(encl.lock)
            goto("skip")
        backing = (*backing, pinned)
        encl_page.desc |= SGX_ENCL_PAGE_BEING_RECLAIMED
        mutex_unlock(encl.lock)
        continue
        label("skip")
        spin_lock(sgx_global_lru.lock)
        unisolated(epc_page)
        epc_page.flags &= ~SGX_EPC_PAGE_RECLAIM_IN_PROGRESS
        sgx_epc_move_reclaimable(sgx_global_lru, epc_page)
        spin_unlock(sgx_global_lru.lock)
        atomic_long_dec(sgx_nr_isolated)
        encl_put(encl)

    for epc_page in list_for_each_entry(iso):
        sgx_reclaimer_block(epc_page)

    i = 0
    for epc_page in list_for_each_entry_safe(iso):
        encl_page = epc_page.owner
        encl = encl_page.encl
        sgx_reclaimer_write(epc_page, backing[i])
        i += 1
        encl_put(encl)
        spin_lock(sgx_global_lru.lock)
        list_del_init(epc_page.list)
        epc_page.flags &= ~ALL_FLAGS
        unisolated(epc_page)
        spin_unlock(sgx_global_lru.lock)
        sgx_free_epc_page(epc_page)
        atomic_long_dec(sgx_nr_isolated)
        sometimes("a page was written out")
    out_of_scope(iso)


@kernel
def sgx_epc_exhausted() -> bool:
    """R2: in one moment no page is on the list, isolated or free.

    Pages come to the list and leave it under the lock; what a pass gives back
    is counted as free before it is no longer counted as isolated.
    """
    spin_lock(sgx_global_lru.lock)
    exhausted = (
        list_empty(sgx_global_lru.reclaimable)
        and atomic_long_read(sgx_nr_isolated) == 0
        and atomic_long_read(sgx_nr_free_pages) == 0
    )
    note_exhaustion(ksgxd_control)
    spin_unlock(sgx_global_lru.lock)
    return exhausted


@kernel
def sgx_alloc_epc_page(owner: Any, reclaim: bool) -> Any:
    """R2: -ENOMEM only if there was a moment in which nothing could be had."""
    while True:
        page = __sgx_alloc_epc_page()
        if not IS_ERR(page):
            page.owner = owner
            break
        note_exhaustion(ksgxd_control)
        if sgx_epc_exhausted():
            sometimes("-ENOMEM: nothing free, nothing to reclaim")
            nothing_was_left(ksgxd_control)
            return -ENOMEM
        if not reclaim:
            sometimes("-EBUSY: nothing free, no direct reclaim")
            page = -EBUSY
            break
        if signal_pending():
            sometimes("-ERESTARTSYS: a signal ended the wait for EPC")
            page = -ERESTARTSYS
            break
        sometimes("an allocation reclaimed directly")
        sgx_reclaim_pages()
        cond_resched()
    if sgx_should_reclaim(SGX_NR_LOW_PAGES):
        wake_up(ksgxd_control.ksgxd_waitq)
    if page == -EBUSY:
        busy_means_somebody_makes_room(ksgxd_control)
    return page


@kernel
def sgx_free_epc_page(page: sgx_epc_page) -> None:
    """M3: a poisoned page is not counted as free.  R2: the others are before they are."""
    node = sgx_epc_page_node(page)
    spin_lock(node.lock)
    page.owner = None
    if page.poison:
        sometimes("a poisoned page was freed to the poison list")
        list_add(page.list, node.sgx_poison_page_list)
    else:
        atomic_long_inc(sgx_nr_free_pages)
        list_add_tail(page.list, node.free_page_list)
    page.flags = SGX_EPC_PAGE_IS_FREE
    spin_unlock(node.lock)


@part_of("arch_memory_failure")
def sgx_poison_free(page: sgx_epc_page) -> None:
    """M3: a free page that turns bad is not counted any more."""
    list_move(page.list, sgx_epc_page_node(page).sgx_poison_page_list)
    atomic_long_dec(sgx_nr_free_pages)


@part_of("arch_memory_failure")
def sgx_page_is_free(page: sgx_epc_page) -> bool:
    """D1: ``flags`` belongs to lru->lock too: node->lock alone does not order record and drop."""
    spin_lock(sgx_global_lru.lock)
    free = page.flags & SGX_EPC_PAGE_IS_FREE
    spin_unlock(sgx_global_lru.lock)
    return free != 0


@part_of("sgx_encl_eaug_page")
def sgx_eaug_insert_failed(ret: int) -> str:
    """K2: another thread added the page: that is no reason to die, the access is retried."""
    if ret == -EBUSY:
        return VM_FAULT_NOPAGE
    return VM_FAULT_SIGBUS


@part_of("sgx_vma_fault")
def sgx_fault_load_failed(encl: sgx_encl, index: int, ret: int) -> str:
    """K3: the page was removed after the look without the lock; the retry adds it again."""
    if ret == -EBUSY:
        return VM_FAULT_NOPAGE
    if SGX2 and xa_load(encl.page_array, index) is None:
        sometimes("a page was removed under a fault")
        return VM_FAULT_NOPAGE
    return VM_FAULT_SIGBUS


@part_of("sgx_encl_remove_pages")
def sgx_encl_announce_removal(entry: sgx_encl_page) -> None:
    """R3: PTEs are zapped without encl->lock; a fault in between must not map the page again."""
    entry.desc |= SGX_ENCL_PAGE_BEING_REMOVED


@part_of("__sgx_encl_load_page")
def sgx_encl_page_busy(desc: int) -> bool:
    """R3: nor is a page that is being removed to be used."""
    if desc & SGX_ENCL_PAGE_BEING_REMOVED:
        sometimes("-EBUSY: the page is being removed")
        return True
    if desc & SGX_ENCL_PAGE_BEING_RECLAIMED:
        sometimes("-EBUSY: the page is being reclaimed")
        return True
    return False


@part_of("sgx_encl_mm_add")
def sgx_mm_add_failed(encl: sgx_encl) -> None:
    """N1: the reference that was taken for the entry is given back."""
    encl_put(encl)


@part_of("sgx_vma_open")
def sgx_vma_open_failed(vma: vm_area_struct) -> None:
    """N2: nobody would zap this child's PTEs or interrupt its CPUs, so it gets no PTEs."""
    vma.vm_wipeonfork = 1


@part_of("sgx_vma_mprotect")
def sgx_vma_mprotect(vma: vm_area_struct, start: int, end: int, prot: str) -> int:
    """N3: such a child has no enclave that could be asked."""
    encl = vma.vm_private_data
    if encl is None:
        return -EACCES
    return sgx_encl_may_map(encl, start, end, prot)


@part_of("sgx_mmu_notifier_release")
def sgx_mmu_notifier_put(encl_mm: sgx_encl_mm) -> None:
    """N4: the enclave is given back here, where its release may sleep."""
    encl = encl_mm.encl
    mmu_notifier_put(encl_mm)
    encl_put(encl)


@kernel
def sgx_mmu_notifier_free(encl_mm: sgx_encl_mm) -> None:
    """N4: an SRCU callback must not sleep, so it does no more than free the entry."""
    kfree(encl_mm)


@part_of("sgx_encl_mm_add")
def sgx_mm_list_changed(encl: sgx_encl) -> None:
    """N5: read without a lock by sgx_zap_enclave_ptes()."""
    WRITE_ONCE(encl.mm_list_version, encl.mm_list_version + 1)


@part_of("sgx_zap_enclave_ptes")
def sgx_mm_list_version(encl: sgx_encl) -> int:
    """N5: the other side."""
    return READ_ONCE(encl.mm_list_version)


@part_of("__sgx_sanitize_pages")
def sgx_dirty_page_is_bad(page: sgx_epc_page) -> bool:
    """S1: a poisoned page is EREMOVEd like any other, or its SECS is never clean.

    sgx_free_epc_page() puts it on the poison list, and looks under node->lock.
    """
    return False


@part_of("sgx_encl_add_page")
def sgx_encl_undo_add(encl: sgx_encl) -> None:
    """E1: the page that EEXTEND did not measure is removed, and no child any more."""
    encl.secs_child_cnt -= 1


@part_of("sgx_vepc_release")
def sgx_vepc_retry_zombies(secs_pages: list_head) -> None:
    """V1: this release's own zombies are tried again too, under the lock.

    Their last child may have gone since, in a release that is past its retry.
    """
    list_splice_tail(secs_pages, sgx_virt.zombie_secs_pages)
    out_of_scope(secs_pages)
    sgx_vepc_try_zombies(secs_pages)
    list_splice_tail(secs_pages, sgx_virt.zombie_secs_pages)
    out_of_scope(secs_pages)


@part_of("sgx_encl_reserve_page")
def sgx_reserve_again(entry: Any) -> bool:
    """P1: the debugger is told -EBUSY: who holds mmap_lock keeps the reclaimer from it."""
    if entry == -EBUSY:
        sometimes("a debugger met a page that was being reclaimed")
    return False
